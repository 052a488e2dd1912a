//! Requests that HTTP/1.1 does not allow, byte for byte: which host they are for, where they end.

use crate::harness::TestApp;
use serde_json::Value;

/// What must never be served when it stands behind a request whose end is in doubt.
const SMUGGLED: &str = "GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

/// The status, the head and the body of a response, which must be the only one.
pub fn only_response(text: &str) -> (u16, &str, Value) {
    assert_eq!(text.matches("\r\ndate: ").count(), 1, "{text}");
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, serde_json::from_str(body).unwrap_or_default())
}

/// The head and the detail of a documented error, after which the server has closed.
pub fn refused(text: &str, status: u16, code: &str) -> (String, String) {
    let (found, head, body) = only_response(text);
    assert_eq!((found, &body["code"]), (status, &code.into()), "{text}");
    assert!(head.contains("\r\ncontent-type: application/problem+json"), "{head}");
    assert!(head.contains("\r\nconnection: close") && head.contains("\r\ndate: "), "{head}");
    assert!(head.contains(&format!("\r\nx-request-id: {}", body["trace_id"].as_str().unwrap())));
    (head.to_owned(), body["detail"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_request_has_one_valid_host() {
    let (app, _database) = TestApp::start().await;
    for (hosts, detail) in [
        ("", "is missing"),
        ("host: x\r\nhost: x\r\n", "is repeated"),
        ("host: x\r\nhost: y\r\n", "is repeated"),
        ("host:\r\n", "`` is not a host"),
        ("host: a b\r\n", "`a b` is not a host"),
        ("host: x/y\r\n", "`x/y` is not a host"),
        ("host: user@x\r\n", "`user@x` is not a host"),
        ("host: x, y\r\n", "`x, y` is not a host"),
        ("host: x:http\r\n", "`x:http` is not a host"),
        ("host: [::1\r\n", "`[::1` is not a host"),
        ("host: a%zz\r\n", "`a%zz` is not a host"),
    ] {
        for start in ["GET /users", "GET /livez", "HEAD /", "POST /message", "GET http://x/users"] {
            let request = format!("{start} HTTP/1.1\r\n{hosts}\r\n{SMUGGLED}");
            let text = app.raw(request.as_bytes()).await;
            if start.starts_with("HEAD") {
                assert_eq!(only_response(&text).0, 400, "{request} {text}");
            } else {
                let found = refused(&text, 400, "malformed_request").1;
                assert!(found.contains(detail), "{request} {found}");
            }
        }
    }
    for host in ["x", "b%C3%B6b", "127.0.0.1:8081", "[::1]:8081", "Chat.example.com", "x:"] {
        let request = format!("GET /livez HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        assert_eq!(only_response(&app.raw(request.as_bytes()).await).0, 200, "{host}");
    }
    // HTTP/1.0 came before that header.
    let response = app.raw(b"GET /livez HTTP/1.0\r\n\r\n").await;
    assert!(response.starts_with("HTTP/1.0 200"), "{response}");
    let response = app.raw(b"GET /livez HTTP/1.0\r\nhost: x\r\nhost: x\r\n\r\n").await;
    assert!(
        response.starts_with("HTTP/1.0 400") && response.contains("malformed_request"),
        "{response}"
    );
}

#[tokio::test]
async fn a_body_whose_end_is_in_doubt_is_refused() {
    let (app, database) = TestApp::start().await;
    let json = r#"{"user":"bob","text":"hi"}"#;
    let chunked = format!("{:x}\r\n{json}\r\n0\r\n\r\n", json.len());
    let post = |headers: &str, body: &str| {
        let start = "POST /message HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
        let request = format!("{start}{headers}\r\n{body}{SMUGGLED}");
        let app = &app;
        async move { app.raw(request.as_bytes()).await }
    };
    // What hyper lets pass.
    for codings in [
        "transfer-encoding: chunked, chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: identity, chunked\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: , chunked\r\n",
    ] {
        let response = post(codings, &chunked).await;
        let detail = refused(&response, 400, "malformed_request").1;
        assert!(detail.contains("Transfer-Encoding is `"), "{response}");
    }
    // What hyper refuses itself.
    let length = json.len();
    for (headers, body) in [
        ("transfer-encoding: gzip\r\n", json),
        ("transfer-encoding: chunked, identity\r\n", json),
        ("transfer-encoding: xchunked\r\n", &chunked),
        ("transfer-encoding:\r\n", json),
        ("transfer-encoding: \x0bchunked\r\n", &chunked),
        ("transfer-encoding : chunked\r\n", &chunked),
        ("transfer-encoding\r\n : chunked\r\n", &chunked),
        ("x: y\r\n transfer-encoding: chunked\r\n", &chunked),
        ("x: y\rtransfer-encoding: chunked\r\n", &chunked),
        (&format!("content-length: {length}\r\ncontent-length: 5\r\n"), json),
        (&format!("content-length: {length}, {length}\r\n"), json),
        (&format!("content-length: +{length}\r\n"), json),
        (&format!("content-length: {length} \r\n y\r\n"), json),
        (&format!("content-length : {length}\r\n"), json),
        ("content-length: -1\r\n", json),
        ("content-length: 0x1a\r\n", json),
        ("content-length: 99999999999999999999\r\n", json),
    ] {
        let response = post(headers, body).await;
        let detail = refused(&response, 400, "malformed_request").1;
        assert!(detail.contains("is malformed: invalid "), "{headers} {response}");
    }
    assert_eq!(database.count_messages().await, 0);
}

#[tokio::test]
async fn a_head_that_cannot_be_read_gets_a_documented_error_and_harms_nothing() {
    let (app, _database) = TestApp::start().await;
    let long = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(100_000));
    let path = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "x: y\r\n".repeat(101));
    for (head, status, code, expected) in [
        ("\0\0\0\0\r\n\r\n", 400, "malformed_request", "invalid HTTP method"),
        ("hello\n\n", 400, "malformed_request", "is malformed: "),
        ("GET / HTTP/9.9\r\n\r\n", 400, "malformed_request", "invalid HTTP version"),
        ("GET /\u{1} HTTP/1.1\r\n\r\n", 400, "malformed_request", "invalid URI"),
        ("GET / HTTP/1.1\r\nx y: z\r\n\r\n", 400, "malformed_request", "invalid HTTP header"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "malformed_request", "HTTP2 preface"),
        (&long, 431, "head_too_large", "65536 bytes and 100 headers"),
        (&path, 431, "head_too_large", "65536 bytes and 100 headers"),
        (&many, 431, "head_too_large", "65536 bytes and 100 headers"),
    ] {
        let detail = refused(&app.raw(head.as_bytes()).await, status, code).1;
        assert!(detail.contains(expected), "{head:.40} {detail}");
        // Behind a request that is served, in one packet with it.
        let first = "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
        let text = app.raw(format!("{first}{head}").as_bytes()).await;
        let (served, refusal) = text.split_at(text.rfind("HTTP/1.1 ").unwrap());
        assert_eq!(only_response(served).0, 200, "{text}");
        refused(refusal, status, code);
    }
    // Not ASCII, and so long that the log has to cut it somewhere.
    let path = format!("GET /{} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "é".repeat(300));
    assert!(app.raw(path.as_bytes()).await.contains("route_not_found"));
    app.say("bob", "still here").await;
}

#[tokio::test]
async fn a_body_has_one_type() {
    let (app, database) = TestApp::start().await;
    let post = |types: &str| {
        let body = r#"{"user":"bob","text":"hi"}"#;
        let length = body.len();
        let head = "POST /message HTTP/1.1\r\nhost: x\r\nconnection: close";
        let request = format!("{head}\r\ncontent-length: {length}\r\n{types}\r\n{body}");
        let app = &app;
        async move { app.raw(request.as_bytes()).await }
    };
    let json = "content-type: application/json\r\n";
    for types in [&[json, json].concat(), &[json, "content-type: text/plain\r\n"].concat()] {
        let (_, detail) = refused(&post(types).await, 415, "unsupported_media_type");
        assert!(detail.contains("is repeated"), "{detail}");
    }
    assert_eq!(database.count_messages().await, 0);
    assert_eq!(only_response(&post(json).await).0, 201);
}

#[tokio::test]
async fn chunks_win_over_a_length_and_end_the_connection() {
    let (app, database) = TestApp::start().await;
    let json = r#"{"user":"bob","text":"hi"}"#;
    let chunked = format!("{:x}\r\n{json}\r\n0\r\n\r\n", json.len());
    let (te, cl) = ("transfer-encoding: Chunked\r\n", "content-length: 4\r\n");
    for headers in [[te, cl].concat(), [cl, te].concat()] {
        let request = format!(
            "POST /message HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{headers}\r\n\
             {chunked}{SMUGGLED}"
        );
        let response = app.raw(request.as_bytes()).await;
        assert_eq!(only_response(&response).0, 201, "{response}");
    }
    assert_eq!(database.count_messages().await, 2);
}
