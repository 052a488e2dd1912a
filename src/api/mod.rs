//! The HTTP table of contents: which endpoints there are, and what is around all of them.
//!
//! - `messages.rs` with `message_to_post.rs`, `users.rs`: the endpoints for people
//! - `health.rs`, `stats.rs`, `metrics.rs`: the endpoints for those who run it
//! - `pages.rs`, `spec.rs`: the pages for people and the OpenAPI document
//! - `error.rs`, `failure.rs`: the error contract, and how an endpoint declares its part of it
//! - `parameter.rs`, `payload.rs`, `listing.rs`: what requests and answers carry
//! - `envelope.rs`: what every request goes through

mod envelope;
mod error;
mod failure;
mod health;
mod listing;
mod message_to_post;
mod messages;
mod metrics;
mod pages;
mod parameter;
mod payload;
mod spec;
mod stats;
mod users;

pub use envelope::late_head;
pub use error::Code;
pub use payload::RequestLimits;
pub use spec::document;

use crate::{health::Health, store::Store, telemetry::Stats};
use envelope::Envelope;
use health::HealthApi;
use messages::MessagesApi;
use metrics::MetricsApi;
use pages::{Page, Pages, dashboard, guide};
use poem::{EndpointExt, IntoEndpoint, Request, Response, endpoint::BoxEndpoint};
use poem_openapi::{OpenApi, OpenApiService, Tags};
use spec::Routes;
use stats::StatsApi;
use std::sync::Arc;
use users::UsersApi;

/// An application that a listener can serve.
pub type App = BoxEndpoint<'static, Response>;

#[derive(Tags)]
enum Tag {
    /// Post and read messages.
    Messages,
    /// The users who have posted.
    Users,
    /// For operators: probes and measurements.
    Operations,
}

/// What the endpoints work with.
pub struct Parts {
    pub store: Arc<Store>,
    pub health: Arc<Health>,
    pub limits: RequestLimits,
    pub stats: Arc<Stats>,
}

/// The operations endpoints.
type OperationsApi = (HealthApi, StatsApi, MetricsApi);

/// Everything on one port.
pub fn all(parts: &Parts) -> App {
    with_guide((messages(parts), users(parts), operations(parts)), true)
}

/// What is left on the public port when the operations endpoints have one of their own.
pub fn public(parts: &Parts) -> App {
    with_guide((messages(parts), users(parts)), false)
}

/// The operations endpoints alone, and the dashboard that draws what they say.
pub fn ops(parts: &Parts) -> App {
    with_pages(operations(parts), dashboard(false))
}

/// Answers every request with the same error; for connections beyond the limit. All but the
/// question whether the process is alive: it is, and being restarted would not make it less busy.
pub fn refusing(parts: &Parts, code: Code) -> App {
    let live = Arc::new(endpoint(operations(parts)));
    let refuse = poem::endpoint::make(move |request: Request| {
        let live = Arc::clone(&live);
        async move {
            match request.uri().path() {
                "/livez" => live.call(request).await,
                _ => Err(error::ApiError::from(code).into()),
            }
        }
    });
    Envelope::around(refuse.boxed(), Routes::of::<(MessagesApi, UsersApi, OperationsApi)>())
}

fn with_guide<T: OpenApi + 'static>(api: T, has_dashboard: bool) -> App {
    let mut pages = guide::<T>(has_dashboard);
    if has_dashboard {
        pages.extend(dashboard(true));
    }
    with_pages(api, pages)
}

fn with_pages<T: OpenApi + 'static>(api: T, pages: Vec<Page>) -> App {
    let mut routes = Routes::of::<T>();
    let app = Pages::new(pages, endpoint(api));
    routes.extend(app.routes());
    Envelope::around(Box::new(app), routes)
}

fn endpoint<T: OpenApi + 'static>(api: T) -> App {
    OpenApiService::new(api, env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).into_endpoint()
}

fn messages(parts: &Parts) -> MessagesApi {
    MessagesApi { store: Arc::clone(&parts.store), limits: parts.limits }
}

fn users(parts: &Parts) -> UsersApi {
    UsersApi { store: Arc::clone(&parts.store), limits: parts.limits }
}

fn operations(parts: &Parts) -> OperationsApi {
    let (health, stats) = (Arc::clone(&parts.health), Arc::clone(&parts.stats));
    let registry = stats.registry().clone();
    (HealthApi { health: Arc::clone(&health) }, StatsApi { stats, health }, MetricsApi { registry })
}
