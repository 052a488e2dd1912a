//! Do readers get the latest data while others write? Yes: a read that begins after a message was
//! acknowledged has it, whichever server of a database is asked.

use crate::{
    harness::{TestApp, TestDatabase, client, connect_mysql, eventually},
    process::Process,
};
use serde_json::{Value, json};
use sqlx::{Executor, MySqlConnection};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
};

const WRITERS: usize = 16;
const READERS: usize = 16;

/// How often a page is compared with a message that was acknowledged before it was asked for.
const CHECKS: u64 = 200_000;

/// How many messages are above a gap in the page.
const AFTER_GAP: usize = 50;

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

/// Posts until all is done. Some writers repeat each request, which leaves holes in the ids; all
/// change their user's name now and then.
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

async fn ids(app: &TestApp) -> Vec<i64> {
    app.messages().await.iter().map(|message| message["id"].as_i64().unwrap()).collect()
}

/// Posts so many that the page is full, around an id that another session has taken and not
/// committed yet. Returns that session, the id, and the page without it.
async fn page_with_a_gap(
    app: &TestApp,
    database: &TestDatabase,
) -> (MySqlConnection, i64, Vec<i64>) {
    for number in 0..60 {
        app.say("bob", &number.to_string()).await;
    }
    let mut other = connect_mysql(&database.url).await.unwrap();
    other.execute("begin").await.unwrap();
    let insert = "insert into messages (dedup, user, text, created_at) \
                  values (unhex(repeat('ab', 16)), 'eve', 'late', '2026-01-01')";
    let gap = other.execute(insert).await.unwrap().last_insert_id().cast_signed();
    for number in 0..AFTER_GAP {
        app.say("bob", &number.to_string()).await;
    }
    let page = ids(app).await;
    assert!(page.len() == 100 && !page.contains(&gap), "{page:?}");
    assert_eq!(ids(app).await, page);
    (other, gap, page)
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn a_message_that_is_committed_late_is_at_its_place_in_the_next_read() {
    let (app, database) = TestApp::start().await;
    let (mut other, gap, mut page) = page_with_a_gap(&app, &database).await;
    other.execute("commit").await.unwrap();
    page.insert(AFTER_GAP, gap);
    page.truncate(100);
    assert_eq!(ids(&app).await, page);
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn an_id_that_is_never_committed_hides_nothing() {
    let (app, database) = TestApp::start().await;
    let (mut other, _gap, mut page) = page_with_a_gap(&app, &database).await;
    other.execute("rollback").await.unwrap();
    assert_eq!(ids(&app).await, page);
    // Until the gap has left the page.
    for number in 0..60 {
        let message = app.say("bob", &number.to_string()).await;
        page.insert(0, message["id"].as_i64().unwrap());
        page.truncate(100);
        assert_eq!(ids(&app).await, page);
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
