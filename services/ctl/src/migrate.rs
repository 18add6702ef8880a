//! `migrate`

use std::path::Path;

use anyhow::Result;
use sallyport_sql::Database;

use crate::Stateful;

pub(crate) async fn run(service: Stateful, config: Option<&Path>) -> Result<()> {
    match service {
        Stateful::Identity => {
            let config = identity::config::Config::load(config)?;
            let database = Database::connect(&config.database, "identity").await?;
            database.migrate::<identity::store::Migrator>().await
        }
        Stateful::OtpApi => {
            use otp_dispatch::store::{Migrator, SCHEMA};
            let config = otp_dispatch::Config::load(config)?;
            let database = Database::connect(&config.database, SCHEMA).await?;
            database.migrate::<Migrator>().await
        }
        Stateful::AccountAdmin => {
            let config = account_admin::Config::load(config)?;
            account_admin::migrate(&account_admin::open(&config.database).await?).await
        }
    }
}
