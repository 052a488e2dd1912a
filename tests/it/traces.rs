//! What a collector gets: traces, metrics and logs over OTLP, and that nothing waits for one.

use crate::{
    collector::{Collector, attributes, hex},
    harness::{TestDatabase, eventually},
    process::Process,
};
use opentelemetry_proto::tonic::{
    common::v1::any_value::Value::IntValue, metrics::v1::metric::Data, trace::v1::Span,
};
use reqwest::Method;
use serde_json::Value;
use std::collections::BTreeSet;
use tokio::{io::AsyncWriteExt, net::TcpStream};

pub const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

pub async fn server(collector: &Collector, protocol: &str, more: &[(&str, &str)]) -> Process {
    let environment = collector.environment(protocol);
    let mut environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    environment.extend(more);
    // Dropped folders of SQLite stay until the test ends; MySQL's databases are the server's.
    let database = Box::leak(Box::new(TestDatabase::new()));
    let server =
        Process::start_with(&["--database-url", database.url.as_str()], &environment).await;
    server.wait_until_ready().await;
    server
}

pub fn traceparent(sampled: bool) -> String {
    format!("00-{TRACE}-{PARENT}-0{}", u8::from(sampled))
}

fn linked(from: &Span, to: &Span) -> bool {
    from.links.iter().any(|link| link.span_id == to.span_id && link.trace_id == to.trace_id)
}

#[tokio::test]
async fn a_post_leads_from_the_request_to_its_batch_and_its_statement() {
    for protocol in ["grpc", "http/protobuf"] {
        let collector = Collector::start().await;
        let server = server(&collector, protocol, &[]).await;
        let post = server.post("bob", "hi").header("traceparent", traceparent(true));
        let post = post.header("user-agent", "test/1").send().await.unwrap();
        assert_eq!(post.headers()["x-request-id"], TRACE);
        assert_eq!(post.status(), 201);
        // What was not sent yet is sent before the end.
        server.stop().await;

        let request = collector.spans("POST /message").await.remove(0);
        assert_eq!(hex(&request.trace_id), TRACE);
        assert_eq!(hex(&request.parent_span_id), PARENT);
        assert_eq!(request.kind, 2, "a server span");
        assert_eq!(request.status.clone().unwrap_or_default().code, 0);
        let said = attributes(&request.attributes);
        assert_eq!(said["http.request.method"], "POST");
        assert_eq!(said["http.route"], "/message");
        assert_eq!(said["url.path"], "/message");
        assert_eq!(said["url.scheme"], "http");
        let number = Some(IntValue(201));
        assert!(request.attributes.iter().any(|it| it.value.as_ref().unwrap().value == number));
        assert_eq!(said["http.response.status_code"], "201");
        assert_eq!(said["user_agent.original"], "test/1");
        assert_eq!(said["client.address"], "127.0.0.1");

        let batch = collector.spans("post messages").await.remove(0);
        assert!(batch.links.is_empty() && request.links.is_empty(), "parents say it all");
        assert_eq!(batch.trace_id, request.trace_id);
        assert_eq!(batch.parent_span_id, request.span_id);
        assert_eq!(attributes(&batch.attributes)["chat.batch.size"], "1");

        let statement = collector.spans("INSERT messages").await.remove(0);
        assert_eq!(statement.parent_span_id, batch.span_id);
        assert_eq!(statement.kind, 3, "a client span");
        let said = attributes(&statement.attributes);
        assert!(["mysql", "sqlite"].contains(&said["db.system.name"].as_str()));
        assert_eq!(said["db.operation.name"], "INSERT");
        assert_eq!(said["db.collection.name"], "messages");
        let text = &said["db.query.text"];
        assert!(text.starts_with("insert into messages (") && text.ends_with("?)"), "{text}");
    }
}

