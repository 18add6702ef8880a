//! Tables. Instants are unix milliseconds, states are words.

macro_rules! no_relations {
    () => {
        #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
        pub enum Relation {}

        impl ActiveModelBehavior for ActiveModel {}
    };
}

/// Organisations, each with its policy and the head of its event chain.
pub mod organisation {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "organisations")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub name: String,
        pub created_at: i64,
        /// Key and body hash of the request that made it.
        #[sea_orm(unique)]
        pub creation_key: String,
        pub creation_digest: String,
        /// Policy: every user must have a second factor.
        pub require_two_factor: bool,
        pub head_sequence: i64,
        pub head_hash: Vec<u8>,
    }

    no_relations!();
}

/// Users; their ids are made here and nowhere else.
pub mod user {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "users")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub organisation_id: Uuid,
        /// Lower case, ASCII domain; unique in the deployment.
        #[sea_orm(unique)]
        pub email: String,
        pub first_name: String,
        pub last_name: String,
        /// The names in lower case, for searching: SQLite's own `lower` knows ASCII only.
        pub first_name_key: String,
        pub last_name_key: String,
        pub mobile_number: String,
        pub default_sms_country: String,
        pub locale: String,
        pub time_zone: String,
        pub date_format: String,
        pub status: String,
        pub two_factor_required: bool,
        pub two_factor_active: bool,
        /// When the event happened that `two_factor_active` is from: events may come late.
        pub two_factor_changed_at: i64,
        pub last_sign_in_at: Option<i64>,
        /// When identity made the invitation.
        pub invited_at: Option<i64>,
        /// When he first set a password or signed in: enabled again he is what he was.
        pub activated_at: Option<i64>,
        /// When he was deleted.
        pub deleted_at: Option<i64>,
        /// His status before that.
        pub deleted_from: Option<String>,
        pub created_at: i64,
        /// Grows with every edit of the profile.
        pub version: i64,
        /// Grows with everything that identity is told of: profile, status, roles, seat.
        pub projection_version: i64,
    }

    impl std::fmt::Debug for Model {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("User")
                .field("id", &self.id)
                .field("status", &self.status)
                .finish_non_exhaustive()
        }
    }

    no_relations!();
}

/// Groups of permissions.
pub mod role_group {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "role_groups")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub organisation_id: Uuid,
        pub name: String,
        /// Made with the organisation; neither edited nor deleted.
        pub built_in: bool,
        pub permissions: String,
    }

    no_relations!();
}

/// Who is in which group.
pub mod user_role_group {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "user_role_groups")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub role_group_id: Uuid,
        pub organisation_id: Uuid,
    }

    no_relations!();
}

/// Claimed e-mail domains.
pub mod domain {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "domains")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub organisation_id: Uuid,
        /// Lower-case ASCII. Several may claim it, one holds it verified.
        pub domain: String,
        pub state: String,
        /// Evidence of an approval by hand, or the reason of a refusal.
        pub note: String,
        pub created_at: i64,
        pub verified_at: Option<i64>,
        pub expires_at: Option<i64>,
    }

    no_relations!();
}

/// Plans and how many of their seats are taken.
pub mod plan {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "plans")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub organisation_id: Uuid,
        pub name: String,
        pub purchased: i32,
        pub assigned: i32,
        pub expires_at: Option<i64>,
    }

    no_relations!();
}

/// Who holds a seat of which plan: one a user.
pub mod seat {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "seats")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: Uuid,
        pub organisation_id: Uuid,
        pub plan_id: Uuid,
        pub assigned_at: i64,
    }

    no_relations!();
}

/// The event log. Rows are only ever added.
pub mod event {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "events")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub organisation_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub sequence: i64,
        #[sea_orm(unique)]
        pub event_id: Uuid,
        pub occurred_at: i64,
        pub kind: String,
        pub result: String,
        pub actor: String,
        pub target: String,
        pub reason: String,
        pub request_id: String,
        /// JSON object of texts.
        pub details: String,
        pub person_hash: Vec<u8>,
        pub previous_hash: Vec<u8>,
        pub hash: Vec<u8>,
    }

    no_relations!();
}

/// What is personal in an event; erased by emptying it and setting `erased_at`.
pub mod event_person {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "event_persons")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub event_id: Uuid,
        pub salt: String,
        pub client_ip: String,
        pub user_agent: String,
        pub actor_name: String,
        pub actor_email: String,
        pub target_name: String,
        pub target_email: String,
        pub erased_at: Option<i64>,
    }

    impl std::fmt::Debug for Model {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("EventPerson")
                .field("event_id", &self.event_id)
                .finish_non_exhaustive()
        }
    }

    no_relations!();
}

/// Keys of requests that made something, so that a repeated one makes no second.
pub mod idempotency {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "idempotency_keys")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub organisation_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub key: String,
        /// Hash of the request's body.
        pub digest: String,
        /// The user that it made.
        pub user_id: Uuid,
        pub created_at: i64,
    }

    no_relations!();
}
