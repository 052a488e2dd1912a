//! The middleware of every request: metrics, a trace id, security headers, and the error contract,
//! also for panics and the framework's own errors.

use super::routes::{Endpoint, Route, Routes};
use crate::{
    http::Fault,
    problem::{ApiError, Code, add_headers, answer, new_trace_id},
    telemetry::{ActiveRequest, trace_id, trace_id_of_caller},
};
use futures_util::{
    FutureExt,
    future::{BoxFuture, ready},
};
use poem::{
    Request, Response, Result,
    endpoint::DynEndpoint,
    http::{HeaderValue, Method},
};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};
use tracing::{Instrument, Span};

/// The endpoints of one port. It never fails: errors become responses.
pub struct App {
    routes: Routes,
    /// Rejects every request with this code except `/livez`: a restart would not reduce the load.
    refusal: Option<Code>,
}

impl App {
    pub const fn new(routes: Routes) -> Self {
        Self { routes, refusal: None }
    }

    /// Rejects every request with `code`.
    pub const fn refusing(routes: Routes, code: Code) -> Self {
        Self { routes, refusal: Some(code) }
    }

    /// Returns the endpoint for a request.
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

impl DynEndpoint for App {
    type Output = Response;

    /// Passes the request on before it creates a future: a request is large, and a future keeps its
    /// captures until it ends.
    fn call(&self, mut request: Request) -> BoxFuture<'_, Result<Response>> {
        let uri = request.uri().clone();
        let method = request.method().clone();
        let route = self.routes.find(uri.path());
        let active = begin(&request, route);
        let span = active.as_ref().map_or_else(Span::none, |active| active.span().clone());
        let trace_id = id_of(&request, &span);
        // HEAD is handled like GET; hyper omits the body but keeps its length.
        if method == Method::HEAD {
            request.set_method(Method::GET);
        }
        let result = AssertUnwindSafe(|| match self.endpoint(&request, route) {
            Ok(endpoint) => endpoint.call(request),
            Err(error) => Box::pin(ready(Err(error.into()))),
        });
        let result = span.in_scope(|| catch_unwind(result));
        let work = async move {
            let result = match result {
                Ok(result) => AssertUnwindSafe(result).catch_unwind().await,
                Err(panic) => Err(panic),
            };
            let result = match result {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(error)) => Err(ApiError::from(error)),
                Err(panic) => Err(ApiError::internal(panic_message(panic.as_ref()))),
            };
            let (response, code) = match result {
                Ok(response) => (response, None),
                Err(error) => {
                    let allow = route.map(Route::allow).unwrap_or_default();
                    let (request, route) = ((&method, uri.path()), route.map(|route| route.path));
                    let response = answer(&error, &trace_id, Some(request), route, &allow);
                    (response, Some(error.code.name()))
                }
            };
            if let Some(active) = active {
                active.end(response.status().as_u16(), code);
            }
            Ok(add_headers(response, trace_id))
        };
        // Instrumenting moves the large future, which would be wasted without a span.
        if span.is_none() { Box::pin(work) } else { Box::pin(work.instrument(span)) }
    }
}

/// Begins to measure, except for operations endpoints.
fn begin(request: &Request, route: Option<&Route>) -> Option<ActiveRequest> {
    if route.is_some_and(|route| route.for_operators) {
        return None;
    }
    Some(ActiveRequest::begin(request, route.map(|route| route.path)))
}

/// Returns the id that identifies a request in its response and the log.
fn id_of(request: &Request, span: &Span) -> HeaderValue {
    let known = trace_id(span).or_else(|| trace_id_of_caller(request.headers()));
    known.and_then(|id| id.try_into().ok()).unwrap_or_else(new_trace_id)
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic")
}

#[cfg(test)]
mod tests {
    use super::*;
    use poem::EndpointExt;

    /// Panics before it returns a future.
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
            let response =
                App::new([route].into_iter().collect()).call(Request::default()).await.unwrap();
            assert_eq!(response.status(), 500);
            assert!(response.headers().contains_key("x-request-id"));
            let body = response.into_body().into_string().await.unwrap();
            assert!(body.contains(r#""code":"internal""#) && !body.contains("secret"), "{body}");
        }
    }
}
