//! What is taken from requests, and what is said when it is wrong.

mod body;

mod headers;

mod url;

pub use body::{RequestLimits, Unread};
pub use headers::{AcceptJson, EntityTags, Header};
pub use url::{BoundedInt, Id, LastSegment, Query};
