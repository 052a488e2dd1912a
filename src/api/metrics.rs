//! The endpoint that Prometheus scrapes.

use super::{
    declared_errors::{Failure, NoErrors},
    routes::Tag,
};
use crate::problem::ApiError;
use bytes::Bytes;
use poem::{IntoResponse, Response, http::header};
use poem_openapi::{
    ApiResponse, OpenApi,
    payload::Payload,
    registry::{MetaSchemaRef, Registry as Schemas},
    types::Type,
};
use prometheus::{Encoder, Registry, TextEncoder};

pub struct MetricsApi {
    pub registry: Registry,
}

#[derive(ApiResponse)]
enum MetricsResponse {
    /// The metrics
    #[oai(status = 200)]
    Ok(Exposition),
}

/// The metrics in Prometheus's text format.
struct Exposition(Bytes);

impl Payload for Exposition {
    const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    fn schema_ref() -> MetaSchemaRef {
        String::schema_ref()
    }

    fn register(_: &mut Schemas) {}
}

impl IntoResponse for Exposition {
    fn into_response(self) -> Response {
        Response::builder()
            .header(header::CONTENT_TYPE, Self::CONTENT_TYPE)
            .header(header::CACHE_CONTROL, "no-store")
            .body(self.0)
    }
}

#[OpenApi(tag = "Tag::Operations")]
impl MetricsApi {
    /// Metrics for Prometheus
    #[oai(path = "/metrics", method = "get")]
    async fn metrics(&self) -> Result<MetricsResponse, Failure<NoErrors>> {
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .map_err(ApiError::internal)?;
        Ok(MetricsResponse::Ok(Exposition(text.into())))
    }
}
