//! The error contract, for our own errors and for the framework's.

use crate::harness::{TestApp, problem, refusal};
use chat_server::problem::Code;
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn an_unknown_route_is_not_found() {
    let (app, _database) = TestApp::start().await;
    for path in ["/nothing", "/messages/1/2", "/Messages", "/messages/", "/%00", "/..%2f..", "//"] {
        let request = app.request(Method::GET, path);
        assert_eq!(refusal(request).await, (404, "route_not_found".into()), "{path}");
    }
}

#[tokio::test]
async fn a_method_that_a_path_does_not_answer_is_refused_with_those_that_it_does() {
    let (app, _database) = TestApp::start().await;
    for (method, path, allow) in [
        ("GET", "/message", "POST"),
        ("HEAD", "/message", "POST"),
        ("DELETE", "/messages", "GET, HEAD"),
        ("PATCH", "/messages/1", "GET, HEAD"),
        ("OPTIONS", "/users", "GET, HEAD"),
        ("POST", "/livez", "GET, HEAD"),
        ("PUT", "/docs", "GET, HEAD"),
        ("POST", "/", "GET, HEAD"),
        ("MADEUP", "/messages", "GET, HEAD"),
    ] {
        let request = app.request(Method::from_bytes(method.as_bytes()).unwrap(), path);
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["allow"], allow, "{method} {path}");
        assert_eq!(response.status(), 405, "{method} {path}");
        if method != "HEAD" {
            assert_eq!(problem(response).await["code"], "method_not_allowed");
        }
    }
}

#[tokio::test]
async fn every_json_body_ends_with_one_newline() {
    let (app, _database) = TestApp::start().await;
    let post = || app.post("bob", "hi").header("idempotency-key", "k").send();
    let mut responses = vec![post().await.unwrap(), post().await.unwrap()];
    for path in [
        "/messages",
        "/messages?limit=1",
        "/messages/1",
        "/users",
        "/users?limit=1",
        "/livez",
        "/readyz",
        "/version",
        "/stats",
        "/stats/history",
        "/openapi.json",
        "/messages/x",
        "/nowhere",
    ] {
        responses.push(app.get(path).await);
    }
    for response in responses {
        let url = response.url().clone();
        let body = response.text().await.unwrap();
        assert!(body.ends_with("}\n"), "{url}: {body:?}");
    }
}

