//! Databases that give fewer connections than the setting: one is enough to serve everything.

use crate::{
    harness::{TestApp, TestDatabase, connect_mysql, eventually},
    private_database::PrivateDatabase,
};
use futures_util::future::join_all;
use sqlx::{AssertSqlSafe, Executor, MySqlConnection};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::time::sleep;
use url::Url;

/// Creates a user who may have so many connections, and returns its URL.
async fn user_with(database: &TestDatabase, connections: u32) -> Url {
    let mut url = database.url.clone();
    let name = url.path().trim_start_matches('/').to_owned();
    url.set_path("");
    let mut root = connect_mysql(&url).await.unwrap();
    for statement in [
        format!(
            "create user '{name}'@'%' identified by 'geheim' with max_user_connections {connections}"
        ),
        format!("grant all on `{name}`.* to '{name}'@'%'"),
    ] {
        root.execute(AssertSqlSafe(statement)).await.unwrap();
    }
    url.set_path(&name);
    url.set_username(&name).unwrap();
    url.set_password(Some("geheim")).unwrap();
    url
}

/// Posts and reads in every way from many clients, and looks at `/readyz` meanwhile. All must
/// succeed.
async fn serves_everything(app: &TestApp) {
    let id = app.say("bob", "first").await["id"].clone();
    let paths = [
        "/messages".to_owned(),
        format!("/messages/{id}"),
        "/messages?before=1000000&limit=7".to_owned(),
        "/messages?after=0&limit=7".to_owned(),
        "/users".to_owned(),
        "/users?after=a".to_owned(),
    ];
    let is_done = AtomicBool::new(false);
    let is_done = &is_done;
    let watching = async {
        while !is_done.load(Ordering::Relaxed) {
            let ready = app.get("/readyz").await;
            assert_eq!(ready.status(), 200, "{}", ready.text().await.unwrap());
            sleep(Duration::from_millis(20)).await;
        }
    };
    let readers = (0..48).map(|reader| {
        let path = &paths[reader % paths.len()];
        async move {
            for _ in 0..20 {
                let response = app.get(path).await;
                assert_eq!(response.status(), 200, "{path}: {}", response.text().await.unwrap());
            }
        }
    });
    let writers = (0..8).map(|writer| async move {
        for number in 0..20 {
            let post = app.post(&format!("user {writer}"), &number.to_string());
            let response = post.send().await.unwrap();
            assert_eq!(response.status(), 201, "{}", response.text().await.unwrap());
        }
    });
    let load = async {
        tokio::join!(join_all(readers), join_all(writers));
        is_done.store(true, Ordering::Relaxed);
    };
    tokio::join!(watching, load);
}

async fn warnings(app: &TestApp) -> String {
    app.get_json("/readyz").await["checks"][0]["warnings"].to_string()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: make test"]
async fn one_connection_is_enough_to_serve_everything() {
    for connections in [1, 2, 3, 6] {
        let database = TestDatabase::new();
        let url = user_with(&database, connections).await;
        let app = TestApp::launch(url.as_str(), &[]).await;
        app.wait_until_ready().await;
        serves_everything(&app).await;
        let warnings = warnings(&app).await;
        let limited = format!("max_user_connections leaves this server {connections} of the 10");
        assert!(warnings.contains(&limited), "{warnings}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: make test"]
async fn a_limit_of_connections_that_is_raised_is_found_out() {
    let database = TestDatabase::new();
    let url = user_with(&database, 2).await;
    let app = TestApp::launch(url.as_str(), &[]).await;
    app.wait_until_ready().await;
    serves_everything(&app).await;
    assert!(warnings(&app).await.contains("max_user_connections"));
    let raise = format!("alter user '{}'@'%' with max_user_connections 0", url.username());
    database.execute(&raise).await.unwrap();
    eventually("all is well", || async { warnings(&app).await == "null" }).await;
    serves_everything(&app).await;
    assert_eq!(warnings(&app).await, "null");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: make test"]
async fn a_server_whose_setting_is_one_connection_serves_everything() {
    let database = TestDatabase::new();
    let app = TestApp::start_with(&database, &["--database-max-connections", "1"]).await;
    serves_everything(&app).await;
    assert_eq!(warnings(&app).await, "null");
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn a_server_that_gets_no_connection_is_not_ready_and_says_why() {
    let database = TestDatabase::new();
    let mut url = user_with(&database, 1).await;
    let name = url.path().to_owned();
    url.set_path("");
    let taken = connect_mysql(&url).await.unwrap();
    url.set_path(&name);
    let app = TestApp::launch(url.as_str(), &[]).await;
    eventually("the limit is blamed", || async {
        let ready: serde_json::Value = app.get("/readyz").await.json().await.unwrap();
        ready["checks"][0]["reason"] == "limit_reached"
    })
    .await;
    drop(taken);
    app.wait_until_ready().await;
    app.say("bob", "at last").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: make test"]
async fn connections_that_others_use_up_are_done_without() {
    let database = PrivateDatabase::new();
    database.start().await;
    let mut root = database.root().await;
    for statement in [
        "set global max_connections = 16",
        "create user other identified by 'geheim'",
        "create database chat",
    ] {
        root.execute(statement).await.unwrap();
    }
    let app = TestApp::launch(&database.url(), &[]).await;
    app.wait_until_ready().await;
    let mut url: Url = database.url().parse().unwrap();
    url.set_path("");
    url.set_username("other").unwrap();
    url.set_password(Some("geheim")).unwrap();
    let mut others: Vec<MySqlConnection> = Vec::new();
    while let Ok(other) = connect_mysql(&url).await {
        others.push(other);
    }
    serves_everything(&app).await;
    assert!(warnings(&app).await.contains("max_connections leaves this server"));
    drop(others);
    eventually("all is well", || async { !warnings(&app).await.contains("leaves") }).await;
}
