//! What stands in the log, as a person or a machine reads it.

use crate::{
    harness::{TestDatabase, client, connect_mysql, eventually, fetch},
    process::{self, Process},
    sequence::LOCK_MESSAGES,
};
use serde_json::json;
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