#[tokio::test]
async fn head_is_answered_like_get_without_the_body() {
    let (app, _database) = TestApp::start().await;
    app.say("bob", "hi").await;
    for path in ["/messages", "/users", "/readyz", "/", "/openapi.json"] {
        let (get, head) =
            (app.get(path).await, app.request(Method::HEAD, path).send().await.unwrap());
        assert_eq!(head.status(), 200, "{path}");
        for name in ["content-type", "content-length", "etag", "content-security-policy"] {
            assert_eq!(head.headers().get(name), get.headers().get(name), "{path} {name}");
        }
        assert!(head.bytes().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn an_answer_in_no_form_that_the_client_takes_is_refused_before_anything_is_done() {
    let (app, database) = TestApp::start().await;
    for path in ["/messages", "/users", "/messages/1", "/readyz", "/livez", "/version"] {
        let request = app.request(Method::GET, path).header("accept", "text/html;q=0.9, image/png");
        assert_eq!(refusal(request).await, (406, "not_acceptable".into()), "{path}");
    }
    let post = app.post("bob", "hi").header("accept", "application/xml");
    assert_eq!(refusal(post).await, (406, "not_acceptable".into()));
    assert_eq!(database.count_messages().await, 0);
}

#[tokio::test]
async fn a_body_of_another_kind_is_refused() {
    let (app, _database) = TestApp::start().await;
    let body = r#"{"user": "bob", "text": "hi"}"#;
    let post = || app.request(Method::POST, "/message").body(body);
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "nonsense"]
    {
        let refused = refusal(post().header("content-type", kind)).await;
        assert_eq!(refused, (415, "unsupported_media_type".into()), "{kind}");
    }
    // Without a type too: browsers send such requests to other sites without asking first.
    assert_eq!(refusal(post()).await, (415, "unsupported_media_type".into()));
    for kind in ["application/json; charset=utf-8", "Application/JSON"] {
        assert_eq!(
            post().header("content-type", kind).send().await.unwrap().status(),
            201,
            "{kind}"
        );
    }
}

#[tokio::test]
async fn a_body_in_another_coding_is_refused_with_what_to_send() {
    let (app, database) = TestApp::start().await;
    let body = r#"{"user": "bob", "text": "hi"}"#;
    let post = |name: &'static str, value: &'static str| {
        let request = app.request(Method::POST, "/message").body(body).header(name, value);
        let kind = (name != "content-type").then_some(("content-type", "application/json"));
        kind.into_iter().fold(request, |request, (name, value)| request.header(name, value))
    };
    for (name, value, shown) in [
        ("content-encoding", "gzip", "Content-Encoding is `gzip`"),
        ("content-encoding", "br", "Content-Encoding is `br`"),
        ("content-encoding", "identity, gzip", "Content-Encoding is `identity, gzip`"),
        ("content-encoding", "nonsense", "Content-Encoding is `nonsense`"),
        ("content-type", "application/json; charset=iso-8859-1", "charset is `iso-8859-1`"),
        ("content-type", "application/json;charset=\"UTF-16\"", "charset is `utf-16`"),
        (
            "content-type",
            "text/plain; charset=utf-8",
            "Content-Type is `text/plain; charset=utf-8`",
        ),
    ] {
        let response = post(name, value).send().await.unwrap();
        // Only with this header, a client knows that it is the coding and not the type.
        let taken = response.headers().get("accept-encoding").cloned();
        assert_eq!(taken.is_some_and(|it| it == "identity"), name == "content-encoding", "{value}");
        let problem = problem(response).await;
        let detail = problem["detail"].as_str().unwrap().to_lowercase();
        assert_eq!(problem["code"], "unsupported_media_type", "{value}");
        assert!(detail.contains(&shown.to_lowercase()), "{detail}");
    }
    assert_eq!(database.count_messages().await, 0);
    for (name, value) in [
        ("content-encoding", "identity"),
        ("content-type", "application/json; charset=\"utf-8\""),
        ("content-type", "application/json; charset=UTF8"),
        ("content-type", "application/json; profile=x"),
    ] {
        assert_eq!(post(name, value).send().await.unwrap().status(), 201, "{value}");
    }
}

#[tokio::test]
async fn a_byte_order_mark_is_named() {
    let (app, _database) = TestApp::start().await;
    for (mark, encoding) in
        [(&b"\xef\xbb\xbf"[..], "UTF-8"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16")]
    {
        let body = [mark, br#"{"user": "bob", "text": "hi"}"#].concat();
        let request =
            app.request(Method::POST, "/message").header("content-type", "application/json");
        let problem = problem(request.body(body).send().await.unwrap()).await;
        assert_eq!(problem["code"], "malformed_json");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(&format!("byte order mark ({encoding}).")), "{detail}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_refused() {
    let (app, database) = TestApp::start().await;
    let bodies: [&[u8]; 14] = [
        b"",
        b" ",
        b"{",
        b"null",
        b"5",
        b"\"text\"",
        br#"["bob", "hi"]"#,
        br#"{"user": "bob", "text": "hi"} x"#,
        br#"{"user": "bob", "text": "hi",}"#,
        br"{'user': 'bob'}",
        br#"{"user": "bob", "user": "eve", "text": "hi"}"#,
        b"\xef\xbb\xbf{}",
        b"{\"user\": \"bob\", \"text\": \"\xff\"}",
        b"{\"user\": \"bob\", \"text\": \"raw \x01 control\"}",
    ];
    let deep = [&b"{\"user\":"[..], &b"[".repeat(100_000)].concat();
    for body in bodies.into_iter().chain([deep.as_slice()]) {
        let request =
            app.request(Method::POST, "/message").header("content-type", "application/json");
        let refused = refusal(request.body(body.to_vec())).await;
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        assert_eq!(refused, (400, "malformed_json".into()), "{shown}");
    }
    assert_eq!(database.count_messages().await, 0);
}

#[tokio::test]
async fn the_trace_id_of_the_caller_is_taken_over() {
    let (app, _database) = TestApp::start().await;
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = app.request(Method::GET, "/nothing");
    let request = request.header("traceparent", format!("00-{id}-00f067aa0ba902b7-01"));
    assert_eq!(problem(request.send().await.unwrap()).await["trace_id"], id);
    // Without one, each request gets its own.
    let ids: Vec<_> = [app.get("/livez").await, app.get("/livez").await]
        .map(|response| response.headers()["x-request-id"].clone())
        .into();
    assert!(ids[0] != ids[1] && ids[0].len() == 32);
}

#[test]
fn every_code_has_its_section_in_the_docs() {
    let docs = include_str!("../../docs/errors.md");
    let documented: Vec<_> = docs.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let codes: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(documented, codes);
    for code in Code::ALL {
        let first_line = format!("\n### {}\n\n{} · {}", code.name(), code.status(), code.title());
        assert!(docs.contains(&first_line), "docs/errors.md says other than: {first_line}");
    }
}

#[tokio::test]
async fn errors_that_name_fields_name_them_in_one_shape() {
    let (app, _database) = TestApp::start().await;
    let response = app.post_json(&json!({ "user": "bob" })).send().await.unwrap();
    let body = problem(response).await;
    let expected = json!([{
        "field": "text", "code": "text_missing", "detail": "`text` is missing; it may be empty."
    }]);
    assert_eq!(body["errors"], expected);
    let response = app.get("/nothing").await;
    assert!(problem(response).await.get("errors").is_none());
}
