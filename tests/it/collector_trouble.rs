//! A collector that is away, silent or broken is no fault of the server's.

use crate::{
    collector::{Collector, Received},
    harness::{PATIENCE, TestDatabase, eventually, fetch},
    process::Process,
    proxy::{Network, Proxy},
    settings::last_words,
    traces::server,
};
use serde_json::Value;
use tokio::{net::TcpListener, time::timeout};
use url::Url;

#[tokio::test]
async fn a_collector_in_trouble_holds_up_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = silent.local_addr().unwrap();
    let refusing = Collector::start_refusing().await;
    let unused = "127.0.0.1:9".parse().unwrap();
    for protocol in ["grpc", "http/protobuf"] {
        for (address, takes) in
            [(unused, false), (silent, false), (refusing.address(protocol), true)]
        {
            let endpoint = format!("http://{address}");
            let environment = [
                ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
                ("OTEL_BSP_SCHEDULE_DELAY", "100"),
                ("OTEL_BLRP_SCHEDULE_DELAY", "100"),
            ];
            let database = TestDatabase::new();
            let server =
                Process::start_with(&["--database-url", database.url.as_str()], &environment).await;
            server.wait_until_ready().await;
            if takes {
                *refusing.received() = Received::default();
                eventually("the collector refuses something", || async {
                    !refusing.received().metrics.is_empty()
                })
                .await;
            }
            for _ in 0..100 {
                assert_eq!(server.post("bob", "hi").send().await.unwrap().status(), 201);
            }
            timeout(PATIENCE, server.stop()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn no_more_is_traced_than_the_collector_takes() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let environment =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_BSP_MAX_QUEUE_SIZE", "8")];
    let database = TestDatabase::new();
    let server =
        Process::start_with(&["--database-url", database.url.as_str()], &environment).await;
    server.wait_until_ready().await;
    for _ in 0..20 {
        assert_eq!(server.post("bob", "hi").send().await.unwrap().status(), 201);
    }
    let skipped = || async {
        let metrics = server.text("/metrics").await;
        let line = metrics.lines().find(|line| line.starts_with("chat_trace_skipped_total "));
        line.unwrap().split(' ').nth(1).unwrap().parse::<u32>().unwrap()
    };
    // Three spans a post, and room for traces to begin while there are less than four.
    assert!(skipped().await >= 16, "{}", skipped().await);
}

#[tokio::test]
async fn a_collector_that_refuses_is_offered_the_next_traces_all_the_same() {
    let collector = Collector::start_refusing().await;
    let room = [("OTEL_BSP_MAX_QUEUE_SIZE", "8"), ("OTEL_BSP_SCHEDULE_DELAY", "10")];
    let server = server(&collector, "http/protobuf", &room).await;
    eventually("more traces arrive than may wait", || async {
        assert_eq!(server.post("bob", "hi").send().await.unwrap().status(), 201);
        collector.received().spans.iter().filter(|span| span.name == "POST /message").count() > 20
    })
    .await;
}

#[tokio::test]
async fn a_path_that_the_collector_does_not_know_is_said_once_with_a_hint() {
    let collector = Collector::start().await;
    let base = format!("http://{}", collector.address("http/protobuf"));
    let too_long = format!("{base}/v1/traces");
    let too_short = format!("{base}/");
    let hint = |signal: &str, log: &[Value]| {
        let start = format!("Cannot send {signal} to ");
        let is_it =
            |line: &&Value| line["message"].as_str().is_some_and(|it| it.starts_with(&start));
        let hints = log.iter().filter(is_it).map(|line| line["hint"].as_str().unwrap().to_owned());
        hints.collect::<Vec<_>>()
    };
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", too_long.as_str()),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", &too_short),
        ("OTEL_METRIC_EXPORT_INTERVAL", "50"),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "50"),
    ];
    let database = TestDatabase::new();
    let server =
        Process::start_with(&["--database-url", database.url.as_str()], &environment).await;
    server.wait_until_ready().await;
    let before = collector.received().unknown;
    eventually("all three are hinted at, and sent again", || async {
        server.post("bob", "hi").send().await.unwrap();
        let log = server.log();
        let hinted = ["traces", "metrics", "logs"].iter().all(|it| !hint(it, &log).is_empty());
        hinted && collector.received().unknown > before + 20
    })
    .await;
    let log = server.log();
    let base = "is added to OTEL_EXPORTER_OTLP_ENDPOINT, which is a URL such as";
    let own = "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT is a whole URL, such as";
    for (signal, right) in [("traces", base), ("metrics", base), ("logs", own)] {
        let [hint] = &hint(signal, &log)[..] else { panic!("{signal}: {log:?}") };
        assert!(hint.contains(right), "{hint}");
    }
    let more = log.iter().filter(|line| line["target"].to_string().contains("opentelemetry"));
    assert_eq!(more.count(), 0, "{log:?}");
}

#[tokio::test]
async fn exports_that_fail_are_one_line_with_the_address_and_one_when_they_work_again() {
    let collector = Collector::start().await;
    for protocol in ["grpc", "http/protobuf"] {
        let address = format!("http://user:secret@{}", collector.address(protocol));
        let address: Url = address.parse().unwrap();
        let proxy = Proxy::to(&address).await;
        proxy.set(Network::Cut);
        let endpoint = proxy.url(&address);
        let environment = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_METRIC_EXPORT_INTERVAL", "50"),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
            ("OTEL_BLRP_SCHEDULE_DELAY", "50"),
            // Each request that is refused is a line to send.
            ("RUST_LOG", "info,chat_server=debug"),
        ];
        let database = TestDatabase::new();
        let flags = ["--database-url", database.url.as_str()];
        let server = Process::start_with(&flags, &environment).await;
        server.wait_until_ready().await;
        let nowhere = format!("{}/nowhere", server.url);
        let shown = endpoint.replace("user:secret@", "");
        let about = |start: &str, end: &str| {
            ["traces", "metrics", "logs"].map(|signal| {
                let message = format!("{start} {signal} to {shown}{end}");
                let is_it = |line: &&Value| line["message"] == message;
                server.log().iter().filter(is_it).count()
            })
        };
        eventually("three lines say that it fails", || async {
            assert_eq!(fetch(&nowhere).await.unwrap().status(), 404);
            about("Cannot send", "") == [1; 3]
        })
        .await;
        proxy.set(Network::Works);
        eventually("three lines say that it works", || async {
            assert_eq!(fetch(&nowhere).await.unwrap().status(), 404);
            about("Sending", " works again") == [1; 3]
        })
        .await;
        assert_eq!(about("Cannot send", ""), [1; 3], "once for all failures");
        let log = server.log();
        let sdk = log.iter().filter(|line| line["target"].to_string().contains("opentelemetry"));
        assert_eq!(sdk.count(), 0, "{log:?}");
        assert!(!log.iter().any(|line| line.to_string().contains("secret")), "{log:?}");
    }
}

#[tokio::test]
async fn a_setting_that_cannot_be_used_is_said_at_the_start() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
    for (name, value, right) in [
        ("OTEL_TRACES_EXPORTER", "zipkin", "\"zipkin\" is unknown; use otlp or none"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "is neither grpc nor http/protobuf"),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "json", "is neither grpc nor http/protobuf"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere", "cannot read /nowhere"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/dev/null/x", "cannot read /dev/null/x"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://user:secret@host", "such as http://localhost:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "localhost:4318", "such as http://localhost:4318"),
    ] {
        let message = last_words(&[endpoint, (name, value)]).await;
        assert!(message.contains(name) && message.contains(right), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
}
