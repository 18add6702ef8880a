//! The second step through identity's front door, on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test that meets an error ends")]

/// Runs each test on both databases.
macro_rules! on_both_databases {
    ($($test:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test($crate::world::World::start($crate::world::Backend::Sqlite).await).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test($crate::world::World::start($crate::world::Backend::Postgres).await).await;
            })+
        }
    };
}

mod app;
mod at_once;
mod attempts;
mod authenticator;
mod authenticator_keys;
mod authenticator_set_up;
mod bad_input;
mod browsers;
mod device;
mod enrol_anew;
mod enrolment;
mod failover;
mod fake_log;
mod fake_otp;
mod notices;
mod otp_refuses;
mod passkey;
mod passkey_attacks;
mod passkey_set_up;
mod phone_lost;
mod recovery;
mod restored;
mod session;
mod watching;
mod world;
