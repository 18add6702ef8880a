//! Counts of wrong passwords. Every limit is kept by a conditional statement, so that it holds under
//! any concurrency and over restarts. Keys are keyed hashes; where several are given, they are one
//! under every key of the ring, current first.
//!
//! The statements are written out: both databases read them alike, and what decides is the WHERE.

use sallyport_sql::StoreError;
use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement, Value};

fn statement(
    connection: &impl ConnectionTrait,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Statement {
    Statement::from_sql_and_values(connection.get_database_backend(), sql, values)
}

async fn execute(
    connection: &impl ConnectionTrait,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<u64, StoreError> {
    let done = connection
        .execute_raw(statement(connection, sql, values))
        .await?;
    Ok(done.rows_affected())
}

async fn query(
    connection: &impl ConnectionTrait,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Option<QueryResult>, StoreError> {
    Ok(connection
        .query_one_raw(statement(connection, sql, values))
        .await?)
}

fn number<T: sea_orm::TryGetable>(row: &QueryResult, column: &str) -> Result<T, StoreError> {
    Ok(row.try_get("", column)?)
}

/// The ends of the address's windows that are open, and what was counted in each; under one key there
/// is one.
async fn open_windows(
    connection: &impl ConnectionTrait,
    address_keys: &[String],
    window_ms: i64,
    now_ms: i64,
) -> Result<Vec<(i64, i64)>, StoreError> {
    let mut windows = Vec::with_capacity(address_keys.len());
    for key in address_keys {
        let row = query(
            connection,
            "SELECT window_at, failures FROM guess_addresses WHERE address_key = $1",
            [key.into()],
        )
        .await?;
        let Some(row) = row else { continue };
        let end = number::<i64>(&row, "window_at")? + window_ms;
        if now_ms < end {
            windows.push((end, i64::from(number::<i32>(&row, "failures")?)));
        }
    }
    Ok(windows)
}

/// When the address may guess again; `None` where it may now.
pub async fn address_waits_until(
    connection: &impl ConnectionTrait,
    address_keys: &[String],
    limit: u32,
    window_ms: i64,
    now_ms: i64,
) -> Result<Option<i64>, StoreError> {
    let mut windows = open_windows(connection, address_keys, window_ms, now_ms).await?;
    windows.sort_unstable();
    let mut counted: i64 = windows.iter().map(|(_, failures)| failures).sum();
    let mut until = None;
    for (end, failures) in windows {
        if counted < i64::from(limit) {
            break;
        }
        counted -= failures;
        until = Some(end);
    }
    Ok(until)
}

/// Counts a failure of the address in the present window.
pub async fn count_address(
    txn: &impl ConnectionTrait,
    address_key: &str,
    window_ms: i64,
    now_ms: i64,
) -> Result<(), StoreError> {
    execute(
        txn,
        "INSERT INTO guess_addresses (address_key, window_at, failures) VALUES ($1, $2, 1) \
         ON CONFLICT (address_key) DO UPDATE SET \
         failures = CASE WHEN guess_addresses.window_at <= $3 THEN 1 \
                         ELSE guess_addresses.failures + 1 END, \
         window_at = CASE WHEN guess_addresses.window_at <= $3 THEN $2 \
                          ELSE guess_addresses.window_at END",
        [
            address_key.into(),
            now_ms.into(),
            (now_ms - window_ms).into(),
        ],
    )
    .await?;
    Ok(())
}

/// Counts one of the address in the present window, below the limit; false at the limit. What is
/// counted under the other keys is less to be had.
pub async fn reserve_address(
    connection: &impl ConnectionTrait,
    address_keys: &[String],
    limit: u32,
    window_ms: i64,
    now_ms: i64,
) -> Result<bool, StoreError> {
    let Some((address_key, others)) = address_keys.split_first() else {
        return Ok(false);
    };
    let elsewhere = open_windows(connection, others, window_ms, now_ms).await?;
    let taken: i64 = elsewhere.iter().map(|(_, counted)| counted).sum();
    let limit = i64::from(limit) - taken;
    if limit <= 0 {
        return Ok(false);
    }
    let limit = i32::try_from(limit).unwrap_or(i32::MAX);
    let counted = execute(
        connection,
        "INSERT INTO guess_addresses (address_key, window_at, failures) VALUES ($1, $2, 1) \
         ON CONFLICT (address_key) DO UPDATE SET \
         failures = CASE WHEN guess_addresses.window_at <= $3 THEN 1 \
                         ELSE guess_addresses.failures + 1 END, \
         window_at = CASE WHEN guess_addresses.window_at <= $3 THEN $2 \
                          ELSE guess_addresses.window_at END \
         WHERE guess_addresses.window_at <= $3 OR guess_addresses.failures < $4",
        [
            address_key.into(),
            now_ms.into(),
            (now_ms - window_ms).into(),
            limit.into(),
        ],
    )
    .await?;
    Ok(counted == 1)
}

/// The count of a subject in one network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NetworkCount {
    /// Failures in a row.
    pub failures: i32,
    /// When the next guess is open.
    pub open_at: i64,
}

/// The present count.
pub async fn network(
    connection: &impl ConnectionTrait,
    subject_key: &str,
    network_key: &str,
) -> Result<Option<NetworkCount>, StoreError> {
    let row = query(
        connection,
        "SELECT failures, open_at FROM guess_networks \
         WHERE subject_key = $1 AND network_key = $2",
        [subject_key.into(), network_key.into()],
    )
    .await?;
    row.map(|row| {
        Ok(NetworkCount {
            failures: number(&row, "failures")?,
            open_at: number(&row, "open_at")?,
        })
    })
    .transpose()
}

/// Moves a count from `old` to `new`; false where it is no longer `old`.
pub async fn move_network(
    txn: &impl ConnectionTrait,
    subject_key: &str,
    network_key: &str,
    old: Option<NetworkCount>,
    new: NetworkCount,
    now_ms: i64,
) -> Result<bool, StoreError> {
    let moved = match old {
        None => execute(
            txn,
            "INSERT INTO guess_networks (subject_key, network_key, failures, open_at, updated_at) \
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT (subject_key, network_key) DO NOTHING",
            [
                subject_key.into(),
                network_key.into(),
                new.failures.into(),
                new.open_at.into(),
                now_ms.into(),
            ],
        )
        .await?,
        Some(old) => {
            execute(
                txn,
                "UPDATE guess_networks SET failures = $3, open_at = $4, updated_at = $5 \
                 WHERE subject_key = $1 AND network_key = $2 AND failures = $6 AND open_at = $7",
                [
                    subject_key.into(),
                    network_key.into(),
                    new.failures.into(),
                    new.open_at.into(),
                    now_ms.into(),
                    old.failures.into(),
                    old.open_at.into(),
                ],
            )
            .await?
        }
    };
    Ok(moved == 1)
}

/// Adds a failure to all of the subject's, below the limit; the new count, or `None` at the limit.
pub async fn reserve_subject(
    txn: &impl ConnectionTrait,
    subject_key: &str,
    limit: u32,
    now_ms: i64,
) -> Result<Option<i32>, StoreError> {
    let limit = i32::try_from(limit).unwrap_or(i32::MAX);
    let row = query(
        txn,
        "INSERT INTO guess_subjects (subject_key, failures, updated_at) VALUES ($1, 1, $2) \
         ON CONFLICT (subject_key) DO UPDATE SET \
         failures = guess_subjects.failures + 1, updated_at = $2 \
         WHERE guess_subjects.failures < $3 RETURNING failures",
        [subject_key.into(), now_ms.into(), limit.into()],
    )
    .await?;
    row.map(|row| number(&row, "failures")).transpose()
}

/// Lets one transaction at a time move this subject's counts from key to key. Two processes that
/// make with different keys of one ring, as during a rotation, would each pass over what the other is
/// moving. On SQLite the transaction holds the whole database already.
pub async fn hold_subject(
    txn: &impl ConnectionTrait,
    subject_keys: &[String],
) -> Result<(), StoreError> {
    // The same key for both, whichever makes.
    let first = subject_keys.iter().min();
    if let (Some(key), DbBackend::Postgres) = (first, txn.get_database_backend()) {
        let hold = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";
        execute(txn, hold, [key.into()]).await?;
    }
    Ok(())
}

/// Moves the count of all the subject's failures to another key. The transaction holds the subject.
pub async fn rekey_subject(
    txn: &impl ConnectionTrait,
    from: &str,
    to: &str,
    now_ms: i64,
) -> Result<(), StoreError> {
    let moved = query(
        txn,
        "DELETE FROM guess_subjects WHERE subject_key = $1 RETURNING failures",
        [from.into()],
    )
    .await?;
    let Some(moved) = moved else { return Ok(()) };
    execute(
        txn,
        "INSERT INTO guess_subjects (subject_key, failures, updated_at) VALUES ($1, $2, $3) \
         ON CONFLICT (subject_key) DO UPDATE SET \
         failures = guess_subjects.failures + excluded.failures, updated_at = excluded.updated_at",
        [
            to.into(),
            number::<i32>(&moved, "failures")?.into(),
            now_ms.into(),
        ],
    )
    .await?;
    Ok(())
}

/// Moves the count of a subject in one network, and its wait, to other keys of the two. The
/// transaction holds the subject.
pub async fn rekey_network(
    txn: &impl ConnectionTrait,
    (from_subject, from_network): (&str, &str),
    (to_subject, to_network): (&str, &str),
    now_ms: i64,
) -> Result<(), StoreError> {
    let moved = query(
        txn,
        "DELETE FROM guess_networks WHERE subject_key = $1 AND network_key = $2 \
         RETURNING failures, open_at",
        [from_subject.into(), from_network.into()],
    )
    .await?;
    let Some(moved) = moved else { return Ok(()) };
    execute(
        txn,
        "INSERT INTO guess_networks (subject_key, network_key, failures, open_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (subject_key, network_key) DO UPDATE SET \
         failures = guess_networks.failures + excluded.failures, \
         open_at = CASE WHEN guess_networks.open_at < excluded.open_at THEN excluded.open_at \
                        ELSE guess_networks.open_at END, \
         updated_at = excluded.updated_at",
        [
            to_subject.into(),
            to_network.into(),
            number::<i32>(&moved, "failures")?.into(),
            number::<i64>(&moved, "open_at")?.into(),
            now_ms.into(),
        ],
    )
    .await?;
    Ok(())
}

/// Takes one failure of the subject in one network back, and the wait that it set, where no later
/// failure has set another.
pub async fn give_back_network(
    txn: &impl ConnectionTrait,
    subject_key: &str,
    network_key: &str,
    set_open_at: i64,
    old_open_at: i64,
) -> Result<(), StoreError> {
    execute(
        txn,
        "UPDATE guess_networks SET failures = failures - 1, \
         open_at = CASE WHEN open_at = $3 THEN $4 ELSE open_at END \
         WHERE subject_key = $1 AND network_key = $2 AND failures > 0",
        [
            subject_key.into(),
            network_key.into(),
            set_open_at.into(),
            old_open_at.into(),
        ],
    )
    .await?;
    Ok(())
}

/// Takes one failure of the subject back.
pub async fn give_back_subject(
    txn: &impl ConnectionTrait,
    subject_key: &str,
) -> Result<(), StoreError> {
    execute(
        txn,
        "UPDATE guess_subjects SET failures = failures - 1 WHERE subject_key = $1 AND failures > 0",
        [subject_key.into()],
    )
    .await?;
    Ok(())
}

/// Clears the subject's count in one network.
pub async fn clear_network(
    txn: &impl ConnectionTrait,
    subject_key: &str,
    network_key: &str,
) -> Result<(), StoreError> {
    execute(
        txn,
        "DELETE FROM guess_networks WHERE subject_key = $1 AND network_key = $2",
        [subject_key.into(), network_key.into()],
    )
    .await?;
    Ok(())
}

/// Clears the count of all the subject's failures.
pub async fn clear_subject(
    txn: &impl ConnectionTrait,
    subject_key: &str,
) -> Result<(), StoreError> {
    execute(
        txn,
        "DELETE FROM guess_subjects WHERE subject_key = $1",
        [subject_key.into()],
    )
    .await?;
    Ok(())
}

/// Clears the subject's counts in every network.
pub async fn clear_networks(
    txn: &impl ConnectionTrait,
    subject_key: &str,
) -> Result<(), StoreError> {
    execute(
        txn,
        "DELETE FROM guess_networks WHERE subject_key = $1",
        [subject_key.into()],
    )
    .await?;
    Ok(())
}

/// Deletes counts that nothing was added to since this instant.
pub async fn forget(connection: &impl ConnectionTrait, before_ms: i64) -> Result<(), StoreError> {
    for (table, column) in [
        ("guess_addresses", "window_at"),
        ("guess_networks", "updated_at"),
        ("guess_subjects", "updated_at"),
    ] {
        let sql = format!("DELETE FROM {table} WHERE {column} < $1");
        execute(connection, &sql, [before_ms.into()]).await?;
    }
    Ok(())
}
