//! Heads of requests that do not come to an end.

use crate::{
    framing::{only_response, refused},
    harness::{PATIENCE, TestApp, TestDatabase, eventually, read_to_end},
    process::Process,
};
use chat_server::{
    http::{Timeouts, connection},
    readiness::Readiness,
};
use poem::Response;
use std::{
    future::{pending, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

async fn app_with(flags: &[&str]) -> (TestApp, TestDatabase) {
    let database = TestDatabase::new();
    (TestApp::start_with(&database, flags).await, database)
}

#[tokio::test]
async fn a_head_that_is_late_gets_a_408_however_it_trickles() {
    let (app, _database) = app_with(&["--header-timeout", "300ms", "--idle-timeout", "1h"]).await;
    for half in ["G", "GET /users HTTP/1.1\r\nhost: x\r\n", "\r\nPOST /message HTTP/1.1\r\nx"] {
        let detail = refused(&app.raw(half.as_bytes()).await, 408, "request_timeout").1;
        assert!(detail.contains("300ms"), "{detail}");
    }
    // After a request that was served.
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 2_048];
    let read = stream.read(&mut first).await.unwrap();
    assert!(first[..read].starts_with(b"HTTP/1.1 200"));
    stream.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
    refused(&read_to_end(&mut stream).await, 408, "request_timeout");

    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
    let trickle = async {
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, trickle).await.expect("the server closes");
}

#[tokio::test]
async fn the_log_has_the_id_of_a_408_and_nothing_of_a_request_that_never_came() {
    let database = TestDatabase::new();
    let flags = ["--database-url", database.url.as_str(), "--header-timeout", "300ms"];
    let flags = [&flags[..], &["--log", "chat_server=debug,info"]].concat();
    let server = Process::start(&flags).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(b"GET /users HTTP/1.1\r\n").await.unwrap();
    let (head, _) = refused(&read_to_end(&mut stream).await, 408, "request_timeout");
    let id = head.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap();
    let line = || server.log().into_iter().find(|line| line["trace_id"] == id);
    eventually("the log has the line", || async { line().is_some() }).await;
    let line = line().unwrap();
    assert_eq!(line["code"], "request_timeout", "{line}");
    assert!(line.get("url.path").is_none(), "{line}");
    server.stop().await;
}

#[tokio::test]
async fn a_connection_without_the_beginning_of_a_head_gets_no_408() {
    let flags = ["--header-timeout", "200ms", "--idle-timeout", "300ms"];
    let (app, _database) = app_with(&flags).await;
    assert_eq!(app.raw(b"").await, "", "never said anything");
    assert_eq!(app.raw(b"\r\n\r\n").await, "", "said nothing of a head");
    let asked_once = app.raw(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n\r\n").await;
    assert_eq!(only_response(&asked_once).0, 200, "{asked_once}");
}

#[tokio::test]
async fn no_408_stands_in_the_middle_of_a_response_that_its_client_does_not_read() {
    // So little room in the system that a part of the response stays in the server.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(4_096).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (stream, peer) = listener.accept().await.unwrap();
        let answer = |_| ready(Ok(Response::from("x".repeat(60_000))));
        let (head, idle) = (Duration::from_millis(100), Duration::from_secs(1));
        let (readiness, timeouts) = (Readiness::default(), Timeouts { head, idle });
        connection::run(stream, peer, answer, &readiness, true, timeouts, pending()).await.is_some()
    });
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    stream.write_all(b"GET / HTT").await.unwrap();
    assert!(!timeout(PATIENCE, served).await.expect("the server gives up").unwrap());
    let response = read_to_end(&mut stream).await;
    assert!(response.starts_with("HTTP/1.1 200") && response.len() < 60_000, "{}", response.len());
    assert_eq!(response.matches("HTTP/1.1").count(), 1);
}
