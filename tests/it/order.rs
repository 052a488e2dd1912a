//! Ids become visible in their order, on any number of servers: a client that has read up to an id
//! finds every later message behind it.

use crate::{
    harness::{TestApp, TestDatabase, client, connect_mysql, database_server, eventually, refusal},
    process::Process,
    proxy::Proxy,
};
use serde_json::{Value, json};
use sqlx::Executor;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::sleep;

/// Posts per writer.
const POSTS: usize = 100;

async fn two_servers(database: &TestDatabase) -> [Process; 2] {
    let servers = [
        Process::start(&["--database-url", database.url.as_str()]).await,
        Process::start(&["--database-url", database.url.as_str()]).await,
    ];
    for server in &servers {
        server.wait_until_ready().await;
    }
    servers
}

/// Posts with a key, again and again until each post is acknowledged. Returns the ids.
async fn write(server: String, user: String, posts: usize) -> Vec<i64> {
    let client = client();
    let mut ids = Vec::new();
    for number in 0..posts {
        let body = json!({ "user": user, "text": number.to_string() });
        let post = client.post(format!("{server}/message")).json(&body);
        let post = post.header("idempotency-key", number.to_string());
        ids.push(loop {
            match post.try_clone().unwrap().send().await {
                Ok(response) if response.status() == 201 => {
                    let message: Value = response.json().await.unwrap();
                    break message["id"].as_i64().unwrap();
                }
                _ => sleep(Duration::from_millis(5)).await,
            }
        });
    }
    ids
}

async fn page(client: &reqwest::Client, url: String) -> Option<Vec<(i64, String)>> {
    let response = client.get(url).send().await.ok().filter(|r| r.status() == 200)?;
    let page: Value = response.json().await.ok()?;
    let message = |message: &Value| {
        (message["id"].as_i64().unwrap(), message["created_at"].as_str().unwrap().to_owned())
    };
    Some(page["messages"].as_array().unwrap().iter().map(message).collect())
}

/// Reads on, each page from the next server, until the writers are done and nothing is left.
/// Returns the ids and times in the order in which they came.
async fn read_on(servers: [String; 2], pause: u64, done: Arc<AtomicBool>) -> Vec<(i64, String)> {
    let client = client();
    let mut seen: Vec<(i64, String)> = Vec::new();
    for server in servers.iter().cycle() {
        let done = done.load(Ordering::SeqCst);
        let last = seen.last().map_or(0, |(id, _)| *id);
        let Some(mut new) = page(&client, format!("{server}/messages?after={last}")).await else {
            continue;
        };
        if new.is_empty() && done {
            break;
        }
        new.reverse();
        seen.extend(new);
        sleep(Duration::from_millis(pause)).await;
    }
    seen
}

/// Reads the newest page from one server and what is before it from the other one, over and over.
/// What the second read shows must be what the first one left to it, without a gap.
async fn read_back(servers: [String; 2], done: Arc<AtomicBool>) {
    let client = client();
    while !done.load(Ordering::SeqCst) {
        let Some(newest) = page(&client, format!("{}/messages?limit=5", servers[0])).await else {
            continue;
        };
        let Some((oldest, _)) = newest.last() else { continue };
        let url = format!("{}/messages?limit=5&before={oldest}", servers[1]);
        let Some(older) = page(&client, url).await else { continue };
        let ids: Vec<i64> = newest.iter().chain(&older).map(|(id, _)| *id).collect();
        assert!(ids.windows(2).all(|pair| pair[0] == pair[1] + 1), "a gap: {ids:?}");
    }
}

/// Writes through both servers and follows both. `disturb` runs meanwhile.
async fn nothing_is_missed(urls: [String; 2], disturb: impl Future<Output = ()>) {
    let done = Arc::new(AtomicBool::new(false));
    let followers: Vec<_> = [1, 10, 100]
        .map(|pause| tokio::spawn(read_on(urls.clone(), pause, Arc::clone(&done))))
        .into();
    let reader = tokio::spawn(read_back(urls.clone(), Arc::clone(&done)));
    let fast = (0..8).map(|n| (urls[n % 2].clone(), format!("fast {n}"), POSTS));
    let slow = (0..2).map(|n| (urls[n].clone(), format!("slow {n}"), POSTS / 10));
    let writers: Vec<_> =
        fast.chain(slow).map(|(url, user, n)| tokio::spawn(write(url, user, n))).collect();
    let written = async {
        let mut acknowledged = BTreeSet::new();
        for writer in writers {
            acknowledged.extend(writer.await.unwrap());
        }
        acknowledged
    };
    tokio::pin!(written);
    let acknowledged = tokio::select! {
        acknowledged = &mut written => acknowledged,
        () = disturb => written.await,
    };
    done.store(true, Ordering::SeqCst);
    reader.await.unwrap();
    assert_eq!(acknowledged.len(), 8 * POSTS + 2 * (POSTS / 10));
    for follower in followers {
        let seen = follower.await.unwrap();
        assert!(seen.is_sorted_by(|(a, _), (b, _)| a < b), "each once, in the order of ids");
        assert!(seen.is_sorted_by_key(|(_, created_at)| created_at), "times never go back");
        let seen: BTreeSet<i64> = seen.into_iter().map(|(id, _)| id).collect();
        let missed: Vec<_> = acknowledged.difference(&seen).collect();
        assert!(missed.is_empty(), "{} missed: {missed:?}", missed.len());
        assert_eq!(seen.len(), acknowledged.len());
        assert_eq!(usize::try_from(*seen.last().unwrap()), Ok(seen.len()), "ids have no gaps");
    }
}

