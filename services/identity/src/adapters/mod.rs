//! One file per technology behind a port.

pub mod mail_inbox;
pub mod mail_smtp;
