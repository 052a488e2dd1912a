//! Another session of the database is in the way, or its settings are. All of these need a database
//! server, see `main.rs`.

use crate::harness::{TestApp, connect_mysql, database_server, refusal};
use futures_util::{FutureExt, future::join_all};
use sqlx::{AssertSqlSafe, Executor};
use std::{
    future::Future,
    panic::{AssertUnwindSafe, resume_unwind},
    time::Duration,
};
use tokio::time::timeout;

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn a_lock_on_a_stored_user_delays_no_post() {
    let (app, database) = TestApp::start().await;
    app.say("spammer", "hi").await;
    let mut other = connect_mysql(&database.url).await.unwrap();
    other.execute("begin").await.unwrap();
    other.execute("delete from users where name = 'spammer'").await.unwrap();
    // A server that has not learnt yet who is stored.
    let app = TestApp::start_on(&database).await;
    let posts = ["spammer", "bob", "eve"].map(|user| app.say(user, "hi"));
    // Any wait for a lock takes longer.
    timeout(Duration::from_secs(1), join_all(posts)).await.expect("no post waits");
    other.execute("rollback").await.unwrap();
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn a_lock_on_a_new_user_fails_no_one_elses_posts() {
    let (app, database) = TestApp::start().await;
    let mut other = connect_mysql(&database.url).await.unwrap();
    other.execute("begin").await.unwrap();
    other.execute("insert into users (name) values ('eve')").await.unwrap();
    let blocked = || tokio::spawn(refusal(app.post("eve", "blocked")));
    let mut refused = vec![blocked()];
    tokio::time::sleep(Duration::from_millis(200)).await;
    // These gather behind the first one and are stored together, or not at all.
    refused.push(blocked());
    let posts = (0..20).map(|number| app.post(&format!("user {number}"), "hi").send());
    for response in join_all(posts).await {
        assert_eq!(response.unwrap().status(), 201);
    }
    for refused in refused {
        assert_eq!(refused.await.unwrap(), (503, "database_unavailable".into()));
    }
    other.execute("rollback").await.unwrap();
    app.say("eve", "free").await;
    assert_eq!(database.count_messages().await, 21);
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn posts_are_committed_where_the_server_leaves_that_to_its_clients() {
    let (app, database) = TestApp::start().await;
    app.stop().await;
    let name = database.url.path().trim_start_matches('/').to_owned();
    // Administrators are spared the setting.
    database.execute(&format!("create user '{name}'@'%' identified by 'geheim'")).await.unwrap();
    database.execute(&format!("grant all on {name}.* to '{name}'@'%'")).await.unwrap();
    let mut url = database.url.clone();
    url.set_username(&name).unwrap();
    url.set_password(Some("geheim")).unwrap();
    with_global("init_connect", "'set autocommit = 0'", async {
        let app = TestApp::launch(url.as_str(), &[]).await;
        app.wait_until_ready().await;
        for number in 1..=3 {
            app.say("bob", "hi").await;
            assert_eq!(database.count_messages().await, number);
        }
    })
    .await;
}

/// Runs a test under another global setting of the database server, for all who connect meanwhile;
/// it ends with the test, however that ends.
pub async fn with_global(setting: &str, value: &str, test: impl Future<Output = ()>) {
    let mut connection = connect_mysql(&database_server().unwrap()).await.unwrap();
    let mut set = async |value: &str| {
        let sql = AssertSqlSafe(format!("set global {setting} = {value}"));
        connection.execute(sql).await.map(drop)
    };
    set(value).await.unwrap();
    let result = AssertUnwindSafe(test).catch_unwind().await;
    set("default").await.unwrap();
    result.unwrap_or_else(|panic| resume_unwind(panic));
}
