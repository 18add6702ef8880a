//! Every RPC of the protos, and messages for it: of its form, with what fits its fields and what does
//! not. Read from the descriptors, so that a new RPC is tried without being named here.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use sallyport_fuzz::Bender;

use crate::values::Values;

/// Messages within messages go no deeper.
const DEEPEST: usize = 4;
/// Numbers at a border of something: of a count, of an enum, of an instant.
const NUMBERS: [u64; 14] = [
    0,
    1,
    2,
    3,
    4,
    7,
    100,
    1_001,
    1_772_000_000,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    0x7FFF_FFFF_FFFF_FFFF,
    u64::MAX,
];

/// An RPC.
pub struct Rpc {
    /// `/package.Service/Method`
    pub path: String,
    input: String,
}

/// The RPCs, and the messages that they take.
pub struct Schema {
    /// In the order of the protos.
    pub rpcs: Vec<Rpc>,
    messages: BTreeMap<String, DescriptorProto>,
}

impl Schema {
    pub fn read() -> Result<Self> {
        let files = FileDescriptorSet::decode(sallyport_proto::DESCRIPTORS)?;
        let (mut rpcs, mut messages) = (Vec::new(), BTreeMap::new());
        for file in &files.file {
            let package = file.package();
            for message in &file.message_type {
                collect(&format!(".{package}"), message, &mut messages);
            }
            for service in &file.service {
                rpcs.extend(service.method.iter().map(|method| Rpc {
                    path: format!("/{package}.{}/{}", service.name(), method.name()),
                    input: method.input_type().to_owned(),
                }));
            }
        }
        ensure!(!rpcs.is_empty(), "the descriptors have no service");
        Ok(Self { rpcs, messages })
    }

    /// A request of an RPC, on the wire.
    pub fn request(&self, rpc: &Rpc, values: &Values, bender: &mut Bender) -> Vec<u8> {
        self.message(&rpc.input, values, bender, 0)
    }

    fn message(&self, name: &str, values: &Values, bender: &mut Bender, depth: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let Some(message) = self.messages.get(name) else {
            return out;
        };
        for field in &message.field {
            // What waits for something to come would wait for each case.
            if field.name() == "wait_seconds" {
                continue;
            }
            let times = match field.label() {
                Label::Repeated => bender.below(4),
                // What is missing is one of the things that go wrong.
                Label::Optional | Label::Required => usize::from(!bender.one_in(8)),
            };
            for _ in 0..times {
                self.field(field, values, bender, depth, &mut out);
            }
        }
        out
    }

    fn field(
        &self,
        field: &FieldDescriptorProto,
        values: &Values,
        bender: &mut Bender,
        depth: usize,
        out: &mut Vec<u8>,
    ) {
        let number = u64::from(field.number().unsigned_abs());
        let mut delimited = |octets: &[u8]| {
            varint((number << 3) | 2, out);
            varint(octets.len() as u64, out);
            out.extend_from_slice(octets);
        };
        match field.r#type() {
            Type::String => delimited(values.text(field.name(), bender).as_bytes()),
            Type::Bytes => delimited(bender.word().as_bytes()),
            Type::Message if depth < DEEPEST => {
                let inner = self.message(field.type_name(), values, bender, depth + 1);
                delimited(&inner);
            }
            Type::Message | Type::Group => {}
            Type::Double | Type::Fixed64 | Type::Sfixed64 => {
                varint((number << 3) | 1, out);
                out.extend_from_slice(&bender.bits().to_le_bytes());
            }
            Type::Float | Type::Fixed32 | Type::Sfixed32 => {
                varint((number << 3) | 5, out);
                out.extend_from_slice(&(bender.bits() as u32).to_le_bytes());
            }
            Type::Bool
            | Type::Enum
            | Type::Int32
            | Type::Int64
            | Type::Uint32
            | Type::Uint64
            | Type::Sint32
            | Type::Sint64 => {
                varint(number << 3, out);
                varint(*bender.pick(&NUMBERS), out);
            }
        }
    }
}

fn collect(
    parent: &str,
    message: &DescriptorProto,
    messages: &mut BTreeMap<String, DescriptorProto>,
) {
    let name = format!("{parent}.{}", message.name());
    for nested in &message.nested_type {
        collect(&name, nested, messages);
    }
    messages.insert(name, message.clone());
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
