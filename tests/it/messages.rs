//! Posting and reading: the older server's list of test cases, and more.

use crate::harness::{TestApp, TestDatabase, refusal};
use serde_json::{Value, json};

#[tokio::test]
async fn a_posted_message_is_answered_and_read_back() {
    let (app, _database) = TestApp::start().await;
    let response = app.post("superman", "hello").send().await.unwrap();
    assert_eq!(response.status(), 201);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let message: Value = response.json().await.unwrap();
    assert_eq!((&message["user"], &message["text"]), (&json!("superman"), &json!("hello")));
    assert_eq!(location, format!("messages/{}", message["id"]));
    let created_at = message["created_at"].as_str().unwrap();
    assert_eq!((created_at.len(), &created_at[10..11], &created_at[23..]), (24, "T", "Z"));

    assert_eq!(app.get_json(&format!("/{location}")).await, message);
    assert_eq!(app.messages().await, [message]);
    assert_eq!(app.get_json("/users").await, json!({ "users": ["superman"] }));
}

#[tokio::test]
async fn an_empty_store_has_no_messages_and_no_users() {
    let (app, _database) = TestApp::start().await;
    assert_eq!(app.get_json("/messages").await, json!({ "messages": [] }));
    assert_eq!(app.get_json("/users").await, json!({ "users": [] }));
    let nothing = app.request(reqwest::Method::GET, "/messages/1");
    assert_eq!(refusal(nothing).await, (404, "message_not_found".into()));
}

#[tokio::test]
async fn an_empty_text_is_a_message() {
    let (app, _database) = TestApp::start().await;
    assert_eq!(app.say("bob", "").await["text"], "");
    assert_eq!(app.messages().await[0]["text"], "");
}

#[tokio::test]
async fn a_message_without_text_is_refused() {
    let (app, database) = TestApp::start().await;
    for body in [json!({ "user": "bob" }), json!({ "user": "bob", "text": null })] {
        assert_eq!(refusal(app.post_json(&body)).await, (422, "text_missing".into()));
    }
    assert_eq!(database.count_messages().await, 0);
}

#[tokio::test]
async fn a_message_without_user_is_refused() {
    let (app, database) = TestApp::start().await;
    for (body, code) in [
        (json!({ "text": "hi" }), "user_missing"),
        (json!({ "user": "", "text": "hi" }), "user_empty"),
        (json!({ "user": " \u{2003}\n", "text": "hi" }), "user_empty"),
    ] {
        assert_eq!(refusal(app.post_json(&body)).await, (422, code.into()));
    }
    assert_eq!(database.count_messages().await, 0);
}

#[tokio::test]
async fn everything_wrong_with_a_message_is_named_at_once() {
    let (app, _database) = TestApp::start().await;
    let body = json!({ "user": ["bob"], "text": 5 });
    let response = app.post_json(&body).send().await.unwrap();
    let problem = crate::harness::problem(response).await;
    let errors: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|e| &e["code"]).collect();
    assert_eq!(errors, ["user_invalid", "text_invalid"]);
    assert_eq!(problem["code"], "user_invalid");
}

#[tokio::test]
async fn a_text_of_65535_ascii_characters_is_accepted() {
    accept(&"x".repeat(65_535)).await;
}

#[tokio::test]
async fn a_text_of_65535_four_byte_emoji_is_accepted() {
    accept(&"🦀".repeat(65_535)).await;
}

async fn accept(text: &str) {
    let (app, _database) = TestApp::start().await;
    app.say("bob", text).await;
    assert!(app.messages().await[0]["text"] == text, "the text came back changed");
}

