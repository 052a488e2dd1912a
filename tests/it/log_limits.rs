//! However many requests fail, the log does not fill a disk, and nothing is missing uncounted.

use crate::{
    collector::Collector,
    harness::{PATIENCE, TestDatabase, client, eventually},
    process::{self, Process},
};
use futures_util::future::join_all;
use serde_json::Value;
use std::{collections::BTreeMap, process::Stdio, time::Duration};
use tokio::{
    net::TcpListener,
    process::Command,
    time::{Instant, sleep, timeout},
};

/// Seconds of which a test sees each report.
const SECONDS: usize = 3;

/// The sum of the samples that begin like this.
fn sum(metrics: &str, start: &str) -> u64 {
    let lines = metrics.lines().filter(|line| line.starts_with(start));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[derive(Debug, Default)]
struct Lines {
    written: Vec<String>,
    reports: Vec<String>,
    left_out: u64,
}

/// The lines about failed requests, by the route that `routes` gives to each path.
fn by_route(
    log: &[Value],
    routes: &[(&'static str, &'static str)],
) -> BTreeMap<&'static str, Lines> {
    let mut lines: BTreeMap<&str, Lines> = BTreeMap::new();
    for line in log {
        let route = |&&(path, route): &&(&str, &str)| {
            line["url.path"] == path || line["http.route"] == route
        };
        let Some((_, route)) = routes.iter().find(route) else { continue };
        let lines = lines.entry(route).or_default();
        if let Some(left_out) = line["lines"].as_u64() {
            assert!(line["message"].as_str().unwrap().ends_with(": lines left out"), "{line}");
            lines.reports.push(line.to_string());
            lines.left_out += left_out;
        } else {
            lines.written.push(line.to_string());
        }
    }
    lines
}

#[tokio::test]
async fn an_hour_without_a_database_fits_into_ten_megabytes_and_each_request_is_counted() {
    const ROUTES: [(&str, &str); 3] =
        [("/messages", "/messages"), ("/messages/1", "/messages/{id}"), ("/users", "/users")];
    let collector = Collector::start().await;
    let environment = collector.environment("grpc");
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let database = TestDatabase::new();
    let flags = ["--database-url", database.url.as_str()];
    Process::migrate(&flags).await;
    let flags = [&flags[..], &["--migrate", "off"]].concat();
    let server = Process::start_with(&flags, &environment).await;
    server.wait_until_ready().await;
    database.execute("drop table messages").await.unwrap();
    server.wait_for_status("/readyz", 503).await;

    let (running, begun) = (&server, Instant::now());
    let sent = ROUTES.map(|(path, _)| async move {
        let reports =
            || by_route(&running.log(), &ROUTES).values().map(|it| it.reports.len()).min();
        let (client, mut sent) = (client(), 0);
        while reports() < Some(SECONDS) {
            for _ in 0..50 {
                let response = client.get(format!("{}{path}", running.url)).send().await.unwrap();
                assert_eq!(response.status(), 503);
                sent += 1;
            }
            assert!(sent < 5_000, "no reports of lines that are left out");
            sleep(Duration::from_millis(50)).await;
        }
        sent
    });
    let sent = join_all(sent).await;
    // A busy machine may have seconds in which no line is left out, and so no report.
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
    let counted = |log: &[Value]| {
        let lines = by_route(log, &ROUTES);
        ROUTES.map(|(_, route)| lines[route].written.len() as u64 + lines[route].left_out)
    };
    eventually("each request is written or counted", || async {
        counted(&server.log())[..] == sent[..]
    })
    .await;

    let lines = by_route(&server.log(), &ROUTES);
    let longest = |lines: &[String]| lines.iter().map(String::len).max().unwrap();
    let hour = lines.values().map(|Lines { written, reports, .. }| {
        assert!(written.len() <= 11 + seconds, "{written:?}");
        10 * longest(written) + 3_600 * (longest(written) + longest(reports))
    });
    let hour: usize = hour.sum();
    assert!(hour < 10_000_000, "{hour} bytes");

    let metrics = server.text("/metrics").await;
    let left_out: u64 = lines.values().map(|it| it.left_out).sum();
    let dropped = "chat_log_lines_dropped_total{chat_log_reason=\"repeated\"";
    assert_eq!(sum(&metrics, dropped), left_out);
    let requests = sum(&metrics, "http_server_request_duration_seconds_count{");
    assert_eq!(requests, sent.iter().sum::<u64>());
    server.stop().await;
    let has_code = |key: &str| key == "code";
    let exported = collector.received();
    let exported =
        exported.logs.iter().filter(|it| it.attributes.iter().any(|it| has_code(&it.key)));
    let printed = lines.values().map(|it| it.written.len() + it.reports.len());
    assert_eq!(exported.count(), printed.sum::<usize>());
}

#[tokio::test]
async fn what_a_client_does_wrong_is_for_debugging() {
    const REQUESTS: u64 = 1_000;
    let database = TestDatabase::new();
    for (filter, is_written) in [("info", false), ("info,chat_server=debug", true)] {
        let flags = ["--database-url", database.url.as_str(), "--log", filter];
        let server = Process::start(&flags).await;
        server.wait_until_ready().await;
        let client = client();
        for _ in 0..REQUESTS {
            let response = client.get(format!("{}/nowhere", server.url)).send().await.unwrap();
            assert_eq!(response.status(), 404);
        }
        server.signal("-TERM").await;
        eventually("it stops", || async {
            let last = server.log().pop().unwrap();
            last["message"].as_str().unwrap().ends_with("left out")
                || !is_written && last["message"].as_str().unwrap().starts_with("Stopped")
        })
        .await;
        let log = server.log();
        let about: Vec<_> = log.iter().filter(|line| line["code"] == "route_not_found").collect();
        if !is_written {
            assert!(about.is_empty(), "{about:?}");
            continue;
        }
        assert!(about.iter().all(|line| line["level"] == "DEBUG"), "{about:?}");
        let left_out: u64 = about.iter().filter_map(|line| line["lines"].as_u64()).sum();
        let written = about.iter().filter(|line| line["url.path"] == "/nowhere").count() as u64;
        assert_eq!(written + left_out, REQUESTS, "{about:?}");
    }
}

#[tokio::test]
async fn a_blocked_log_reader_loses_lines_which_are_counted_and_delays_no_request() {
    // Only its statements are lines of the log.
    let database = TestDatabase::sqlite();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let address = free.to_string();
    let flags = ["--database-url", database.url.as_str(), "--listen-addr", &address];
    let mut server =
        process::command(&flags).args(["--log", "debug"]).stderr(Stdio::piped()).spawn().unwrap();
    let _unread = server.stderr.take().unwrap();
    let (client, url) = (client(), format!("http://{free}"));
    let get = |path: &str| client.get(format!("{url}{path}")).send();
    eventually("it serves", || async { get("/readyz").await.is_ok_and(|it| it.status() == 200) })
        .await;
    eventually("lines are lost and counted", || async {
        for _ in 0..200 {
            let page = get("/messages?limit=3").await.unwrap();
            assert_eq!(page.status(), 200);
            page.bytes().await.unwrap();
        }
        let metrics = get("/metrics").await.unwrap().text().await.unwrap();
        sum(&metrics, "chat_log_lines_dropped_total{chat_log_reason=\"buffer_full\"") > 0
    })
    .await;
    let id = server.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    assert!(timeout(PATIENCE, server.wait()).await.unwrap().unwrap().success());
}
