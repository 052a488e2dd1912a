//! Ids become visible in their order, on any number of servers: a client that has read up to an id
//! finds every later message behind it. What can go wrong with the ids is in `sequence.rs`.

use crate::{
    harness::{TestDatabase, client, database_server},
    process::Process,
    proxy::Proxy,
};
use serde_json::{Value, json};
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

pub async fn two_servers(database: &TestDatabase) -> [Process; 2] {
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
pub async fn write(server: String, user: String, posts: usize) -> Vec<i64> {
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
