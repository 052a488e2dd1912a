//! The whole server over HTTP, one binary. Each test has a server and a database of its own:
//! SQLite, or the server that `TEST_DATABASE_URL` names. Tests marked as ignored need such a
//! database server; `make test` brings them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod addresses;
mod batches;
mod collector;
mod collector_trouble;
mod crash;
mod database_limits;
mod distance;
mod documented;
mod errors;
mod few_connections;
mod file;
mod framing;
mod freshness;
mod harness;
mod idempotency;
mod k6;
mod lifecycle;
mod limits;
mod locks;
mod log;
mod log_limits;
mod messages;
mod migrations;
mod monitoring;
mod names;
mod objectives;
mod open_files;
mod openapi;
mod order;
mod outage;
mod paging;
mod parameters;
mod pool;
mod private_database;
mod process;
mod proxy;
mod restarts;
mod rotation;
mod schema;
mod scripts;
mod sequence;
mod session_settings;
mod setting_files;
mod settings;
mod slow_heads;
mod stats;
mod strings;
mod tidy;
mod tls;
mod traces;
mod under_a_path;
mod waiting;
