//! The connections to MySQL: what costs none of them, and what the database is not asked.

use crate::{
    harness::{TestApp, TestDatabase, connect_mysql, eventually},
    process::Process,
    proxy::Proxy,
    rotation::replace,
};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::Value;
use std::{collections::BTreeSet, path::PathBuf, time::Duration};
use tempfile::TempDir;
use tokio::time::sleep;
use url::Url;

/// A server whose password is in a file.
async fn start_with_password_file(mut url: Url, password: &str) -> (Process, PathBuf, TempDir) {
    url.set_password(None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    replace(&file, password);
    let flags = ["--database-url", url.as_str(), "--database-password-file"];
    let server = Process::start(&[&flags[..], &[file.to_str().unwrap()]].concat()).await;
    (server, file, folder)
}

/// The connections of this database that are not the test's own.
async fn connections(database: &TestDatabase) -> BTreeSet<i64> {
    let query = "select cast(id as signed) from information_schema.processlist \
        where db = ? and id <> connection_id()";
    let query = sqlx::query_scalar(query).bind(database.url.path().trim_start_matches('/'));
    let mut connection = connect_mysql(&database.url).await.unwrap();
    query.fetch_all(&mut connection).await.unwrap().into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: make test"]
async fn a_statement_that_is_too_slow_costs_no_other_connection() {
    let database = TestDatabase::new();
    let app = TestApp::start_with(&database, &["--request-timeout", "8s"]).await;
    app.say("bob", "before").await;
    eventually("there are several connections", || async {
        join_all((0..30).map(|_| app.get("/messages?before=1000000"))).await;
        connections(&database).await.len() >= 6
    })
    .await;
    let trigger = "create trigger slow before insert on messages for each row do sleep(10)";
    database.execute(trigger).await.unwrap();
    let before = connections(&database).await;
    // The database may store it all the same.
    app.post("bob", "too slow").send().await.unwrap();
    let after = connections(&database).await;
    // Each of up to three attempts costs the connection that it used.
    assert!(before.intersection(&after).count() >= before.len() - 3, "{before:?} {after:?}");
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn a_query_that_takes_too_long_is_ended_by_the_database() {
    let database = TestDatabase::new();
    let flags = ["--database-url", database.url.as_str(), "--request-timeout", "4s"];
    let server = Process::start(&flags).await;
    server.wait_until_ready().await;
    for user in ["alice", "zoe"] {
        assert_eq!(server.post(user, "hi").send().await.unwrap().status(), 201);
    }
    // Only reads of the later names are slow.
    database.execute("rename table users to stored_users").await.unwrap();
    let view = "create view users as \
        select name from stored_users where name = 'alice' or sleep(100) = 0";
    database.execute(view).await.unwrap();
    let failed = server.request(Method::GET, "/users?after=b").send().await.unwrap();
    assert_eq!(failed.status(), 503);
    let is_busy = |line: &Value| line.to_string().contains("is not available: busy");
    eventually("the log says why", || async { server.log().iter().any(is_busy) }).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: make test"]
async fn a_pipe_in_the_place_of_the_password_file_fails_no_request() {
    let database = TestDatabase::new();
    let password = database.url.password().unwrap();
    let (server, file, _folder) = start_with_password_file(database.url.clone(), password).await;
    server.wait_until_ready().await;
    let pipe = file.with_extension("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::fs::rename(pipe, file).unwrap();
    // More than there are connections, so that new ones are opened.
    for page in join_all((0..30).map(|_| server.text("/messages?before=1000000"))).await {
        assert!(page.contains("\"messages\""), "{page}");
    }
    let is_told = |line: &Value| line.to_string().contains("is no longer a regular file");
    eventually("the log says it", || async { server.log().iter().any(is_told) }).await;
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn a_password_that_was_denied_is_tried_again_after_a_pause_or_when_its_file_changes() {
    let database = TestDatabase::new();
    let proxy = Proxy::to(&database.url).await;
    let url: Url = proxy.url(&database.url).parse().unwrap();
    let (server, file, _folder) = start_with_password_file(url, "geheim").await;
    eventually("the password is blamed", || async {
        server.json("/readyz").await["checks"][0]["reason"] == "access_denied"
    })
    .await;
    // It prepares to serve about eight times meanwhile; the pause may end once.
    sleep(Duration::from_secs(2)).await;
    assert!(proxy.connections() <= 2, "{} attempts", proxy.connections());
    replace(&file, database.url.password().unwrap());
    server.wait_until_ready().await;
}
