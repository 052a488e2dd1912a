//! Do readers get the latest data while others write? Yes: a read that begins after a message was
//! acknowledged returns it, whichever server of a database is asked.

use crate::{
    harness::{TestApp, TestDatabase, client, eventually},
    process::Process,
};
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
};

const WRITERS: usize = 16;
const READERS: usize = 16;

/// How often a page is compared with a message that was acknowledged before it was asked for.
const CHECKS: u64 = 200_000;

/// What writers and readers share.
#[derive(Default)]
struct Shared {
    /// The id of each writer's last acknowledged message.
    acknowledged: [AtomicI64; WRITERS],
    checks: AtomicU64,
    done: AtomicBool,
}

impl Shared {
    fn is_done(&self) -> bool {
        self.done.load(Ordering::SeqCst)
    }
}

/// Ends everything when one of the tasks ends, by a failure too.
struct EndsAll(Arc<Shared>);

impl Drop for EndsAll {
    fn drop(&mut self) {
        self.0.done.store(true, Ordering::SeqCst);
    }
}

/// Posts until all is done. Some writers repeat each request; all change their user's name now and
/// then.
async fn write(server: String, writer: usize, shared: Arc<Shared>) {
    let client = client();
    let _end = EndsAll(Arc::clone(&shared));
    for number in (0..).take_while(|_| !shared.is_done()) {
        let body = json!({ "user": format!("user {writer} {}", number / 100), "text": "hi" });
        let mut post = client.post(format!("{server}/message")).json(&body);
        if writer.is_multiple_of(4) {
            post = post.header("idempotency-key", format!("{writer} {}", number / 2));
        }
        let message: Value = post.send().await.unwrap().json().await.unwrap();
        let id = message["id"].as_i64().unwrap();
        shared.acknowledged[writer].fetch_max(id, Ordering::SeqCst);
    }
}

/// Reads and compares until there were enough comparisons.
async fn read(server: String, shared: Arc<Shared>) {
    let client = client();
    let _end = EndsAll(Arc::clone(&shared));
    while !shared.is_done() {
        let known = shared.acknowledged.each_ref().map(|id| id.load(Ordering::SeqCst));
        let page = client.get(format!("{server}/messages")).send().await.unwrap();
        let page: Value = page.json().await.unwrap();
        let id = |message: &Value| message["id"].as_i64().unwrap();
        let ids: Vec<i64> = page["messages"].as_array().unwrap().iter().map(id).collect();
        assert!(ids.is_sorted_by(|newer, older| newer > older), "{ids:?}");
        // What is older than a full page has been pushed out of it.
        let oldest = if ids.len() == 100 { ids[99] } else { 1 };
        for id in known.into_iter().filter(|id| *id >= oldest) {
            assert!(ids.contains(&id), "{id} is missing in {ids:?}");
            shared.checks.fetch_add(1, Ordering::SeqCst);
        }
        if shared.checks.load(Ordering::SeqCst) >= CHECKS {
            shared.done.store(true, Ordering::SeqCst);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_has_every_message_that_was_acknowledged_before_it_began() {
    let database = TestDatabase::new();
    let servers = [
        Process::start(&["--database-url", database.url.as_str()]).await,
        Process::start(&["--database-url", database.url.as_str()]).await,
    ];
    for server in &servers {
        server.wait_until_ready().await;
    }
    let shared = Arc::new(Shared::default());
    let url = |number: usize| servers[number % 2].url.clone();
    let writers = (0..WRITERS).map(|n| tokio::spawn(write(url(n), n, Arc::clone(&shared))));
    let readers = (0..READERS).map(|n| tokio::spawn(read(url(n), Arc::clone(&shared))));
    let tasks: Vec<_> = writers.chain(readers).collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn what_is_deleted_by_hand_is_gone_within_seconds() {
    let (app, database) = TestApp::start().await;
    for number in 0..101 {
        app.say("bob", &number.to_string()).await;
    }
    let messages = app.messages().await;
    assert_eq!(messages.len(), 100);
    let id = &messages[50]["id"];
    database.execute(&format!("delete from messages where id = {id}")).await.unwrap();
    eventually("the deleted message is gone", || async {
        let messages = app.messages().await;
        messages.len() == 100 && messages.iter().all(|message| message["id"] != *id)
    })
    .await;
}
