//! The error type of handlers, and the problem body that every error response has.

use super::codes::Code;
use crate::store::StoreError;
use bytes::Bytes;
use poem::{
    Response,
    error::ResponseError,
    http::{HeaderValue, StatusCode, header},
};
use poem_openapi::{Object, error::ContentTypeError};
use serde::Serialize;
use std::fmt;

/// The page that explains the codes. An error's `type` is this URL followed by the code.
pub const ERROR_PAGE: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/errors.md#");

/// How long a client should wait after a 503, in seconds. Most faults last no longer.
const RETRY_AFTER_SECONDS: u16 = 1;

/// One invalid field.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize)]
pub struct FieldError {
    /// The member of the body, or the name of the parameter.
    pub field: String,
    /// A stable code for the error.
    pub code: String,
    /// A description for humans.
    pub detail: String,
}

/// An error in the format of RFC 9457 (Problem Details).
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize)]
pub struct Problem {
    /// The URL of a page that explains this error.
    #[oai(rename = "type")]
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of error, for humans.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The details of this occurrence, for humans.
    pub detail: String,
    /// The kind of error, for programs. Stable.
    pub code: String,
    /// Always true.
    pub error: bool,
    /// Identifies this request in the server's log. Also in the `X-Request-Id` header.
    pub trace_id: String,
    /// The invalid fields. Only present when fields are validated.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<Vec<FieldError>>,
}

/// An error of a handler. The client gets the code and the detail; the log also gets the cause.
#[derive(Debug)]
pub struct ApiError {
    pub code: Code,
    detail: Option<String>,
    errors: Vec<FieldError>,
    cause: Option<String>,
    /// The supported content codings, if the body's coding is unsupported.
    accept_encoding: Option<&'static str>,
}

impl ApiError {
    pub fn because(code: Code, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..code.into() }
    }

    /// An error about one field of the body, or about a parameter.
    pub fn field(code: Code, field: &str, detail: &str) -> Self {
        let (field, detail) = (field.to_owned(), detail.to_owned());
        let error = FieldError { field, code: code.name().to_owned(), detail: detail.clone() };
        Self { errors: vec![error], ..Self::because(code, detail) }
    }

    /// Adds the field errors of `other`; the code of `self` stays the code of the whole response.
    pub fn with_fields_of(mut self, other: Self) -> Self {
        self.errors.extend(other.errors);
        self
    }

    /// An error about a body's content coding. Only then does the response list the supported
    /// codings (RFC 9110, section 12.5.3).
    pub fn content_coding(detail: impl Into<String>, taken: &'static str) -> Self {
        let error = Self::because(Code::UnsupportedMediaType, detail);
        Self { accept_encoding: Some(taken), ..error }
    }

    /// An error about a parameter of the URL; `reason` is a clause without a full stop.
    pub fn parameter(name: &str, reason: &str) -> Self {
        let detail = format!("The parameter `{name}` is invalid: {reason}.");
        Self::field(Code::InvalidParameter, name, &detail)
    }

    /// A bug or an unexpected failure of this server. Only the log gets the cause.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self { cause: Some(cause.to_string()), ..Code::Internal.into() }
    }

    /// The cause to log, or else the detail.
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref().or(self.detail.as_deref())
    }

    pub fn problem(&self, trace_id: String) -> Problem {
        let code = self.code;
        Problem {
            kind: format!("{ERROR_PAGE}{}", code.name()),
            title: code.title().to_owned(),
            status: code.status(),
            detail: self.detail.clone().unwrap_or_else(|| format!("{}.", code.title())),
            code: code.name().to_owned(),
            error: true,
            trace_id,
            errors: (!self.errors.is_empty()).then(|| self.errors.clone()),
        }
    }

    /// Builds the response. `allow` lists the methods that the path supports, for a 405.
    pub fn respond(&self, trace_id: &str, allow: &str) -> Response {
        let body = json_line(&self.problem(trace_id.to_owned()))
            .expect("strings and numbers have JSON forms");
        let mut response = Response::builder()
            .status(self.status())
            .header(header::CONTENT_TYPE, "application/problem+json")
            .header(header::CACHE_CONTROL, "no-store")
            .body(body);
        let headers = response.headers_mut();
        match self.code {
            Code::MethodNotAllowed => {
                let allow = HeaderValue::from_str(allow);
                headers.insert(header::ALLOW, allow.unwrap_or(HeaderValue::from_static("")));
            }
            Code::DatabaseUnavailable | Code::Overloaded | Code::Draining => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS.into());
            }
            // The rest of the request may still arrive, or its end is unknown: the connection
            // cannot be reused.
            Code::MalformedRequest
            | Code::BodyTooLarge
            | Code::HeadTooLarge
            | Code::RequestTimeout => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        if let Some(taken) = self.accept_encoding {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(taken));
        }
        response
    }
}

impl From<Code> for ApiError {
    fn from(code: Code) -> Self {
        Self { code, detail: None, errors: Vec::new(), cause: None, accept_encoding: None }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let code = match error {
            StoreError::TextTooLong { bytes_max } => {
                let detail =
                    format!("This server's database accepts texts of at most {bytes_max} bytes.");
                return Self::because(Code::TextTooLong, detail);
            }
            StoreError::Overloaded => Code::Overloaded,
            StoreError::Closed => Code::Draining,
            StoreError::Unavailable(_) => Code::DatabaseUnavailable,
            StoreError::DeadlineExceeded => Code::DeadlineExceeded,
            StoreError::Internal(_) => Code::Internal,
        };
        Self { cause: Some(error.to_string()), ..code.into() }
    }
}

/// Maps the errors of poem and its extractors to codes of the contract.
impl From<poem::Error> for ApiError {
    fn from(error: poem::Error) -> Self {
        if error.is::<Self>() {
            return error.downcast::<Self>().unwrap_or_else(Self::internal);
        }
        if error.is::<ContentTypeError>() {
            let detail = "The Content-Type header is missing. Send Content-Type: application/json.";
            Self::because(Code::UnsupportedMediaType, detail)
        } else if error.status().is_client_error() {
            Self::because(Code::InvalidParameter, error.to_string())
        } else {
            Self::internal(error)
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.cause().unwrap_or_default())
    }
}

impl std::error::Error for ApiError {}

impl ResponseError for ApiError {
    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// Renders a JSON body with a newline at the end, so that a terminal's prompt starts a new line.
///
/// # Errors
/// If the value cannot be serialized, which is a bug.
pub fn json_line(value: &impl Serialize) -> serde_json::Result<Bytes> {
    let mut body = serde_json::to_vec(value)?;
    body.push(b'\n');
    Ok(body.into())
}
