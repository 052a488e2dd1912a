//! Extracts values from requests and rejects invalid ones.

mod body;

mod headers;

mod url;

pub use body::{RequestLimits, Unread};
pub use headers::{AcceptJson, EntityTags, Header};
pub use url::{BoundedInt, Id, LastSegment, Query};
