//! The HTTP table of contents: which endpoints there are, and what is around all of them.
//!
//! - `messages.rs` with `message_to_post.rs`, `users.rs`: the endpoints for people
//! - `health.rs`, `stats.rs`, `metrics.rs`: the endpoints for those who run it
//! - `routes.rs`: which endpoint answers a path and a method
//! - `pages.rs`, `spec.rs`: the pages for people and the OpenAPI document
//! - `error.rs`, `failure.rs`: the error contract, and how an endpoint declares its part of it
//! - `parameter.rs`, `request_header.rs`, `payload.rs`, `listing.rs`: what requests and answers
//!   carry
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
mod request_header;
mod routes;
mod spec;
mod stats;
mod users;

pub use envelope::{App, refuse_head};
pub use error::Code;
pub use payload::RequestLimits;
pub use spec::document;

use crate::{health::Health, setting::PublicUrl, store::Store, telemetry::Stats};
use health::HealthApi;
use messages::MessagesApi;
use metrics::MetricsApi;
use pages::{dashboard, guide};
use poem_openapi::{OpenApi, Tags};
use routes::Routes;
use stats::StatsApi;
use std::sync::Arc;
use users::UsersApi;

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
    pub public_url: Option<PublicUrl>,
}

/// The operations endpoints.
type OperationsApi = (HealthApi, StatsApi, MetricsApi);

/// Everything on one port.
pub fn all(parts: &Parts) -> App {
    with_guide((messages(parts), users(parts), operations(parts)), true, parts.public_url)
}

/// What is left on the public port when the operations endpoints have one of their own.
pub fn public(parts: &Parts) -> App {
    with_guide((messages(parts), users(parts)), false, parts.public_url)
}

/// The operations endpoints alone, and the dashboard that draws what they say.
pub fn ops(parts: &Parts) -> App {
    let mut routes = Routes::of(operations(parts));
    routes.extend(dashboard(false));
    App::new(routes)
}

/// Answers every request with the same error; for connections beyond the limit.
pub fn refusing(parts: &Parts, code: Code) -> App {
    App::refusing(Routes::of((messages(parts), users(parts), operations(parts))), code)
}

fn with_guide<T: OpenApi>(api: T, has_dashboard: bool, public_url: Option<PublicUrl>) -> App {
    let mut routes = Routes::of(api);
    routes.extend(guide::<T>(has_dashboard, public_url));
    if has_dashboard {
        routes.extend(dashboard(true));
    }
    App::new(routes)
}

fn messages(parts: &Parts) -> MessagesApi {
    MessagesApi { store: Arc::clone(&parts.store), limits: parts.limits }
}

fn users(parts: &Parts) -> UsersApi {
    UsersApi { store: Arc::clone(&parts.store), limits: parts.limits }
}

fn operations(parts: &Parts) -> OperationsApi {
    let (health, stats) = (Arc::clone(&parts.health), Arc::clone(&parts.stats));
    let (store, registry) = (Arc::clone(&parts.store), stats.registry().clone());
    (
        HealthApi { health: Arc::clone(&health), store },
        StatsApi { stats, health },
        MetricsApi { registry },
    )
}
