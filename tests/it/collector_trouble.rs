//! A collector that is away, silent or broken is no trouble of the server's.

use crate::{
    collector::{Collector, Received},
    harness::{PATIENCE, TestDatabase, eventually, fetch},
    process::Process,
    traces::server,
};
use std::process::Stdio;
use tokio::{net::TcpListener, process::Command, time::timeout};

#[tokio::test]
async fn a_collector_in_trouble_holds_up_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = silent.local_addr().unwrap();
    let refusing = Collector::start_refusing().await;
    let nobody = "127.0.0.1:9".parse().unwrap();
    for protocol in ["grpc", "http/protobuf"] {
        for (address, takes) in
            [(nobody, false), (silent, false), (refusing.address(protocol), true)]
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
async fn a_setting_that_cannot_be_used_is_said_at_the_start() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
    for (name, value) in [
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://user:secret@host"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many"),
    ] {
        let command = crate::process::command(&[]);
        let output = { command }.envs([endpoint, (name, value)]).output().await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(name), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
}

#[tokio::test]
async fn who_does_not_read_the_log_stops_nobody() {
    let database = TestDatabase::new();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let flags = ["--database-url", database.url.as_str(), "--listen-addr", &free.to_string()];
    let mut server = crate::process::command(&flags).stderr(Stdio::piped()).spawn().unwrap();
    let _unread = server.stderr.take().unwrap();
    let url = format!("http://{free}/nothing");
    eventually("it answers", || async { fetch(&url).await.is_ok() }).await;
    // Far more than a pipe holds.
    for _ in 0..500 {
        assert_eq!(fetch(&url).await.unwrap().status(), 404);
    }
    let id = server.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    assert!(timeout(PATIENCE, server.wait()).await.unwrap().unwrap().success());
}
