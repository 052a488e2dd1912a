//! What an error of sqlx says of the database.

use super::error::{ForeignTables, Moved};
use crate::readiness::DatabaseFault;
use sqlx::{error::DatabaseError, migrate::MigrateError, mysql::MySqlDatabaseError};
use std::io::{self, ErrorKind};

impl DatabaseFault {
    /// The fault behind an error of a probe.
    pub fn of_probe(error: &sqlx::Error) -> Self {
        Self::of(error).unwrap_or(Self::Unexpected)
    }

    /// The fault behind an error, or `None` when its cause is not the state of the database but a
    /// bug in this server.
    pub fn of(error: &sqlx::Error) -> Option<Self> {
        match error {
            sqlx::Error::Tls(_) => Some(Self::TlsFailed),
            sqlx::Error::Io(error) => Some(Self::of_io(error)),
            sqlx::Error::Protocol(_) | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                Some(Self::Unreachable)
            }
            // No connection was given back in time.
            sqlx::Error::PoolTimedOut => Some(Self::Busy),
            sqlx::Error::Database(error) => Self::of_database(error.as_ref()),
            sqlx::Error::Configuration(error) if error.is::<ForeignTables>() => {
                Some(Self::ForeignTables)
            }
            sqlx::Error::Configuration(error) if error.is::<Moved>() => Some(Self::Starting),
            sqlx::Error::Migrate(error) => Some(Self::of_migration(error)),
            _ => None,
        }
    }

    fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            _ if is_tls_error(error) => Self::TlsFailed,
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full,
            ErrorKind::PermissionDenied => Self::AccessDenied,
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            // The system's own errors of this kind are about a server's socket.
            ErrorKind::NotFound if error.get_ref().is_some() => Self::DatabaseMissing,
            _ => Self::Unreachable,
        }
    }

    pub fn of_migration(error: &MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                Self::of(error).unwrap_or(Self::MigrationFailed)
            }
            // Only `migrate.rs` makes it: the migrations are compiled in and need no resolving.
            MigrateError::Source(_) => Self::NotMigrated,
            _ => Self::MigrationFailed,
        }
    }

    fn of_database(error: &dyn DatabaseError) -> Option<Self> {
        match error.try_downcast_ref::<MySqlDatabaseError>() {
            Some(error) => Self::of_mysql(error.number()),
            None => Self::of_sqlite(error),
        }
    }

    /// Error numbers as MySQL's and MariaDB's server error references list them.
    const fn of_mysql(number: u16) -> Option<Self> {
        match number {
            // Host not allowed, authentication method not allowed, password expired, account locked
            // (MySQL, then MariaDB).
            1044 | 1045 | 1129 | 1130 | 1142 | 1143 | 1227 | 1251 | 1524 | 1698 | 1820 | 1862
            | 3118 | 3955 | 4150 | 4151 => Some(Self::AccessDenied),
            // Only connections with TLS are allowed.
            3159 => Some(Self::TlsFailed),
            1046 | 1049 => Some(Self::DatabaseMissing),
            1054 | 1146 => Some(Self::NotMigrated),
            1290 | 1792 | 1836 | 3906 => Some(Self::ReadOnly),
            1021 | 1114 => Some(Self::Full),
            1205 => Some(Self::Locked),
            // Connections: of all, of the user, of the user in an hour. Prepared statements.
            1040 | 1203 | 1226 | 1461 => Some(Self::LimitReached),
            // Deadlock, and its forms in MariaDB and Group Replication; then out of memory or
            // threads, a statement that took too long, and one that was killed.
            1020 | 1153 | 1213 | 3101 | 1037 | 1038 | 1041 | 1135 | 1969 | 3024 | 1317 => {
                Some(Self::Busy)
            }
            // A node outside its cluster, a server that shuts down or is offline, a connection that
            // it has closed; the last two are ProxySQL's for a server that it cannot reach.
            1047
            | 1053
            | 1077
            | 1079
            | 1152
            | 1158..=1161
            | 1180
            | 1184
            | 1927
            | 2006
            | 2013
            | 3032
            | 3100
            | 3169
            | 4031
            | 9001
            | 9002 => Some(Self::Unreachable),
            _ => None,
        }
    }

    /// Primary result codes, see <https://www.sqlite.org/rescode.html>.
    fn of_sqlite(error: &dyn DatabaseError) -> Option<Self> {
        let code = extended_code(error)?;
        match code & 0xff {
            // IOERR_SHMSIZE: no room for the memory that processes share.
            10 if code >> 8 == 19 => Some(Self::Full),
            1 if error.message().starts_with("no such") => Some(Self::NotMigrated),
            // BUSY, LOCKED, PROTOCOL (a race for the lock).
            5 | 6 | 15 => Some(Self::Busy),
            13 => Some(Self::Full),
            // PERM, READONLY.
            3 | 8 => Some(Self::ReadOnly),
            // IOERR, CORRUPT, CANTOPEN, NOTADB.
            10 | 11 | 14 | 26 => Some(Self::Unreachable),
            _ => None,
        }
    }
}

/// Whether TLS failed on an established connection.
fn is_tls_error(error: &io::Error) -> bool {
    match error.get_ref() {
        Some(cause) => cause.is::<rustls::Error>(),
        None => false,
    }
}

/// SQLite's extended result code.
pub fn sqlite_code(error: &sqlx::Error) -> Option<u32> {
    extended_code(error.as_database_error()?)
}

fn extended_code(error: &dyn DatabaseError) -> Option<u32> {
    error.code()?.parse().ok()
}

/// Whether the row exists already.
pub fn is_unique_violation(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::{Connection, Executor, SqliteConnection};

    #[test]
    fn errors_of_the_system_are_told_apart() {
        for (kind, fault) in [
            // As when there is no room for one more file.
            (ErrorKind::StorageFull, DatabaseFault::Full),
            (ErrorKind::QuotaExceeded, DatabaseFault::Full),
            (ErrorKind::PermissionDenied, DatabaseFault::AccessDenied),
            (ErrorKind::ReadOnlyFilesystem, DatabaseFault::ReadOnly),
            (ErrorKind::NotFound, DatabaseFault::Unreachable),
            (ErrorKind::ConnectionRefused, DatabaseFault::Unreachable),
        ] {
            assert_eq!(DatabaseFault::of(&io::Error::from(kind).into()), Some(fault), "{kind}");
        }
    }

    #[tokio::test]
    async fn a_full_disk_is_told_from_a_busy_database() {
        assert_eq!(DatabaseFault::of_mysql(1114), Some(DatabaseFault::Full));
        let mut database = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        database.execute("pragma max_page_count = 2; create table t (x)").await.unwrap();
        let error = database.execute("insert into t values (zeroblob(100000))").await.unwrap_err();
        assert_eq!(DatabaseFault::of(&error), Some(DatabaseFault::Full), "{error}");
    }
}
