//! The OpenAPI document is what the server does, and the pages work without the internet.

use crate::harness::TestApp;
use base64::{Engine, prelude::BASE64_STANDARD};
use chat_server::api::{self, Code};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

fn document() -> Value {
    serde_json::from_str(&api::document()).unwrap()
}

fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap();
            methods.iter().map(move |(method, operation)| (format!("{method} {path}"), operation))
        })
        .collect()
}

#[test]
fn the_committed_document_is_up_to_date() {
    let committed = include_str!("../../openapi.json");
    assert!(committed == api::document(), "openapi.json is stale: run `make openapi`");
}

#[test]
fn every_error_code_is_in_the_document_with_an_example() {
    let document = document();
    let mut found = BTreeSet::new();
    for (name, operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let content = &response["content"]["application/problem+json"];
            let codes = &content["schema"]["allOf"][1]["properties"]["code"]["enum"];
            for code in codes.as_array().into_iter().flatten().map(|code| code.as_str().unwrap()) {
                let example = &content["examples"][code]["value"];
                assert_eq!(example["code"], code, "{name} {status}");
                assert_eq!(example["status"].to_string(), *status, "{name}");
                found.insert(code.to_owned());
            }
        }
    }
    // What no declared operation can answer with: there is no such path, or no such method.
    found.extend(["route_not_found".into(), "method_not_allowed".into()]);
    let all: BTreeSet<_> = Code::ALL.iter().map(|code| code.name().to_owned()).collect();
    assert_eq!(found, all);
}

#[tokio::test]
async fn the_example_of_a_message_can_be_posted_unchanged() {
    let (app, _database) = TestApp::start().await;
    let document = app.get_json("/openapi.json").await;
    let example = &document["components"]["schemas"]["MessageToPost"]["example"];
    assert_eq!(app.post_json(example).send().await.unwrap().status(), 201);
}

#[tokio::test]
async fn every_get_of_the_document_is_answered_as_documented() {
    let (app, _database) = TestApp::start().await;
    app.say("bob", "hi").await;
    let document = app.get_json("/openapi.json").await;
    for (name, operation) in operations(&document) {
        let Some(path) = name.strip_prefix("get ") else { continue };
        let response = app.get(&path.replace("{id}", "1")).await;
        let documented = &operation["responses"][response.status().as_str()]["content"];
        let kind = response.headers()["content-type"].to_str().unwrap();
        assert!(!documented[kind].is_null(), "{name}: {} {kind}", response.status());
    }
}

#[tokio::test]
async fn the_document_is_served_as_json_and_as_yaml() {
    let (app, _database) = TestApp::start().await;
    let response = app.get("/openapi.json").await;
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.text().await.unwrap(), api::document());
    let response = app.get("/openapi.yaml").await;
    assert_eq!(response.headers()["content-type"], "application/yaml");
    let yaml: Value = serde_yaml::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(yaml, document());
}

#[tokio::test]
async fn the_policy_of_swagger_ui_lets_exactly_its_own_scripts_run() {
    let (app, _database) = TestApp::start().await;
    let response = app.get("/docs").await;
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    let html = response.text().await.unwrap();
    // As a browser finds them: the bundle, which has "<script" in a string, and the call of it.
    let (head, body) = html.split_once("<div id=\"ui\"></div>").unwrap();
    let bundle = head.split_once("<script charset=\"UTF-8\">").unwrap().1;
    let call = body.split_once("<script>").unwrap().1;
    for script in [bundle, call] {
        let script = script.rsplit_once("</script>").unwrap().0;
        let hash = BASE64_STANDARD.encode(Sha256::digest(script));
        assert!(policy.contains(&format!("'sha256-{hash}'")), "{policy}");
    }
    assert_eq!(policy.matches("'sha256-").count(), 2);
}

#[tokio::test]
async fn the_pages_have_a_strict_policy_and_refer_to_nothing_elsewhere() {
    let (app, _database) = TestApp::start().await;
    for path in ["/", "/style.css", "/docs", "/dashboard", "/dashboard.css", "/dashboard.js"] {
        let response = app.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert!(!policy.contains('*') && !policy.contains("unsafe-eval"), "{path}: {policy}");
        let scripts = policy.split(';').find(|part| part.trim().starts_with("script-src"));
        assert!(!scripts.unwrap_or_default().contains("unsafe-inline"), "{path}: {policy}");
        let body = response.text().await.unwrap();
        for elsewhere in ["src=\"http", "href=\"http", "src=\"//", "url(http"] {
            assert!(!body.contains(elsewhere), "{path} has {elsewhere}");
        }
    }
}