#[tokio::test]
async fn every_request_leads_to_the_operation_that_served_it() {
    const REQUESTS: usize = 200;
    let collector = Collector::start().await;
    let server = server(&collector, "grpc", &[]).await;
    let (post, read) = (server.post("bob", "hi"), server.request(Method::GET, "/messages"));
    // All in one trace, which is where a cycle could be.
    let [post, read] = [post, read].map(|request| request.header("traceparent", traceparent(true)));
    let requests: Vec<_> = (0..REQUESTS)
        .flat_map(|_| [post.try_clone().unwrap(), read.try_clone().unwrap()])
        .map(|request| tokio::spawn(request.send()))
        .collect();
    for request in requests {
        assert!(request.await.unwrap().unwrap().status().is_success());
    }
    server.stop().await;
    for (request, operation) in
        [("POST /message", "post messages"), ("GET /messages", "read latest messages")]
    {
        let requests = collector.spans(request).await;
        let operations = collector.spans(operation).await;
        assert_eq!(requests.len(), REQUESTS);
        assert!(operations.len() < REQUESTS, "some served several");
        for request in &requests {
            let child = |operation: &&Span| operation.parent_span_id == request.span_id;
            let answers = |operation: &&Span| child(operation) != linked(request, operation);
            assert_eq!(operations.iter().filter(answers).count(), 1, "one operation serves it");
        }
    }
    let spans = collector.received().spans.clone();
    for span in &spans {
        assert!(!leads_back(span, span, &spans, spans.len()), "a cycle above {}", span.name);
    }
}

/// Whether a span leads to another one when a link counts as a parent, as in Jaeger.
fn leads_back(from: &Span, to: &Span, spans: &[Span], steps: usize) -> bool {
    let is_parent = |span: &&Span| from.parent_span_id == span.span_id || linked(from, span);
    spans.iter().filter(is_parent).any(|parent| {
        parent.span_id == to.span_id || steps == 0 || leads_back(parent, to, spans, steps - 1)
    })
}

#[tokio::test]
async fn a_refusal_finds_its_trace_and_its_log_and_only_a_fault_is_an_error() {
    let collector = Collector::start().await;
    let log = [("RUST_LOG", "info,chat_server=debug")];
    let server = server(&collector, "grpc", &log).await;
    let refused = server.request(Method::GET, "/messages/x?a=b").send().await.unwrap();
    let problem: Value = refused.json().await.unwrap();
    let trace_id = problem["trace_id"].as_str().unwrap().to_owned();
    let unknown = server.request(Method::from_bytes(b"BREW").unwrap(), "/coffee");
    assert_eq!(unknown.send().await.unwrap().status(), 404);
    for path in ["/livez", "/readyz", "/metrics", "/stats", "/version"] {
        assert_eq!(server.request(Method::GET, path).send().await.unwrap().status(), 200);
    }
    let line = server.log().into_iter().find(|line| line["trace_id"] == trace_id.as_str()).unwrap();
    server.stop().await;

    let span = collector.spans("GET /messages/{id}").await.remove(0);
    assert_eq!(hex(&span.trace_id), trace_id);
    assert_eq!(line["span_id"], hex(&span.span_id));
    assert_eq!(line["code"], "invalid_parameter");
    assert_eq!(line["http.response.status_code"], 400);
    assert_eq!(span.status.clone().unwrap_or_default().code, 0, "the client's fault");
    assert_eq!(attributes(&span.attributes)["error.type"], "invalid_parameter");
    assert_eq!(attributes(&span.attributes)["url.query"], "a=b");

    let other = collector.spans("HTTP").await.remove(0);
    let said = attributes(&other.attributes);
    assert_eq!(
        (&*said["http.request.method"], &*said["http.request.method_original"]),
        ("_OTHER", "BREW")
    );
    assert!(!said.contains_key("http.route"));

    let received = collector.received();
    let log = received.logs.iter().find(|log| hex(&log.trace_id) == trace_id).unwrap();
    assert_eq!(hex(&log.span_id), hex(&span.span_id));
    assert_eq!(attributes(&log.attributes)["code"], "invalid_parameter");
    let paths: BTreeSet<String> = received
        .spans
        .iter()
        .filter_map(|s| attributes(&s.attributes).remove("url.path"))
        .collect();
    assert_eq!(paths, BTreeSet::from(["/coffee".to_owned(), "/messages/x".to_owned()]));
}

