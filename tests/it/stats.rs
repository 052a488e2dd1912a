//! The seven numbers: at `/metrics`, at `/stats`, and that the two agree.

use crate::{
    harness::{TestDatabase, eventually},
    process::Process,
};
use reqwest::Method;
use std::collections::BTreeSet;

async fn server(flags: &[&str]) -> (Process, TestDatabase) {
    let database = TestDatabase::new();
    let flags = [&["--database-url", database.url.as_str()], flags].concat();
    let server = Process::start(&flags).await;
    server.wait_until_ready().await;
    (server, database)
}

/// The sum of the samples of a metric whose labels have all these parts.
fn sum(metrics: &str, name: &str, labels: &[&str]) -> f64 {
    let lines = metrics.lines().filter(|line| {
        let of_name = line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        of_name && labels.iter().all(|label| line.contains(label))
    });
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

#[tokio::test]
async fn what_was_asked_is_counted_by_route_status_and_code() {
    let (server, _database) = server(&[]).await;
    for _ in 0..3 {
        assert_eq!(server.post("bob", "hi").send().await.unwrap().status(), 201);
    }
    assert_eq!(server.post("", "hi").send().await.unwrap().status(), 422);
    server.json("/messages").await;
    assert_eq!(server.request(Method::GET, "/messages/99").send().await.unwrap().status(), 404);
    assert_eq!(server.request(Method::GET, "/nowhere/1").send().await.unwrap().status(), 404);
    server.request(Method::GET, "/readyz").send().await.unwrap();

    let metrics = server.text("/metrics").await;
    let count =
        |labels: &[&str]| sum(&metrics, "http_server_request_duration_seconds_count", labels);
    let route = |route: &str| format!("http_route=\"{route}\"");
    assert!((count(&[]) - 7.0).abs() < 0.1, "operations endpoints do not count: {metrics}");
    assert!((count(&[&route("/message"), "status_code=\"201\""]) - 3.0).abs() < 0.1);
    assert!((count(&[&route("/message"), "error_type=\"user_empty\""]) - 1.0).abs() < 0.1);
    assert!((count(&[&route("/messages/{id}"), "message_not_found"]) - 1.0).abs() < 0.1);
    assert!((count(&["error_type=\"route_not_found\""]) - 1.0).abs() < 0.1);
    assert!(!metrics.contains("nowhere"));

    let stats = server.json("/stats").await;
    let minute = &stats["windows"][0];
    assert_eq!(minute["requests"], 7);
    assert_eq!(minute["errors"]["client"], 3);
    assert_eq!(minute["errors"]["server"], 0);
    assert_eq!(minute["availability"], 1.0);
    assert_eq!(minute["apdex"], 1.0);
    assert!(minute["mean_seconds"].as_f64().unwrap() > 0.0);
    assert!(stats["connections"]["peak"].as_u64().unwrap() >= 1);
    assert_eq!(stats["ready"], true);
}

#[tokio::test]
async fn percentiles_fit_the_average_however_few_the_requests_are() {
    let (server, _database) = server(&[]).await;
    for requests in 1..=3_u32 {
        server.json("/messages").await;
        let minute = server.json("/stats").await["windows"][0].clone();
        let seconds = |name: &str| minute[format!("{name}_seconds")].as_f64().unwrap();
        let [p50, p95, p99] = ["p50", "p95", "p99"].map(seconds);
        assert!(p50 <= p95 && p95 <= p99, "{minute}");
        // No part is more than the sum.
        assert!(p99 <= seconds("mean") * f64::from(requests) * (1.0 + 1e-9), "{minute}");
        if requests == 1 {
            assert!((p50 / seconds("mean") - 1.0).abs() < 1e-9, "{minute}");
        }
    }
}

#[tokio::test]
async fn buckets_begin_where_a_fast_server_is() {
    let (server, _database) = server(&[]).await;
    server.json("/messages").await;
    let metrics = server.text("/metrics").await;
    for name in ["http_server_request_duration_seconds", "db_client_operation_duration_seconds"] {
        for bound in ["0.0001", "0.000315", "0.5", "2", "10", "+Inf"] {
            let (name, bound) = (format!("{name}_bucket{{"), format!("le=\"{bound}\""));
            let found =
                metrics.lines().any(|line| line.starts_with(&name) && line.contains(&bound));
            assert!(found, "{name} {bound}: {metrics}");
        }
    }
}

#[tokio::test]
async fn a_hostile_client_makes_no_labels() {
    let (server, _database) = server(&[]).await;
    for number in 0..50 {
        let method = Method::from_bytes(format!("M{number}").as_bytes()).unwrap();
        let path = format!("/{number}/x?{number}");
        let request = server.request(method, &path).header("host", format!("h{number}"));
        assert_eq!(request.send().await.unwrap().status(), 404);
    }
    let metrics = server.text("/metrics").await;
    let series = metrics
        .lines()
        .filter(|line| line.starts_with("http_server_request_duration_seconds_count"));
    assert_eq!(series.count(), 1, "{metrics}");
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn an_outage_counts_against_availability_and_satisfaction() {
    use crate::proxy::{Network, Proxy};
    let database = TestDatabase::new();
    let proxy = Proxy::to(&database.url).await;
    let url = proxy.url(&database.url);
    let server = Process::start(&["--database-url", &url]).await;
    server.wait_until_ready().await;
    for _ in 0..3 {
        server.json("/messages").await;
    }
    proxy.set(Network::Cut);
    server.wait_for_status("/readyz", 503).await;
    assert_eq!(server.json("/stats").await["ready"], false);
    assert!(server.text("/metrics").await.contains("\nchat_server_ready 0"));
    let failed = server.request(Method::GET, "/messages").send().await.unwrap();
    assert_eq!(failed.status(), 503);
    let minute = server.json("/stats").await["windows"][0].clone();
    assert_eq!((&minute["availability"], &minute["apdex"]), (&0.75.into(), &0.75.into()));
    assert_eq!(minute["errors"]["server"], 1);
    assert_eq!(minute["errors"]["by_code"][0]["code"], "database_unavailable");
}

#[tokio::test]
async fn the_history_has_a_point_for_each_step() {
    let (server, _database) = server(&[]).await;
    server.json("/messages").await;
    eventually("a step is over", || async {
        !server.json("/stats/history").await["points"].as_array().unwrap().is_empty()
    })
    .await;
    let point = server.json("/stats/history").await["points"][0].clone();
    assert!(point["requests_per_second"].as_f64().unwrap() > 0.0, "{point}");
    assert_eq!(point["apdex"], 1.0);
    assert!(point["cpu_process"].is_number() && point["memory_bytes"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn the_numbers_are_for_operators_only() {
    let database = TestDatabase::new();
    let flags = ["--database-url", database.url.as_str(), "--ops-addr", "127.0.0.1:0"];
    let server = Process::start(&flags).await;
    server.wait_for_status("/messages", 200).await;
    for path in ["/metrics", "/stats", "/stats/history"] {
        assert_eq!(server.request(Method::GET, path).send().await.unwrap().status(), 404, "{path}");
    }
}

#[tokio::test]
async fn numbers_say_whose_they_are() {
    let named = [("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=chat-0,host.name=node-a")];
    let mut seen = BTreeSet::new();
    for environment in [&named[..], &[], &[]] {
        let database = TestDatabase::new();
        let flags = ["--database-url", database.url.as_str()];
        let server = Process::start_with(&flags, environment).await;
        server.wait_until_ready().await;
        let (version, stats) = (server.json("/version").await, server.json("/stats").await);
        let history = server.json("/stats/history").await;
        let metrics = server.text("/metrics").await;
        for (key, label) in [("instance_id", "service_instance_id"), ("host_name", "host_name")] {
            let value = version[key].as_str().unwrap();
            assert_eq!((&stats["service"][key], &history[key]), (&version[key], &version[key]));
            assert!(metrics.contains(&format!("{label}=\"{value}\"")), "{value}: {metrics}");
        }
        if !environment.is_empty() {
            assert_eq!(
                (&version["instance_id"], &version["host_name"]),
                (&"chat-0".into(), &"node-a".into())
            );
        }
        seen.insert(version["instance_id"].to_string());
    }
    assert_eq!(seen.len(), 3, "each process has an id of its own: {seen:?}");
}
