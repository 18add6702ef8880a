//! The session and the bind against a carrier that the test moves by hand.
//!
//! Tests of time run on a paused clock over an in-memory stream: the clock only moves when nothing
//! else can, so "nothing comes" is a fact and not a guess. Tests over sockets wait for events.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bind;
mod carrier;
mod delivery;
mod ending;
mod hostile;
mod outcome;
mod session;
