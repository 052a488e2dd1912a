//! What the process knows of its own fitness: whether the database serves, and whether it is
//! stopping. Written by `store/watchdog.rs` and `app.rs`, read by every request and by `/readyz`.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};
use time::OffsetDateTime;
use tokio::sync::watch;

/// Why the database cannot serve. Every kind is worth another attempt after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseFault {
    Starting,
    Unreachable,
    /// The database is there, but its certificate is not trusted, or TLS fails otherwise.
    TlsFailed,
    AccessDenied,
    DatabaseMissing,
    NotMigrated,
    MigrationFailed,
    /// Tables of another application are where ours would be.
    ForeignTables,
    ReadOnly,
    /// Reads go on, but there is no room for more.
    Full,
    /// Another session holds a lock that posts need.
    Locked,
    /// The database, or its user, has as many connections or statements as it may have.
    LimitReached,
    Busy,
    /// The database responds, but with an error that none of the others is.
    Unexpected,
}

impl DatabaseFault {
    /// The name that `/readyz` and the log use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Unreachable => "unreachable",
            Self::TlsFailed => "tls_failed",
            Self::AccessDenied => "access_denied",
            Self::DatabaseMissing => "database_missing",
            Self::NotMigrated => "not_migrated",
            Self::MigrationFailed => "migration_failed",
            Self::ForeignTables => "foreign_tables",
            Self::ReadOnly => "read_only",
            Self::Full => "full",
            Self::Locked => "locked",
            Self::LimitReached => "limit_reached",
            Self::Busy => "busy",
            Self::Unexpected => "unexpected",
        }
    }
}

/// The database as the last look at it found it.
#[derive(Clone, Copy, Debug)]
pub struct DatabaseState {
    /// `None` means that it serves.
    pub fault: Option<DatabaseFault>,
    /// When it came into this state.
    pub since: OffsetDateTime,
    /// The last fault there was, and when it came, also when it is over.
    pub last_fault: Option<(DatabaseFault, OffsetDateTime)>,
    /// How often the state has changed. What was known of the database before a change may not hold
    /// after it: the database may be a new one.
    pub changes: u64,
}

#[derive(Debug)]
pub struct Readiness {
    database: watch::Sender<DatabaseState>,
    started_at: OffsetDateTime,
    served_since: OnceLock<OffsetDateTime>,
    /// Whether the public port is open.
    open: AtomicBool,
    draining_since: OnceLock<OffsetDateTime>,
}

impl Default for Readiness {
    fn default() -> Self {
        let started_at = OffsetDateTime::now_utc();
        let starting = DatabaseState {
            fault: Some(DatabaseFault::Starting),
            since: started_at,
            last_fault: None,
            changes: 0,
        };
        Self {
            database: watch::Sender::new(starting),
            started_at,
            served_since: OnceLock::new(),
            open: AtomicBool::new(false),
            draining_since: OnceLock::new(),
        }
    }
}

impl Readiness {
    pub fn database(&self) -> DatabaseState {
        *self.database.borrow()
    }

    /// Whether the state has changed since its `changes` were these, which are brought up to date.
    pub fn take_change(&self, changes: &mut u64) -> bool {
        let seen = std::mem::replace(changes, self.database().changes);
        seen != *changes
    }

    /// Notes what a look at the database found; returns whether that is news.
    pub fn set_database(&self, fault: Option<DatabaseFault>) -> bool {
        self.database.send_if_modified(|state| {
            let news = state.fault != fault;
            if news {
                let now = OffsetDateTime::now_utc();
                *state = DatabaseState {
                    fault,
                    since: now,
                    last_fault: fault.map(|fault| (fault, now)).or(state.last_fault),
                    changes: state.changes + 1,
                };
                if fault.is_none() {
                    self.served_since.get_or_init(|| now);
                }
            }
            news
        })
    }

    /// Waits until the database serves.
    pub async fn database_serves(&self) {
        let mut states = self.database.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = states.wait_for(|state| state.fault.is_none()).await;
    }

    /// Waits until the database serves, or cannot be made to.
    pub async fn database_settles(&self) -> DatabaseState {
        let settled = |state: &DatabaseState| {
            matches!(
                state.fault,
                None | Some(DatabaseFault::MigrationFailed | DatabaseFault::ForeignTables)
            )
        };
        let mut states = self.database.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        states.wait_for(settled).await.map_or_else(|_| self.database(), |state| *state)
    }

    /// Since when the database has served for the first time.
    pub fn served_since(&self) -> Option<OffsetDateTime> {
        self.served_since.get().copied()
    }

    /// Since when the server has started: the database has served, and the public port is open.
    pub fn started_since(&self) -> Option<OffsetDateTime> {
        self.served_since().filter(|_| self.open.load(Ordering::Relaxed))
    }

    pub fn set_open(&self) {
        self.open.store(true, Ordering::Relaxed);
    }

    pub const fn started_at(&self) -> OffsetDateTime {
        self.started_at
    }

    /// Whether requests should be sent here.
    pub fn is_ready(&self) -> bool {
        let (started, draining) = (self.started_since(), self.draining_since());
        self.database().fault.is_none() && started.is_some() && draining.is_none()
    }

    /// Since when the server is stopping, if it is.
    pub fn draining_since(&self) -> Option<OffsetDateTime> {
        self.draining_since.get().copied()
    }

    pub fn set_draining(&self) {
        self.draining_since.get_or_init(OffsetDateTime::now_utc);
    }
}
