//! Sockets and HTTP/1.1. The endpoint that a listener is given handles the requests.

// Accepts and counts connections, refuses those above the limit, drains.
mod server;

// The maximum number of connections of each kind, by the settings and the open-file limit.
mod connection_limits;

// Binds the ports, for IPv6 and IPv4, and opens them.
mod listener;

// HTTP/1.1 on one socket; timeouts for the head, idle connections and unread responses.
pub mod connection;

// Tracks the activity of a connection.
mod socket;

// The rules of HTTP/1.1 for requests that hyper does not check.
mod framing;

pub use connection_limits::ConnectionLimits;
pub use framing::{Fault, is_encoded};
pub use listener::{Listener, Port};
pub use server::{Connections, Service, serve};
pub use socket::Timeouts;
