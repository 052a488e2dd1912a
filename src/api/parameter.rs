//! What stands in URLs and headers of requests, read with words of ours for what is wrong.

use super::error::{ApiError, Code};
use crate::{
    message::{IdempotencyKey, InvalidKey, KEY_BYTES_MAX, MessageId},
    telemetry::excerpt,
};
use percent_encoding::percent_decode_str;
use poem::{
    Request, RequestBody,
    http::{HeaderMap, header},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchema, MetaSchemaRef},
    types::{self, ParseError, ParseFromParameter, ParseResult, ToJSON},
};
use std::{borrow::Cow, str::Utf8Error};

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug)]
pub struct Whole<const MIN: i64, const MAX: i64>(pub i64);

impl<const MIN: i64, const MAX: i64> Whole<MIN, MAX> {
    /// As a default.
    pub const fn greatest() -> Self {
        Self(MAX)
    }

    /// As a number of things.
    pub fn count(self) -> u32 {
        self.0.try_into().unwrap_or(u32::MAX)
    }
}

/// Anything that can be an id: a number that no message has is no error.
pub type Id = Whole<0, { MessageId::MAX }>;

// The trait is not imported: its `is_empty` would hide the one of strings.
impl<const MIN: i64, const MAX: i64> types::Type for Whole<MIN, MAX> {
    const IS_REQUIRED: bool = true;

    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        format!("whole number from {MIN} to {MAX}").into()
    }

    fn schema_ref() -> MetaSchemaRef {
        // JSON numbers are doubles to many tools, which round the largest id to one too large.
        #[expect(clippy::cast_precision_loss, reason = "left out where it would be lost")]
        let maximum = (MAX < 1 << 53).then_some(MAX as f64);
        #[expect(clippy::cast_precision_loss, reason = "the least numbers are small")]
        let minimum = Some(MIN as f64);
        let schema =
            MetaSchema { minimum, maximum, ..MetaSchema::new_with_format("integer", "int64") };
        MetaSchemaRef::Inline(Box::new(schema))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

/// For the default value in the document.
impl<const MIN: i64, const MAX: i64> ToJSON for Whole<MIN, MAX> {
    fn to_json(&self) -> Option<serde_json::Value> {
        Some(self.0.into())
    }
}

impl<const MIN: i64, const MAX: i64> ParseFromParameter for Whole<MIN, MAX> {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        // Without a sign, so that a number has one form.
        let number = value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse());
        match number {
            Some(Ok(number)) if (MIN..=MAX).contains(&number) => Ok(Self(number)),
            _ => Err(ParseError::custom(format!("it must be a {}", <Self as types::Type>::name()))),
        }
    }
}

/// Refuses a request whose `Accept` header takes no JSON. Every endpoint of the API begins with it.
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
        Err(ApiError::because(Code::NotAcceptable, "The answer is application/json.").into())
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
    // No header means that everything is welcome; of several ranges that match, the most specific
    // one counts (RFC 9110, section 12.5.1).
    ranges.peek().is_none()
        || ranges
            .filter_map(weight_of_json)
            .max_by_key(|(specificity, _)| *specificity)
            .is_some_and(|(_, weight)| weight > 0.0)
}

/// How specific a media range is and how much it wants JSON, if it speaks of JSON at all.
fn weight_of_json(range: &str) -> Option<(u8, f32)> {
    let mut parts = range.split(';').map(str::trim);
    let specificity = match parts.next()?.to_ascii_lowercase().as_str() {
        "application/json" => 2,
        "application/*" => 1,
        // Some old clients send the lone star.
        "*/*" | "*" => 0,
        _ => return None,
    };
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    Some((specificity, weight.and_then(|q| q.parse().ok()).unwrap_or(1.0)))
}

/// A parameter of the query. One that is not UTF-8 is an error, and one that is there twice: either
/// value could be the wrong one.
pub struct Query<T>(pub T);

impl<'a, T: ParseFromParameter> ApiExtractor<'a> for Query<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    const PARAM_IS_REQUIRED: bool = T::IS_REQUIRED;

    type ParamType = T;
    type ParamRawType = T::RawValueType;

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Query)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(T::schema_ref())
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        options: ExtractParamOptions<T>,
    ) -> poem::Result<Self> {
        let value = query_value(request.uri().query().unwrap_or_default(), options.name)?;
        if let (None, Some(default)) = (&value, options.default_value) {
            return Ok(Self(default()));
        }
        Ok(Self(parse(options.name, value)?))
    }
}

/// The value of a parameter in a query: <https://url.spec.whatwg.org/#urlencoded-parsing>.
fn query_value<'a>(query: &'a str, name: &str) -> Result<Option<Cow<'a, str>>, ApiError> {
    let mut values = query.split('&').filter_map(|part| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        (decoded(key).ok()? == name).then_some(value)
    });
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match decoded(value) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(ApiError::parameter(name, &format!("`{}` is not UTF-8", excerpt(value)))),
        },
        (Some(_), Some(_)) => Err(ApiError::parameter(name, "it is there more than once")),
    }
}

fn decoded(text: &str) -> Result<Cow<'_, str>, Utf8Error> {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        return Ok(percent_decode_str(&spaced).decode_utf8()?.into_owned().into());
    }
    percent_decode_str(text).decode_utf8()
}

/// The parameter of a path that ends with it.
pub struct LastSegment<T>(pub T);

impl<'a, T: ParseFromParameter> ApiExtractor<'a> for LastSegment<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    const PARAM_IS_REQUIRED: bool = true;

    type ParamType = T;
    type ParamRawType = T::RawValueType;

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Path)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(T::schema_ref())
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        options: ExtractParamOptions<T>,
    ) -> poem::Result<Self> {
        let (_, segment) = request.uri().path().rsplit_once('/').unwrap_or_default();
        Ok(Self(parse(options.name, Some(percent_decode_str(segment).decode_utf8_lossy()))?))
    }
}

fn parse<T: ParseFromParameter>(name: &str, value: Option<Cow<'_, str>>) -> Result<T, ApiError> {
    T::parse_from_parameters(value).map_err(|error| {
        // poem-openapi puts `failed to parse "TYPE": ` before what is wrong.
        let message = error.into_message();
        let reason = message.split_once(": ").map_or(&*message, |(_, reason)| reason);
        ApiError::parameter(name, reason)
    })
}

/// The `Idempotency-Key` header.
pub struct KeyHeader(pub Option<IdempotencyKey>);

impl<'a> ApiExtractor<'a> for KeyHeader {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];

    type ParamType = String;
    type ParamRawType = String;

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Header)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        let schema = MetaSchema {
            min_length: Some(1),
            max_length: Some(KEY_BYTES_MAX),
            pattern: Some("^[ -~]+$".into()),
            ..MetaSchema::new("string")
        };
        Some(MetaSchemaRef::Inline(Box::new(schema)))
    }

    // Read by hand because poem's own header parameter passes over values that are not text.
    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        options: ExtractParamOptions<String>,
    ) -> poem::Result<Self> {
        let mut values = request.headers().get_all(options.name).iter();
        let key = match (values.next(), values.next()) {
            (None, _) => return Ok(Self(None)),
            (Some(value), None) => IdempotencyKey::parse(value.as_bytes()),
            (Some(_), Some(_)) => Err(InvalidKey),
        };
        key.map(|key| Self(Some(key))).map_err(|InvalidKey| {
            let detail = format!(
                "The header has one value of 1 to {KEY_BYTES_MAX} printable ASCII characters."
            );
            ApiError::because(Code::InvalidIdempotencyKey, detail).into()
        })
    }
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
