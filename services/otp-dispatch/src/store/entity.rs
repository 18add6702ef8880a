//! Tables. Instants are unix milliseconds, states are words.

/// Decisions of the guard.
pub(super) mod decision {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "guard_decisions")]
    pub struct Model {
        /// UUIDv7: sorts by time.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub decided_at: i64,
        pub outcome: String,
        pub country: String,
        /// The number less its last four digits; never the number.
        pub prefix: String,
        pub purpose: String,
        /// The decision with its reasons, JSON.
        pub decision: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// How many codes were verified in each place, by UTC day.
pub(super) mod total {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "guard_totals")]
    pub struct Model {
        /// Country or number block, by keyed hash.
        #[sea_orm(primary_key, auto_increment = false)]
        pub place: String,
        /// Days since 1970.
        #[sea_orm(primary_key, auto_increment = false)]
        pub day: i64,
        pub verified: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What operators decide for countries and prefixes.
pub(super) mod override_row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "guard_overrides")]
    pub struct Model {
        /// A country's two letters, or `+` and digits.
        #[sea_orm(primary_key, auto_increment = false)]
        pub target: String,
        pub rule: String,
        pub note: String,
        pub set_by: String,
        pub set_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
