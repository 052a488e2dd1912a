//! What the process knows of its own fitness: whether the database serves, and whether it is
//! stopping. Written by `store/watch.rs` and `app.rs`, read by every request and by `/readyz`.

use crate::store::{Distance, Trouble};
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};
use time::OffsetDateTime;
use tokio::sync::watch;

/// The database as the last look at it found it.
#[derive(Clone, Copy, Debug)]
pub struct DatabaseState {
    /// `None` means that it serves.
    pub trouble: Option<Trouble>,
    /// When it came into this state.
    pub since: OffsetDateTime,
    /// The last trouble there was, and when it came, also when it is over.
    pub last_trouble: Option<(Trouble, OffsetDateTime)>,
    /// How often the state has changed. What was known of the database before a change may not hold
    /// after it: the database may be a new one.
    pub changes: u64,
}

#[derive(Debug)]
pub struct Health {
    pub distance: Arc<Distance>,
    database: watch::Sender<DatabaseState>,
    started_at: OffsetDateTime,
    served_since: OnceLock<OffsetDateTime>,
    /// Whether the public port is open.
    open: AtomicBool,
    draining_since: OnceLock<OffsetDateTime>,
}

impl Default for Health {
    fn default() -> Self {
        let started_at = OffsetDateTime::now_utc();
        let starting = DatabaseState {
            trouble: Some(Trouble::Starting),
            since: started_at,
            last_trouble: None,
            changes: 0,
        };
        Self {
            distance: Arc::default(),
            database: watch::Sender::new(starting),
            started_at,
            served_since: OnceLock::new(),
            open: AtomicBool::new(false),
            draining_since: OnceLock::new(),
        }
    }
}

impl Health {
    pub fn database(&self) -> DatabaseState {
        *self.database.borrow()
    }

    /// Whether the state has changed since its `changes` were these; brings them up to date.
    pub fn has_changed_since(&self, changes: &mut u64) -> bool {
        let seen = std::mem::replace(changes, self.database().changes);
        seen != *changes
    }

    /// Notes what a look at the database found; returns whether that is news.
    pub fn set_database(&self, trouble: Option<Trouble>) -> bool {
        self.database.send_if_modified(|state| {
            let news = state.trouble != trouble;
            if news {
                let now = OffsetDateTime::now_utc();
                *state = DatabaseState {
                    trouble,
                    since: now,
                    last_trouble: trouble.map(|trouble| (trouble, now)).or(state.last_trouble),
                    changes: state.changes + 1,
                };
                if trouble.is_none() {
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
        let _ = states.wait_for(|state| state.trouble.is_none()).await;
    }

    /// Waits until the database serves, or cannot be made to.
    pub async fn database_settles(&self) -> DatabaseState {
        let settled = |state: &DatabaseState| {
            matches!(state.trouble, None | Some(Trouble::MigrationFailed | Trouble::ForeignTables))
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
        self.database().trouble.is_none() && started.is_some() && draining.is_none()
    }

    /// Since when the server is stopping, if it is.
    pub fn draining_since(&self) -> Option<OffsetDateTime> {
        self.draining_since.get().copied()
    }

    pub fn set_draining(&self) {
        self.draining_since.get_or_init(OffsetDateTime::now_utc);
    }
}
