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
        Stateful::AccountAdmin => {
            let config = account_admin::Config::load(config)?;
            account_admin::migrate(&account_admin::open(&config.database).await?).await
        }
    }
}
