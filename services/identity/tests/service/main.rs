//! The first step through identity's front door, on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test that meets an error ends")]

mod bad_input;
mod guesses;
mod in_flight;
mod links;
mod log;
mod lookup_keys;
mod meters;
mod passwords;
mod peppers;
mod projection;
mod sessions;
mod sign_in;
mod world;

/// Runs each test on both databases.
#[macro_export]
macro_rules! on_both_databases {
    ($($test:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test($crate::world::World::on_sqlite().await).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test($crate::world::World::on_postgres().await).await;
            })+
        }
    };
}
