//! A session that a mailed link lets enrol a disabled second factor anew, and what keeps that link
//! from a password that a mailed link has set, too.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer_null, boolean};

/// Version 3.
pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m3_enrolment_link"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .alter_table(
                Table::alter()
                    .table("sessions")
                    .add_column(boolean("enrols_anew").default(false))
                    .to_owned(),
            )
            .await?;
        manager
            .alter_table(
                Table::alter()
                    .table("second_steps")
                    .add_column(big_integer_null("password_mailed_at"))
                    .to_owned(),
            )
            .await
    }
}
