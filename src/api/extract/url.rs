//! Extracts parameters from request URLs and rejects invalid ones.

use crate::{http::is_encoded, message::MessageId, problem::ApiError, telemetry::excerpt};
use percent_encoding::percent_decode_str;
use poem::{Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchema, MetaSchemaRef},
    types::{self, ParseError, ParseFromParameter, ParseResult, ToJSON},
};
use std::{borrow::Cow, marker::PhantomData};

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug)]
pub struct BoundedInt<const MIN: i64, const MAX: i64>(pub i64);

impl<const MIN: i64, const MAX: i64> BoundedInt<MIN, MAX> {
    /// The maximum, as a default.
    pub const fn greatest() -> Self {
        Self(MAX)
    }

    /// The number as a count.
    pub fn count(self) -> u32 {
        self.0.try_into().unwrap_or(u32::MAX)
    }
}

/// A possible id: a number without a message is valid too.
pub type Id = BoundedInt<0, { MessageId::MAX }>;

// The trait is not imported: its `is_empty` would shadow that of strings.
impl<const MIN: i64, const MAX: i64> types::Type for BoundedInt<MIN, MAX> {
    const IS_REQUIRED: bool = true;

    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        format!("whole number from {MIN} to {MAX}").into()
    }

    fn schema_ref() -> MetaSchemaRef {
        // Many tools read JSON numbers as doubles and would round the maximum up.
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

/// For the default value in the OpenAPI document.
impl<const MIN: i64, const MAX: i64> ToJSON for BoundedInt<MIN, MAX> {
    fn to_json(&self) -> Option<serde_json::Value> {
        Some(self.0.into())
    }
}

impl<const MIN: i64, const MAX: i64> ParseFromParameter for BoundedInt<MIN, MAX> {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        // No sign, so that each number has one form.
        let number = value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse());
        match number {
            Some(Ok(number)) if (MIN..=MAX).contains(&number) => Ok(Self(number)),
            _ => Err(ParseError::custom(format!("it must be a {}", <Self as types::Type>::name()))),
        }
    }
}

/// A URL parameter that an endpoint declares.
pub struct Parameter<P, T>(pub T, PhantomData<P>);

/// A query parameter.
pub type Query<T> = Parameter<InQuery, T>;

/// The parameter at the end of a path.
pub type LastSegment<T> = Parameter<InPath, T>;

/// The part of a URL that holds a parameter.
pub trait Place: Send {
    const IN: MetaParamIn;

    fn value<'a>(request: &'a Request, name: &str) -> Result<Option<Cow<'a, str>>, ApiError>;
}

/// Rejects values that are not UTF-8, and repeated parameters, whose meaning is ambiguous.
pub enum InQuery {}

impl Place for InQuery {
    const IN: MetaParamIn = MetaParamIn::Query;

    // Most requests have no query, and an endpoint asks for up to three of its parameters.
    #[inline]
    fn value<'a>(request: &'a Request, name: &str) -> Result<Option<Cow<'a, str>>, ApiError> {
        request.uri().query().map_or(Ok(None), |query| query_value(query, name))
    }
}

pub enum InPath {}

impl Place for InPath {
    const IN: MetaParamIn = MetaParamIn::Path;

    fn value<'a>(request: &'a Request, _: &str) -> Result<Option<Cow<'a, str>>, ApiError> {
        let (_, segment) = request.uri().path().rsplit_once('/').unwrap_or_default();
        Ok(Some(percent_decode_str(segment).decode_utf8_lossy()))
    }
}

impl<'a, P: Place, T: ParseFromParameter> ApiExtractor<'a> for Parameter<P, T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    const PARAM_IS_REQUIRED: bool = T::IS_REQUIRED;

    type ParamType = T;
    type ParamRawType = T::RawValueType;

    fn param_in() -> Option<MetaParamIn> {
        Some(P::IN)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(T::schema_ref())
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        options: ExtractParamOptions<T>,
    ) -> poem::Result<Self> {
        let value = P::value(request, options.name)?;
        let value = match (value, options.default_value) {
            (None, Some(default)) => default(),
            (value, _) => parse(options.name, value)?,
        };
        Ok(Self(value, PhantomData))
    }
}

/// Returns a query parameter, by <https://url.spec.whatwg.org/#urlencoded-parsing>.
fn query_value<'a>(query: &'a str, name: &str) -> Result<Option<Cow<'a, str>>, ApiError> {
    if query.contains('%') {
        check_encoding(query)?;
    }
    let mut values = query.split('&').filter_map(|part| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        (decoded(key) == name).then_some(value)
    });
    match (values.next(), values.next()) {
        (Some(_), Some(_)) => Err(ApiError::parameter(name, "it is repeated")),
        (value, _) => Ok(value.map(decoded)),
    }
}

fn decoded(text: &str) -> Cow<'_, str> {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        return percent_decode_str(&spaced).decode_utf8_lossy().into_owned().into();
    }
    percent_decode_str(text).decode_utf8_lossy()
}

/// Rejects a query that is not percent-encoded UTF-8, even in unknown parameters: the broken part
/// may be the name of a known one.
fn check_encoding(query: &str) -> Result<(), ApiError> {
    for parameter in query.split('&') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        for (what, text) in [("its name", name), ("its value", value)] {
            let wrong = if !is_encoded(text.as_bytes()) {
                "has a percent sign without two hexadecimal digits; encode `%` as `%25`"
            } else if percent_decode_str(text).decode_utf8().is_err() {
                "is not UTF-8"
            } else {
                continue;
            };
            let reason = format!("{what} `{}` {wrong}", excerpt(text));
            return Err(ApiError::parameter(&excerpt(name), &reason));
        }
    }
    Ok(())
}

fn parse<T: ParseFromParameter>(name: &str, value: Option<Cow<'_, str>>) -> Result<T, ApiError> {
    T::parse_from_parameters(value).map_err(|error| {
        // poem-openapi puts `failed to parse "TYPE": ` before the reason, and the place after it.
        let message = error.into_message();
        let reason = message.split_once(": ").map_or(&*message, |(_, reason)| reason);
        let reason = reason.split_once(" (occurred").map_or(reason, |(reason, _)| reason);
        ApiError::parameter(name, reason)
    })
}
