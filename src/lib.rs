//! A small chat server: people post short messages, everyone reads the latest ones and who has
//! spoken.
//!
//! Where things are:
//!
//! - [`config`]: every setting, with its default and the reason for it
//! - [`setting`], [`database_url`]: how values are written, and what is said about wrong ones
//! - [`app`]: the life of the process, from listening to draining
//! - [`server`], [`connection`], [`socket`]: sockets, how many of them, how long they may take
//! - [`listener`]: takes a port, for both families of addresses, and opens it
//! - [`framing`]: what HTTP/1.1 asks of a request beside what hyper checks
//! - [`places`]: how many connections there may be
//! - [`api`]: the endpoints, the pages, the error contract
//! - [`message`]: what a message is, and which ones are refused
//! - [`rendering`]: bodies that are made once and shared
//! - [`signals`]: the ones that stop the process
//! - [`store`]: what is promised about data; the queries; MySQL and SQLite
//! - [`health`]: what the process knows of its own fitness
//! - [`healthcheck`]: asks a running server for it
//! - [`telemetry`]: the log

pub mod api;
pub mod app;
pub mod config;
pub mod connection;
pub mod database_url;
pub mod framing;
pub mod health;
pub mod healthcheck;
pub mod listener;
pub mod message;
pub mod places;
pub mod rendering;
pub mod server;
pub mod setting;
pub mod signals;
pub mod socket;
pub mod store;
pub mod telemetry;
