//! The gateway through its front door: HTTP on a real socket, with small stand-ins for the services.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod account;
mod api;
mod authenticator;
mod awaiting;
mod bad_input;
mod browser;
mod enrol_anew;
mod fakes;
mod forms;
mod pages;
mod passkeys;
mod phone_lost;
mod reasons;
mod recovery;
mod refusable;
mod refusals;
mod remembered;
mod sessions;
mod sign_in;
mod sources;
mod user_edit;
mod words;
