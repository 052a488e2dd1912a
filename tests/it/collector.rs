//! An OpenTelemetry collector that keeps what it gets: a real receiver of OTLP, by gRPC and HTTP.

use crate::harness::eventually;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{
            ExportLogsServiceRequest, ExportLogsServiceResponse,
            logs_service_server::{LogsService, LogsServiceServer},
        },
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{KeyValue, any_value},
    logs::v1::LogRecord,
    metrics::v1::Metric,
    resource::v1::Resource,
    trace::v1::Span,
};
use prost::Message;
use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Status,
    codec::CompressionEncoding::Gzip,
    transport::{Identity, Server, ServerTlsConfig},
};

#[derive(Debug, Default)]
pub struct Received {
    pub spans: Vec<Span>,
    pub metrics: Vec<Metric>,
    pub logs: Vec<LogRecord>,
    pub resources: Vec<Resource>,
    /// How often something was sent to a path that there is not.
    pub unknown: usize,
}

#[derive(Clone)]
pub struct Collector {
    received: Arc<Mutex<Received>>,
    /// Whether it answers with errors.
    refuses: bool,
    grpc: SocketAddr,
    http: SocketAddr,
}

impl Collector {
    pub async fn start() -> Self {
        Self::start_at("127.0.0.1:0").await
    }

    /// The same at another address.
    pub async fn start_at(address: &str) -> Self {
        Self::start_as(false, Server::builder(), address).await
    }

    /// One that takes everything, and says that it could not.
    pub async fn start_refusing() -> Self {
        Self::start_as(true, Server::builder(), "127.0.0.1:0").await
    }

    /// One whose gRPC is encrypted.
    pub async fn start_with_certificate(certificate: &str, key: &str) -> Self {
        let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
        Self::start_as(false, Server::builder().tls_config(tls).unwrap(), "127.0.0.1:0").await
    }

    async fn start_as(refuses: bool, mut server: Server, address: &str) -> Self {
        let grpc = TcpListener::bind(address).await.unwrap();
        let http = TcpListener::bind(address).await.unwrap();
        let received = Arc::default();
        let (grpc_address, http_address) = (grpc.local_addr().unwrap(), http.local_addr().unwrap());
        let collector = Self { received, refuses, grpc: grpc_address, http: http_address };
        let services = server
            .add_service(TraceServiceServer::new(collector.clone()).accept_compressed(Gzip))
            .add_service(MetricsServiceServer::new(collector.clone()).accept_compressed(Gzip))
            .add_service(LogsServiceServer::new(collector.clone()).accept_compressed(Gzip))
            .serve_with_incoming(TcpListenerStream::new(grpc));
        tokio::spawn(services);
        tokio::spawn(collector.clone().serve_http(http));
        collector
    }

    /// The variables that lead a server here, by either protocol.
    pub fn environment(&self, protocol: &str) -> [(&'static str, String); 2] {
        [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", self.address(protocol))),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned()),
        ]
    }

    pub fn address(&self, protocol: &str) -> SocketAddr {
        if protocol == "grpc" { self.grpc } else { self.http }
    }

    pub fn received(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap()
    }

    /// The spans with a name, when there are any.
    pub async fn spans(&self, name: &str) -> Vec<Span> {
        let named = || {
            let spans = self.received().spans.clone();
            spans.into_iter().filter(|span| span.name == name).collect::<Vec<_>>()
        };
        eventually(&format!("a span {name} arrives"), || async { !named().is_empty() }).await;
        named()
    }

    fn take(&self, resource: Option<Resource>, take: impl FnOnce(&mut Received)) {
        let mut received = self.received();
        received.resources.extend(resource);
        take(&mut received);
    }

    fn take_traces(&self, request: ExportTraceServiceRequest) {
        for of_resource in request.resource_spans {
            let spans = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.take(of_resource.resource, |received| received.spans.extend(spans));
        }
    }

    fn take_metrics(&self, request: ExportMetricsServiceRequest) {
        for of_resource in request.resource_metrics {
            let metrics = of_resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics);
            self.take(of_resource.resource, |received| received.metrics.extend(metrics));
        }
    }

    fn take_logs(&self, request: ExportLogsServiceRequest) {
        for of_resource in request.resource_logs {
            let logs = of_resource.scope_logs.into_iter().flat_map(|scope| scope.log_records);
            self.take(of_resource.resource, |received| received.logs.extend(logs));
        }
    }

    async fn serve_http(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let collector = self.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let collector = collector.clone();
                async move { Ok::<_, Infallible>(collector.answer_http(request).await) }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    }

    async fn answer_http(&self, request: Request<Incoming>) -> Response<Full<bytes::Bytes>> {
        let path = request.uri().path().to_owned();
        assert_eq!(request.headers()["content-type"], "application/x-protobuf");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let mut response = Response::default();
        match path.as_str() {
            "/v1/traces" => self.take_traces(Message::decode(body).unwrap()),
            "/v1/metrics" => self.take_metrics(Message::decode(body).unwrap()),
            "/v1/logs" => self.take_logs(Message::decode(body).unwrap()),
            _ => {
                self.received().unknown += 1;
                *response.status_mut() = StatusCode::NOT_FOUND;
            }
        }
        if self.refuses {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        response
    }

    fn answer_grpc<T: Default>(&self) -> Result<tonic::Response<T>, Status> {
        if self.refuses {
            return Err(Status::internal("this collector refuses"));
        }
        Ok(tonic::Response::new(T::default()))
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, Status> {
        self.take_traces(request.into_inner());
        self.answer_grpc()
    }
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, Status> {
        self.take_metrics(request.into_inner());
        self.answer_grpc()
    }
}

#[tonic::async_trait]
impl LogsService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, Status> {
        self.take_logs(request.into_inner());
        self.answer_grpc()
    }
}

/// Attributes as text.
pub fn attributes(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| match attribute.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text.clone()),
        any_value::Value::IntValue(number) => Some(number.to_string()),
        any_value::Value::DoubleValue(number) => Some(number.to_string()),
        any_value::Value::BoolValue(truth) => Some(truth.to_string()),
        _ => None,
    };
    attributes
        .iter()
        .filter_map(|attribute| Some((attribute.key.clone(), text(attribute)?)))
        .collect()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
