//! Reading page by page: every message and every user exactly once.

use crate::harness::{TestApp, TestDatabase, refusal};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use reqwest::Method;
use serde_json::{Value, json};

const MESSAGES: i64 = 57;

async fn app_with_messages() -> (TestApp, TestDatabase, Vec<i64>) {
    let (app, database) = TestApp::start().await;
    let mut ids = Vec::new();
    for number in 0..MESSAGES {
        let user = format!("user {:02}", number % 23);
        ids.push(app.say(&user, &number.to_string()).await["id"].as_i64().unwrap());
    }
    (app, database, ids)
}

fn ids(page: &Value) -> Vec<i64> {
    let messages = page["messages"].as_array().unwrap();
    messages.iter().map(|message| message["id"].as_i64().unwrap()).collect()
}

/// Runs an async property against one server, with page sizes that proptest chooses.
fn check(property: &impl AsyncFn(&TestApp, &[i64], Vec<u32>)) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (app, _database, all) = runtime.block_on(app_with_messages());
    let sizes = prop::collection::vec(1_u32..=40, 1..5);
    TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(24) })
        .run(&sizes, |sizes| {
            runtime.block_on(property(&app, &all, sizes));
            Ok(())
        })
        .unwrap();
}

#[test]
fn paging_back_gives_every_message_once() {
    check(&async |app, all, sizes| {
        let (mut seen, mut before) = (Vec::new(), i64::MAX);
        for limit in sizes.iter().cycle() {
            let page =
                ids(&app.get_json(&format!("/messages?limit={limit}&before={before}")).await);
            let Some(last) = page.last() else { break };
            before = *last;
            seen.extend(page);
        }
        seen.reverse();
        assert_eq!(seen, all);
    });
}

#[test]
fn paging_forward_gives_every_message_once() {
    check(&async |app, all, sizes| {
        let (mut seen, mut after) = (Vec::new(), 0);
        for limit in sizes.iter().cycle() {
            let mut page =
                ids(&app.get_json(&format!("/messages?limit={limit}&after={after}")).await);
            page.reverse();
            let Some(last) = page.last() else { break };
            after = *last;
            seen.extend(page);
        }
        assert_eq!(seen, all);
    });
}

#[test]
fn paging_users_gives_every_name_once_in_byte_order() {
    check(&async |app, _, sizes| {
        let (mut seen, mut after) = (Vec::new(), String::new());
        for limit in sizes.iter().cycle() {
            let request = app.request(Method::GET, "/users");
            let request = request.query(&[("limit", &limit.to_string()), ("after", &after)]);
            let page: Value = request.send().await.unwrap().json().await.unwrap();
            seen.extend(
                page["users"].as_array().unwrap().iter().map(|u| u.as_str().unwrap().to_owned()),
            );
            match page["next"].as_str() {
                Some(next) => next.clone_into(&mut after),
                None => break,
            }
        }
        let expected: Vec<_> = (0..23).map(|number| format!("user {number:02}")).collect();
        assert_eq!(seen, expected);
    });
}

#[tokio::test]
async fn both_bounds_give_what_is_between_them_the_newest_first() {
    let (app, _database, all) = app_with_messages().await;
    let (after, before) = (all[10], all[20]);
    let page = app.get_json(&format!("/messages?after={after}&before={before}&limit=4")).await;
    assert_eq!(ids(&page), [all[19], all[18], all[17], all[16]]);
    let page = app.get_json(&format!("/messages?after={after}&before={after}")).await;
    assert_eq!(page, json!({ "messages": [] }));
}

#[tokio::test]
async fn a_parameter_that_is_no_number_of_its_range_is_refused() {
    let (app, _database) = TestApp::start().await;
    for path in [
        "/messages?limit=0",
        "/messages?limit=101",
        "/messages?limit=ten",
        "/messages?limit=",
        "/messages?before=-1",
        "/messages?after=9223372036854775808",
        "/messages/x",
        "/messages/-1",
        "/messages/1.5",
        "/messages/%FF",
        "/messages/+1",
        "/users?limit=1001",
    ] {
        let request = app.request(Method::GET, path);
        assert_eq!(refusal(request).await, (400, "invalid_parameter".into()), "{path}");
    }
    for (query, field, right) in [
        ("limit=0", "limit", "it must be a whole number from 1 to 100."),
        ("before=-1", "before", "it must be a whole number from 0 to 9223372036854775807."),
    ] {
        let response = app.get(&format!("/messages?{query}")).await;
        let problem = crate::harness::problem(response).await;
        assert_eq!(problem["errors"][0]["field"], field);
        assert!(problem["detail"].as_str().unwrap().ends_with(right), "{problem}");
    }
    // An id that no message can have is only an id that no message has.
    let request = app.request(Method::GET, "/messages/9223372036854775807");
    assert_eq!(refusal(request).await, (404, "message_not_found".into()));
}
