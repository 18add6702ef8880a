//! Authenticator apps as second factors, and when one was last used in a session.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, big_integer_null, binary, string_len, string_len_null, uuid,
};

/// Version 4.
pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m4_authenticators"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("authenticators")
                    .col(uuid("id").primary_key())
                    .col(uuid("user_id"))
                    .col(binary("seed"))
                    .col(string_len("seed_key", 8))
                    .col(big_integer("last_step"))
                    .col(big_integer("confirmed_at"))
                    .col(big_integer_null("ended_at"))
                    .col(string_len_null("end_reason", 32))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("authenticators_user")
                    .table("authenticators")
                    .col("user_id")
                    .to_owned(),
            )
            .await?;
        // At most one works; those that ended stay on record.
        manager
            .get_connection()
            .execute_unprepared(
                "CREATE UNIQUE INDEX authenticators_live ON authenticators (user_id) \
                 WHERE ended_at IS NULL",
            )
            .await?;
        manager
            .alter_table(
                Table::alter()
                    .table("sessions")
                    .add_column(big_integer_null("authenticator_at"))
                    .to_owned(),
            )
            .await
    }
}
