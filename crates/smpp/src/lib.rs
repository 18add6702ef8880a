//! An SMPP 3.4 client (ESME) session that a dispatcher can trust with its messages.
//!
//! What it adds to the `rusmpp` codec:
//!
//! * an **enforced window**: never more than [`SessionConfig::window`] unanswered `submit_sm`;
//! * an **exact outcome** for every message: [`SubmitOutcome`] tells "not written", "written, no
//!   answer" and "answered" apart, so that the caller knows when a second copy is free and when it
//!   is a risk;
//! * **tolerance**: a response is judged by its header alone, a `deliver_sm` by a lenient reader,
//!   and a PDU that cannot be read costs that PDU and not the bind;
//! * **receipts that are not lost**: a `deliver_sm` is answered when its [`Acknowledgement`] is
//!   used, and not before;
//! * a [`Bind`] that keeps one session alive, rests when the carrier says so, and ends politely.
//!
//! Start at [`Bind::start`]; [`Session`] is the layer below, one TCP connection long.
//! [`classify`] says what an answer means, [`text`] how a message is written in octets.

pub mod answer;
mod bind;
mod config;
mod deliver;
mod frame;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod outcome;
mod pause;
mod receipt;
mod request;
mod session;
pub mod text;

pub use answer::{BindRest, Class, Part, classify};
pub use bind::{Bind, BindState};
pub use config::{BindMode, ConfigError, Password, SessionConfig, Tls};
pub use deliver::{Acknowledgement, Delivery, Event, Inbound};
pub use outcome::{Answer, EndReason, NotWritten, SubmitOutcome, Unanswered, UnansweredReason};
pub use receipt::{Finality, Receipt, ReceiptState};
pub use request::{Address, Receipts, RequestError, SubmitRequest};
pub use session::{ConnectError, Session};