#[tokio::test]
async fn the_longest_text_is_accepted_in_json_escapes() {
    let (app, _database) = TestApp::start().await;
    let body = format!(r#"{{"user":"bob","text":"{}"}}"#, r"\ud83e\udd80".repeat(65_535));
    let request = app.request(reqwest::Method::POST, "/message");
    let request = request.header("content-type", "application/json").body(body);
    assert_eq!(request.send().await.unwrap().status(), 201);
    assert!(app.messages().await[0]["text"] == "🦀".repeat(65_535));
}

#[tokio::test]
async fn a_text_of_65536_characters_is_refused() {
    let (app, database) = TestApp::start().await;
    for text in ["x".repeat(65_536), "🦀".repeat(65_536)] {
        assert_eq!(refusal(app.post("bob", &text)).await, (422, "text_too_long".into()));
    }
    assert_eq!(database.count_messages().await, 0);
}

#[tokio::test]
async fn fewer_than_100_messages_come_all_newest_first() {
    let (app, _database) = TestApp::start().await;
    for number in 0..7 {
        app.say("bob", &number.to_string()).await;
    }
    assert_eq!(texts(&app.messages().await), ["6", "5", "4", "3", "2", "1", "0"]);
}

#[tokio::test]
async fn of_more_than_100_messages_the_latest_100_come() {
    let (app, _database) = TestApp::start().await;
    for number in 0..103 {
        app.say("bob", &number.to_string()).await;
    }
    let expected: Vec<_> = (3..103).rev().map(|number| number.to_string()).collect();
    assert_eq!(texts(&app.messages().await), expected);
}

#[tokio::test]
async fn unknown_members_of_a_message_are_ignored() {
    let (app, _database) = TestApp::start().await;
    let body = json!({ "user": "bob", "text": "hi", "id": 5, "more": { "a": [1e300, null] } });
    assert_eq!(app.post_json(&body).send().await.unwrap().status(), 201);
}

#[tokio::test]
async fn a_read_that_names_what_the_client_has_is_answered_304_until_it_changes() {
    let (app, _database) = TestApp::start().await;
    app.say("bob", "one").await;
    let etag = app.get("/messages").await.headers()["etag"].clone();
    let again = |tag: &str| {
        let request = app.request(reqwest::Method::GET, "/messages").header("if-none-match", tag);
        async { request.send().await.unwrap() }
    };
    let tag = etag.to_str().unwrap();
    let with = |suffix: &str| format!("{}{suffix}\"", tag.trim_end_matches('"'));
    let (gzip, br) = (with("-gzip"), with("-br"));
    for matching in [
        tag,
        "*",
        &format!("W/{tag}"),
        &format!("\"other\", {tag}"),
        &format!("\"other\",W/{tag},\"more\""),
        &gzip,
        &format!("W/{gzip}"),
        &format!("\"other\", {br}"),
    ] {
        let response = again(matching).await;
        assert_eq!((response.status().as_u16(), &response.headers()["etag"]), (304, &etag));
        assert!(response.bytes().await.unwrap().is_empty());
    }
    for other in ["\"other\"", "", tag.trim_matches('"'), &with("x"), &gzip[1..]] {
        assert_eq!(again(other).await.status(), 200, "{other}");
    }
    let lines = app.request(reqwest::Method::GET, "/messages").header("if-none-match", "\"other\"");
    let response = lines.header("if-none-match", tag).send().await.unwrap();
    assert_eq!(response.status(), 304, "several lines are one list");

    app.say("bob", "two").await;
    let response = again(tag).await;
    assert_eq!(response.status(), 200);
    assert_ne!(response.headers()["etag"], etag);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_has_every_message_acknowledged_before_it_while_others_write() {
    // Two servers on one database, so that nothing one of them remembers can help.
    let database = TestDatabase::new();
    let writer = TestApp::start_on(&database).await;
    let reader = TestApp::start_on(&database).await;
    let noise = tokio::spawn({
        let (client, url) = (writer.client.clone(), format!("http://{}/message", writer.address));
        async move {
            for _ in 0..200 {
                let body = json!({ "user": "noise", "text": "…" });
                client.post(&url).json(&body).send().await.unwrap();
            }
        }
    });
    for number in 0..50 {
        let id = writer.say("bob", &number.to_string()).await["id"].clone();
        let seen = reader.messages().await;
        assert!(seen.iter().any(|message| message["id"] == id), "message {id} is missing");
    }
    noise.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_at_once_each_get_their_own_message() {
    let (app, database) = TestApp::start().await;
    let posts = (0..100).map(|number| {
        let (text, request) = (number.to_string(), app.post("bob", &number.to_string()));
        tokio::spawn(async move {
            let message: Value = request.send().await.unwrap().json().await.unwrap();
            assert_eq!(message["text"], text);
            message["id"].as_i64().unwrap()
        })
    });
    let mut ids = Vec::new();
    for post in posts.collect::<Vec<_>>() {
        ids.push(post.await.unwrap());
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 100);
    assert_eq!(database.count_messages().await, 100);
}

fn texts(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["text"].as_str().unwrap()).collect()
}