#[tokio::test]
async fn the_variables_of_the_specification_are_obeyed() {
    let nothing: [&[(&str, &str)]; 4] = [
        &[("OTEL_SDK_DISABLED", "true")],
        &[
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_METRICS_EXPORTER", "none"),
            ("OTEL_LOGS_EXPORTER", "none"),
        ],
        &[
            ("OTEL_TRACES_SAMPLER", "always_off"),
            ("OTEL_METRICS_EXPORTER", "none"),
            ("OTEL_LOGS_EXPORTER", "none"),
        ],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")],
    ];
    for environment in nothing {
        let collector = Collector::start().await;
        let server = server(&collector, "grpc", environment).await;
        assert_eq!(server.post("bob", "hi").send().await.unwrap().status(), 201);
        server.stop().await;
        let received = collector.received();
        let count = received.spans.len() + received.metrics.len() + received.logs.len();
        assert_eq!(count, 0, "{environment:?}: {received:?}");
    }

    let collector = Collector::start().await;
    let environment = [
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0"),
        ("OTEL_SERVICE_NAME", "chat"),
        ("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=chat-0,service.instance.id=a"),
    ];
    let server = server(&collector, "http/protobuf", &environment).await;
    for parent in [None, Some(traceparent(false)), Some(traceparent(true))] {
        let mut post = server.post("bob", "hi");
        post = match parent {
            Some(parent) => post.header("traceparent", parent),
            None => post,
        };
        assert_eq!(post.send().await.unwrap().status(), 201);
    }
    server.stop().await;
    assert_eq!(collector.spans("POST /message").await.len(), 1, "the one whose caller wants it");
    let received = collector.received();
    for resource in &received.resources {
        let said = attributes(&resource.attributes);
        assert_eq!((&*said["service.name"], &*said["service.instance.id"]), ("chat", "a"));
        assert_eq!(said["k8s.pod.name"], "chat-0");
        assert_eq!(said["service.version"], env!("CARGO_PKG_VERSION"));
    }
}

#[tokio::test]
async fn the_metrics_that_are_pushed_are_the_ones_that_are_scraped() {
    let collector = Collector::start().await;
    let server = server(&collector, "grpc", &[]).await;
    assert_eq!(server.post("bob", "hi").send().await.unwrap().status(), 201);
    let scraped = server.text("/metrics").await;
    server.stop().await;
    let received = collector.received();
    for metric in &received.metrics {
        let name = metric.name.replace('.', "_");
        assert!(scraped.contains(&name), "{name} is not at /metrics");
        assert!(!metric.description.is_empty(), "{name}");
    }
    let duration = received.metrics.iter().find(|m| m.name == "http.server.request.duration");
    let duration = duration.unwrap();
    assert_eq!(duration.unit, "s");
    let Some(Data::Histogram(histogram)) = &duration.data else { panic!("{duration:?}") };
    let point = &histogram.data_points[0];
    assert!([0.5, 2.0].iter().all(|t| point.explicit_bounds.contains(t)), "T and 4 T");
    assert_eq!(attributes(&point.attributes)["http.route"], "/message");
}

#[tokio::test]
async fn a_collector_is_trusted_by_the_certificate_that_is_named() {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, pair.cert.pem()).unwrap();
    let file = file.to_str().unwrap();
    let key = pair.signing_key.serialize_pem();
    let collector = Collector::start_with_certificate(&pair.cert.pem(), &key).await;
    let endpoint = format!("https://localhost:{}", collector.address("grpc").port());
    let database = TestDatabase::new();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", file),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
    ];
    let server =
        Process::start_with(&["--database-url", database.url.as_str()], &environment).await;
    server.wait_until_ready().await;
    assert_eq!(server.post("bob", "hi").send().await.unwrap().status(), 201);
    server.stop().await;
    assert_eq!(collector.spans("POST /message").await.len(), 1);
}

#[tokio::test]
async fn a_request_that_stopping_cuts_off_is_traced_as_that() {
    let collector = Collector::start().await;
    let server = server(&collector, "grpc", &[("SHUTDOWN_TIMEOUT", "2s")]).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream
        .write_all(
            b"POST /message HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
              content-length: 9\r\n\r\n{",
        )
        .await
        .unwrap();
    eventually("the request is under way", || async {
        let metrics = server.text("/metrics").await;
        metrics.lines().any(|line| {
            line.starts_with("http_server_active_requests{")
                && line.contains("\"POST\"")
                && line.ends_with(" 1")
        })
    })
    .await;
    server.stop().await;
    let span = collector.spans("POST /message").await.remove(0);
    assert_eq!(attributes(&span.attributes)["error.type"], "canceled");
    assert_eq!(span.status.unwrap().code, 2, "an error");
}
