//! What every request goes through, whoever answers it: a trace id, the security headers, and the
//! error contract, for panics and the framework's own errors too.

use super::{App, error::ApiError, spec::RoutePattern};
use futures_util::{FutureExt, future::BoxFuture};
use poem::{
    Request, Response, Result,
    endpoint::DynEndpoint,
    http::{HeaderMap, HeaderValue, Method, header, header::HeaderName},
};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};
use tracing::{error, info, info_span, warn};
use uuid::Uuid;

const HEADERS: [(HeaderName, &str); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    // For everything that is no page; the pages bring their own.
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
];

/// Most bytes of what a client sent that are logged at a time.
const LOGGED_BYTES_MAX: usize = 256;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub struct Envelope {
    inner: App,
    routes: Vec<RoutePattern>,
}

impl Envelope {
    /// `routes` is what the `Allow` header of a 405 is made from.
    pub fn around(inner: App, routes: Vec<RoutePattern>) -> App {
        Box::new(Self { inner, routes })
    }

    fn allow(&self, path: &str) -> String {
        let mut methods: Vec<&str> = Vec::new();
        for route in self.routes.iter().filter(|route| route.matches(path)) {
            methods.push(route.method.as_str());
            if route.method == Method::GET {
                methods.push("HEAD");
            }
        }
        methods.join(", ")
    }
}

impl DynEndpoint for Envelope {
    type Output = Response;

    /// The request is passed on before a future is made, because a future keeps what it was given
    /// until it ends, and a request is large.
    fn call(&self, mut request: Request) -> BoxFuture<'_, Result<Response>> {
        let trace_id = trace_id(request.headers());
        let uri = request.uri().clone();
        let method = request.method().clone();
        // A HEAD is answered like a GET; hyper leaves out the body but keeps its length.
        if method == Method::HEAD {
            request.set_method(Method::GET);
        }
        let answer = catch_unwind(AssertUnwindSafe(|| self.inner.call(request)));
        Box::pin(async move {
            let answer = match answer {
                Ok(answer) => AssertUnwindSafe(answer).catch_unwind().await,
                Err(panic) => Err(panic),
            };
            let error = match answer {
                Ok(Ok(response)) => return Ok(finish(response, &trace_id)),
                Ok(Err(error)) => ApiError::from(error),
                Err(panic) => ApiError::internal(panic_message(panic.as_ref())),
            };
            log(&error, &trace_id, &method, uri.path());
            let allow = self.allow(uri.path());
            Ok(finish(error.respond(trace_id.clone(), &allow), &trace_id))
        })
    }
}

fn log(error: &ApiError, trace_id: &str, method: &Method, path: &str) {
    // A path may be as long as a head; the log needs only enough of it to recognise it.
    let _span = info_span!(
        "request",
        trace_id,
        http.request.method = shortened(method.as_str()),
        url.path = shortened(path)
    )
    .entered();
    let (code, status) = (error.code.name(), error.code.status());
    let cause = error.cause().map(shortened);
    // Trouble of the database is an error once, where it is noticed; here it is thousands.
    match status {
        500 => error!(code, http.response.status_code = status, cause, "Request failed"),
        501.. => warn!(code, http.response.status_code = status, cause, "Request not served"),
        _ => info!(code, http.response.status_code = status, cause, "Request refused"),
    }
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(LOGGED_BYTES_MAX)]
}

fn finish(mut response: Response, trace_id: &str) -> Response {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if let Ok(value) = HeaderValue::from_str(trace_id) {
        headers.insert(REQUEST_ID, value);
    }
    response
}

/// The trace id of the caller's `traceparent` header, or a new one.
fn trace_id(headers: &HeaderMap) -> String {
    headers
        .get("traceparent")
        .and_then(|value| value.to_str().ok())
        .and_then(trace_id_of)
        .map_or_else(new_trace_id, str::to_owned)
}

fn new_trace_id() -> String {
    // Sixteen random bytes in hexadecimal are what a UUID without hyphens looks like.
    Uuid::from_u128(fastrand::u128(1..)).simple().encode_lower(&mut [0; 32]).to_owned()
}

/// `00-{trace id}-{parent id}-{flags}`, see
/// <https://www.w3.org/TR/trace-context/#traceparent-header>.
fn trace_id_of(traceparent: &str) -> Option<&str> {
    let is_hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut parts = traceparent.split('-');
    let (version, trace, parent) = (parts.next()?, parts.next()?, parts.next()?);
    let valid = version.len() == 2
        && version != "ff"
        && trace.len() == 32
        && parent.len() == 16
        && parts.next()?.len() == 2
        && is_hex(version)
        && is_hex(trace)
        && is_hex(parent)
        && trace.bytes().any(|b| b != b'0');
    valid.then_some(trace)
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic")
}

#[cfg(test)]
mod tests {
    use super::*;
    use poem::EndpointExt;

    /// Panics before it makes a future.
    struct PanicsAtOnce;

    impl DynEndpoint for PanicsAtOnce {
        type Output = Response;

        fn call(&self, _: Request) -> BoxFuture<'_, Result<Response>> {
            panic!("secret")
        }
    }

    #[tokio::test]
    async fn a_panic_becomes_an_internal_error_without_details() {
        let panics_later = poem::endpoint::make(|_| async { panic!("secret") as Response });
        for inner in [panics_later.boxed(), Box::new(PanicsAtOnce)] {
            let app = Envelope::around(inner, Vec::new());
            let response = app.call(Request::default()).await.unwrap();
            assert_eq!(response.status(), 500);
            assert!(response.headers().contains_key(REQUEST_ID));
            let body = response.into_body().into_string().await.unwrap();
            assert!(body.contains(r#""code":"internal""#) && !body.contains("secret"), "{body}");
        }
    }

    #[test]
    fn only_a_well_formed_traceparent_is_taken_over() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(trace_id_of(&format!("00-{id}-00f067aa0ba902b7-01")), Some(id));
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        ] {
            assert_eq!(trace_id_of(bad), None, "{bad}");
        }
    }
}
