//! What a connection is used for, and how much of a pool is in use.

/// What a session is for, which decides on the connections that it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// Group commit.
    Posts,
    /// Reads that many requests share.
    SharedReads,
    /// Requests that have a query of their own.
    OtherReads,
    /// Looking whether the database serves.
    Watchdog,
}

/// How much of a pool is in use.
#[derive(Clone, Copy, Debug)]
pub struct PoolUse {
    pub name: &'static str,
    pub idle: usize,
    pub used: usize,
    pub max: u32,
}
