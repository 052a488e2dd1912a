//! A list that its reader may have already.

use super::payload::Rendered;
use crate::rendering::Rendering;
use poem_openapi::{
    ApiResponse,
    registry::MetaSchemaRef,
    types::{self, ParseFromParameter, ParseResult},
};
use std::borrow::Cow;

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

/// The value of an `If-None-Match` header, all lines of it.
#[derive(Debug)]
pub struct EntityTags(String);

impl EntityTags {
    /// Whether the content of an entity tag is among these, by the weak comparison of RFC 9110,
    /// section 8.8.3.2. Proxies that compress make a tag weak, or add a suffix to it such as
    /// `-gzip`, and do not always take that off again.
    fn name(&self, etag: &str) -> bool {
        let opaque = etag.trim_end_matches('"');
        self.0.split(',').map(str::trim).any(|tag| {
            let tag = tag.strip_prefix("W/").unwrap_or(tag);
            let suffix = tag.strip_prefix(opaque).and_then(|rest| rest.strip_suffix('"'));
            tag == "*" || suffix.is_some_and(|suffix| suffix.is_empty() || suffix.starts_with('-'))
        })
    }
}

// The trait is not imported: its `name` would hide the one above.
impl types::Type for EntityTags {
    const IS_REQUIRED: bool = true;

    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "entity tags".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        <String as types::Type>::schema_ref()
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ParseFromParameter for EntityTags {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        Ok(Self(value.to_owned()))
    }

    /// Several lines mean the same as one list (RFC 9110, section 5.3).
    fn parse_from_parameters<I: IntoIterator<Item = A>, A: AsRef<str>>(
        lines: I,
    ) -> ParseResult<Self> {
        let mut tags = String::new();
        for line in lines {
            tags.push_str(line.as_ref());
            tags.push(',');
        }
        Ok(Self(tags))
    }
}
