//! Migrations, in order. They expand; what is no longer used goes a release later.

use sea_orm_migration::prelude::*;

mod m1_first_step;
mod m2_second_step;
mod m3_enrolment_link;
mod m4_authenticators;
mod m5_passkeys;

/// All of them.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m1_first_step::Migration),
            Box::new(m2_second_step::Migration),
            Box::new(m3_enrolment_link::Migration),
            Box::new(m4_authenticators::Migration),
            Box::new(m5_passkeys::Migration),
        ]
    }
}
