//! Migrations. They expand; what contracts comes a release later.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, big_integer_null, binary, boolean, integer, string_len, string_len_null, text,
    uuid,
};

/// The migrations of the schema `admin`.
#[derive(Debug)]
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(First), Box::new(Lifecycle)]
    }
}

struct First;

impl MigrationName for First {
    fn name(&self) -> &str {
        "m0001_organisations_users_seats_events"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for First {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        organisations(manager).await?;
        users(manager).await?;
        seats(manager).await?;
        events(manager).await?;
        sallyport_sql::outbox::create_table(manager).await
    }
}

/// Users who are disabled, deleted and brought back.
struct Lifecycle;

impl MigrationName for Lifecycle {
    fn name(&self) -> &str {
        "m0002_lifecycle_of_users"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Lifecycle {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // One a statement: SQLite takes no more.
        for column in [
            big_integer_null("activated_at"),
            big_integer_null("deleted_at"),
            string_len_null("deleted_from", 16),
        ] {
            manager
                .alter_table(Table::alter().table("users").add_column(column).to_owned())
                .await?;
        }
        manager
            .get_connection()
            .execute_unprepared(
                "UPDATE users SET activated_at = COALESCE(last_sign_in_at, created_at) \
                 WHERE status = 'active' OR last_sign_in_at IS NOT NULL",
            )
            .await?;
        Ok(())
    }
}

fn table(name: &'static str) -> TableCreateStatement {
    Table::create().table(name).to_owned()
}

fn references(
    from: &'static str,
    column: &'static str,
    to: &'static str,
) -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .from(from, column)
        .to(to, "id")
        .to_owned()
}

fn index(name: &'static str, on: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create().name(name).table(on).to_owned();
    for column in columns {
        index.col(*column);
    }
    index
}

async fn organisations(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            table("organisations")
                .col(uuid("id").primary_key())
                .col(string_len("name", 200))
                .col(big_integer("created_at"))
                .col(string_len("creation_key", 128).unique_key())
                .col(string_len("creation_digest", 64))
                .col(boolean("require_two_factor"))
                .col(big_integer("head_sequence"))
                .col(binary("head_hash"))
                .to_owned(),
        )
        .await?;
    manager
        .create_table(
            table("domains")
                .col(uuid("id").primary_key())
                .col(uuid("organisation_id"))
                .col(string_len("domain", 253))
                .col(string_len("state", 16))
                .col(text("note"))
                .col(big_integer("created_at"))
                .col(big_integer_null("verified_at"))
                .col(big_integer_null("expires_at"))
                .foreign_key(&mut references(
                    "domains",
                    "organisation_id",
                    "organisations",
                ))
                .to_owned(),
        )
        .await?;
    manager
        .create_index(
            index(
                "domains_claimed_once",
                "domains",
                &["organisation_id", "domain"],
            )
            .unique()
            .to_owned(),
        )
        .await?;
    // Several may claim a domain; one holds it.
    manager
        .get_connection()
        .execute_unprepared(
            "CREATE UNIQUE INDEX domains_held_once ON domains (domain) WHERE state = 'verified'",
        )
        .await?;
    // The chain of events that belong to no organisation, such as sign-in tries on unknown
    // addresses: a row that no user can belong to and no list shows.
    let chain = Query::insert()
        .into_table("organisations")
        .columns([
            "id",
            "name",
            "created_at",
            "creation_key",
            "creation_digest",
            "require_two_factor",
            "head_sequence",
            "head_hash",
        ])
        .values_panic([
            ::uuid::Uuid::nil().into(),
            "".into(),
            0i64.into(),
            "".into(),
            "".into(),
            false.into(),
            0i64.into(),
            vec![0u8; 32].into(),
        ])
        .to_owned();
    manager.execute(chain).await
}

