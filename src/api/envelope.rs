//! What every request goes through, whoever answers it: measuring, a trace id, the security
//! headers, and the error contract, for panics and the framework's own errors too.

use super::{
    App,
    error::{ApiError, Code},
    spec::Routes,
};
use crate::{
    framing::Fault,
    telemetry::{Exchange, Kind, admits, excerpt, trace_id, trace_id_of_caller},
};
use futures_util::{
    FutureExt,
    future::{BoxFuture, ready},
};
use poem::{
    Request, Response, Result,
    endpoint::DynEndpoint,
    http::{HeaderValue, Method, header, header::HeaderName},
};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};
use tracing::{Instrument, Level, Span, enabled, event};
use uuid::Uuid;

const HEADERS: [(HeaderName, &str); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    // For everything that is no page; the pages bring their own.
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
];

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
        let span = exchange.as_ref().map_or_else(Span::none, |exchange| exchange.span().clone());
        let trace_id = trace_id(&span)
            .or_else(|| trace_id_of_caller(request.headers()))
            .unwrap_or_else(new_trace_id);
        let uri = request.uri().clone();
        let method = request.method().clone();
        // A HEAD is answered like a GET; hyper leaves out the body but keeps its length.
        if method == Method::HEAD {
            request.set_method(Method::GET);
        }
        let answer = AssertUnwindSafe(|| match request.data::<Fault>() {
            None => self.inner.call(request),
            Some(Fault(detail)) => {
                let error = ApiError::because(Code::MalformedRequest, detail);
                Box::pin(ready(Err(error.into())))
            }
        });
        let answer = span.in_scope(|| catch_unwind(answer));
        let work = async move {
            let answer = match answer {
                Ok(answer) => AssertUnwindSafe(answer).catch_unwind().await,
                Err(panic) => Err(panic),
            };
            let result = match answer {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(error)) => Err(ApiError::from(error)),
                Err(panic) => Err(ApiError::internal(panic_message(panic.as_ref()))),
            };
            let (response, code) = match result {
                Ok(response) => (response, None),
                Err(error) => {
                    let route = self.routes.find(uri.path()).map(|route| route.path);
                    log(&error, &trace_id, Some((&method, uri.path())), route);
                    let allow = self.routes.allow(uri.path());
                    (error.respond(trace_id.clone(), &allow), Some(error.code.name()))
                }
            };
            if let Some(exchange) = exchange {
                exchange.end(response.status().as_u16(), code);
            }
            Ok(finish(response, &trace_id))
        };
        // Futures are large to move, and this moves one for nothing where there is no span.
        if span.is_none() { Box::pin(work) } else { Box::pin(work.instrument(span)) }
    }
}

/// The response to a request whose head was not complete in time. It is logged, but not measured:
/// neither method nor path may have arrived.
pub fn late_head(limit: Duration) -> Response {
    let detail = format!("The head of the request was not complete within {limit:?}.");
    let error = ApiError::because(Code::RequestTimeout, detail);
    let trace_id = new_trace_id();
    log(&error, &trace_id, None, None);
    finish(error.respond(trace_id.clone(), ""), &trace_id)
}

fn log(
    error: &ApiError,
    trace_id: &str,
    request: Option<(&Method, &str)>,
    route: Option<&'static str>,
) {
    // A line inside a span has its ids anyway.
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
    // Errors of the database are logged once, where they are noticed; here they are thousands.
    match status {
        500 => line!(ERROR, "Request failed"),
        501.. => line!(WARN, "Request not served"),
        _ => line!(DEBUG, "Request refused"),
    }
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

fn new_trace_id() -> String {
    // Sixteen random bytes in hexadecimal are what a UUID without hyphens looks like.
    Uuid::from_u128(fastrand::u128(1..)).simple().encode_lower(&mut [0; 32]).to_owned()
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
}
