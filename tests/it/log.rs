//! What stands in the log, as a person or a machine reads it.

use crate::{
    collector::{Collector, hex},
    harness::{TestDatabase, client, connect_mysql, eventually, fetch},
    process::{self, Process},
    sequence::LOCK_MESSAGES,
    traces::{TRACE, traceparent},
};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Executor;
use std::process::Stdio;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

#[tokio::test]
async fn no_client_can_forge_a_line_of_the_log() {
    const FORGED: &str = "\r\n{\"level\":\"ERROR\",\"message\":\"forged\"}\u{2028}\u{1b}[31mforged";
    let database = TestDatabase::sqlite();
    for format in ["json", "pretty"] {
        let flags = ["--database-url", database.url.as_str(), "--listen-addr", "127.0.0.1:0"];
        let mut server = process::command(&flags)
            .args(["--log-format", format, "--log", "info,chat_server=debug"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
        let url = loop {
            let line = lines.next_line().await.unwrap().unwrap();
            if let Some((_, rest)) = line.split_once("Page: ") {
                break rest.split(['/', '"']).nth(2).map(|host| format!("http://{host}")).unwrap();
            }
        };
        let encoded = FORGED.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02x}"));
        let post = || client().post(format!("{url}/message"));
        let hostile = [
            client().get(format!("{url}/{encoded}?{encoded}")),
            client().get(format!("{url}/messages/{encoded}?before={encoded}")),
            post().json(&json!({ "user": FORGED, "text": FORGED })),
            post().header("content-type", "application/json").body(FORGED),
        ];
        for request in hostile {
            assert!(request.send().await.unwrap().status().is_client_error());
        }
        let id = server.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
        let mut log = Vec::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            log.push(line);
        }
        let refused: Vec<_> = log.iter().filter(|line| line.contains("Request refused")).collect();
        assert_eq!(refused.len(), 4, "{log:?}");
        for line in &log {
            assert!(!line.contains(['\r', '\u{2028}', '\u{1b}']), "{line:?}");
            assert!(!line.starts_with("{\"level") && !line.contains("\"message\":\"forged\""));
        }
    }
}

#[tokio::test]
async fn a_line_written_anywhere_on_a_request_s_way_has_the_ids_of_its_span() {
    let collector = Collector::start().await;
    let environment = collector.environment("grpc");
    let mut environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    environment.push(("RUST_LOG", "info,sqlx=debug,chat_server=debug"));
    // On MySQL, sqlx writes nothing about statements, because they hold texts.
    let database = TestDatabase::sqlite();
    let server =
        Process::start_with(&["--database-url", database.url.as_str()], &environment).await;
    server.wait_until_ready().await;
    let post = server.post("bob", "hi").header("traceparent", traceparent(true));
    let posted: Value = post.send().await.unwrap().json().await.unwrap();
    let get = server.request(Method::GET, &format!("/messages/{}", posted["id"]));
    let get = get.header("traceparent", traceparent(true)).send().await.unwrap();
    assert_eq!(get.status(), 200);
    // A library's line in the batch, and one in a request's own call of the database.
    let spans = ["INSERT messages", "SELECT messages"];
    let mut ids = Vec::new();
    for name in spans {
        ids.push(hex(&collector.spans(name).await.remove(0).span_id));
    }
    let is_library_s = |line: &Value| line["target"].as_str().unwrap().starts_with("sqlx");
    for id in &ids {
        eventually("the library's line is there", || async {
            let log = server.log();
            let mut lines = log.iter().filter(|line| line["span_id"] == id.as_str());
            lines.any(|line| is_library_s(line) && line["trace_id"] == TRACE)
        })
        .await;
    }

    let refused = server.request(Method::GET, "/messages/x");
    refused.header("traceparent", traceparent(false)).send().await.unwrap();
    eventually("the refusal is there, without a span that nothing can find", || async {
        let log = server.log();
        let line = log.iter().find(|line| line["code"] == "invalid_parameter");
        line.is_some_and(|line| line["trace_id"] == TRACE && line.get("span_id").is_none())
    })
    .await;
    let log = server.log();
    assert!(log.iter().any(|line| is_library_s(line) && line.get("trace_id").is_none()));

    server.stop().await;
    let received = collector.received();
    for id in &ids {
        let mut logs = received.logs.iter().filter(|log| hex(&log.span_id) == *id);
        assert!(logs.any(|log| hex(&log.trace_id) == TRACE), "over OTLP too");
    }
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn a_slow_statement_leaves_no_text_of_a_message_in_the_log() {
    let database = TestDatabase::new();
    let flags = ["--database-url", database.url.as_str(), "--log", "info,chat_server=debug"];
    let server = Process::start(&flags).await;
    server.wait_until_ready().await;
    let mut other = connect_mysql(&database.url).await.unwrap();
    other.execute("begin").await.unwrap();
    other.execute(LOCK_MESSAGES).await.unwrap();
    assert_eq!(server.post("bob", "secret").send().await.unwrap().status(), 503);
    fetch(format!("{}/unknown", server.url)).await.unwrap();
    let log = || server.log().iter().map(ToString::to_string).collect::<String>();
    eventually("the last line is there", || async { log().contains("/unknown") }).await;
    assert!(!log().contains("736563726574"), "{}", log());
}
