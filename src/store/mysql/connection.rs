//! An open connection to MySQL.

use sqlx::{Connection as _, MySqlConnection};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{task::JoinHandle, time::timeout};

/// The timeout of closing a connection in order. The database can do without.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub struct Connection {
    pub raw: MySqlConnection,
    pub opened_at: Instant,
    pub used_at: Instant,
    /// The number of flushes before it was opened.
    pub flushes: u64,
    counted: Arc<()>,
}

impl Connection {
    pub fn new(raw: MySqlConnection, flushes: u64, counted: Arc<()>) -> Self {
        let now = Instant::now();
        Self { raw, opened_at: now, used_at: now, flushes, counted }
    }
}

/// Closes connections in the background. Until then they count as open.
pub fn close(connections: Vec<Connection>) -> Vec<JoinHandle<()>> {
    let close = |Connection { raw, counted, .. }: Connection| {
        tokio::spawn(async move {
            let _ = timeout(CLOSE_TIMEOUT, raw.close()).await;
            drop(counted);
        })
    };
    connections.into_iter().map(close).collect()
}
