//! The tables of `queue.db`.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, integer, pk_auto, string_len, text};

/// Messages to send.
pub(super) mod message {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "messages")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        /// The order in which classes are served: 0 code, 1 notice.
        pub class: i32,
        /// JSON of the queue message; number and text in it are sealed.
        pub body: String,
        pub due_at: i64,
        /// 0: held by nobody.
        pub leased_until_at: i64,
        /// How often it was handed out; proves whose lease it is.
        pub deliveries: i32,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What can never work.
pub(super) mod dead {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "dead")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub body: String,
        pub reason: String,
        pub buried_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) struct Migrator;

struct First;

impl MigrationName for First {
    fn name(&self) -> &str {
        "m1_messages"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for First {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let messages = Table::create()
            .table("messages")
            // AUTOINCREMENT: an id is never given twice, also after its row is gone.
            .col(pk_auto("id"))
            .col(integer("class"))
            .col(text("body"))
            .col(big_integer("due_at"))
            .col(big_integer("leased_until_at"))
            .col(integer("deliveries"))
            .to_owned();
        manager.create_table(messages).await?;
        let order = Index::create()
            .name("messages_order")
            .table("messages")
            .col("class")
            .col("due_at")
            .col("id")
            .to_owned();
        manager.create_index(order).await?;
        let dead = Table::create()
            .table("dead")
            .col(big_integer("id").primary_key())
            .col(text("body"))
            .col(string_len("reason", 64))
            .col(big_integer("buried_at"))
            .to_owned();
        manager.create_table(dead).await
    }
}

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(First)]
    }
}
