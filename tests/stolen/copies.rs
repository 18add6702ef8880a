//! Everything that a store holds, as whoever stole it reads it.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DbBackend, Statement};

use crate::needles::Needles;

/// A command that takes nothing but its key.
const NONE: &[&str] = &[];

/// One part of a copy.
pub struct Piece {
    /// Where it lay: `schema.table.column`, a key of Redis, a file.
    pub place: String,
    /// What lay there.
    pub bytes: Vec<u8>,
}

/// What was copied of one store.
pub struct Copied(pub Vec<Piece>);

impl Copied {
    /// Every place where one of the needles is, with what it is.
    pub fn holding<'a>(&'a self, needles: &'a Needles) -> Vec<(&'a str, &'a str)> {
        let found =
            |piece: &'a Piece| Some((piece.place.as_str(), needles.found_in(&piece.bytes)?));
        self.0.iter().filter_map(found).collect()
    }

    /// Fails where one of the needles is anywhere.
    pub fn holds_none_of(&self, needles: &Needles) -> Result<()> {
        ensure!(!self.0.is_empty(), "nothing was copied");
        let found = self.holding(needles);
        ensure!(found.is_empty(), "found: {found:?}");
        Ok(())
    }

    /// Fails unless the store holds this, which shows that it was really read.
    pub fn holds(&self, what: &str, bytes: impl AsRef<[u8]>) -> Result<()> {
        let mut needles = Needles::new();
        needles.add(what, bytes);
        ensure!(!self.holding(&needles).is_empty(), "{what} is nowhere");
        Ok(())
    }

    /// The part of the copy that lay in places like this.
    pub fn only(self, is_wanted: impl Fn(&str) -> bool) -> Self {
        Self(
            self.0
                .into_iter()
                .filter(|piece| is_wanted(&piece.place))
                .collect(),
        )
    }

    /// What lay in one place.
    pub fn at(&self, place: &str) -> Result<&[u8]> {
        let piece = self.0.iter().find(|piece| piece.place == place);
        Ok(&piece.with_context(|| format!("no {place}"))?.bytes)
    }
}

/// Every key of Redis: the form in which it is kept (DUMP), what it holds, and how long it will.
pub async fn keys(url: &str) -> Result<Copied> {
    let client = redis::Client::open(url)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let listed: Vec<String> = redis::cmd("KEYS")
        .arg("*")
        .query_async(&mut connection)
        .await?;
    let mut pieces = Vec::new();
    for key in listed {
        let mut bytes = key.clone().into_bytes();
        let kind: String = redis::cmd("TYPE")
            .arg(&key)
            .query_async(&mut connection)
            .await?;
        let (read, arguments): (&str, &[&str]) = match kind.as_str() {
            // Gone since it was listed.
            "none" => continue,
            "string" => ("GET", &[]),
            "hash" => ("HGETALL", &[]),
            "list" => ("LRANGE", &["0", "-1"]),
            "set" => ("SMEMBERS", &[]),
            "zset" => ("ZRANGE", &["0", "-1", "WITHSCORES"]),
            other => bail!("{key} is a {other}"),
        };
        for (command, arguments) in [(read, arguments), ("DUMP", NONE), ("PTTL", NONE)] {
            let mut command = redis::cmd(command);
            command.arg(&key);
            for argument in arguments {
                command.arg(*argument);
            }
            let value: redis::Value = command.query_async(&mut connection).await?;
            spell_out(&value, &mut bytes);
        }
        pieces.push(Piece { place: key, bytes });
    }
    Ok(Copied(pieces))
}

fn spell_out(value: &redis::Value, into: &mut Vec<u8>) {
    into.push(b'\n');
    match value {
        redis::Value::BulkString(bytes) => into.extend(bytes),
        redis::Value::SimpleString(text) => into.extend(text.as_bytes()),
        redis::Value::Int(number) => into.extend(number.to_string().as_bytes()),
        redis::Value::Array(values) => values.iter().for_each(|value| spell_out(value, into)),
        _ => {}
    }
}

/// Every column of every table, each value on a line. `schema` is what a SQLite file is called by;
/// PostgreSQL has names of its own.
pub async fn tables(url: &str, schema: &str) -> Result<Copied> {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    let database = Database::connect(options).await?;
    let backend = database.get_database_backend();
    // Each with the expression that gives its bytes, or those of its text.
    let columns = match backend {
        DbBackend::Postgres => {
            "SELECT format('%s.%s.%s', table_schema, table_name, column_name) AS place, \
             format('%I.%I', table_schema, table_name) AS source, \
             format(CASE data_type WHEN 'bytea' THEN '%I' \
             ELSE 'convert_to(%I::text, ''UTF8'')' END, column_name) AS expression \
             FROM information_schema.columns \
             WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
                .to_owned()
        }
        _ => format!(
            "SELECT '{schema}.' || m.name || '.' || p.name AS place, '\"' || m.name || '\"' AS source, \
             'CAST(\"' || p.name || '\" AS BLOB)' AS expression \
             FROM sqlite_master m JOIN pragma_table_info(m.name) p WHERE m.type = 'table'"
        ),
    };
    let mut pieces = Vec::new();
    for column in database
        .query_all_raw(Statement::from_string(backend, columns))
        .await?
    {
        let place: String = column.try_get("", "place")?;
        let source: String = column.try_get("", "source")?;
        let expression: String = column.try_get("", "expression")?;
        let read = format!("SELECT {expression} AS value FROM {source}");
        let mut bytes = Vec::new();
        for row in database
            .query_all_raw(Statement::from_string(backend, read))
            .await
            .with_context(|| place.clone())?
        {
            let value: Option<Vec<u8>> = row.try_get("", "value")?;
            bytes.extend(value.unwrap_or_default());
            bytes.push(b'\n');
        }
        pieces.push(Piece { place, bytes });
    }
    database.close().await?;
    Ok(Copied(pieces))
}

/// Every file at or under a folder.
pub fn files(folder: &Path) -> Result<Copied> {
    let mut pieces = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)
            .with_context(|| format!("{} cannot be listed", folder.display()))?
        {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                folders.push(path);
                continue;
            }
            if !kind.is_file() {
                continue;
            }
            let bytes = match std::fs::read(&path) {
                // A server removes files that it no longer needs.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                read => read.with_context(|| format!("{} cannot be read", path.display()))?,
            };
            let place = path.display().to_string();
            pieces.push(Piece { place, bytes });
        }
    }
    Ok(Copied(pieces))
}
