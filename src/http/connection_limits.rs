//! The maximum number of connections of each kind, by the settings and the open-file limit.
//!
//! Without a limit below that of the system, idle clients could use up all file descriptors. Then
//! neither a probe nor a refused client would get a response.

use crate::config::Config;
use tracing::warn;

/// Files other than connections to clients and the database: the standard streams, the runtime,
/// listeners, exporters, and a connection that is being accepted.
const FILES_OF_PROCESS: u64 = 32;

/// A connection to SQLite has the database and its log open; one to MySQL has a socket.
const FILES_OF_DATABASE_CONNECTION: u64 = 2;

/// The maximum number of refused clients that get a response at the same time. Further connections
/// are closed without one, and counted.
const REFUSALS_MAX: u64 = 256;

/// The maximum number of connections on the operations port. Probes and scrapers are few.
const OPS_MAX: u64 = 256;

/// The minimum for refusals and for the operations port: a few probes at the same time.
const SPARE_MIN: u64 = 4;

/// The maximum number of connections of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    pub clients: usize,
    /// Clients above the limit that get `overloaded`.
    pub refusals: usize,
    pub ops: usize,
}

impl ConnectionLimits {
    /// Raises the open-file limit to what the settings need, or as far as the system allows, and
    /// divides it.
    ///
    /// # Errors
    /// If the system allows fewer files than a server needs.
    pub fn claim(config: &Config) -> anyhow::Result<Self> {
        let ops = if config.ops_addr.is_some() { OPS_MAX } else { 0 };
        let clients = u64::from(config.max_connections);
        let reserved = FILES_OF_PROCESS
            + FILES_OF_DATABASE_CONNECTION * u64::from(config.database_max_connections);
        let wanted = reserved + clients + REFUSALS_MAX + ops;
        let allowed = rlimit::increase_nofile_limit(wanted)
            .or_else(|_| rlimit::getrlimit(rlimit::Resource::NOFILE).map(|(soft, _)| soft))
            .unwrap_or(wanted);
        let least = reserved + 3 * SPARE_MIN;
        anyhow::ensure!(
            allowed >= least,
            "the system allows this process {allowed} open files, but it needs {least}: raise the \
             limit (ulimit -n {wanted}) or lower DATABASE_MAX_CONNECTIONS"
        );
        let limits = share(allowed - reserved, clients, ops);
        let max_connections = limits.clients;
        if (max_connections as u64) < clients {
            warn!(
                allowed,
                wanted,
                max_connections,
                "The open-file limit allows fewer connections than MAX_CONNECTIONS"
            );
        }
        Ok(limits)
    }
}

/// Clients get at least three quarters after the others have their minimum.
fn share(files: u64, clients: u64, ops: u64) -> ConnectionLimits {
    let others = (files / 4).max(2 * SPARE_MIN).min(REFUSALS_MAX + ops);
    let clients = clients.min(files - others);
    let others = files - clients;
    let ops = ops.min(others / 2);
    let refusals = REFUSALS_MAX.min(others - ops);
    let count = |files: u64| usize::try_from(files).unwrap_or(usize::MAX);
    ConnectionLimits { clients: count(clients), refusals: count(refusals), ops: count(ops) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_shared_so_that_refusals_and_operations_always_have_some() {
        let of = |files, clients, ops| {
            let ConnectionLimits { clients, refusals, ops } = share(files, clients, ops);
            (clients, refusals, ops)
        };
        assert_eq!(of(10_512, 10_000, OPS_MAX), (10_000, 256, 256));
        assert_eq!(of(10_256, 10_000, 0), (10_000, 256, 0));
        assert_eq!(of(259, 3, 0), (3, 256, 0));
        assert_eq!(of(1_000_000, 3, OPS_MAX), (3, 256, 256));
        assert_eq!(of(8_000, 10_000, OPS_MAX), (7_488, 256, 256));
        assert_eq!(of(148, 10_000, OPS_MAX), (111, 19, 18));
        assert_eq!(of(12, 10_000, OPS_MAX), (4, 4, 4));
        assert_eq!(of(12, 10_000, 0), (4, 8, 0));
    }
}
