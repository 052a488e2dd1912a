//! Extracts values from request headers and rejects invalid ones.

use crate::{
    message::{IdempotencyKey, InvalidKey, KEY_BYTES_MAX},
    problem::{ApiError, Code},
};
use poem::{
    Request, RequestBody,
    http::{HeaderMap, HeaderName, HeaderValue, header},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchema, MetaSchemaRef},
};

/// A header that an endpoint declares. poem-openapi's own type ignores values that are not text.
pub struct Header<T>(pub T);

/// A type that can be parsed from a header.
pub trait FromHeader: Sized + Send {
    const NAME: HeaderName;

    fn schema() -> MetaSchema;

    /// Parses all lines of the header.
    fn read<'a>(lines: impl Iterator<Item = &'a HeaderValue>) -> Result<Self, ApiError>;
}

impl<'a, T: FromHeader> ApiExtractor<'a> for Header<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];

    type ParamType = String;
    type ParamRawType = String;

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Header)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(MetaSchemaRef::Inline(Box::new(T::schema())))
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<String>,
    ) -> poem::Result<Self> {
        Ok(Self(T::read(request.headers().get_all(T::NAME).iter())?))
    }
}

impl FromHeader for Option<IdempotencyKey> {
    const NAME: HeaderName = HeaderName::from_static("idempotency-key");

    fn schema() -> MetaSchema {
        MetaSchema {
            min_length: Some(1),
            max_length: Some(KEY_BYTES_MAX),
            pattern: Some("^[ -~]+$".into()),
            ..MetaSchema::new("string")
        }
    }

    fn read<'a>(mut lines: impl Iterator<Item = &'a HeaderValue>) -> Result<Self, ApiError> {
        let key = match (lines.next(), lines.next()) {
            (None, _) => return Ok(None),
            (Some(value), None) => IdempotencyKey::parse(value.as_bytes()),
            (Some(_), Some(_)) => Err(InvalidKey),
        };
        key.map(Some).map_err(|InvalidKey| {
            let detail = format!(
                "The header must have one value of 1 to {KEY_BYTES_MAX} printable ASCII characters."
            );
            ApiError::because(Code::InvalidIdempotencyKey, detail)
        })
    }
}

/// The value of an `If-None-Match` header, with all its lines.
#[derive(Debug)]
pub struct EntityTags(String);

impl EntityTags {
    /// Whether these tags include `etag`, by the weak comparison of RFC 9110, section 8.8.3.2.
    /// Proxies that compress make a tag weak or append a suffix such as `-gzip`, and do not always
    /// remove it again.
    pub fn name(&self, etag: &str) -> bool {
        let opaque = etag.trim_end_matches('"');
        self.0.split(',').map(str::trim).any(|tag| {
            let tag = tag.strip_prefix("W/").unwrap_or(tag);
            let suffix = tag.strip_prefix(opaque).and_then(|rest| rest.strip_suffix('"'));
            tag == "*" || suffix.is_some_and(|suffix| suffix.is_empty() || suffix.starts_with('-'))
        })
    }
}

impl FromHeader for Option<EntityTags> {
    const NAME: HeaderName = header::IF_NONE_MATCH;

    fn schema() -> MetaSchema {
        MetaSchema::new("string")
    }

    /// Several lines are equivalent to one list (RFC 9110, section 5.3).
    fn read<'a>(lines: impl Iterator<Item = &'a HeaderValue>) -> Result<Self, ApiError> {
        let lines: Vec<&str> = lines.filter_map(|line| line.to_str().ok()).collect();
        Ok((!lines.is_empty()).then(|| EntityTags(lines.join(","))))
    }
}

/// Rejects a request whose `Accept` header excludes JSON. Every endpoint of the API uses it first.
pub struct AcceptJson;

impl<'a> ApiExtractor<'a> for AcceptJson {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::PoemExtractor];

    type ParamType = ();
    type ParamRawType = ();

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        if accepts_json(request.headers()) {
            return Ok(Self);
        }
        Err(ApiError::because(Code::NotAcceptable, "Responses are application/json.").into())
    }
}

fn accepts_json(headers: &HeaderMap) -> bool {
    let mut ranges = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|range| !range.is_empty())
        .peekable();
    // No header accepts everything; of several matching ranges, the most specific one applies
    // (RFC 9110, section 12.5.1).
    ranges.peek().is_none()
        || ranges
            .filter_map(weight_of_json)
            .max_by_key(|(specificity, _)| *specificity)
            .is_some_and(|(_, weight)| weight > 0.0)
}

/// Returns how specific a media range is and its weight, or `None` if it does not match JSON.
fn weight_of_json(range: &str) -> Option<(u8, f32)> {
    let mut parts = range.split(';').map(str::trim);
    let specificity = match parts.next()?.to_ascii_lowercase().as_str() {
        "application/json" => 2,
        "application/*" => 1,
        // Some old clients send a single star.
        "*/*" | "*" => 0,
        _ => return None,
    };
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    Some((specificity, weight.and_then(|q| q.parse().ok()).unwrap_or(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_range_of_an_accept_header_decides() {
        let accepts = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, value.parse().unwrap());
            accepts_json(&headers)
        };
        for taken in ["*/*", "*", "", "text/html, */*;q=0.1", "application/*", "APPLICATION/JSON"] {
            assert!(accepts(taken), "{taken}");
        }
        for refused in ["text/html", "application/json;q=0, */*", "application/xml", "nonsense"] {
            assert!(!accepts(refused), "{refused}");
        }
        assert!(accepts_json(&HeaderMap::new()));
    }
}
