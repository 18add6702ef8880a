//! One file per proto service: decode, one call, encode.

pub mod callers;
pub mod code;
pub mod mail_inbox;
pub mod password;
pub mod projection;
mod second_step_status;
pub mod session_answers;
pub mod sign_in;
pub mod status;
pub mod two_factor;
