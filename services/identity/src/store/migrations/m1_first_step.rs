//! Users, passwords, sessions, links, limits on guesses, outbox.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, big_integer_null, boolean, integer, string_len, string_len_null, text, uuid,
};

/// Version 1.
pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m1_first_step"
    }
}

fn index(name: &'static str, table: &'static str, column: &'static str) -> IndexCreateStatement {
    Index::create()
        .name(name)
        .table(table)
        .col(column)
        .to_owned()
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let tables = [
            Table::create()
                .table("users")
                .col(uuid("id").primary_key())
                .col(uuid("organisation_id"))
                .col(big_integer("version"))
                .col(string_len("email", 320))
                .col(string_len("status", 16))
                .col(text("permissions"))
                .col(boolean("two_factor_required"))
                .col(string_len("locale", 16))
                .col(boolean("licensed"))
                .col(text("context_words"))
                .to_owned(),
            Table::create()
                .table("passwords")
                .col(uuid("user_id").primary_key())
                .col(text("hash"))
                .col(string_len("pepper_key", 8))
                .col(big_integer("changed_at"))
                .col(boolean("stands_alone"))
                .to_owned(),
            Table::create()
                .table("sessions")
                .col(uuid("id").primary_key())
                .col(uuid("user_id"))
                .col(string_len("token_hash", 64).unique_key())
                .col(string_len("stage", 24))
                .col(integer("assurance"))
                .col(big_integer("created_at"))
                .col(big_integer("expires_at"))
                .col(big_integer("last_used_at"))
                .col(big_integer("password_at"))
                .col(big_integer_null("second_factor_at"))
                .col(string_len("client_ip", 45))
                .col(string_len("user_agent", 256))
                .col(string_len_null("challenge_id", 64))
                .col(string_len_null("challenge_purpose", 24))
                .col(string_len_null("challenge_number", 24))
                .col(big_integer_null("challenge_expires_at"))
                .to_owned(),
            Table::create()
                .table("links")
                .col(uuid("id").primary_key())
                .col(uuid("user_id"))
                .col(string_len("purpose", 16))
                .col(string_len_null("handed_hash", 64).unique_key())
                .col(string_len_null("mailed_hash", 64).unique_key())
                .col(string_len_null("idempotency_key", 128))
                .col(big_integer("created_at"))
                .col(big_integer("expires_at"))
                .col(big_integer_null("used_at"))
                .to_owned(),
            Table::create()
                .table("guess_addresses")
                .col(string_len("address_key", 64).primary_key())
                .col(big_integer("window_at"))
                .col(integer("failures"))
                .to_owned(),
            Table::create()
                .table("guess_subjects")
                .col(string_len("subject_key", 64).primary_key())
                .col(integer("failures"))
                .col(big_integer("updated_at"))
                .to_owned(),
            Table::create()
                .table("guess_networks")
                .col(string_len("subject_key", 64))
                .col(string_len("network_key", 64))
                .col(integer("failures"))
                .col(big_integer("open_at"))
                .col(big_integer("updated_at"))
                .primary_key(Index::create().col("subject_key").col("network_key"))
                .to_owned(),
        ];
        for table in tables {
            manager.create_table(table).await?;
        }
        for index in [
            index("sessions_user", "sessions", "user_id"),
            index("sessions_expiry", "sessions", "expires_at"),
            index("links_user", "links", "user_id"),
            index("links_expiry", "links", "expires_at"),
            index("guess_addresses_age", "guess_addresses", "window_at"),
            index("guess_subjects_age", "guess_subjects", "updated_at"),
            index("guess_networks_age", "guess_networks", "updated_at"),
            Index::create()
                .name("links_idempotency")
                .table("links")
                .col("user_id")
                .col("idempotency_key")
                .unique()
                .to_owned(),
        ] {
            manager.create_index(index).await?;
        }
        // An e-mail leads to one user; that of a deleted one is free.
        manager
            .get_connection()
            .execute_unprepared(
                "CREATE UNIQUE INDEX users_email ON users (email) WHERE status <> 'deleted'",
            )
            .await?;
        sallyport_sql::outbox::create_table(manager).await
    }
}
