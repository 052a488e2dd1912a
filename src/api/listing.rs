//! A list that its reader may have already.

use super::{payload::Rendered, request_header::EntityTags};
use crate::rendering::Rendering;
use poem_openapi::{ApiResponse, types};

#[derive(ApiResponse)]
pub enum Listing<T: types::Type> {
    /// The list
    #[oai(status = 200)]
    Ok(
        Rendered<T>,
        /// Names exactly this content
        #[oai(header = "ETag")]
        String,
    ),
    /// The list is still the one that `If-None-Match` names
    #[oai(status = 304)]
    NotModified(
        /// Names exactly this content
        #[oai(header = "ETag")]
        String,
        /// As the 200 would have it
        #[oai(header = "Cache-Control")]
        String,
    ),
}

impl<T: types::Type> Listing<T> {
    pub fn new(Rendering { body, etag }: Rendering, if_none_match: Option<&EntityTags>) -> Self {
        if if_none_match.is_some_and(|tags| tags.name(&etag)) {
            return Self::NotModified(etag, "no-cache".into());
        }
        Self::Ok(body.into(), etag)
    }
}
