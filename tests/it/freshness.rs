//! Do readers get the latest data while others write? Yes: a read that begins after a message was
//! acknowledged has it, whichever server of a database is asked.

use crate::harness::{TestApp, TestDatabase};
use serde_json::Value;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
};

const WRITERS: usize = 16;
const READERS: usize = 16;

/// How many comparisons of a page with an acknowledged message are made. The benchmark makes far
/// more.
const CHECKS: u64 = 40_000;

/// What one writer's last acknowledged message is.
#[derive(Default)]
struct Acknowledged {
    id: AtomicI64,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_has_every_message_that_was_acknowledged_before_it_began() {
    let database = TestDatabase::new();
    let first = Arc::new(TestApp::start_on(&database).await);
    let second = Arc::new(TestApp::start_on(&database).await);
    let apps = [first, second];
    let acknowledged: Arc<[Acknowledged; WRITERS]> = Arc::default();
    let done = Arc::new(AtomicBool::new(false));
    let checks = Arc::new(AtomicU64::new(0));

    let writers = (0..WRITERS).map(|writer| {
        let (app, done) = (Arc::clone(&apps[writer % 2]), Arc::clone(&done));
        let acknowledged = Arc::clone(&acknowledged);
        tokio::spawn(async move {
            // Some repeat a request, which leaves holes in the ids; some have users of their own.
            for number in 0.. {
                if done.load(Ordering::Relaxed) {
                    return;
                }
                let key = format!("{writer}-{}", number / 2);
                let user = format!("user {writer}-{}", number / 100);
                let post = app.post(&user, "hi");
                let post = if writer % 4 == 0 { post.header("idempotency-key", key) } else { post };
                let message: Value = post.send().await.unwrap().json().await.unwrap();
                let id = message["id"].as_i64().unwrap();
                acknowledged[writer].id.fetch_max(id, Ordering::SeqCst);
            }
        })
    });
    let readers = (0..READERS).map(|reader| {
        let (app, done) = (Arc::clone(&apps[reader % 2]), Arc::clone(&done));
        let (acknowledged, checks) = (Arc::clone(&acknowledged), Arc::clone(&checks));
        tokio::spawn(async move {
            while !done.load(Ordering::Relaxed) {
                let known: Vec<i64> =
                    acknowledged.iter().map(|one| one.id.load(Ordering::SeqCst)).collect();
                let messages = app.messages().await;
                let ids: Vec<i64> =
                    messages.iter().map(|message| message["id"].as_i64().unwrap()).collect();
                assert!(ids.is_sorted_by(|newer, older| newer > older), "{ids:?}");
                // A full page begins somewhere; what is older has been pushed out of it.
                let begin = if ids.len() == 100 { ids[99] } else { 0 };
                for id in known.into_iter().filter(|id| *id > begin) {
                    assert!(ids.contains(&id), "{id} is missing in {ids:?}");
                    checks.fetch_add(1, Ordering::Relaxed);
                }
                if checks.load(Ordering::Relaxed) >= CHECKS {
                    done.store(true, Ordering::Relaxed);
                }
            }
        })
    });
    let tasks: Vec<_> = writers.chain(readers).collect();
    for task in tasks {
        if let Err(error) = task.await {
            done.store(true, Ordering::Relaxed);
            panic!("{error}");
        }
    }

    // And nobody was forgotten among the users.
    let count = database.count_messages().await;
    let users = apps[0].get_json("/users").await["users"].as_array().unwrap().len();
    assert!(users >= WRITERS && count >= users, "{users} users, {count} messages");
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
    crate::harness::eventually("the deleted message is gone", || async {
        let messages = app.messages().await;
        messages.len() == 100 && messages.iter().all(|message| message["id"] != *id)
    })
    .await;
}
