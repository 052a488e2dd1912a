//! Servers that restart behind a proxy without active health checks, such as nginx: it tries the
//! other server when a connection is refused or breaks, and passes on every response.

use crate::{
    harness::{TestApp, TestDatabase, client, eventually, fetch},
    process::Process,
    settings::last_words,
};
use reqwest::{Client, Method};
use serde_json::json;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::{Instant, sleep},
};

const CLIENTS: usize = 8;
const RESTARTS: usize = 20;

/// What the clients of two servers have seen.
#[derive(Default)]
struct Seen {
    over: AtomicBool,
    /// How many requests each client has made.
    turns: [AtomicUsize; CLIENTS],
    stored: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_two_servers_restart_in_turn_behind_a_proxy_that_only_retries() {
    // On a machine that tests keep busy, a server of databases can be silent for long, which is no
    // matter of restarts.
    let database = TestDatabase::sqlite();
    // Below the ports that the system gives out, so that each is free again after a restart.
    let first = fastrand::u16(20_000..31_000);
    let addresses = [first, first + 1].map(|port| format!("127.0.0.1:{port}"));
    let start = |address: String| {
        let url = database.url.to_string();
        async move { Process::start(&["--database-url", &url, "--listen-addr", &address]).await }
    };
    let mut servers = vec![start(addresses[0].clone()).await, start(addresses[1].clone()).await];

    let seen = Arc::new(Seen::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| tokio::spawn(ask_until_over(number, addresses.clone(), Arc::clone(&seen))))
        .collect();
    for round in 0..RESTARTS {
        // A proxy tries each server once. One that was refused by the server of the last round must
        // not meet the restart of this one.
        let before = seen.turns();
        eventually("each client has made another request", || async {
            before.iter().zip(seen.turns()).all(|(before, turns)| turns > before + 1)
        })
        .await;
        let server = round % servers.len();
        servers.remove(server).stop().await;
        servers.insert(server, start(addresses[server].clone()).await);
    }
    seen.over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    let failures = std::mem::take(&mut *seen.failures.lock().unwrap());
    assert!(failures.is_empty(), "{} failed: {:?}", failures.len(), &failures[..1]);
    let stored = seen.stored.load(Ordering::Relaxed);
    assert!(stored >= RESTARTS, "only {stored} posts were sent meanwhile");
    assert_eq!(database.count_messages().await, stored);
}

#[tokio::test]
async fn the_public_port_waits_two_seconds_for_the_database_and_the_operations_port_does_not() {
    let started = Instant::now();
    let app = TestApp::begin("mysql://u@127.0.0.1:1/d", &["--ops-addr", "127.0.0.1:0"]);
    let ready = format!("http://{}/readyz", app.ops_address.unwrap());
    eventually("the operations port answers", || async {
        fetch(&ready).await.is_ok_and(|response| response.status() == 503)
    })
    .await;
    let public = TcpStream::connect(app.address).await;
    // On a machine that is slower than this, nothing can be said.
    if started.elapsed() < Duration::from_secs(2) {
        assert!(public.is_err(), "it is open already");
    }
    eventually("the public port opens", || async {
        fetch(format!("http://{}/messages", app.address))
            .await
            .is_ok_and(|response| response.status() == 503)
    })
    .await;
}

#[tokio::test]
async fn a_server_that_says_it_is_ready_has_opened_its_public_port() {
    for _ in 0..10 {
        let database = TestDatabase::new();
        let app = TestApp::begin(database.url.as_str(), &["--ops-addr", "127.0.0.1:0"]);
        let ready = format!("http://{}/readyz", app.ops_address.unwrap());
        let client = client();
        while !client.get(&ready).send().await.is_ok_and(|it| it.status() == 200) {}
        TcpStream::connect(app.address).await.unwrap();
    }
}

#[tokio::test]
async fn a_port_that_another_process_opens_meanwhile_is_named() {
    let other = TcpSocket::new_v4().unwrap();
    other.set_reuseaddr(true).unwrap();
    other.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = other.local_addr().unwrap().to_string();
    let opens = async {
        sleep(Duration::from_secs(1)).await;
        other.listen(1).unwrap()
    };
    let environment = [("LISTEN_ADDR", &*address), ("DATABASE_URL", "mysql://u@127.0.0.1:1/d")];
    let (_other, message) = tokio::join!(opens, last_words(&environment));
    assert!(message.contains(&format!("LISTEN_ADDR: cannot listen on {address}")), "{message}");
}

impl Seen {
    fn turns(&self) -> Vec<usize> {
        self.turns.iter().map(|turns| turns.load(Ordering::Relaxed)).collect()
    }
}

async fn ask_until_over(number: usize, addresses: [String; 2], seen: Arc<Seen>) {
    let client = client();
    for turn in number.. {
        if seen.over.load(Ordering::Relaxed) {
            return;
        }
        let is_post = turn % 4 == 0;
        match ask(&client, &addresses, turn, is_post).await {
            Ok(()) => drop(is_post.then(|| seen.stored.fetch_add(1, Ordering::Relaxed))),
            Err(failure) => seen.failures.lock().unwrap().push(failure),
        }
        seen.turns[number].fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_millis(3)).await;
    }
}

/// One request by way of the proxy.
async fn ask(
    client: &Client,
    addresses: &[String; 2],
    turn: usize,
    is_post: bool,
) -> Result<(), String> {
    // With a key, a post may be repeated too.
    let key = format!("{:032x}", fastrand::u128(..));
    let mut failure = String::new();
    for server in [turn % 2, (turn + 1) % 2] {
        let url = |path| format!("http://{}{path}", addresses[server]);
        let request = if is_post {
            let message = json!({ "user": "bob", "text": turn.to_string() });
            client
                .request(Method::POST, url("/message"))
                .json(&message)
                .header("idempotency-key", &key)
        } else {
            client.request(Method::GET, url("/messages?limit=1"))
        };
        match request.header("connection", "close").send().await {
            Ok(response) if response.status().is_success() => return Ok(()),
            Ok(response) => return Err(format!("{response:?}")),
            Err(error) => failure = format!("{error:?}"),
        }
    }
    Err(failure)
}
