//! The settings of a new connection to MySQL, before its first request.

use super::limits::Limits;
use sqlx::{AssertSqlSafe, Executor, MySqlConnection, Row, mysql::MySqlRow, raw_sql};
use std::time::Duration;

/// Requests have seconds, and a wait for another session's lock on a row or a table must end before
/// them. By default it takes 50 s or days. This server closes an idle connection much sooner than
/// the database does.
const REQUEST_WAITS: &str = "innodb_lock_wait_timeout = 1, lock_wait_timeout = 2, \
    wait_timeout = 300";

/// Migrations may have to wait. But a server that is paused while it migrates must not block the
/// others for long.
const MIGRATION_WAITS: &str = "innodb_lock_wait_timeout = 50, lock_wait_timeout = 3600, \
    wait_timeout = 5";

/// Reads the limits of the database, in the same packet and so in the same round trip.
const VARIABLES: &str = "show session variables where variable_name in \
    ('max_allowed_packet', 'max_connections', 'version', 'wsrep_on')";

/// How much sooner than this server the database ends a statement.
const ENDS_SOONER_BY: Duration = Duration::from_millis(200);

/// The settings that hold whatever the database's defaults are: only committed rows are read, each
/// statement is committed by itself and its connection stays open, no row is left out of a result
/// or of a check for duplicates, and no statement is cut short before a time, or ever if it is
/// zero.
///
/// The first comment is code for MySQL 8, which ends only reads at a time, the second for MariaDB,
/// whose `sql_mode` can change what SQL means; that of MySQL cannot change these statements, and
/// some services refuse to set it.
fn settings(waits: &str, time_max: Duration) -> String {
    format!(
        "set session transaction isolation level repeatable read, read write; \
         set session completion_type = 0, autocommit = 1, sql_big_selects = 1, \
         sql_select_limit = 9223372036854775807, unique_checks = 1, sql_safe_updates = 0, \
         net_read_timeout = 30, net_write_timeout = 60, {waits} \
         /*!80000 , max_execution_time = {}, information_schema_stats_expiry = 0 */ \
         /*M!100000 , max_statement_time = {}, sql_mode = 'STRICT_TRANS_TABLES' */;",
        time_max.as_millis(),
        time_max.as_secs_f64()
    )
}

/// Sets a new connection up for creating and migrating the database.
pub async fn set_up_for_migrations(connection: &mut MySqlConnection) -> sqlx::Result<()> {
    let sql = settings(MIGRATION_WAITS, Duration::ZERO);
    connection.execute(raw_sql(AssertSqlSafe(sql))).await.map(drop)
}

/// Sets a new connection up for requests, whose statements time out. The database ends them a
/// little before that, because otherwise it would go on with them and keep the connection.
pub async fn set_up(
    connection: &mut MySqlConnection,
    statement_timeout: Duration,
) -> sqlx::Result<Limits> {
    let sql = settings(REQUEST_WAITS, statement_timeout.saturating_sub(ENDS_SOONER_BY)) + VARIABLES;
    let variables = raw_sql(AssertSqlSafe(sql)).fetch_all(&mut *connection).await?;
    let limits = limits(&variables);
    if limits.waits_for_cluster {
        // A read waits until this node has what was committed on the others before it.
        connection.execute("set session wsrep_sync_wait = 1").await?;
    }
    if variable(&variables, "version").is_some_and(|version| version.contains("Vitess")) {
        // Vitess ignores `wait_timeout` (see `insert.rs`). This ends a transaction as a whole,
        // including its wait for a lock; the unit is milliseconds.
        connection.execute("set session transaction_timeout = 2000").await?;
    }
    Ok(limits)
}

fn variable<'a>(variables: &'a [MySqlRow], name: &str) -> Option<&'a str> {
    let mut rows = variables.iter().filter(|row| row.try_get::<&str, _>(0).ok() == Some(name));
    rows.next()?.try_get(1).ok()
}

/// A limit that the database does not report does not exist.
fn limits(variables: &[MySqlRow]) -> Limits {
    let none = Limits::default();
    let number = |name: &str| variable(variables, name)?.parse().ok();
    Limits {
        packet_bytes_max: number("max_allowed_packet").unwrap_or(none.packet_bytes_max),
        connections_max: number("max_connections")
            .and_then(|count| count.try_into().ok())
            .unwrap_or(none.connections_max),
        waits_for_cluster: variable(variables, "wsrep_on") == Some("ON"),
    }
}
