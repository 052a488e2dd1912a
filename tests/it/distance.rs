//! Databases that are far away: round trips of 300 ms, as between continents.

use crate::{
    harness::{TestApp, TestDatabase},
    proxy::{Network, Proxy},
};
use futures_util::future::join_all;
use std::time::Duration;

const FAR: Network = Network::Slow(Duration::from_millis(150));

async fn uses_every_endpoint(app: &TestApp) {
    let id = app.say("bob", "far away").await["id"].clone();
    assert_eq!(app.messages().await[0]["id"], id);
    for path in [format!("/messages/{id}"), "/messages?after=0".into(), "/users?after=a".into()] {
        let response = app.get(&path).await;
        assert_eq!(response.status(), 200, "{path}: {}", response.text().await.unwrap());
    }
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn a_server_starts_with_a_database_that_is_far_away() {
    let database = TestDatabase::new();
    let proxy = Proxy::to(&database.url).await;
    proxy.set(FAR);
    let app = TestApp::launch(&proxy.url(&database.url), &[]).await;
    app.wait_until_ready().await;
    uses_every_endpoint(&app).await;
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn many_reads_of_their_own_at_once_wait_for_a_database_that_is_far_away() {
    let database = TestDatabase::new();
    let proxy = Proxy::to(&database.url).await;
    proxy.set(FAR);
    let app = TestApp::launch(&proxy.url(&database.url), &[]).await;
    app.wait_until_ready().await;
    let id = app.say("bob", "far away").await["id"].clone();
    let path = format!("/messages/{id}");
    for response in join_all((0..60).map(|_| app.get(&path))).await {
        assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
    }
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn a_database_may_move_far_away_and_back() {
    let database = TestDatabase::new();
    let proxy = Proxy::to(&database.url).await;
    let app = TestApp::launch(&proxy.url(&database.url), &[]).await;
    app.wait_until_ready().await;
    uses_every_endpoint(&app).await;
    for network in [FAR, Network::Works] {
        // As with a failover: the connections break, and the new ones lead elsewhere.
        proxy.set(Network::Cut);
        app.wait_for_status("/readyz", 503).await;
        proxy.set(network);
        app.wait_until_ready().await;
        uses_every_endpoint(&app).await;
    }
    proxy.set(FAR);
    uses_every_endpoint(&app).await;
}
