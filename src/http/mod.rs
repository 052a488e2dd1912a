//! Sockets and HTTP/1.1. What is answered is up to the endpoint that a listener is given.

// Accepts, counts, refuses connections beyond the limit, drains.
mod server;

// How many connections of each kind: what is set, or what there are files for.
mod connection_limits;

// Takes the ports, for IPv6 and IPv4, and opens them.
mod listener;

// HTTP/1.1 on one socket; time limits for head, idling and unread responses.
pub mod connection;

// Keeps track of what a connection is doing.
mod socket;

// What HTTP/1.1 asks of a request beside what hyper checks.
mod framing;

pub use connection_limits::ConnectionLimits;
pub use framing::{Fault, is_encoded};
pub use listener::{Listener, Port};
pub use server::{Connections, Service, serve};
pub use socket::Timeouts;
