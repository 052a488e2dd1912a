//! Databases whose limits are smaller than what the server promises.

use crate::{
    harness::{eventually, problem},
    private_database::PrivateDatabase,
    process::Process,
};
use sqlx::Executor;
use std::time::Duration;
use tokio::time::sleep;

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn limits_that_are_too_small_are_named_and_a_text_that_does_not_fit_is_refused() {
    let database = PrivateDatabase::new();
    database.start().await;
    let mut root = database.root().await;
    root.execute("set global max_allowed_packet = 65536").await.unwrap();
    root.execute("set global max_connections = 15").await.unwrap();
    let flags = ["--database-url", &database.url(), "--database-max-connections", "20"];
    let server = Process::start(&flags).await;
    server.wait_until_ready().await;

    for (size, status) in [(30_000, 201), (60_000, 422)] {
        let response = server.post("bob", &"x".repeat(size)).send().await.unwrap();
        assert_eq!(response.status(), status, "{size}");
        if status == 422 {
            let problem = problem(response).await;
            assert_eq!(problem["code"], "text_too_long");
            assert!(problem["detail"].as_str().unwrap().contains("bytes"), "{problem}");
        }
    }
    let limits = ["max_allowed_packet is 65536", "max_connections is 15"];
    let warnings = server.json("/readyz").await["checks"][0]["warnings"].clone();
    for (number, limit) in limits.into_iter().enumerate() {
        assert!(warnings[number].as_str().unwrap().contains(limit), "{warnings}");
        let lines = || server.log().iter().filter(|line| line.to_string().contains(limit)).count();
        eventually("the log names the limit", || async { lines() == 1 }).await;
    }
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn a_limit_that_is_reached_is_told_from_a_database_that_is_unreachable() {
    let database = PrivateDatabase::new();
    database.start().await;
    let mut root = database.root().await;
    root.execute("set global max_prepared_stmt_count = 0").await.unwrap();
    let server = Process::start(&["--database-url", &database.url()]).await;
    eventually("the limit is blamed", || async {
        server.json("/readyz").await["checks"][0]["reason"] == "limit_reached"
    })
    .await;
    let names_limit = |line: &serde_json::Value| {
        line["db.fault"] == "limit_reached"
            && line["cause"].to_string().contains("max_prepared_stmt_count")
    };
    eventually("the log names it", || async { server.log().iter().any(names_limit) }).await;
    root.execute("set global max_prepared_stmt_count = 16382").await.unwrap();
    server.wait_until_ready().await;
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn a_limit_of_prepared_statements_that_is_reached_while_serving_is_not_ready() {
    let database = PrivateDatabase::new();
    database.start().await;
    let mut root = database.root().await;
    let server = Process::start(&["--database-url", &database.url()]).await;
    server.wait_until_ready().await;
    assert_eq!(server.post("bob", "hi").send().await.unwrap().status(), 201);
    // What the looks need is prepared after them.
    eventually("the id is recorded", async || {
        let recorded: Vec<i64> = sqlx::query_scalar("select last_id from chat.message_sequence")
            .fetch_all(&mut database.root().await)
            .await
            .unwrap();
        recorded == [1]
    })
    .await;
    sleep(Duration::from_secs(1)).await;
    root.execute("set global max_prepared_stmt_count = 0").await.unwrap();
    // What was prepared before the limit can still be executed.
    assert_eq!(server.json("/readyz").await["status"], "ok");
    let response = reqwest::get(format!("{}/messages/1", server.url)).await.unwrap();
    assert_eq!(response.status(), 503);
    eventually("the limit is blamed", async || {
        server.json("/readyz").await["checks"][0]["reason"] == "limit_reached"
    })
    .await;
    let names_limit =
        |line: &serde_json::Value| line["cause"].to_string().contains("max_prepared_stmt_count");
    assert!(server.log().iter().any(names_limit), "{:?}", server.log());
    root.execute("set global max_prepared_stmt_count = 16382").await.unwrap();
    server.wait_until_ready().await;
    assert_eq!(server.json("/messages/1").await["text"], "hi");
}
