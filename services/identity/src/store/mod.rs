//! Tables, queries and migrations.

pub mod authenticators;
pub mod browsers;
pub mod challenges;
pub mod factors;
pub mod guesses;
pub mod links;
pub mod migrations;
pub mod passkey_ceremonies;
pub mod passkeys;
pub mod passwords;
pub mod pending_enrolments;
pub mod recovery_codes;
pub mod second_steps;
pub mod sessions;
pub mod used_challenges;
pub mod users;
mod words;

pub use migrations::Migrator;
