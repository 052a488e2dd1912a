//! `kill -9`, of the server and of the database, while clients write.

use crate::{
    harness::{TestDatabase, eventually, fetch},
    private_database::PrivateDatabase,
    process::Process,
};
use reqwest::Client;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

/// Writes until it is aborted, with a key for each message and again after each failure, as a
/// careful client does. Notes the texts that were acknowledged.
async fn write(url: String, writer: usize, acknowledged: Arc<Mutex<BTreeSet<String>>>) {
    let client = Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
    for number in 0.. {
        let text = format!("{writer}/{number}");
        let body = json!({ "user": "bob", "text": text });
        loop {
            let request = client.post(&url).json(&body).header("idempotency-key", &text);
            match request.send().await {
                Ok(response) if response.status() == 201 => break,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        acknowledged.lock().unwrap().insert(text);
    }
}

/// Every text that the server has.
async fn stored(url: &str) -> Vec<String> {
    let (mut texts, mut after) = (Vec::new(), 0);
    loop {
        let page: Value =
            fetch(format!("{url}/messages?after={after}")).await.unwrap().json().await.unwrap();
        let page = page["messages"].as_array().unwrap();
        let Some(newest) = page.first() else { return texts };
        after = newest["id"].as_i64().unwrap();
        texts.extend(page.iter().map(|m| m["text"].as_str().unwrap().to_owned()));
    }
}

fn assert_each_once(stored: &[String], acknowledged: &Mutex<BTreeSet<String>>) {
    let unique: BTreeSet<_> = stored.iter().cloned().collect();
    assert_eq!(unique.len(), stored.len(), "a message was stored twice");
    let acknowledged = acknowledged.lock().unwrap();
    let lost: Vec<_> = acknowledged.difference(&unique).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_server_acknowledged_is_there_when_it_starts_again() {
    let database = TestDatabase::new();
    let acknowledged = Arc::default();
    for round in 1..=3 {
        let server = Process::start(&["--database-url", database.url.as_str()]).await;
        server.wait_until_ready().await;
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let url = format!("{}/message", server.url);
                tokio::spawn(write(url, 10 * round + writer, Arc::clone(&acknowledged)))
            })
            .collect();
        let enough = round * 40;
        eventually("enough messages are acknowledged", || async {
            acknowledged.lock().unwrap().len() >= enough
        })
        .await;
        server.kill().await;
        writers.iter().for_each(tokio::task::JoinHandle::abort);
    }
    let server = Process::start(&["--database-url", database.url.as_str()]).await;
    server.wait_until_ready().await;
    assert_each_once(&stored(&server.url).await, &acknowledged);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: make test"]
async fn what_was_acknowledged_before_the_database_was_killed_is_there_when_it_is_back() {
    let database = PrivateDatabase::new();
    database.start().await;
    let url = database.url();
    let server = Process::start(&["--database-url", &url]).await;
    server.wait_until_ready().await;
    let acknowledged: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let url = format!("{}/message", server.url);
            tokio::spawn(write(url, writer, Arc::clone(&acknowledged)))
        })
        .collect();
    for _ in 0..3 {
        let enough = acknowledged.lock().unwrap().len() + 100;
        eventually("enough messages are acknowledged", || async {
            acknowledged.lock().unwrap().len() >= enough
        })
        .await;
        database.run("kill", &[]).await;
        server.wait_for_status("/readyz", 503).await;
        assert_eq!(fetch(format!("{}/livez", server.url)).await.unwrap().status(), 200);
        database.start().await;
        server.wait_until_ready().await;
    }
    writers.iter().for_each(tokio::task::JoinHandle::abort);
    assert_each_once(&stored(&server.url).await, &acknowledged);
    database.run("stop", &[]).await;
}
