//! What every request goes through, whoever answers it: measuring, a trace id, the security
//! headers, and the error contract, for panics and the framework's own errors too.

use super::{App, error::ApiError, spec::Routes};
use crate::telemetry::Exchange;
use futures_util::{FutureExt, future::BoxFuture};
use opentelemetry::{Context, context::FutureExt as _, trace::TraceContextExt};
use poem::{
    Request, Response, Result,
    endpoint::DynEndpoint,
    http::{HeaderMap, HeaderValue, Method, header, header::HeaderName},
};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};
use tracing::{error, info, warn};
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
    routes: Routes,
}

impl Envelope {
    /// `routes` are those of the application.
    pub fn around(inner: App, routes: Routes) -> App {
        Box::new(Self { inner, routes })
    }

    /// Begins to measure, unless only operators ask.
    fn begin(&self, request: &Request) -> Option<Exchange> {
        let route = self.routes.find(request.uri().path());
        if route.is_some_and(|route| route.for_operators) {
            return None;
        }
        Some(Exchange::begin(request, route.map(|route| route.path)))
    }
}

impl DynEndpoint for Envelope {
    type Output = Response;

    /// The request is passed on before a future is made, because a future keeps what it was given
    /// until it ends, and a request is large.
    fn call(&self, mut request: Request) -> BoxFuture<'_, Result<Response>> {
        let exchange = self.begin(&request);
        let context = exchange.as_ref().and_then(Exchange::context).cloned();
        let trace_id = trace_id(request.headers(), context.as_ref());
        let uri = request.uri().clone();
        let method = request.method().clone();
        // A HEAD is answered like a GET; hyper leaves out the body but keeps its length.
        if method == Method::HEAD {
            request.set_method(Method::GET);
        }
        let answer = catch_unwind(AssertUnwindSafe(|| self.inner.call(request)));
        Box::pin(async move {
            let answer = match (answer, &context) {
                (Ok(answer), None) => AssertUnwindSafe(answer).catch_unwind().await,
                (Ok(answer), Some(context)) => {
                    AssertUnwindSafe(answer.with_context(context.clone())).catch_unwind().await
                }
                (Err(panic), _) => Err(panic),
            };
            let result = match answer {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(error)) => Err(ApiError::from(error)),
                Err(panic) => Err(ApiError::internal(panic_message(panic.as_ref()))),
            };
            let (response, code) = match result {
                Ok(response) => (response, None),
                Err(error) => {
                    log(&error, &trace_id, context, &method, uri.path());
                    let allow = self.routes.allow(uri.path());
                    (error.respond(trace_id.clone(), &allow), Some(error.code.name()))
                }
            };
            if let Some(exchange) = exchange {
                exchange.end(response.status().as_u16(), code);
            }
            Ok(finish(response, &trace_id))
        })
    }
}

fn log(error: &ApiError, trace_id: &str, context: Option<Context>, method: &Method, path: &str) {
    let span_id =
        context.as_ref().map(|context| context.span().span_context().span_id().to_string());
    // What goes to a collector gets the ids from here.
    let _context = context.map(Context::attach);
    let (code, status) = (error.code.name(), error.code.status());
    let cause = error.cause().map(shortened);
    macro_rules! line {
        ($level:ident, $text:literal) => {
            $level!(
                trace_id,
                span_id,
                http.request.method = shortened(method.as_str()),
                // A path may be as long as a head; the log needs only enough to recognise it.
                url.path = shortened(path),
                http.response.status_code = status,
                code,
                cause,
                $text
            )
        };
    }
    // Trouble of the database is an error once, where it is noticed; here it is thousands.
    match status {
        500 => line!(error, "Request failed"),
        501.. => line!(warn, "Request not served"),
        _ => line!(info, "Request refused"),
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

/// The trace id of the request's span, else of the caller's `traceparent` header, or a new one.
fn trace_id(headers: &HeaderMap, context: Option<&Context>) -> String {
    if let Some(context) = context {
        return context.span().span_context().trace_id().to_string();
    }
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
            let app = Envelope::around(inner, Routes::default());
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
