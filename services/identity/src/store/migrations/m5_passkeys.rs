//! Passkeys as second factors, their ceremonies, and how many of those a user began in the hour.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, big_integer_null, boolean, integer, string_len, string_len_null, text, uuid,
};

/// Version 5.
pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m5_passkeys"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("passkeys")
                    .col(uuid("id").primary_key())
                    .col(uuid("user_id"))
                    .col(text("credential_id"))
                    .col(text("credential"))
                    .col(string_len("name", 64))
                    .col(big_integer("sign_count"))
                    .col(boolean("backup_eligible"))
                    .col(boolean("backed_up"))
                    .col(big_integer("created_at"))
                    .col(big_integer_null("last_used_at"))
                    .col(big_integer_null("ended_at"))
                    .col(string_len_null("end_reason", 32))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("passkeys_user")
                    .table("passkeys")
                    .col("user_id")
                    .to_owned(),
            )
            .await?;
        // A credential belongs to one user; those that ended stay on record.
        manager
            .get_connection()
            .execute_unprepared(
                "CREATE UNIQUE INDEX passkeys_live ON passkeys (credential_id) \
                 WHERE ended_at IS NULL",
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("passkey_ceremonies")
                    .col(uuid("id").primary_key())
                    .col(uuid("user_id"))
                    .col(uuid("session_id"))
                    .col(string_len("kind", 16))
                    .col(text("state"))
                    .col(big_integer("expires_at"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("passkey_ceremonies_expires_at")
                    .table("passkey_ceremonies")
                    .col("expires_at")
                    .to_owned(),
            )
            .await?;
        for column in [
            integer("ceremonies").default(0).to_owned(),
            big_integer("ceremonies_window_at").default(0).to_owned(),
        ] {
            manager
                .alter_table(
                    Table::alter()
                        .table("second_steps")
                        .add_column(column)
                        .to_owned(),
                )
                .await?;
        }
        Ok(())
    }
}
