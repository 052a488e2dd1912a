//! The life of the process, on the real binary: how it starts, what it says, how it stops.

use crate::{
    harness::{PATIENCE, TestApp, TestDatabase, eventually, fetch},
    process::{Process, command},
};
use reqwest::{StatusCode, Url};
use serde_json::{Value, json};
use std::{process::Output, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Whatever the tests themselves were started with, such as nohup.
const SIGNALS_AS_USUAL: &str = r#"exec env --default-signal "$0" "$@""#;

async fn output(flags: &[&str]) -> (Output, String) {
    let output = timeout(PATIENCE, command(flags).output()).await.expect("it ends").unwrap();
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output, String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn a_signal_to_stop_lets_a_request_under_way_finish_and_exits_with_0() {
    for signal in ["-TERM", "-INT", "-QUIT", "-HUP"] {
        let database = TestDatabase::new();
        let flags = ["--database-url", database.url.as_str()];
        let server = Process::start_after(SIGNALS_AS_USUAL, &flags).await;
        server.wait_until_ready().await;
        let body = r#"{"user": "bob", "text": "half"}"#;
        let head = format!(
            "POST /message HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body.as_bytes()[..9]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.signal(signal).await;
        eventually("new connections are refused", || async {
            TcpStream::connect(server.address()).await.is_err()
        })
        .await;
        stream.write_all(&body.as_bytes()[9..]).await.unwrap();
        let answer = crate::harness::read_to_end(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
        assert_eq!(server.exit_code().await, Some(0), "{signal}");
        assert_eq!(database.count_messages().await, 1);
    }
}

#[tokio::test]
async fn a_server_without_requests_waits_for_nothing_when_it_stops() {
    let database = TestDatabase::new();
    let flags = ["--database-url", database.url.as_str(), "--shutdown-timeout", "5s"];
    let server = Process::start(&flags).await;
    server.wait_until_ready().await;
    assert_eq!(server.post("bob", "hi").send().await.unwrap().status(), 201);
    server.signal("-TERM").await;
    // Otherwise its last line says that requests were unfinished.
    eventually("it has stopped in order", || async {
        let last_line = "Stopped: all requests completed";
        server.log().iter().any(|line| line["message"] == last_line)
    })
    .await;
}

#[tokio::test]
async fn requests_that_arrived_before_sigterm_are_all_answered() {
    let database = TestDatabase::new();
    for _ in 0..5 {
        let server = Process::start(&["--database-url", database.url.as_str()]).await;
        server.wait_until_ready().await;
        let mut streams = Vec::new();
        for _ in 0..40 {
            let mut stream = TcpStream::connect(server.address()).await.unwrap();
            stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            streams.push(stream);
        }
        server.signal("-TERM").await;
        for stream in &mut streams {
            let answer = crate::harness::read_to_end(stream).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        assert_eq!(server.exit_code().await, Some(0));
    }
}

#[tokio::test]
async fn while_draining_the_server_is_live_and_serves_but_is_not_ready() {
    let (database, flags) = (TestDatabase::new(), ["--shutdown-delay", "1h"]);
    let mut app = TestApp::start_with(&database, &flags).await;
    app.begin_to_stop();
    app.wait_for_status("/readyz", 503).await;
    let ready: Value = app.get("/readyz").await.json().await.unwrap();
    assert_eq!(ready["checks"][1]["reason"], "draining");
    let live = app.get("/livez").await;
    assert_eq!(live.status(), 200);
    assert_eq!(live.headers()["connection"], "close", "the next request goes elsewhere");
    app.say("bob", "late").await;
}

#[tokio::test]
async fn a_request_that_does_not_finish_is_cut_off_when_the_time_for_stopping_is_over() {
    let database = TestDatabase::new();
    let flags = ["--database-url", database.url.as_str(), "--shutdown-timeout", "300ms"];
    let server = Process::start(&flags).await;
    server.wait_until_ready().await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(b"POST /message HTTP/1.1\r\nhost: x\r\ncontent-ty").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.signal("-TERM").await;
    assert_eq!(server.exit_code().await, Some(0));
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_second_signal_stops_the_server_at_once() {
    let database = TestDatabase::new();
    let flags = [
        "--database-url",
        database.url.as_str(),
        "--shutdown-delay",
        "1h",
        "--shutdown-timeout",
        "2h",
    ];
    let server = Process::start(&flags).await;
    server.wait_until_ready().await;
    server.signal("-TERM").await;
    server.wait_for_status("/readyz", 503).await;
    server.signal("-TERM").await;
    assert_eq!(server.exit_code().await, Some(130));
}

#[tokio::test]
async fn hangups_of_a_closed_terminal_do_not_count_as_a_second_signal() {
    let database = TestDatabase::new();
    let stopping = ["--shutdown-delay", "1h", "--shutdown-timeout", "2h"];
    let flags = [&["--database-url", database.url.as_str()], &stopping[..]].concat();
    let server = Process::start_after(SIGNALS_AS_USUAL, &flags).await;
    server.wait_until_ready().await;
    for signal in ["-HUP", "-HUP", "-TERM", "-HUP"] {
        server.signal(signal).await;
        server.wait_for_status("/readyz", 503).await;
    }
    server.signal("-INT").await;
    assert_eq!(server.exit_code().await, Some(130));
}

#[tokio::test]
async fn a_server_that_was_started_with_hangups_ignored_outlives_its_terminal() {
    let database = TestDatabase::new();
    let flags = ["--database-url", database.url.as_str()];
    let server = Process::start_after("trap '' HUP", &flags).await;
    server.wait_until_ready().await;
    server.signal("-HUP").await;
    for _ in 0..20 {
        assert_eq!(server.post("bob", "still here").send().await.unwrap().status(), 201);
    }
    server.stop().await;
}

#[tokio::test]
async fn help_is_a_manual_of_every_setting() {
    let (output, text) = output(&["--help"]).await;
    assert!(output.status.success());
    for setting in crate::tidy::settings() {
        assert!(text.contains(&format!("[env: {setting}")), "{setting} is missing in --help");
    }
}

#[tokio::test]
async fn the_database_url_can_come_from_a_file() {
    let (database, folder) = (TestDatabase::new(), tempfile::tempdir().unwrap());
    let file = folder.path().join("url");
    std::fs::write(&file, format!("{}\n", database.url)).unwrap();
    let server = Process::start(&["--database-url-file", file.to_str().unwrap()]).await;
    server.wait_until_ready().await;
}

#[tokio::test]
async fn the_health_check_tells_whether_the_server_with_its_settings_is_ready() {
    let database = TestDatabase::new();
    let stopping = ["--shutdown-delay", "1h", "--shutdown-timeout", "2h"];
    let flags = [&["--database-url", database.url.as_str()], &stopping[..]].concat();
    let server = Process::start(&flags).await;
    server.wait_until_ready().await;
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    let port = address.rsplit(':').next().unwrap();
    let unspecified = format!("0.0.0.0:{port}");
    for flags in [["--listen-addr", unspecified.as_str()], ["--ops-addr", address.as_str()]] {
        let (asked, text) = output(&[&flags[..], &["healthcheck"]].concat()).await;
        assert!(asked.status.success() && text.contains("\"status\":\"ok\""), "{text}");
    }
    server.signal("-TERM").await;
    server.wait_for_status("/readyz", 503).await;
    let (asked, text) = output(&["--listen-addr", &address, "healthcheck"]).await;
    assert_eq!(asked.status.code(), Some(1));
    assert!(text.contains("not ready") && text.contains("draining"), "{text}");
    let unused = "127.0.0.1:1";
    let (asked, text) = output(&["--listen-addr", unused, "healthcheck"]).await;
    assert_eq!(asked.status.code(), Some(1));
    assert!(text.contains("no response from 127.0.0.1:1"), "{text}");
}

#[tokio::test]
async fn migrate_only_migrates_and_exits_and_off_waits_for_that() {
    let database = TestDatabase::new();
    let url = database.url.as_str();
    let app = TestApp::launch(url, &["--migrate", "off"]).await;
    eventually("the server says that the schema is missing", || async {
        let ready: Value = app.get("/readyz").await.json().await.unwrap();
        // Without the right to create it, SQLite's file cannot even be opened.
        let reasons = [json!("not_migrated"), json!("database_missing"), json!("unreachable")];
        reasons.contains(&ready["checks"][0]["reason"])
    })
    .await;
    assert_eq!(app.get("/messages").await.status(), StatusCode::SERVICE_UNAVAILABLE);

    let (output, text) = output(&["--database-url", url, "--migrate", "only"]).await;
    assert!(output.status.success(), "{text}");
    app.wait_until_ready().await;
    app.say("bob", "hi").await;
}

#[tokio::test]
async fn with_an_operations_port_its_endpoints_leave_the_public_one() {
    let database = TestDatabase::new();
    let app = TestApp::launch(database.url.as_str(), &["--ops-addr", "127.0.0.1:0"]).await;
    let ops = format!("http://{}", app.ops_address.unwrap());
    eventually("the server is ready", || async {
        fetch(format!("{ops}/readyz")).await.unwrap().status() == 200
    })
    .await;
    for path in ["/livez", "/readyz", "/version", "/dashboard", "/dashboard.js"] {
        assert_eq!(app.get(path).await.status(), 404, "{path}");
        assert_eq!(fetch(format!("{ops}{path}")).await.unwrap().status(), 200, "{path}");
    }
    for path in ["/messages", "/docs", "/"] {
        assert_eq!(app.get(path).await.status(), 200, "{path}");
        assert_eq!(fetch(format!("{ops}{path}")).await.unwrap().status(), 404, "{path}");
    }
    let document = app.get_json("/openapi.json").await;
    assert!(document["paths"]["/readyz"].is_null(), "not on this port, so not in its document");
}

#[tokio::test]
async fn every_link_of_a_page_leads_somewhere() {
    let (app, _database) = TestApp::start().await;
    let database = TestDatabase::new();
    let split = TestApp::launch(database.url.as_str(), &["--ops-addr", "127.0.0.1:0"]).await;
    for (address, page, links) in [
        (app.address, "/", vec!["/docs", "/dashboard", "/messages"]),
        (app.address, "/dashboard", vec!["/", "/docs", "/stats", "/metrics"]),
        (split.address, "/", vec!["/docs", "/messages"]),
        (split.ops_address.unwrap(), "/dashboard", vec!["/stats", "/metrics"]),
    ] {
        let url = Url::parse(&format!("http://{address}{page}")).unwrap();
        let html = fetch(url.clone()).await.unwrap().text().await.unwrap();
        let found = html.split("href=\"").skip(1).map(|rest| rest.split_once('"').unwrap().0);
        let found: Vec<Url> = found.map(|link| url.join(link).unwrap()).collect();
        for link in links {
            assert!(found.iter().any(|found| found.path() == link), "{url} has no {link}");
        }
        for link in found.iter().filter(|link| link.scheme() == "http") {
            assert_ne!(fetch(link.clone()).await.unwrap().status(), 404, "{link} of {url}");
        }
    }
}

#[tokio::test]
async fn version_says_which_build_it_is() {
    let (app, _database) = TestApp::start().await;
    let version = app.get_json("/version").await;
    assert_eq!(version["name"], "chat-server");
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
}
