//! The list of User Management: what is searched, filtered and sorted, a page at a time. A page starts
//! behind the last row of the one before, so that a late one costs what the first does.

use sallyport_sql::StoreError;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{ExprTrait, LikeExpr, NullOrdering};
use sea_orm::{Condition, ConnectionTrait, Order, QueryOrder, QuerySelect, QueryTrait};

use super::entity::user::{self, Column};
use super::entity::{seat, user_role_group};

/// Which users are listed, and in what order.
#[derive(Debug)]
pub struct Listing<'a> {
    /// Start of the e-mail or of a name; empty: all.
    pub prefix: &'a str,
    /// A status, or all but the deleted.
    pub status: Option<&'static str>,
    /// Deleted users are listed while they can be restored: those deleted behind this instant.
    pub deleted_after: i64,
    /// Holders of a seat of this plan.
    pub plan_id: Option<Uuid>,
    /// Members of this group.
    pub role_group_id: Option<Uuid>,
    /// Whether 2FA is active.
    pub two_factor: Option<bool>,
    /// The order.
    pub sort: Sort,
}

/// The order of the list. Within what is equal, e-mail addresses decide: no two are the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sort {
    /// By e-mail.
    #[default]
    Email,
    /// By last name.
    LastName,
    /// Latest sign-in first; who never signed in comes last.
    LastSignIn,
}

/// Where a page starts: behind this row.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    /// Its e-mail.
    pub email: String,
    /// What it is sorted by, in text; empty where that is the e-mail, or nothing.
    pub key: String,
}

impl Place {
    /// The place behind a row.
    pub fn behind(user: &user::Model, sort: Sort) -> Self {
        Self {
            email: user.email.clone(),
            key: match sort {
                Sort::Email => String::new(),
                Sort::LastName => user.last_name_key.clone(),
                Sort::LastSignIn => user
                    .last_sign_in_at
                    .map(|at| at.to_string())
                    .unwrap_or_default(),
            },
        }
    }

    /// In one line: an e-mail address has no blank.
    pub fn line(&self) -> String {
        format!("{} {}", self.email, self.key)
    }

    /// What [`Self::line`] wrote.
    pub fn read(line: &str) -> Option<Self> {
        let (email, key) = line.split_once(' ')?;
        Some(Self {
            email: email.to_owned(),
            key: key.to_owned(),
        })
    }
}

/// Up to `limit` users behind a place.
pub async fn page(
    connection: &impl ConnectionTrait,
    organisation_id: Uuid,
    listing: &Listing<'_>,
    after: Option<&Place>,
    limit: usize,
) -> Result<Vec<user::Model>, StoreError> {
    let mut query = user::Entity::find()
        .filter(Column::OrganisationId.eq(organisation_id))
        .limit(limit as u64);
    query = match listing.status {
        None => query.filter(Column::Status.ne("deleted")),
        Some("deleted") => query
            .filter(Column::Status.eq("deleted"))
            .filter(Column::DeletedAt.gt(listing.deleted_after)),
        Some(status) => query.filter(Column::Status.eq(status)),
    };
    if !listing.prefix.is_empty() {
        let starts = |column: Column| Expr::col(column).like(starting(listing.prefix));
        query = query.filter(
            Condition::any()
                .add(starts(Column::Email))
                .add(starts(Column::FirstNameKey))
                .add(starts(Column::LastNameKey)),
        );
    }
    if let Some(plan_id) = listing.plan_id {
        let holders = seat::Entity::find()
            .select_only()
            .column(seat::Column::UserId)
            .filter(seat::Column::OrganisationId.eq(organisation_id))
            .filter(seat::Column::PlanId.eq(plan_id));
        query = query.filter(Column::Id.in_subquery(holders.into_query()));
    }
    if let Some(group_id) = listing.role_group_id {
        let members = user_role_group::Entity::find()
            .select_only()
            .column(user_role_group::Column::UserId)
            .filter(user_role_group::Column::OrganisationId.eq(organisation_id))
            .filter(user_role_group::Column::RoleGroupId.eq(group_id));
        query = query.filter(Column::Id.in_subquery(members.into_query()));
    }
    if let Some(active) = listing.two_factor {
        query = query.filter(Column::TwoFactorActive.eq(active));
    }
    if let Some(place) = after {
        query = query.filter(behind(listing.sort, place));
    }
    query = match listing.sort {
        Sort::Email => query,
        Sort::LastName => query.order_by_asc(Column::LastNameKey),
        Sort::LastSignIn => {
            query.order_by_with_nulls(Column::LastSignInAt, Order::Desc, NullOrdering::Last)
        }
    };
    Ok(query.order_by_asc(Column::Email).all(connection).await?)
}

/// The rows behind a place. A key that cannot be read is that of no row: such a token was made for
/// another list.
fn behind(sort: Sort, place: &Place) -> Condition {
    let email = || Column::Email.gt(place.email.as_str());
    match sort {
        Sort::Email => Condition::all().add(email()),
        Sort::LastName => Condition::any()
            .add(Column::LastNameKey.gt(place.key.as_str()))
            .add(
                Condition::all()
                    .add(Column::LastNameKey.eq(place.key.as_str()))
                    .add(email()),
            ),
        Sort::LastSignIn => {
            let never = Condition::all()
                .add(Column::LastSignInAt.is_null())
                .add(email());
            match place.key.parse::<i64>() {
                Err(_) => never,
                Ok(at) => Condition::any()
                    .add(Column::LastSignInAt.lt(at))
                    .add(
                        Condition::all()
                            .add(Column::LastSignInAt.eq(at))
                            .add(email()),
                    )
                    .add(Column::LastSignInAt.is_null()),
            }
        }
    }
}

/// A LIKE pattern that takes the text by the letter.
fn starting(prefix: &str) -> LikeExpr {
    let mut pattern = String::with_capacity(prefix.len() + 1);
    for c in prefix.to_lowercase().chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    LikeExpr::new(pattern).escape('\\')
}
