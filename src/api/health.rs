//! The operations endpoints for liveness, readiness and version. None of them queries the database.

use super::{
    declared_errors::{self, Codes, Failure, NoErrors},
    extract::AcceptJson,
    respond::{Rendered, rfc3339_milliseconds},
    routes::Tag,
};
use crate::{
    problem::Code,
    readiness::{DatabaseFault, Readiness},
    store::Store,
    telemetry,
};
use poem::{IntoResponse, Response, http::StatusCode};
use poem_openapi::{
    ApiResponse, Enum, Object, OpenApi,
    payload::Payload,
    registry::{MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::Type,
};
use serde::Serialize;
use std::sync::Arc;
use time::OffsetDateTime;

pub struct HealthApi {
    pub readiness: Arc<Readiness>,
    pub store: Arc<Store>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
enum Status {
    Ok,
    Failed,
}

/// One check of readiness.
#[derive(Object, Serialize)]
struct Check {
    name: String,
    status: Status,
    /// When the check took this status, in UTC.
    #[serde(serialize_with = "rfc3339_milliseconds")]
    since: OffsetDateTime,
    /// Why the check failed.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The last fault, even if it is over.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<LastError>,
    /// Problems to fix that do not prevent operation.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    warnings: Option<Vec<String>>,
}

/// A fault.
#[derive(Object, Serialize)]
struct LastError {
    kind: String,
    /// When it began, in UTC.
    #[serde(serialize_with = "rfc3339_milliseconds")]
    at: OffsetDateTime,
}

/// The overall status and the checks behind it.
#[derive(Object, Serialize)]
struct Report {
    status: Status,
    checks: Vec<Check>,
}

/// The build and the replica.
#[derive(Object, Serialize)]
#[oai(rename = "Version")]
pub struct Build {
    name: String,
    version: String,
    /// The commit of the build, or `unknown`.
    commit: String,
    /// The architecture and operating system of the build.
    target: String,
    /// `service.instance.id` of its metrics, traces and logs. It changes at each start unless
    /// `OTEL_RESOURCE_ATTRIBUTES` sets it.
    instance_id: String,
    /// `host.name` of its metrics, traces and logs: the machine, or the pod on Kubernetes.
    host_name: String,
}

#[derive(ApiResponse)]
enum LiveResponse {
    /// The process is alive
    #[oai(status = 200)]
    Ok(Rendered<Report>),
}

/// A 200 or 503, both with the report.
struct ReadyResponse {
    ready: bool,
    report: Rendered<Report>,
}

impl IntoResponse for ReadyResponse {
    fn into_response(self) -> Response {
        let status = if self.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        self.report.with_status(status).into_response()
    }
}

// Implemented by hand: a 503 can also be the `overloaded` problem, and poem-openapi's derive does
// not support two content types for one status.
impl ApiResponse for ReadyResponse {
    fn meta() -> MetaResponses {
        let report = || MetaMediaType {
            content_type: Rendered::<Report>::CONTENT_TYPE,
            schema: Report::schema_ref(),
        };
        let mut not_ready = declared_errors::response(503, &[Code::Overloaded]);
        not_ready.description = "Not ready for requests: `checks` says why. Or `overloaded`";
        not_ready.content.insert(0, report());
        not_ready.headers.clear();
        let ready = MetaResponse {
            description: "Ready for requests",
            status: Some(200),
            status_range: None,
            content: vec![report()],
            headers: Vec::new(),
        };
        MetaResponses { responses: vec![ready, not_ready] }
    }

    fn register(registry: &mut Registry) {
        Report::register(registry);
    }
}

#[derive(ApiResponse)]
enum VersionResponse {
    /// The build and the replica
    #[oai(status = 200)]
    Ok(Rendered<Build>),
}

struct ReadyErrors;
impl Codes for ReadyErrors {
    const CODES: &'static [Code] = &[];
    const DESCRIBED: Option<Code> = Some(Code::Overloaded);
}

#[OpenApi(tag = "Tag::Operations")]
impl HealthApi {
    /// Liveness: is the process alive?
    ///
    /// Does not check the database, because restarting the server would not fix it.
    #[oai(path = "/livez", method = "get")]
    async fn live(&self, _accept: AcceptJson) -> Result<LiveResponse, Failure<NoErrors>> {
        let report = Report { status: Status::Ok, checks: Vec::new() };
        Ok(LiveResponse::Ok(Rendered::new(&report)?))
    }

    /// Readiness: can this server take requests?
    ///
    /// Fails until the database is reachable and migrated, and while the server is shutting down.
    #[oai(path = "/readyz", method = "get")]
    async fn ready(&self, _accept: AcceptJson) -> Result<ReadyResponse, Failure<ReadyErrors>> {
        let database = self.readiness.database();
        let last_error =
            database.last_fault.map(|(fault, at)| LastError { kind: fault.as_str().into(), at });
        let (since, phase) = match (self.readiness.draining_since(), self.readiness.started_since())
        {
            (Some(draining), _) => (draining, Some("draining")),
            (None, Some(started)) => (started, None),
            (None, None) => (self.readiness.started_at(), Some("starting")),
        };
        let checks = vec![
            Check {
                last_error,
                warnings: Some(self.store.warnings()).filter(|all| !all.is_empty()),
                ..check("database", database.since, database.fault.map(DatabaseFault::as_str))
            },
            check("lifecycle", since, phase),
        ];
        let ready = checks.iter().all(|check| check.status == Status::Ok);
        let status = if ready { Status::Ok } else { Status::Failed };
        Ok(ReadyResponse { ready, report: Rendered::new(&Report { status, checks })? })
    }

    /// Version of the build, and the replica
    #[oai(path = "/version", method = "get")]
    async fn version(&self, _accept: AcceptJson) -> Result<VersionResponse, Failure<NoErrors>> {
        Ok(VersionResponse::Ok(Rendered::new(&Build::current())?))
    }
}

impl Build {
    pub fn current() -> Self {
        let [instance_id, host_name] = telemetry::instance();
        Self {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            commit: option_env!("GIT_COMMIT").unwrap_or("unknown").into(),
            target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            instance_id,
            host_name,
        }
    }
}

fn check(name: &str, since: OffsetDateTime, reason: Option<&str>) -> Check {
    let status = if reason.is_none() { Status::Ok } else { Status::Failed };
    let reason = reason.map(Into::into);
    Check { name: name.into(), status, since, reason, last_error: None, warnings: None }
}
