//! How ids and times are given out when servers are paused, transactions refused, locks held, and
//! rows changed by hand.

use crate::{
    batches::refuse_bad,
    harness::{TestApp, TestDatabase, connect_mysql, database_server, eventually, refusal},
    order::{two_servers, write},
    process::Process,
};
use futures_util::future::join_all;
use serde_json::Value;
use sqlx::Executor;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Locks the end of the messages, where new ones would come.
pub const LOCK_MESSAGES: &str = "select * from messages for update";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: make test"]
async fn a_server_that_is_paused_at_any_moment_holds_up_no_post_of_another() {
    let database = TestDatabase::new();
    let [paused, other] = two_servers(&database).await;
    let load =
        (0..16).map(|n| tokio::spawn(write(paused.url.clone(), format!("user {n}"), 100_000)));
    let load: Vec<_> = load.collect();
    for round in 0..200 {
        sleep(Duration::from_micros(fastrand::u64(..5_000))).await;
        paused.signal("-STOP").await;
        let response = other.post("bob", "hi").send().await.unwrap();
        assert_eq!(response.status(), 201, "in round {round}");
        paused.signal("-CONT").await;
    }
    load.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: make test"]
async fn a_server_that_is_paused_with_a_refusal_unread_holds_up_no_other_for_long() {
    let database = TestDatabase::new();
    let [paused, other] = two_servers(&database).await;
    let refuse = "create trigger refuse before insert on messages for each row begin \
                  if new.text = 'bad' then do sleep(0.5); signal sqlstate '45000'; end if; end";
    database.execute(refuse).await.unwrap();
    let before: Value = other.post("bob", "hi").send().await.unwrap().json().await.unwrap();

    let bad = tokio::spawn(paused.post("bob", "bad").send());
    sleep(Duration::from_millis(250)).await;
    // The refusal reaches its socket, and the transaction's lock is held.
    paused.signal("-STOP").await;
    let held_up = other.post("bob", "held up").send().await.unwrap();
    paused.signal("-CONT").await;
    assert_eq!(held_up.status(), 201);
    let after: Value = held_up.json().await.unwrap();
    assert_eq!(after["id"], before["id"].as_i64().unwrap() + 1, "what was refused leaves no gap");
    assert_eq!(bad.await.unwrap().unwrap().status(), 500);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: make test"]
async fn a_server_that_is_paused_after_it_waited_in_vain_leaves_no_user_locked() {
    let database = TestDatabase::new();
    let [paused, other] = two_servers(&database).await;
    let mut operator = connect_mysql(&database.url).await.unwrap();
    operator.execute("begin").await.unwrap();
    operator.execute(LOCK_MESSAGES).await.unwrap();
    let waiting = tokio::spawn(paused.post("eve", "new here").send());
    // Its transaction has inserted the name and waits for the messages.
    sleep(Duration::from_millis(400)).await;
    paused.signal("-STOP").await;
    // Longer than it waits, and than the database keeps the failed transaction.
    sleep(Duration::from_millis(2_500)).await;
    operator.execute("rollback").await.unwrap();
    let response = other.post("eve", "here too").send().await.unwrap();
    paused.signal("-CONT").await;
    assert_eq!(response.status(), 201);
    assert!([201, 503, 504].contains(&waiting.await.unwrap().unwrap().status().as_u16()));
}

#[tokio::test]
async fn what_is_refused_leaves_neither_a_gap_nor_a_lock() {
    let (app, database) = TestApp::start().await;
    let other = TestApp::start_on(&database).await;
    refuse_bad(&database).await;
    for id in 1..=20 {
        assert_eq!(refusal(app.post("bob", "bad")).await, (500, "internal".into()));
        let server = if id % 2 == 0 { &app } else { &other };
        assert_eq!(server.say("bob", "good").await["id"], id);
    }
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn a_session_that_locks_the_messages_makes_posts_fail_in_time_and_then_go_on() {
    let (app, database) = TestApp::start().await;
    app.say("bob", "before").await;
    let mut other = connect_mysql(&database.url).await.unwrap();
    other.execute("begin").await.unwrap();
    other.execute(LOCK_MESSAGES).await.unwrap();
    let posts: Vec<_> =
        (0..40).map(|n| tokio::spawn(app.post(&format!("user {n}"), "held up").send())).collect();
    for post in posts {
        let response = post.await.unwrap().unwrap();
        assert_eq!(response.status(), 503);
        assert!(response.headers().contains_key("retry-after"));
    }
    assert_eq!(app.messages().await.len(), 1, "reading goes on");
    let waiting = tokio::spawn(app.post("bob", "waits").send());
    sleep(Duration::from_millis(200)).await;
    other.execute("rollback").await.unwrap();
    let response: Value = waiting.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(response["id"], 2);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: make test"]
async fn a_session_that_holds_the_sequence_stops_no_posts() {
    let database = TestDatabase::new();
    let servers = two_servers(&database).await;
    let mut operator = connect_mysql(&database.url).await.unwrap();
    operator.execute("begin").await.unwrap();
    operator.execute("select * from message_sequence for update").await.unwrap();
    let writers = (0..8).map(|n| write(servers[n % 2].url.clone(), format!("user {n}"), 20));
    // They try again without end, so posts that are stopped show as a timeout.
    let written = timeout(Duration::from_mins(1), join_all(writers)).await;
    let ids = written.expect("posts are stopped").concat();
    assert_eq!(ids.iter().max(), Some(&160), "ids have no gaps");
}

#[tokio::test]
async fn ids_follow_messages_that_were_inserted_by_hand() {
    let database = TestDatabase::new();
    let server = Process::start(&["--database-url", database.url.as_str()]).await;
    server.wait_until_ready().await;
    assert_eq!(server.post("bob", "hi").send().await.unwrap().status(), 201);
    let insert = "insert into messages (id, dedup, user, text, created_at) values \
                  (1000, x'ffffffffffffffffffffffffffffffff', 'eve', 'hi', '2026-01-01 00:00:00')";
    database.execute(insert).await.unwrap();
    for number in 0..3 {
        let response = server.post("bob", "after it").send().await.unwrap();
        let message: Value = response.json().await.unwrap();
        assert_eq!(message["id"], 1001 + number);
    }
    assert_eq!(server.json("/messages?after=1000").await["messages"].as_array().unwrap().len(), 3);
    // A message that is deleted leaves its id unused.
    let recorded = || async { last_id(&database).await.is_none_or(|id| id == 1003) };
    eventually("the newest id is recorded", recorded).await;
    database.execute("delete from messages where id = 1003").await.unwrap();
    let response = server.post("bob", "after it").send().await.unwrap();
    assert_eq!(response.json::<Value>().await.unwrap()["id"], 1004);
    let told = |line: &&Value| line["message"].as_str().unwrap_or_default().contains("by hand");
    let told = server.log().iter().filter(told).count();
    assert_eq!(told, usize::from(database_server().is_some()), "said once, where it matters");
}

#[tokio::test]
async fn times_never_go_back() {
    let (app, database) = TestApp::start().await;
    app.say("bob", "hi").await;
    let time = if database_server().is_some() { "2099-01-01" } else { "2099-01-01T00:00:00Z" };
    database.execute(&format!("update messages set created_at = '{time}'")).await.unwrap();
    for _ in 0..3 {
        assert_eq!(app.say("bob", "hi").await["created_at"], "2099-01-01T00:00:00.000Z");
    }
    let times = app.messages().await;
    assert_eq!(times[0]["created_at"], "2099-01-01T00:00:00.000Z");
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn the_database_refuses_a_server_of_an_earlier_version() {
    let (app, database) = TestApp::start().await;
    let insert = "insert into messages (dedup, user, text, created_at) \
                  values (unhex(repeat('ab', 16)), 'eve', 'hi', '2026-01-01')";
    let error = database.execute(insert).await.unwrap_err().to_string();
    assert!(error.contains("'id' doesn't have a default value"), "{error}");
    assert_eq!(app.say("bob", "hi").await["id"], 1);
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn a_sequence_that_was_emptied_or_dropped_is_recreated() {
    let (app, database) = TestApp::start().await;
    for (id, harm) in [(1, "delete from message_sequence"), (2, "drop table message_sequence")] {
        assert_eq!(app.say("bob", "hi").await["id"], id);
        database.execute(harm).await.unwrap();
        eventually("it is back", || async { last_id(&database).await == Some(id) }).await;
    }
    let posted = || async { app.post("bob", "hi").send().await.unwrap().status() == 201 };
    eventually("posts go on", posted).await;
    assert_eq!(app.messages().await[0]["id"], 3);
}

/// What the sequence has recorded, on a database that has one.
async fn last_id(database: &TestDatabase) -> Option<i64> {
    let mut connection = connect_mysql(&database.url).await.ok()?;
    let query = "select last_id from message_sequence";
    sqlx::query_scalar(query).fetch_optional(&mut connection).await.ok()?
}
