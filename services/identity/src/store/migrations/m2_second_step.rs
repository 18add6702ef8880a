//! The second step: factors, the count of wrong answers, recovery codes, pending numbers, used
//! challenges and remembered browsers.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, big_integer_null, boolean, integer, string_len, string_len_null, string_len_uniq,
    uuid, uuid_null,
};

/// Version 2.
pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m2_second_step"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("factors")
                    .col(uuid("id").primary_key())
                    .col(uuid("user_id"))
                    .col(string_len("kind", 16))
                    .col(string_len("number", 16))
                    .col(string_len("state", 16))
                    .col(big_integer("confirmed_at"))
                    .col(big_integer_null("ended_at"))
                    .col(string_len_null("end_reason", 32))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("second_steps")
                    .col(uuid("user_id").primary_key())
                    .col(boolean("active"))
                    .col(integer("failures"))
                    .col(big_integer_null("locked_until_at"))
                    .col(big_integer_null("disabled_at"))
                    .col(big_integer_null("number_changed_at"))
                    .col(integer("recovery_tries"))
                    .col(big_integer("recovery_window_at"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("recovery_codes")
                    .col(uuid("id").primary_key())
                    .col(uuid("user_id"))
                    .col(string_len_uniq("lookup", 64))
                    .col(big_integer("created_at"))
                    .col(big_integer_null("used_at"))
                    .col(uuid_null("used_session_id"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("pending_enrolments")
                    .col(uuid("user_id").primary_key())
                    .col(uuid("session_id"))
                    .col(string_len("challenge_id", 64))
                    .col(string_len("purpose", 16))
                    .col(string_len("number", 16))
                    .col(boolean("trusted"))
                    .col(big_integer("expires_at"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("used_challenges")
                    .col(string_len("challenge_id", 64).primary_key())
                    .col(uuid("user_id"))
                    .col(string_len("purpose", 16))
                    .col(big_integer("used_at"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("browsers")
                    .col(uuid("id").primary_key())
                    .col(uuid("user_id"))
                    .col(string_len_uniq("token_hash", 64))
                    .col(string_len("user_agent", 256))
                    .col(string_len("client_ip", 45))
                    .col(big_integer("created_at"))
                    .col(big_integer("last_used_at"))
                    .col(big_integer("expires_at"))
                    .to_owned(),
            )
            .await?;
        for (name, table, column) in [
            ("factors_user", "factors", "user_id"),
            ("factors_number", "factors", "number"),
            ("recovery_codes_user", "recovery_codes", "user_id"),
            ("browsers_user", "browsers", "user_id"),
        ] {
            manager
                .create_index(
                    Index::create()
                        .name(name)
                        .table(table)
                        .col(column)
                        .to_owned(),
                )
                .await?;
        }
        Ok(())
    }
}
