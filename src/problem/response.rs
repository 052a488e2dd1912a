//! Turns errors into responses and log lines, and adds the headers that every response has.

use super::{codes::Code, error::ApiError};
use crate::telemetry::{Kind, admits, excerpt};
use poem::{
    Response,
    http::{HeaderName, HeaderValue, Method, header},
};
use tracing::{Level, Span, enabled, event};
use uuid::Uuid;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Returns the response to a head that was late or malformed. It is logged but not measured: the
/// method and the path may not have arrived.
pub fn refuse_head(code: Code, detail: String) -> Response {
    let (error, trace_id) = (ApiError::because(code, detail), new_trace_id());
    add_headers(answer(&error, &trace_id, None, None, ""), trace_id)
}

/// Logs an error and returns its response. `request` is the method and path, `route` the template
/// of the path, `allow` the methods that the path supports.
pub fn answer(
    error: &ApiError,
    trace_id: &HeaderValue,
    request: Option<(&Method, &str)>,
    route: Option<&'static str>,
    allow: &str,
) -> Response {
    let trace_id = trace_id.to_str().unwrap_or_default();
    log(error, trace_id, request, route);
    error.respond(trace_id, allow)
}

/// Adds the headers that every response has.
pub fn add_headers(mut response: Response, trace_id: HeaderValue) -> Response {
    let headers = response.headers_mut();
    let nosniff = const { HeaderValue::from_static("nosniff") };
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    let no_referrer = const { HeaderValue::from_static("no-referrer") };
    headers.insert(header::REFERRER_POLICY, no_referrer);
    // For everything except the HTML pages, which set their own policy.
    let policy = const { HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'") };
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(policy);
    headers.insert(REQUEST_ID, trace_id);
    response
}

/// Creates an id for a request without one.
pub fn new_trace_id() -> HeaderValue {
    // A UUID without hyphens has the form of a trace id: sixteen bytes in hexadecimal.
    let id = Uuid::from_u128(fastrand::u128(1..)).simple();
    HeaderValue::from_str(id.encode_lower(&mut [0; 32])).expect("digits and letters")
}

fn log(
    error: &ApiError,
    trace_id: &str,
    request: Option<(&Method, &str)>,
    route: Option<&'static str>,
) {
    // Lines inside a span already have its ids.
    let trace_id = Span::current().is_none().then_some(trace_id);
    let (code, status) = (error.code.name(), error.code.status());
    let cause = error.cause().map(excerpt);
    let (method, path) =
        request.map(|(method, path)| (excerpt(method.as_str()), excerpt(path))).unzip();
    macro_rules! line {
        ($level:ident, $message:literal) => {
            if enabled!(Level::$level)
                && admits(Kind { level: Level::$level, message: $message, code: Some(code), route })
            {
                event!(
                    Level::$level,
                    trace_id,
                    http.request.method = method.as_deref(),
                    url.path = path.as_deref(),
                    http.response.status_code = status,
                    code,
                    cause = cause.as_deref(),
                    $message
                );
            }
        };
    }
    // The store logs a database error once; here it would be logged for each of many requests.
    match status {
        500 => line!(ERROR, "Request failed"),
        501.. => line!(WARN, "Request not served"),
        _ => line!(DEBUG, "Request refused"),
    }
}