/// Makes the commits of some users slow. On SQLite a commit keeps out every other one by itself.
async fn slow_commits(database: &TestDatabase) {
    let slow = "create trigger slow after insert on messages for each row begin \
                if new.user like 'slow%' then do sleep(0.05); end if; end";
    if database_server().is_some() {
        database.execute(slow).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_of_two_servers_miss_nothing_while_both_write() {
    let database = TestDatabase::new();
    let servers = two_servers(&database).await;
    slow_commits(&database).await;
    nothing_is_missed(servers.each_ref().map(|s| s.url.clone()), std::future::pending()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: make test"]
async fn followers_miss_nothing_while_connections_to_the_database_break() {
    let database = TestDatabase::new();
    let proxy = Proxy::to(&database.url).await;
    let servers = [
        Process::start(&["--database-url", &proxy.url(&database.url)]).await,
        Process::start(&["--database-url", database.url.as_str()]).await,
    ];
    for server in &servers {
        server.wait_until_ready().await;
    }
    slow_commits(&database).await;
    let urls = servers.each_ref().map(|server| server.url.clone());
    nothing_is_missed(urls, async {
        loop {
            sleep(Duration::from_millis(fastrand::u64(1..200))).await;
            proxy.blink();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: make test"]
async fn a_server_that_is_paused_at_any_moment_holds_up_no_post_of_another() {
    let database = TestDatabase::new();
    let [paused, other] = two_servers(&database).await;
    let load =
        (0..16).map(|n| tokio::spawn(write(paused.url.clone(), format!("user {n}"), 100_000)));
    let load: Vec<_> = load.collect();
    let mut refused = Vec::new();
    for round in 0..200 {
        sleep(Duration::from_micros(fastrand::u64(..5_000))).await;
        paused.signal("-STOP").await;
        let response = other.post("bob", "hi").send().await.unwrap();
        if response.status() != 201 {
            refused.push((round, response.text().await.unwrap()));
        }
        paused.signal("-CONT").await;
    }
    load.iter().for_each(tokio::task::JoinHandle::abort);
    assert!(refused.is_empty(), "{refused:?}");
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

#[tokio::test]
async fn what_is_refused_leaves_neither_a_gap_nor_a_lock() {
    let (app, database) = TestApp::start().await;
    let other = TestApp::start_on(&database).await;
    let refuse = if database_server().is_some() {
        "create trigger refuse before insert on messages for each row begin \
         if new.text = 'bad' then signal sqlstate '45000'; end if; end"
    } else {
        "create trigger refuse before insert on messages when new.text = 'bad' \
         begin select raise(abort, 'bad'); end"
    };
    database.execute(refuse).await.unwrap();
    for id in 1..=20 {
        assert_eq!(refusal(app.post("bob", "bad")).await, (500, "internal".into()));
        let server = if id % 2 == 0 { &app } else { &other };
        assert_eq!(server.say("bob", "good").await["id"], id);
    }
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn a_session_that_holds_the_sequence_makes_posts_fail_in_time_and_then_go_on() {
    let (app, database) = TestApp::start().await;
    app.say("bob", "before").await;
    let mut other = connect_mysql(&database.url).await.unwrap();
    other.execute("begin").await.unwrap();
    other.execute("select * from message_sequence for update").await.unwrap();
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
    database.execute("delete from messages where id = 1003").await.unwrap();
    let response = server.post("bob", "after it").send().await.unwrap();
    assert_eq!(response.json::<Value>().await.unwrap()["id"], 1004);
    let told = server.log().iter().filter(|line| line["message.id"] == 1001).count();
    assert_eq!(told, usize::from(database_server().is_some()), "said once, where it matters");
}

#[tokio::test]
async fn times_never_go_back() {
    let (app, database) = TestApp::start().await;
    app.say("bob", "hi").await;
    let set = if database_server().is_some() {
        "update message_sequence set last_created_at = '2099-01-01 00:00:00'"
    } else {
        "update messages set created_at = '2099-01-01T00:00:00Z'"
    };
    database.execute(set).await.unwrap();
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
        eventually("posts go on", || async {
            app.post("bob", "probe").header("idempotency-key", harm).send().await.unwrap().status()
                == 201
        })
        .await;
        database.execute("delete from messages where text = 'probe'").await.unwrap();
        database.execute("update message_sequence set last_id = last_id - 1").await.unwrap();
    }
}
