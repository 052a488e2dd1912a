//! The database server goes away in all the ways it can; the server waits, says so, and heals by
//! itself. All of these need a database server, see `main.rs`.

use crate::{
    harness::{PATIENCE, TestApp, TestDatabase, connect_mysql, eventually, problem, refusal},
    process::Process,
    proxy::{Network, Proxy},
};
use serde_json::Value;
use sqlx::Executor;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::time::timeout;

/// A server whose way to its database can be broken.
async fn app_behind_proxy(flags: &[&str]) -> (TestApp, Proxy, TestDatabase) {
    let database = TestDatabase::new();
    let proxy = Proxy::to(&database.url).await;
    let app = TestApp::launch(&proxy.url(&database.url), flags).await;
    app.wait_until_ready().await;
    (app, proxy, database)
}

async fn refused_code(app: &TestApp) -> String {
    refusal(app.post("bob", "refused")).await.1
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn while_the_database_is_cut_off_requests_get_503_and_then_it_heals() {
    let (app, proxy, database) = app_behind_proxy(&[]).await;
    app.say("bob", "before").await;
    proxy.set(Network::Cut);
    for path in ["/messages", "/users", "/messages/1"] {
        let response = app.get(path).await;
        assert_eq!(response.headers()["retry-after"], "1", "{path}");
        assert_eq!(problem(response).await["code"], "database_unavailable", "{path}");
    }
    assert_eq!(refused_code(&app).await, "database_unavailable");
    assert_eq!(app.get("/livez").await.status(), 200, "alive all the time");
    app.wait_for_status("/readyz", 503).await;
    let ready: Value = app.get("/readyz").await.json().await.unwrap();
    assert_eq!(ready["checks"][0]["reason"], "unreachable");

    proxy.set(Network::Works);
    app.wait_until_ready().await;
    app.say("bob", "after").await;
    assert_eq!(database.count_messages().await, 2);
    let ready = app.get_json("/readyz").await;
    assert_eq!(ready["checks"][0]["last_error"]["kind"], "unreachable", "{ready}");
    assert_eq!(ready["checks"][1]["status"], "ok");
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn a_short_cut_is_not_noticed_by_clients() {
    let (app, proxy, database) = app_behind_proxy(&[]).await;
    for number in 0..5 {
        // Breaks every open connection; then time for the server to look again and find all well.
        proxy.blink();
        app.say("bob", &number.to_string()).await;
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    assert_eq!(database.count_messages().await, 5);
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn a_silent_database_costs_no_request_more_than_its_time() {
    let flags = ["--request-timeout", "700ms", "--database-max-connections", "6"];
    let (app, proxy, database) = app_behind_proxy(&flags).await;
    app.say("bob", "before").await;
    // Another session holds a row that the posts come to wait for, in the middle of a query.
    let mut other = connect_mysql(&database.url).await.unwrap();
    other.execute("begin").await.unwrap();
    other.execute("insert into users (name) values ('eve')").await.unwrap();
    let posts: Vec<_> = (0..6).map(|_| tokio::spawn(refusal(app.post("eve", "silence")))).collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    proxy.set(Network::Silent);
    // They wait for their deadline; those that come when the silence is noticed do not.
    for post in posts {
        let (status, code) = post.await.unwrap();
        let allowed = [(504, "deadline_exceeded"), (503, "database_unavailable")];
        assert!(allowed.contains(&(status, code.as_str())), "{status} {code}");
    }
    app.wait_for_status("/readyz", 503).await;
    assert_eq!(refused_code(&app).await, "database_unavailable");
    assert_eq!(app.get("/livez").await.status(), 200);

    proxy.set(Network::Works);
    other.execute("rollback").await.unwrap();
    app.wait_until_ready().await;
    // The pool has a connection for everybody again: none is lost to the silence.
    for number in 0..30 {
        app.say("bob", &number.to_string()).await;
    }
    assert!(database.count_messages().await >= 31);
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn connections_that_rest_when_the_database_falls_silent_are_not_waited_for() {
    let (app, proxy, _database) = app_behind_proxy(&[]).await;
    app.say("bob", "before").await;
    assert_eq!(app.messages().await.len(), 1);
    app.get_json("/users").await;
    proxy.set(Network::Silent);
    // After a quiet second all connections are given back, into the silence.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    proxy.set(Network::Works);
    app.wait_until_ready().await;
    timeout(Duration::from_secs(2), app.say("bob", "after")).await.expect("a connection is free");
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn a_server_that_starts_before_its_database_waits_for_it() {
    let database = TestDatabase::new();
    let proxy = Proxy::to(&database.url).await;
    proxy.set(Network::Cut);
    let app = TestApp::launch(&proxy.url(&database.url), &[]).await;
    assert_eq!(app.get("/livez").await.status(), 200);
    assert_eq!(app.get("/readyz").await.status(), 503);
    assert_eq!(refused_code(&app).await, "database_unavailable");
    proxy.set(Network::Works);
    app.wait_until_ready().await;
    app.say("bob", "at last").await;
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn a_database_that_is_dropped_under_the_server_is_created_again() {
    let (app, database) = TestApp::start().await;
    for round in 0..3 {
        app.say("bob", &round.to_string()).await;
        database.drop_database().await;
        eventually("a post succeeds", || async {
            app.post("eve", "after").send().await.unwrap().status() == 201
        })
        .await;
        app.wait_until_ready().await;
        let messages = app.messages().await;
        assert!(messages.iter().all(|message| message["user"] == "eve"), "{messages:?}");
        assert_eq!(app.get_json("/users").await["users"], serde_json::json!(["eve"]));
    }
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn a_user_who_may_only_read_gets_reads_and_is_refused_posts_at_once() {
    let (app, database) = TestApp::start().await;
    let name = database.url.path().trim_start_matches('/').to_owned();
    app.say("bob", "hi").await;
    let create = format!("create user '{name}'@'%' identified by 'geheim'");
    database.execute(&create).await.unwrap();
    database.execute(&format!("grant select on {name}.* to '{name}'@'%'")).await.unwrap();
    let mut url = database.url.clone();
    url.set_username(&name).unwrap();
    url.set_password(Some("geheim")).unwrap();

    // With an hour for each request, one that is not refused at once is never refused.
    let reader = TestApp::launch(url.as_str(), &["--request-timeout", "1h"]).await;
    reader.wait_until_ready().await;
    assert_eq!(reader.messages().await.len(), 1);
    let refused = timeout(PATIENCE, refusal(reader.post("bob", "refused"))).await.unwrap();
    assert_eq!(refused, (503, "database_unavailable".into()));
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn tables_that_were_lost_are_created_again() {
    let (app, database) = TestApp::start().await;
    app.say("bob", "one").await;
    for table in ["messages", "users", "chat_server_migrations"] {
        database.execute(&format!("drop table {table}")).await.unwrap();
    }
    eventually("a post succeeds", || async {
        app.post("eve", "after").send().await.unwrap().status() == 201
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: make test"]
async fn posts_through_a_network_that_keeps_breaking_are_neither_lost_nor_doubled() {
    let (app, proxy, database) = app_behind_proxy(&["--request-timeout", "5s"]).await;
    let proxy = Arc::new(proxy);
    let breaker = tokio::spawn({
        let proxy = Arc::clone(&proxy);
        async move {
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_millis(fastrand::u64(20..250))).await;
                proxy.blink();
            }
        }
    });
    // Each text is sent once, whatever becomes of it.
    let writers = (0..8).map(|writer| {
        let (client, url) = (app.client.clone(), format!("http://{}/message", app.address));
        tokio::spawn(async move {
            let mut ids = Vec::new();
            for number in 0.. {
                let text = format!("{writer}/{number}");
                let body = serde_json::json!({ "user": "bob", "text": text });
                let response = client.post(&url).json(&body).send().await.unwrap();
                if response.status() == 201 {
                    let message: Value = response.json().await.unwrap();
                    ids.push(message["id"].as_i64().unwrap());
                } else {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                if ids.len() == 30 {
                    break;
                }
            }
            ids
        })
    });
    let mut ids = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        ids.extend(writer.await.unwrap());
    }
    breaker.await.unwrap();
    let acknowledged: BTreeSet<_> = ids.iter().copied().collect();
    assert_eq!(acknowledged.len(), ids.len(), "an id was given twice");
    app.wait_until_ready().await;

    let (mut texts, mut stored, mut before) = (BTreeSet::new(), BTreeSet::new(), i64::MAX);
    loop {
        let page = app.get_json(&format!("/messages?before={before}")).await;
        let Some(last) = page["messages"].as_array().unwrap().last() else { break };
        before = last["id"].as_i64().unwrap();
        for message in page["messages"].as_array().unwrap() {
            stored.insert(message["id"].as_i64().unwrap());
            let text = message["text"].as_str().unwrap().to_owned();
            assert!(texts.insert(text), "stored twice: {message}");
        }
    }
    assert!(acknowledged.is_subset(&stored), "an acknowledged message is missing");
    assert_eq!(database.count_messages().await, stored.len());
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn a_user_without_rights_is_told_so_and_served_when_they_are_granted() {
    let (admin, database) = (TestDatabase::new(), TestDatabase::new());
    // So that there is a database from which to administrate.
    TestApp::start_on(&admin).await.stop().await;
    let name = database.url.path().trim_start_matches('/').to_owned();
    admin.execute(&format!("create user '{name}'@'%' identified by 'geheim'")).await.unwrap();
    let mut url = database.url.clone();
    url.set_username(&name).unwrap();
    url.set_password(Some("geheim")).unwrap();

    let app = TestApp::launch(url.as_str(), &[]).await;
    eventually("the missing right is named", || async {
        let ready: Value = app.get("/readyz").await.json().await.unwrap();
        ready["checks"][0]["reason"] == "access_denied"
    })
    .await;
    admin.execute(&format!("grant all on {name}.* to '{name}'@'%'")).await.unwrap();
    app.wait_until_ready().await;
    app.say("bob", "hi").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: make test"]
async fn new_connections_that_get_no_response_are_named_while_open_ones_are_used() {
    let database = TestDatabase::new();
    let proxy = Proxy::to(&database.url).await;
    let server = Process::start(&["--database-url", &proxy.url(&database.url)]).await;
    server.wait_until_ready().await;
    proxy.set(Network::SilentForNew);
    // More at once than there are open connections.
    let requests = (0..40).map(|_| server.text("/messages?before=9"));
    for page in futures_util::future::join_all(requests).await {
        assert!(page.contains("messages"), "{page}");
    }
    let hanging = "no response to new connections";
    let ready = server.json("/readyz").await;
    assert!(ready["status"] == "ok" && ready.to_string().contains(hanging), "{ready}");
    let lines = || server.log().iter().filter(|line| line.to_string().contains(hanging)).count();
    eventually("the log names it once", async || lines() == 1).await;
    assert_eq!(server.post("bob", "hi").send().await.unwrap().status(), 201);

    proxy.set(Network::Cut);
    proxy.set(Network::SilentForNew);
    eventually("no connection is left", async || {
        server.json("/readyz").await["checks"][0]["reason"] == "unreachable"
    })
    .await;
    proxy.set(Network::Works);
    server.wait_until_ready().await;
    assert!(!server.json("/readyz").await.to_string().contains(hanging));
}