async fn users(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            table("users")
                .col(uuid("id").primary_key())
                .col(uuid("organisation_id"))
                .col(string_len("email", 254).unique_key())
                .col(string_len("first_name", 100))
                .col(string_len("last_name", 100))
                // Lower case can be longer than what it is made of.
                .col(string_len("first_name_key", 300))
                .col(string_len("last_name_key", 300))
                .col(string_len("mobile_number", 16))
                .col(string_len("default_sms_country", 2))
                .col(string_len("locale", 8))
                .col(string_len("time_zone", 64))
                .col(string_len("date_format", 16))
                .col(string_len("status", 16))
                .col(boolean("two_factor_required"))
                .col(boolean("two_factor_active"))
                .col(big_integer("two_factor_changed_at"))
                .col(big_integer_null("last_sign_in_at"))
                .col(big_integer_null("invited_at"))
                .col(big_integer("created_at"))
                .col(big_integer("version"))
                .col(big_integer("projection_version"))
                .foreign_key(&mut references("users", "organisation_id", "organisations"))
                .to_owned(),
        )
        .await?;
    for (name, columns) in [
        ("users_by_email", ["organisation_id", "email"]),
        ("users_by_first_name", ["organisation_id", "first_name_key"]),
        ("users_by_last_name", ["organisation_id", "last_name_key"]),
    ] {
        manager.create_index(index(name, "users", &columns)).await?;
    }
    manager
        .create_table(
            table("role_groups")
                .col(uuid("id").primary_key())
                .col(uuid("organisation_id"))
                .col(string_len("name", 100))
                .col(boolean("built_in"))
                .col(text("permissions"))
                .foreign_key(&mut references(
                    "role_groups",
                    "organisation_id",
                    "organisations",
                ))
                .to_owned(),
        )
        .await?;
    manager
        .create_index(
            index(
                "role_groups_by_name",
                "role_groups",
                &["organisation_id", "name"],
            )
            .unique()
            .to_owned(),
        )
        .await?;
    manager
        .create_table(
            table("user_role_groups")
                .col(uuid("user_id"))
                .col(uuid("role_group_id"))
                .col(uuid("organisation_id"))
                .primary_key(Index::create().col("user_id").col("role_group_id"))
                .foreign_key(&mut references("user_role_groups", "user_id", "users"))
                .foreign_key(&mut references(
                    "user_role_groups",
                    "role_group_id",
                    "role_groups",
                ))
                .to_owned(),
        )
        .await?;
    manager
        .create_table(
            table("idempotency_keys")
                .col(uuid("organisation_id"))
                .col(string_len("key", 128))
                .col(string_len("digest", 64))
                .col(uuid("user_id"))
                .col(big_integer("created_at"))
                .primary_key(Index::create().col("organisation_id").col("key"))
                .to_owned(),
        )
        .await
}

async fn seats(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            table("plans")
                .col(uuid("id").primary_key())
                .col(uuid("organisation_id"))
                .col(string_len("name", 100))
                .col(integer("purchased"))
                .col(integer("assigned"))
                .col(big_integer_null("expires_at"))
                // Rule 52, held by the database as well.
                .check(Expr::cust("assigned >= 0 AND assigned <= purchased"))
                .foreign_key(&mut references("plans", "organisation_id", "organisations"))
                .to_owned(),
        )
        .await?;
    manager
        .create_index(
            index("plans_by_name", "plans", &["organisation_id", "name"])
                .unique()
                .to_owned(),
        )
        .await?;
    manager
        .create_table(
            table("seats")
                .col(uuid("user_id").primary_key())
                .col(uuid("organisation_id"))
                .col(uuid("plan_id"))
                .col(big_integer("assigned_at"))
                .foreign_key(&mut references("seats", "user_id", "users"))
                .foreign_key(&mut references("seats", "plan_id", "plans"))
                .to_owned(),
        )
        .await?;
    manager
        .create_index(index("seats_by_plan", "seats", &["plan_id", "user_id"]))
        .await
}

async fn events(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            table("events")
                .col(uuid("organisation_id"))
                .col(big_integer("sequence"))
                .col(uuid("event_id").unique_key())
                .col(big_integer("occurred_at"))
                .col(string_len("kind", 64))
                .col(string_len("result", 16))
                .col(string_len("actor", 200))
                .col(string_len("target", 200))
                .col(string_len("reason", 100))
                .col(string_len("request_id", 64))
                .col(text("details"))
                .col(binary("person_hash"))
                .col(binary("previous_hash"))
                .col(binary("hash"))
                .primary_key(Index::create().col("organisation_id").col("sequence"))
                .to_owned(),
        )
        .await?;
    // A user's events are found by either index and merged, so that a late page costs what the
    // first does.
    for (name, column) in [("events_by_actor", "actor"), ("events_by_target", "target")] {
        manager
            .create_index(index(
                name,
                "events",
                &["organisation_id", column, "sequence"],
            ))
            .await?;
    }
    manager
        .create_table(
            table("event_persons")
                .col(uuid("event_id").primary_key())
                .col(string_len("salt", 32))
                .col(string_len("client_ip", 45))
                .col(string_len("user_agent", 256))
                .col(string_len("actor_name", 201))
                .col(string_len("actor_email", 254))
                .col(string_len("target_name", 201))
                .col(string_len("target_email", 254))
                .col(big_integer_null("erased_at"))
                .to_owned(),
        )
        .await
}
