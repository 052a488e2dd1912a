//! What every request goes through, whoever answers it: measuring, a trace id, the security
//! headers, and the error contract, for panics and the framework's own errors too.

use super::{
    error::{ApiError, Code},
    routes::{Endpoint, Route, Routes},
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
    Request, Response,
    http::{HeaderValue, Method, header, header::HeaderName},
};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};
use tracing::{Instrument, Level, Span, enabled, event};
use uuid::Uuid;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// An application that a listener can serve.
pub struct App {
    routes: Routes,
    /// Answers every request, but the question whether the process is alive: being restarted would
    /// not make it less busy.
    refusal: Option<Code>,
}

impl App {
    pub const fn new(routes: Routes) -> Self {
        Self { routes, refusal: None }
    }

    /// Answers with an error.
    pub const fn refusing(routes: Routes, code: Code) -> Self {
        Self { routes, refusal: Some(code) }
    }

    /// The request is passed on before a future is made, because a future keeps what it was given
    /// until it ends, and a request is large.
    pub fn call(&self, mut request: Request) -> BoxFuture<'_, Response> {
        let uri = request.uri().clone();
        let method = request.method().clone();
        let route = self.routes.find(uri.path());
        let exchange = begin(&request, route);
        let span = exchange.as_ref().map_or_else(Span::none, |exchange| exchange.span().clone());
        let trace_id = id_of(&request, &span);
        // A HEAD is answered like a GET; hyper leaves out the body but keeps its length.
        if method == Method::HEAD {
            request.set_method(Method::GET);
        }
        let answer = AssertUnwindSafe(|| match self.endpoint(&request, route) {
            Ok(endpoint) => endpoint.call(request),
            Err(error) => Box::pin(ready(Err(error.into()))),
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
                    log(&error, text(&trace_id), Some((&method, uri.path())), route);
                    let allow = route.map(Route::allow).unwrap_or_default();
                    (error.respond(text(&trace_id), &allow), Some(error.code.name()))
                }
            };
            if let Some(exchange) = exchange {
                exchange.end(response.status().as_u16(), code);
            }
            finish(response, trace_id)
        };
        // Futures are large to move, and this moves one for nothing where there is no span.
        if span.is_none() { Box::pin(work) } else { Box::pin(work.instrument(span)) }
    }

    /// What answers a request.
    fn endpoint<'a>(
        &'a self,
        request: &Request,
        route: Option<&'a Route>,
    ) -> Result<&'a Endpoint, ApiError> {
        if let Some(Fault(detail)) = request.data() {
            return Err(ApiError::because(Code::MalformedRequest, detail));
        }
        if let Some(code) = self.refusal
            && request.uri().path() != "/livez"
        {
            return Err(code.into());
        }
        let route = route.ok_or(Code::RouteNotFound)?;
        Ok(route.endpoint(request.method()).ok_or(Code::MethodNotAllowed)?)
    }
}

/// Begins to measure, unless only operators ask.
fn begin(request: &Request, route: Option<&Route>) -> Option<Exchange> {
    if route.is_some_and(|route| route.for_operators) {
        return None;
    }
    Some(Exchange::begin(request, route.map(|route| route.path)))
}

/// The response to a head that was late or cannot be read. It is logged, but not measured: neither
/// method nor path may have arrived.
pub fn refuse_head(code: Code, detail: String) -> Response {
    let error = ApiError::because(code, detail);
    let trace_id = new_trace_id();
    log(&error, text(&trace_id), None, None);
    finish(error.respond(text(&trace_id), ""), trace_id)
}

fn log(error: &ApiError, trace_id: &str, request: Option<(&Method, &str)>, route: Option<&Route>) {
    let route = route.map(|route| route.path);
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

fn finish(mut response: Response, trace_id: HeaderValue) -> Response {
    let headers = response.headers_mut();
    let nosniff = const { HeaderValue::from_static("nosniff") };
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    let no_referrer = const { HeaderValue::from_static("no-referrer") };
    headers.insert(header::REFERRER_POLICY, no_referrer);
    // For everything that is no page; the pages bring their own.
    let policy = const { HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'") };
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(policy);
    headers.insert(REQUEST_ID, trace_id);
    response
}

/// The id by which a request is found, as the response has it.
fn id_of(request: &Request, span: &Span) -> HeaderValue {
    let known = trace_id(span).or_else(|| trace_id_of_caller(request.headers()));
    known.and_then(|id| id.try_into().ok()).unwrap_or_else(new_trace_id)
}

fn new_trace_id() -> HeaderValue {
    // Sixteen random bytes in hexadecimal are what a UUID without hyphens looks like.
    let id = Uuid::from_u128(fastrand::u128(1..)).simple();
    HeaderValue::from_str(id.encode_lower(&mut [0; 32])).expect("digits and letters")
}

fn text(trace_id: &HeaderValue) -> &str {
    trace_id.to_str().unwrap_or_default()
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic")
}

#[cfg(test)]
mod tests {
    use super::*;
    use poem::{EndpointExt, Result, endpoint::DynEndpoint};

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
        for endpoint in [panics_later.boxed(), Box::new(PanicsAtOnce)] {
            let route = Route::get("/", endpoint);
            let response = App::new([route].into_iter().collect()).call(Request::default()).await;
            assert_eq!(response.status(), 500);
            assert!(response.headers().contains_key(REQUEST_ID));
            let body = response.into_body().into_string().await.unwrap();
            assert!(body.contains(r#""code":"internal""#) && !body.contains("secret"), "{body}");
        }
    }
}
