//! A small chat server: people post short messages, everyone reads the latest ones and who has
//! spoken.
//!
//! The modules stand in layers, the highest first: each imports only what stands below it, also
//! within a folder whose `mod.rs` says so. A test in `tests/it/tidy.rs` checks that.

// The process: settings to a running server, and its end.
pub mod app;

pub mod signals;

pub mod healthcheck;

mod address_file;

// What `/metrics` reads from all the others when it is asked.
pub mod gauges;

// Endpoints, pages, the OpenAPI document.
pub mod api;

// The numbers of the last fifteen minutes, for `/stats` and the dashboard.
pub mod stats;

// Sockets and HTTP/1.1: how many connections, and how long each may take.
pub mod http;

// The error contract: codes, and the shape of an error's body.
pub mod problem;

// What is promised about data; the queries; MySQL and SQLite.
pub mod store;

// Whether the database serves, and whether the process is stopping.
pub mod readiness;

// What a message is, and which ones are refused.
pub mod message;

// Log, metrics and traces.
pub mod telemetry;

// Every setting, with its default and the reason for it.
pub mod config;
