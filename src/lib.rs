//! A small chat server: users post short messages and read the latest messages and the list of
//! users.
//!
//! The modules are layers, the highest first: each imports only modules below it, also within a
//! folder, in the order of its `mod.rs`. A test in `tests/it/tidy.rs` checks this.

// Starts, serves and drains the server.
pub mod app;

// The signals that stop the process.
pub mod signals;

// The command that checks whether a server is ready.
pub mod healthcheck;

// The file that contains the server's address, for scripts.
mod address_file;

// The gauges that `/metrics` reads from the other modules.
pub mod gauges;

// Endpoints, pages, the OpenAPI document.
pub mod api;

// Statistics of the last fifteen minutes, for `/stats` and the dashboard.
pub mod stats;

// Sockets and HTTP/1.1: limits for connections, and their timeouts.
pub mod http;

// The error contract: codes, and the format of error bodies.
pub mod problem;

// Storage on MySQL and SQLite: its guarantees and the queries.
pub mod store;

// Whether the database is ready, and whether the process is stopping.
pub mod readiness;

// The message types and their validation.
pub mod message;

// Log, metrics and traces.
pub mod telemetry;

// All settings, with their defaults and the reasons.
pub mod config;
