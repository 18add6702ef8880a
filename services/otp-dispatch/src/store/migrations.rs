//! Migrations. They expand; what contracts comes a release later.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, string_len, text, uuid};

/// The migrations of the schema `dispatch`.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(First)]
    }
}

struct First;

impl MigrationName for First {
    fn name(&self) -> &str {
        "m0001_guard"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for First {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("guard_decisions")
                    .col(uuid("id").primary_key())
                    .col(big_integer("decided_at"))
                    .col(string_len("outcome", 16))
                    .col(string_len("country", 4))
                    .col(string_len("prefix", 16))
                    .col(string_len("purpose", 16))
                    .col(text("decision"))
                    .to_owned(),
            )
            .await?;
        for (name, column) in [
            ("guard_decisions_age", "decided_at"),
            ("guard_decisions_outcome", "outcome"),
            ("guard_decisions_country", "country"),
        ] {
            let mut index = Index::create()
                .name(name)
                .table("guard_decisions")
                .to_owned();
            index.col(column);
            // Lists run by id, newest first, so that a late page costs what the first does.
            if column != "decided_at" {
                index.col("id");
            }
            manager.create_index(index).await?;
        }
        manager
            .create_table(
                Table::create()
                    .table("guard_totals")
                    .col(string_len("place", 80))
                    .col(big_integer("day"))
                    .col(big_integer("verified"))
                    .primary_key(Index::create().col("place").col("day"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("guard_overrides")
                    .col(string_len("target", 16).primary_key())
                    .col(string_len("rule", 16))
                    .col(string_len("note", 200))
                    .col(string_len("set_by", 100))
                    .col(big_integer("set_at"))
                    .to_owned(),
            )
            .await
    }
}
