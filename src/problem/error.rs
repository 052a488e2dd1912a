//! What handlers fail with, and the one shape of an error's body.

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

/// Where the codes are explained; an error's `type` is this and the code.
pub const ERROR_PAGE: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/errors.md#");

/// When a client may try again after a 503, in seconds. Most troubles are over within one.
const RETRY_AFTER_SECONDS: u16 = 1;

/// One thing that is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize)]
pub struct FieldError {
    /// The member of the body or the parameter.
    pub field: String,
    /// What is wrong with it, stable.
    pub code: String,
    /// The same for people.
    pub detail: String,
}

/// An error, as RFC 9457 (Problem Details) has it.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize)]
pub struct Problem {
    /// A page about this kind of error.
    #[oai(rename = "type")]
    #[serde(rename = "type")]
    pub kind: String,
    /// What kind of error it is, for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time, for people.
    pub detail: String,
    /// What kind of error it is, for programs. Stable.
    pub code: String,
    /// Always true.
    pub error: bool,
    /// Finds this request in the server's log; also in the `X-Request-Id` header.
    pub trace_id: String,
    /// What is wrong with which field; only where fields are checked.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<Vec<FieldError>>,
}

/// What a handler fails with. The client learns the code and the detail, the log also the cause.
#[derive(Debug)]
pub struct ApiError {
    pub code: Code,
    detail: Option<String>,
    errors: Vec<FieldError>,
    cause: Option<String>,
    /// The content codings that are taken, when the body has another one.
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

    /// This error, which gives its code to the whole, and what another one says of fields.
    pub fn with_fields_of(mut self, other: Self) -> Self {
        self.errors.extend(other.errors);
        self
    }

    /// An error about a body's content coding. Only for these does the response name the codings
    /// that are taken (RFC 9110, section 12.5.3).
    pub fn content_coding(detail: impl Into<String>, taken: &'static str) -> Self {
        let error = Self::because(Code::UnsupportedMediaType, detail);
        Self { accept_encoding: Some(taken), ..error }
    }

    /// An error about a parameter of the URL; `reason` is a clause without a full stop.
    pub fn parameter(name: &str, reason: &str) -> Self {
        let detail = format!("The parameter `{name}` is not valid: {reason}.");
        Self::field(Code::InvalidParameter, name, &detail)
    }

    /// A fault of this server. The cause goes to the log only.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self { cause: Some(cause.to_string()), ..Code::Internal.into() }
    }

    /// The cause for the log, where it says more than the code.
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

    /// The response to send. `allow` has the methods that the path answers, for a 405.
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
            // The rest of the request may still be on its way, or where it ends is in doubt: the
            // connection is of no further use.
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
                    format!("This server's database takes texts of up to {bytes_max} bytes.");
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

/// What poem and its extractors fail with, in our words.
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

/// A JSON body. It ends with a newline, so that a terminal's prompt stands on a line of its own.
///
/// # Errors
/// When the value has no JSON form, which is a bug.
pub fn json_line(value: &impl Serialize) -> serde_json::Result<Bytes> {
    let mut body = serde_json::to_vec(value)?;
    body.push(b'\n');
    Ok(body.into())
}
