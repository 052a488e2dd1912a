//! Reads request bodies within limits of size and time.

use crate::{
    config::Config,
    problem::{ApiError, Code},
    telemetry::excerpt,
};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use mime::Mime;
use poem::{
    Request, RequestBody,
    http::{HeaderMap, header},
};
use poem_openapi::{
    payload::{ParsePayload, Payload},
    registry::{MetaSchemaRef, Registry},
    types::Type,
};
use std::{marker::PhantomData, time::Duration};
use tokio::time::{Instant, timeout_at};

/// The limits of one request.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    pub body_bytes_max: usize,
    pub timeout: Duration,
}

impl RequestLimits {
    pub const fn of(config: &Config) -> Self {
        Self { body_bytes_max: config.max_body_bytes as usize, timeout: config.request_timeout }
    }

    /// The deadline of a request that begins now.
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }
}

/// A JSON body that is not read yet. `T` only provides the schema.
pub struct Unread<T> {
    body: poem::Body,
    announced: Option<u64>,
    schema: PhantomData<fn() -> T>,
}

impl<T> Unread<T> {
    /// # Errors
    /// `body_too_large`, `request_timeout`, or `malformed_json` for an incomplete body.
    pub async fn read(self, limits: RequestLimits, deadline: Instant) -> Result<Bytes, ApiError> {
        let bytes_max = limits.body_bytes_max;
        let too_large = || {
            let detail = format!("The body may have at most {bytes_max} bytes.");
            ApiError::because(Code::BodyTooLarge, detail)
        };
        // Reject a Content-Length above the limit before the client sends the body.
        if self.announced.is_some_and(|bytes| bytes > bytes_max as u64) {
            return Err(too_large());
        }
        let body = Limited::new(poem::Body::into(self.body), bytes_max);
        let body: Limited<http_body_util::combinators::BoxBody<Bytes, std::io::Error>> = body;
        match timeout_at(deadline, body.collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
            Ok(Err(_)) => Err(ApiError::because(
                Code::MalformedJson,
                "The body could not be read completely.",
            )),
            Err(_) => Err(ApiError::because(
                Code::RequestTimeout,
                format!("The body did not arrive within {:?}.", limits.timeout),
            )),
        }
    }
}

impl<T: Type> Payload for Unread<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    /// Accepts every type: `from_request` checks it, with a detailed error.
    fn check_content_type(_: &str) -> bool {
        true
    }

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type> ParsePayload for Unread<T> {
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> poem::Result<Self> {
        check_type(request.headers())?;
        check_coding(request.headers())?;
        let announced = request.header(header::CONTENT_LENGTH).and_then(|n| n.parse().ok());
        Ok(Self { body: body.take()?, announced, schema: PhantomData })
    }
}

poem_openapi::impl_apirequest_for_payload!(Unread<T>, T: Type);

fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let refuse = |what: String| {
        let detail = format!("{what} Send Content-Type: application/json and a body in UTF-8.");
        Err(ApiError::because(Code::UnsupportedMediaType, detail))
    };
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let content_type = types.next().and_then(|it| it.to_str().ok()).unwrap_or_default();
    if types.next().is_some() {
        return refuse("The Content-Type header is repeated.".to_owned());
    }
    // Nearly all clients send exactly this.
    if content_type == "application/json" {
        return Ok(());
    }
    let mime = content_type.parse::<Mime>();
    let Some(mime) = mime.ok().filter(|mime| mime.essence_str() == "application/json") else {
        return refuse(format!("The Content-Type is `{}`.", excerpt(content_type)));
    };
    let charset = mime.get_param(mime::CHARSET).map_or("utf-8", |charset| charset.as_str());
    let charset = charset.trim_matches('"');
    if ["utf-8", "utf8"].iter().any(|utf_8| charset.eq_ignore_ascii_case(utf_8)) {
        return Ok(());
    }
    refuse(format!("The charset is `{}`, but JSON must be UTF-8.", excerpt(charset)))
}

/// Rejects compressed bodies: a few kilobytes can decompress to gigabytes.
fn check_coding(headers: &HeaderMap) -> Result<(), ApiError> {
    let codings = headers.get_all(header::CONTENT_ENCODING);
    let Some(coding) = codings.iter().find(|it| !it.as_bytes().eq_ignore_ascii_case(b"identity"))
    else {
        return Ok(());
    };
    let coding = String::from_utf8_lossy(coding.as_bytes());
    let detail = format!(
        "The Content-Encoding is `{}`. Send the body uncompressed, without that header.",
        excerpt(&coding)
    );
    Err(ApiError::content_coding(detail, "identity"))
}
