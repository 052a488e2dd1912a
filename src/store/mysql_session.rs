//! What a new connection to MySQL is told before its first request.

use sqlx::{Executor, MySqlConnection, Row, raw_sql};

/// What holds in the sessions of this server, whatever the database's defaults are: only committed
/// rows are read, each statement is committed, and a wait for another session's lock on a row or a
/// table ends after this many seconds. By default it takes 50 s or days, longer than any deadline.
macro_rules! settings {
    () => {
        "set session transaction isolation level repeatable read; \
         set session autocommit = 1, innodb_lock_wait_timeout = 1, lock_wait_timeout = 2;"
    };
}
pub const SETTINGS: &str = settings!();

/// The same, and a question for what a connection can do.
const SET_UP: &str = concat!(
    settings!(),
    "show session variables where variable_name in ('max_allowed_packet', 'version', 'wsrep_on')"
);

/// Makes a new connection fit for requests. Returns the longest packet that it takes, in bytes.
pub async fn set_up(connection: &mut MySqlConnection) -> sqlx::Result<usize> {
    // In one round trip.
    let rows = raw_sql(SET_UP).fetch_all(&mut *connection).await?;
    let variable = |name: &str| {
        let mut rows = rows.iter().filter(|row| row.try_get::<&str, _>(0).ok() == Some(name));
        rows.next()?.try_get::<&str, _>(1).ok()
    };
    if variable("wsrep_on") == Some("ON") {
        // A read waits until this node has what was committed on the others before it. Probing
        // does not, so that a node which lags behind is slow, but not unready.
        connection.execute("set session wsrep_sync_wait = 1").await?;
    }
    if variable("version").is_some_and(|version| version.contains("Vitess")) {
        // Vitess ignores `wait_timeout` (see `transaction.rs`). This ends a transaction as a whole,
        // including its wait for a lock; the unit is milliseconds.
        connection.execute("set session transaction_timeout = 2000").await?;
    }
    let packet_bytes_max = variable("max_allowed_packet").and_then(|bytes| bytes.parse().ok());
    Ok(packet_bytes_max.unwrap_or(usize::MAX))
}
