//! What a client may cost: bytes, time, connections.

use crate::{
    harness::{PATIENCE, TestApp, TestDatabase, client, eventually, problem, read_to_end, refusal},
    proxy::{Network, Proxy},
};
use reqwest::Method;
use sqlx::Executor;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const GET: &[u8] = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";

async fn app_with(flags: &[&str]) -> (TestApp, TestDatabase) {
    let database = TestDatabase::new();
    (TestApp::start_with(&database, flags).await, database)
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_whether_its_length_is_told_or_not() {
    let (app, database) = TestApp::start().await;
    let large = vec![b' '; 20 * 1024 * 1024];
    let post = || app.request(Method::POST, "/message").header("content-type", "application/json");
    assert_eq!(refusal(post().body(large.clone())).await, (413, "body_too_large".into()));

    let chunk = format!("{:x}\r\n{}\r\n", 65_536, " ".repeat(65_536));
    let head = "POST /message HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                transfer-encoding: chunked\r\n\r\n";
    let answer = app.raw((head.to_owned() + &chunk.repeat(40) + "0\r\n\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("body_too_large"), "{answer}");
    assert_eq!(database.count_messages().await, 0);
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_taken() {
    let (app, _database) = app_with(&["--max-body-bytes", "40B"]).await;
    let post = |length: usize| {
        let body = format!("{:<length$}", r#"{"user":"bob","text":"hi"}"#);
        app.request(Method::POST, "/message").header("content-type", "application/json").body(body)
    };
    assert_eq!(post(40).send().await.unwrap().status(), 201);
    assert_eq!(refusal(post(41)).await, (413, "body_too_large".into()));
}

#[tokio::test]
async fn a_silent_connection_is_closed_when_it_was_idle_for_long() {
    let (app, _database) = app_with(&["--header-timeout", "1h", "--idle-timeout", "300ms"]).await;
    assert_eq!(app.raw(b"").await, "", "never said anything");
    let answer = app.raw(GET).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "asked once: {answer}");
}

#[tokio::test]
async fn an_idle_connection_is_kept_longer_than_a_head_may_take() {
    let (app, _database) = app_with(&["--header-timeout", "100ms", "--idle-timeout", "1h"]).await;
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        stream.write_all(GET).await.unwrap();
        let mut byte = [0; 2_048];
        let read = timeout(PATIENCE, stream.read(&mut byte)).await.unwrap().unwrap();
        assert!(byte[..read].starts_with(b"HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_closed() {
    let (app, _database) = app_with(&["--idle-timeout", "500ms"]).await;
    app.say("bob", &"x".repeat(65_535)).await;
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let asks = b"GET /messages HTTP/1.1\r\nhost: x\r\n\r\n".repeat(2_000);
    // Asks and never reads, until the answers fill every buffer on the way.
    let ask = async { while stream.write_all(&asks).await.is_ok() {} };
    timeout(PATIENCE, ask).await.expect("the server closes");
}

#[tokio::test]
async fn a_body_that_trickles_is_refused_when_its_time_is_over() {
    let (app, _database) = app_with(&["--request-timeout", "300ms"]).await;
    let head = "POST /message HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 100\r\n\r\n{";
    let answer = app.raw(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("request_timeout") && answer.contains("within 300ms"), "{answer}");
}

#[tokio::test]
async fn connections_beyond_the_limit_are_told_so_and_the_others_served() {
    let (app, _database) = app_with(&["--max-connections", "3"]).await;
    // The client of the harness keeps one connection open; so two more fit.
    let mut accepted = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(app.address).await.unwrap();
        stream.write_all(GET).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        accepted.push(stream);
    }
    for _ in 0..20 {
        let answer = app.raw(b"GET /users HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains("\"code\":\"overloaded\"") && answer.contains("retry-after: 1"));
        assert!(answer.contains("connection: close"));
        assert!(
            app.raw(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.starts_with("HTTP/1.1 200")
        );
        assert_eq!(app.get("/livez").await.status(), 200, "who is in stays in");
    }
    accepted.clear();
    eventually("a place is free again", || async { app.raw_status().await == "200" }).await;
}

#[tokio::test]
async fn two_thousand_idle_connections_delay_no_request() {
    let (app, _database) = TestApp::start().await;
    let mut idle = Vec::new();
    for _ in 0..2_000 {
        idle.push(TcpStream::connect(app.address).await.unwrap());
    }
    app.say("bob", "hi").await;
    let fresh = client().get(format!("http://{}/messages", app.address));
    assert_eq!(fresh.send().await.unwrap().status(), 200);
    assert_eq!(idle.len(), 2_000);
}

/// A post that gets no response in time, because another connection has locked the file.
const POST: &str = "POST /message HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                    content-length: 29\r\n\r\n{\"user\": \"bob\", \"text\": \"hi\"}";

#[tokio::test]
async fn a_client_that_goes_away_does_not_undo_its_message() {
    let database = TestDatabase::sqlite();
    let app = TestApp::start_on(&database).await;
    let mut lock = database.lock().await;
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream.write_all(POST.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    // A reset, not a farewell: what the server still has to say has nowhere to go.
    stream.set_zero_linger().unwrap();
    drop(stream);
    tokio::time::sleep(Duration::from_millis(100)).await;
    lock.execute("rollback").await.unwrap();
    eventually("the message is stored", || async { database.count_messages().await == 1 }).await;
}

#[tokio::test]
async fn a_client_that_ends_its_sending_side_still_gets_its_answer() {
    let database = TestDatabase::sqlite();
    let app = TestApp::start_on(&database).await;
    let mut lock = database.lock().await;
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream.write_all(POST.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    lock.execute("rollback").await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn posts_beyond_the_queue_are_refused_at_once() {
    let database = TestDatabase::new();
    let proxy = Proxy::to(&database.url).await;
    let flags = ["--write-queue", "2", "--request-timeout", "900ms"];
    let app = TestApp::launch(&proxy.url(&database.url), &flags).await;
    app.wait_until_ready().await;
    app.say("bob", "works").await;
    proxy.set(Network::Silent);
    let posts: Vec<_> = (0..10).map(|_| tokio::spawn(app.post("bob", "hi").send())).collect();
    let mut codes = Vec::new();
    for post in posts {
        codes
            .push(problem(post.await.unwrap().unwrap()).await["code"].as_str().unwrap().to_owned());
    }
    assert_eq!(codes.iter().filter(|code| *code == "overloaded").count(), 8, "{codes:?}");
}

impl TestApp {
    /// The status of a read on a connection of its own.
    async fn raw_status(&self) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(b"GET /users HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
        read_to_end(&mut stream).await.split(' ').nth(1).unwrap_or_default().to_owned()
    }
}
