//! The rules: no I/O, no clock, no framework.

pub mod base32;
pub mod challenge;
pub mod code_input;
pub mod guesses;
pub mod hash;
pub mod link;
pub mod mail_text;
pub mod passkey_name;
pub mod password;
pub mod recovery;
pub mod second_step;
pub mod session;
pub mod token;
pub mod totp;
