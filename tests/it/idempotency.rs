//! A request that is repeated with its key posts its message once.

use crate::harness::{TestApp, TestDatabase, refusal};
use reqwest::{RequestBuilder, Response};
use serde_json::Value;

fn keyed(app: &TestApp, key: &str, user: &str, text: &str) -> RequestBuilder {
    app.post(user, text).header("idempotency-key", key)
}

fn is_replay(response: &Response) -> bool {
    response.headers().get("idempotency-replayed").is_some_and(|value| value == "true")
}

#[tokio::test]
async fn the_same_key_and_text_get_the_same_answer_and_one_message() {
    let (app, database) = TestApp::start().await;
    let first = keyed(&app, "k1", "bob", "hi").send().await.unwrap();
    assert!(first.status() == 201 && !is_replay(&first));
    let message: Value = first.json().await.unwrap();
    for _ in 0..3 {
        let again = keyed(&app, "k1", "bob", "hi").send().await.unwrap();
        assert_eq!(again.status(), 201);
        assert!(is_replay(&again));
        assert_eq!(again.headers()["location"], *format!("messages/{}", message["id"]));
        assert_eq!(again.json::<Value>().await.unwrap(), message);
    }
    assert_eq!(database.count_messages().await, 1);
}

#[tokio::test]
async fn the_same_key_with_another_text_is_refused() {
    let (app, database) = TestApp::start().await;
    keyed(&app, "k1", "bob", "hi").send().await.unwrap();
    let refused = refusal(keyed(&app, "k1", "bob", "hi!")).await;
    assert_eq!(refused, (422, "idempotency_key_reused".into()));
    assert_eq!(database.count_messages().await, 1);
}

#[tokio::test]
async fn a_key_belongs_to_its_user() {
    let (app, database) = TestApp::start().await;
    for user in ["bob", "eve", "Bob"] {
        let response = keyed(&app, "k1", user, "hi").send().await.unwrap();
        assert!(response.status() == 201 && !is_replay(&response));
    }
    assert_eq!(database.count_messages().await, 3);
}

#[tokio::test]
async fn without_a_key_the_same_message_can_be_posted_again() {
    let (app, database) = TestApp::start().await;
    app.say("bob", "hi").await;
    app.say("bob", "hi").await;
    assert_eq!(database.count_messages().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_requests_with_one_key_post_one_message() {
    let database = TestDatabase::new();
    let apps = [TestApp::start_on(&database).await, TestApp::start_on(&database).await];
    for round in 0..10 {
        let key = format!("round {round}");
        let racers: Vec<_> = (0..8)
            .map(|racer| tokio::spawn(keyed(&apps[racer % 2], &key, "bob", &key).send()))
            .collect();
        let (mut ids, mut created) = (Vec::new(), 0);
        for racer in racers {
            let response = racer.await.unwrap().unwrap();
            assert_eq!(response.status(), 201);
            created += u32::from(!is_replay(&response));
            ids.push(response.json::<Value>().await.unwrap()["id"].clone());
        }
        assert_eq!(created, 1, "only one of them created it");
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }
    assert_eq!(database.count_messages().await, 10);
}

#[tokio::test]
async fn a_key_that_is_not_printable_ascii_is_refused() {
    let (app, database) = TestApp::start().await;
    let longest = "k".repeat(255);
    assert_eq!(keyed(&app, &longest, "bob", "hi").send().await.unwrap().status(), 201);
    for key in ["".as_bytes(), &[b'k'; 256], "ключ".as_bytes(), b"a\tb", b"\xff"] {
        let value = reqwest::header::HeaderValue::from_bytes(key).unwrap();
        let request = app.post("bob", "hi").header("idempotency-key", value);
        assert_eq!(refusal(request).await, (400, "invalid_idempotency_key".into()), "{key:?}");
    }
    let two = keyed(&app, "one", "bob", "hi").header("idempotency-key", "two");
    assert_eq!(refusal(two).await, (400, "invalid_idempotency_key".into()));
    assert_eq!(database.count_messages().await, 1);
}
