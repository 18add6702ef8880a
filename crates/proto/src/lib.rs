//! The code generated from `proto/sallyport`: the only contract between the services. No logic.
#![allow(missing_docs, unreachable_pub, clippy::all)]

/// `sallyport.identity.v1`
pub mod identity {
    pub mod v1 {
        tonic::include_proto!("sallyport.identity.v1");
    }
}

/// `sallyport.otp.v1`
pub mod otp {
    pub mod v1 {
        tonic::include_proto!("sallyport.otp.v1");
    }
}

/// `sallyport.admin.v1`
pub mod admin {
    pub mod v1 {
        tonic::include_proto!("sallyport.admin.v1");
    }
}

/// The encoded `FileDescriptorSet` of all three packages, for reflection and for tests that must
/// cover every RPC.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sallyport.bin"));
