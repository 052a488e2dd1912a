//! One request and its answer, measured and traced.

use super::{instruments::meter, series::Labels, spans};
use opentelemetry::KeyValue;
use poem::Request;
use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Instant,
};
use tracing::Span;

/// The methods that the semantic conventions name, and what stands for all others, so that a client
/// cannot make labels.
const METHODS: [&str; 10] =
    ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE", "_OTHER"];

/// Requests under way, by method.
static ACTIVE: [AtomicI64; METHODS.len()] = [const { AtomicI64::new(0) }; METHODS.len()];

pub fn observe_active_requests() {
    meter()
        .i64_observable_up_down_counter("http.server.active_requests")
        .with_unit("{request}")
        .with_description("Requests under way")
        .with_callback(|observer| {
            for (method, active) in METHODS.into_iter().zip(&ACTIVE) {
                let active = active.load(Ordering::Relaxed);
                let labels = [
                    KeyValue::new("http.request.method", method),
                    KeyValue::new("url.scheme", "http"),
                ];
                observer.observe(active, &labels);
            }
        })
        .build();
}

/// Measures from when it is made until it is ended. Dropped before that, the request was cut off:
/// stopping took too long, or its connection failed.
#[derive(Debug)]
pub struct Exchange {
    begun: Instant,
    method: usize,
    route: Option<&'static str>,
    status: Option<u16>,
    code: Option<&'static str>,
    span: Span,
}

impl Exchange {
    /// `route` is the template of the path, if it has one.
    pub fn begin(request: &Request, route: Option<&'static str>) -> Self {
        let name = request.method().as_str();
        let method = METHODS.iter().position(|known| *known == name).unwrap_or(METHODS.len() - 1);
        ACTIVE[method].fetch_add(1, Ordering::Relaxed);
        let span = spans::request(request, METHODS[method], route);
        Self { begun: Instant::now(), method, route, status: None, code: None, span }
    }

    /// What the work on the request is part of. There is none where requests are not traced.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// `code` is that of an error.
    pub fn end(mut self, status: u16, code: Option<&'static str>) {
        (self.status, self.code) = (Some(status), code);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        ACTIVE[self.method].fetch_sub(1, Ordering::Relaxed);
        let error = if self.status.is_none() { Some("canceled") } else { self.code };
        let labels =
            Labels { method: METHODS[self.method], route: self.route, status: self.status, error };
        labels.record(self.begun.elapsed().as_secs_f64());
        spans::end_request(&self.span, self.status, error);
    }
}
