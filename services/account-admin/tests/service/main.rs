//! The service through its gRPC front door, on SQLite and on PostgreSQL, beside an identity that is
//! a small server of its proto.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod administrators;
mod bad_input;
mod delete_user;
mod edit_user;
mod events;
mod fake_identity;
mod identity_away;
mod licences;
mod listing;
mod organisations;
mod profile;
mod refusals;
mod tenants;
mod users;
mod world;

/// Runs a test on both databases.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::world::World::sqlite().await).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::world::World::postgres().await).await;
            })+
        }
    };
}
pub(crate) use on_both;
