//! docs/observability.md against the running server: every metric, span and log field is in both.

use crate::{
    collector::{Collector, attributes},
    harness::{TestDatabase, eventually},
    process::Process,
    settings::last_words,
};
use reqwest::Method;
use std::collections::{BTreeMap, BTreeSet};

/// Of lines that no test can cause, or that come after the last read; and of a database that
/// is no file.
const UNSEEN_FIELDS: [&str; 8] = [
    "allowed",
    "connections",
    "max_connections",
    "panic.message",
    "panic.place",
    "server.address",
    "server.port",
    "wanted",
];

type Names = BTreeSet<String>;

/// The rows of the table under a headline, without its head: the cells of each.
pub fn table(headline: &str) -> Vec<Vec<String>> {
    let docs =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/observability.md"));
    let docs = docs.unwrap();
    let (_, chapter) = docs.split_once(&format!("\n## {headline}\n")).unwrap();
    let rows = chapter.lines().take_while(|line| !line.starts_with("## "));
    let rows = rows.filter(|line| line.starts_with("| `"));
    let rows: Vec<Vec<String>> =
        rows.map(|row| row.split(" | ").map(str::to_owned).collect()).collect();
    assert!(!rows.is_empty(), "{headline}");
    rows
}

/// What stands in backticks.
pub fn names(cell: &str) -> Names {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The variables of OpenTelemetry that have an effect.
pub fn variables_of_otlp() -> Vec<String> {
    table("OTLP").iter().flat_map(|row| names(&row[0])).collect()
}

#[tokio::test]
async fn every_metric() {
    let database = TestDatabase::new();
    let server = Process::start(&["--database-url", database.url.as_str()]).await;
    server.wait_until_ready().await;
    assert_eq!(server.post("bob", "hi").send().await.unwrap().status(), 201);
    eventually("processor time was measured", || async {
        server.text("/metrics").await.contains("process_cpu_utilization_ratio ")
    })
    .await;
    let metrics = server.text("/metrics").await;
    let shown: Names = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .filter(|name| *name != "target_info")
        .map(str::to_owned)
        .collect();
    let documented: Names = table("Metrics").iter().flat_map(|row| names(&row[1])).collect();
    assert_eq!(shown, documented);
}

#[tokio::test]
async fn every_span_and_every_field_of_the_log() {
    let collector = Collector::start().await;
    let environment = collector.environment("grpc");
    let mut environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    environment.push(("RUST_LOG", "debug"));
    let database = TestDatabase::new();
    let flags = ["--database-url", database.url.as_str()];
    Process::migrate(&flags).await;
    // One that may not mend the damage that comes.
    let flags = [&flags[..], &["--migrate", "off"]].concat();
    let server = Process::start_with(&flags, &environment).await;
    server.wait_until_ready().await;

    let posts: Vec<_> = (0..100).map(|_| tokio::spawn(server.post("bob", "hi").send())).collect();
    for post in posts {
        assert_eq!(post.await.unwrap().unwrap().status(), 201);
    }
    for path in ["/messages?limit=3", "/messages/1", "/users", "/messages/x", "/nowhere"] {
        server.request(Method::GET, path).header("user-agent", "test").send().await.unwrap();
    }
    server.request(Method::from_bytes(b"BREW").unwrap(), "/coffee").send().await.unwrap();
    for _ in 0..20 {
        server.request(Method::GET, "/messages/x").send().await.unwrap();
    }
    eventually("a report of the lines that are left out", || async {
        server.log().iter().any(|line| !line["lines"].is_null())
    })
    .await;
    database.execute("drop table messages").await.unwrap();
    let failed = server.request(Method::GET, "/messages").send().await.unwrap();
    assert!(failed.status().is_server_error());
    let log = server.log();
    server.stop().await;

    let rows = table("Traces");
    let mut seen: BTreeMap<usize, Names> = BTreeMap::new();
    for span in &collector.received().spans {
        let name = if span.kind == 2 { "{METHOD} {route}" } else { &span.name };
        let row = rows.iter().position(|row| names(&row[0]).contains(name));
        let row = row.unwrap_or_else(|| panic!("no row for {name}"));
        seen.entry(row).or_default().extend(attributes(&span.attributes).into_keys());
    }
    for (number, row) in rows.iter().enumerate() {
        assert_eq!(seen.get(&number), Some(&names(&row[2])), "{}", row[0]);
    }

    let ours = log.iter().filter(|line| line["target"].as_str().unwrap().starts_with("chat"));
    let seen = ours.flat_map(|line| line.as_object().unwrap().keys().cloned().collect::<Names>());
    let seen: Names = seen.chain(UNSEEN_FIELDS.map(str::to_owned)).collect();
    let documented: Names = table("Log").iter().flat_map(|row| names(&row[0])).collect();
    assert_eq!(seen, documented);
}

#[tokio::test]
async fn every_variable_for_which_there_are_wrong_values() {
    /// With these values the process does not start.
    const REFUSED: [(&str, &str); 6] = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "nonsense"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "nonsense"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere"),
        ("OTEL_TRACES_EXPORTER", "nonsense"),
        ("OTEL_METRICS_EXPORTER", "nonsense"),
        ("OTEL_LOGS_EXPORTER", "nonsense"),
    ];
    /// These are left out, with a warning.
    const WARNED: [(&str, &str); 17] = [
        ("OTEL_EXPORTER_OTLP_HEADERS", "pass-word"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "abc"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "nonsense"),
        ("OTEL_SDK_DISABLED", "nonsense"),
        ("OTEL_TRACES_SAMPLER", "nonsense"),
        ("OTEL_TRACES_SAMPLER_ARG", "2"),
        ("OTEL_PROPAGATORS", "nonsense"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=b,c"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "x"),
        ("OTEL_BSP_SCHEDULE_DELAY", "x"),
        ("OTEL_BLRP_MAX_QUEUE_SIZE", "x"),
        ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "x"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "x"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "x"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "x"),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "x"),
    ];
    let tried = REFUSED.iter().chain(&WARNED).map(|(name, _)| (*name).to_owned());
    // Any name will do.
    let tried: Names = tried.chain(["OTEL_SERVICE_NAME".to_owned()]).collect();
    assert_eq!(tried, Names::from_iter(variables_of_otlp()));

    let collector = Collector::start().await;
    let endpoint = format!("http://{}", collector.address("http/protobuf"));
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str());
    for (name, value) in REFUSED {
        let message = last_words(&[endpoint, (name, value)]).await;
        assert!(message.contains(name), "{message}");
    }
    for protocol in ["grpc", "http/protobuf"] {
        let endpoint = collector.environment(protocol);
        let endpoint = endpoint.each_ref().map(|(name, value)| (*name, value.as_str()));
        let database = TestDatabase::new();
        let flags = ["--database-url", database.url.as_str()];
        let server = Process::start_with(&flags, &[&endpoint[..], &WARNED].concat()).await;
        server.wait_until_ready().await;
        let log = server.log();
        for (name, _) in WARNED {
            let about = |line: &&serde_json::Value| {
                line["message"].as_str().is_some_and(|it| it.starts_with(&format!("{name}: ")))
            };
            let lines: Vec<_> = log.iter().filter(about).collect();
            assert_eq!(lines.len(), 1, "{name}: {lines:?}");
            assert_eq!(lines[0]["level"], "WARN");
        }
        // One of a database without TLS is none of theirs.
        let is_warning = |line: &&serde_json::Value| {
            line["level"] == "WARN" && !line["target"].to_string().contains("store")
        };
        let warnings = log.iter().filter(is_warning);
        assert_eq!(warnings.count(), WARNED.len(), "no second line about one of them: {log:?}");
        assert!(!log.iter().any(|line| line.to_string().contains("pass-word")), "{log:?}");
    }
}
