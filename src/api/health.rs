//! The operations endpoints: alive, ready, which build. None of them asks the database.

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

/// One thing that must be well.
#[derive(Object, Serialize)]
struct Check {
    name: String,
    status: Status,
    /// Since when it is so, in UTC.
    #[serde(serialize_with = "rfc3339_milliseconds")]
    since: OffsetDateTime,
    /// What kind of fault it is.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The last fault there was, also when it is over.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<LastError>,
    /// What should be changed, though it works.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    warnings: Option<Vec<String>>,
}

/// What went wrong.
#[derive(Object, Serialize)]
struct LastError {
    kind: String,
    /// When it began, in UTC.
    #[serde(serialize_with = "rfc3339_milliseconds")]
    at: OffsetDateTime,
}

/// Whether all is well, and what was looked at.
#[derive(Object, Serialize)]
struct Report {
    status: Status,
    checks: Vec<Check>,
}

/// Which build this is, and which replica.
#[derive(Object, Serialize)]
#[oai(rename = "Version")]
pub struct Build {
    name: String,
    version: String,
    /// The commit it was built from, or `unknown`.
    commit: String,
    /// The processor and system it was built for.
    target: String,
    /// `service.instance.id` of its metrics, traces and logs: another one after each start, unless
    /// `OTEL_RESOURCE_ATTRIBUTES` sets it.
    instance_id: String,
    /// The machine, or on Kubernetes the pod: `host.name` of its metrics, traces and logs.
    host_name: String,
}

#[derive(ApiResponse)]
enum LiveResponse {
    /// The process works
    #[oai(status = 200)]
    Ok(Rendered<Report>),
}

/// 200 or 503, both with the report.
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

// By hand, because its 503 can also be the problem of a server with too many connections, and
// poem-openapi's derive has no status with two kinds of content.
impl ApiResponse for ReadyResponse {
    fn meta() -> MetaResponses {
        let report = || MetaMediaType {
            content_type: Rendered::<Report>::CONTENT_TYPE,
            schema: Report::schema_ref(),
        };
        let mut not_ready = declared_errors::response(503, &[Code::Overloaded]);
        not_ready.description = "Send no requests; `checks` says why. Or `overloaded`";
        not_ready.content.insert(0, report());
        not_ready.headers.clear();
        let ready = MetaResponse {
            description: "Send requests",
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
    /// Is the process alive?
    ///
    /// Says nothing of the database: restarting the server would not mend that.
    #[oai(path = "/livez", method = "get")]
    async fn live(&self, _accept: AcceptJson) -> Result<LiveResponse, Failure<NoErrors>> {
        let report = Report { status: Status::Ok, checks: Vec::new() };
        Ok(LiveResponse::Ok(Rendered::new(&report)?))
    }

    /// Should requests be sent here?
    ///
    /// Not before the database is reachable and migrated, and not when the server is stopping.
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

    /// Which build is this, and which replica?
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
