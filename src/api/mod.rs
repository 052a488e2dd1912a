//! The HTTP API: its endpoints, and the middleware around them.

// Around every request: metrics, trace id, headers, errors.
mod middleware;

// The HTML pages, and the OpenAPI document.
mod pages;

mod openapi;

// The endpoints for users.
mod messages;

mod message_json;

mod users;

// The endpoints for operators.
mod metrics;

mod stats;

mod health;

// The contents of requests and responses, and the errors that an endpoint declares.
mod respond;

mod extract;

mod declared_errors;

// Maps a path and a method to an endpoint.
mod routes;

pub use extract::RequestLimits;
pub use openapi::document;

use self::stats::StatsApi;
use crate::{config::PublicUrl, problem::Code, readiness::Readiness, stats::Stats, store::Store};
use health::HealthApi;
use messages::MessagesApi;
use metrics::MetricsApi;
use middleware::App;
use pages::{dashboard, guide};
use poem::endpoint::BoxEndpoint;
use poem_openapi::OpenApi;
use respond::LastRendering;
use routes::Routes;
use std::sync::Arc;
use users::UsersApi;

/// The state that the endpoints share.
pub struct ApiState {
    pub store: Arc<Store>,
    pub readiness: Arc<Readiness>,
    pub limits: RequestLimits,
    pub stats: Arc<Stats>,
    pub public_url: Option<PublicUrl>,
}

/// The operations endpoints.
type OperationsApi = (HealthApi, StatsApi, MetricsApi);

/// All endpoints and pages on one port.
pub fn all(state: &ApiState) -> BoxEndpoint<'static> {
    with_guide((messages(state), users(state), operations(state)), true, state.public_url)
}

/// The endpoints of the public port when `OPS_ADDR` is set.
pub fn public(state: &ApiState) -> BoxEndpoint<'static> {
    with_guide((messages(state), users(state)), false, state.public_url)
}

/// The operations endpoints and the dashboard, for the port of `OPS_ADDR`.
pub fn ops(state: &ApiState) -> BoxEndpoint<'static> {
    let mut routes = Routes::of(operations(state));
    routes.extend(dashboard(false));
    Box::new(App::new(routes))
}

/// Rejects every request with the same error; for connections above the limit.
pub fn refusing(state: &ApiState, code: Code) -> BoxEndpoint<'static> {
    let routes = Routes::of((messages(state), users(state), operations(state)));
    Box::new(App::refusing(routes, code))
}

fn with_guide<T: OpenApi>(
    api: T,
    has_dashboard: bool,
    public_url: Option<PublicUrl>,
) -> BoxEndpoint<'static> {
    let mut routes = Routes::of(api);
    routes.extend(guide::<T>(has_dashboard, public_url));
    if has_dashboard {
        routes.extend(dashboard(true));
    }
    Box::new(App::new(routes))
}

fn messages(state: &ApiState) -> MessagesApi {
    MessagesApi {
        store: Arc::clone(&state.store),
        limits: state.limits,
        last: LastRendering::default(),
    }
}

fn users(state: &ApiState) -> UsersApi {
    UsersApi {
        store: Arc::clone(&state.store),
        limits: state.limits,
        last: LastRendering::default(),
    }
}

fn operations(state: &ApiState) -> OperationsApi {
    (
        HealthApi { readiness: Arc::clone(&state.readiness), store: Arc::clone(&state.store) },
        StatsApi { stats: Arc::clone(&state.stats), readiness: Arc::clone(&state.readiness) },
        MetricsApi { registry: state.stats.registry().clone() },
    )
}
