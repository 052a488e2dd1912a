//! What the log says of the database: where it is, and what is waited for.

use crate::{
    harness::{PATIENCE, TestDatabase, eventually},
    process::{Process, command},
};
use serde_json::{Value, json};
use tokio::time::timeout;

fn message(line: &Value) -> &str {
    line["message"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn the_start_names_the_database_and_nothing_that_is_of_no_use_or_secret() {
    let database = TestDatabase::sqlite();
    // A file or a shell may leave a newline behind it.
    let server = Process::start(&["--database-url", &format!("{}\n", database.url)]).await;
    let log = server.log();
    assert_eq!(message(&log[0]), "Starting");
    let found = log.iter().find(|line| message(line).starts_with("Database: ")).unwrap();
    assert_eq!(message(found), format!("Database: {}", database.url));
    assert_eq!(found["db.system.name"], "sqlite");
    assert_eq!(found["db.namespace"], database.path().to_str().unwrap());
    let libraries = log.iter().filter(|line| !line["target"].to_string().contains("chat_server"));
    assert_eq!(libraries.count(), 0, "{log:?}");

    let url = "mysql://chat:geheim@localhost:1/talk?ssl-mode=REQUIRED";
    let server = Process::start(&["--database-url", url]).await;
    let log = server.log();
    let found = log.iter().find(|line| message(line).starts_with("Database: ")).unwrap();
    assert_eq!(message(found), "Database: mysql://localhost:1/talk");
    let place = (&found["server.address"], &found["server.port"], &found["db.namespace"]);
    assert_eq!(place, (&json!("localhost"), &json!(1), &json!("talk")));
    assert!(!log.iter().any(|line| line.to_string().contains("geheim")), "{log:?}");
}

#[tokio::test]
async fn an_ipv6_address_is_asked_and_named() {
    let server = Process::start(&["--database-url", "mysql://chat@[::1]:1/talk"]).await;
    let line = |start: &str| server.log().into_iter().find(|line| message(line).starts_with(start));
    let found = line("Database: ").unwrap();
    assert_eq!(message(&found), "Database: mysql://[::1]:1/talk");
    assert_eq!(found["server.address"], "::1");
    eventually("it is waited for", || async { line("Waiting for the database").is_some() }).await;
    let cause = line("Waiting for the database").unwrap()["cause"].to_string();
    // Nothing listens there; where there is no IPv6, the address cannot be assigned.
    assert!(!cause.contains("lookup"), "{cause}");
}

#[tokio::test]
async fn a_database_that_is_waited_for_is_named_again_and_again() {
    let url = "mysql://chat:geheim@127.0.0.1:1/talk";
    let server = Process::start(&["--database-url", url]).await;
    let waiting = || {
        let is_about = |line: &Value| message(line) == "Waiting for the database";
        server.log().into_iter().filter(is_about).collect::<Vec<_>>()
    };
    eventually("it is repeated", || async { waiting().len() > 1 }).await;
    for line in waiting() {
        assert_eq!(line["db.fault"], "unreachable", "{line}");
        let place = (&line["server.address"], &line["server.port"], &line["db.namespace"]);
        assert_eq!(place, (&json!("127.0.0.1"), &json!(1), &json!("talk")), "{line}");
        assert!(!line.to_string().contains("geheim"), "{line}");
    }
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn a_part_of_the_url_that_the_database_refuses_ends_the_process() {
    let database = TestDatabase::new();
    for parameter in ["charset", "collation", "timezone"] {
        let url = format!("{}?{parameter}=nosuch", database.url);
        let flags = ["--database-url", &url, "--listen-addr", "127.0.0.1:0"];
        let ended = timeout(PATIENCE, command(&flags).output()).await.expect("it ends").unwrap();
        let log = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{log}");
        let last = log.lines().last().unwrap();
        assert!(last.contains("DATABASE_URL: ") && last.contains("nosuch"), "{log}");
    }
}
