//! The OpenAPI document is what the server does, and the pages work without the internet.

use crate::harness::TestApp;
use chat_server::{api, problem::Code};
use serde_json::Value;
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

#[test]
fn every_operation_declares_what_can_happen_to_any_head() {
    let document = document();
    for (name, operation) in operations(&document) {
        for (status, code) in
            [("400", "malformed_request"), ("408", "request_timeout"), ("431", "head_too_large")]
        {
            let content = &operation["responses"][status]["content"]["application/problem+json"];
            assert!(!content["examples"][code].is_null(), "{name} {code}");
        }
    }
}

/// The value that Swagger UI fills in for a parameter of a path.
fn example<'a>(operation: &'a Value, name: &str) -> &'a Value {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let schema = parameters.filter(|it| it["name"] == name).map(|it| &it["schema"]).next();
    &schema.unwrap_or(&Value::Null)["example"]
}

#[tokio::test]
async fn every_operation_can_be_tried_out_unchanged_from_the_first_one_on() {
    let (app, _database) = TestApp::start().await;
    let document = app.get_json("/openapi.json").await;
    for (name, operation) in operations(&document) {
        let (method, path) = name.split_once(' ').unwrap();
        let path = path.replace("{id}", &example(operation, "id").to_string());
        let mut request = app.request(method.to_uppercase().parse().unwrap(), &path);
        if let Some(schema) =
            operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str()
        {
            request = request.json(&document.pointer(&schema[1..]).unwrap()["example"]);
        }
        let response = request.send().await.unwrap();
        assert!(response.status().is_success(), "{name}: {}", response.status());
        let documented = &operation["responses"][response.status().as_str()]["content"];
        let kind = response.headers()["content-type"].to_str().unwrap();
        assert!(!documented[kind].is_null(), "{name}: {} {kind}", response.status());
    }
}

#[test]
fn no_example_has_a_null() {
    fn examples(value: &Value) -> Vec<&Value> {
        let inside = value.as_object().into_iter().flat_map(|members| members.values());
        let inside = inside.chain(value.as_array().into_iter().flatten()).flat_map(examples);
        ["example", "examples"].iter().filter_map(|name| value.get(name)).chain(inside).collect()
    }
    let document = document();
    let examples = examples(&document);
    assert!(examples.len() > 40, "{}", examples.len());
    for example in examples {
        assert!(!example.to_string().contains("null"), "{example}");
    }
}

#[test]
fn what_people_use_comes_before_what_operators_use() {
    let document = document();
    let tags: Vec<_> = document["tags"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(tags, ["Messages", "Users", "Operations"]);
    let mut order: Vec<_> = operations(&document).iter().map(|(_, it)| &it["tags"][0]).collect();
    order.dedup();
    assert_eq!(order, tags);
}

#[test]
fn security_md_names_every_operations_endpoint() {
    let security = include_str!("../../SECURITY.md");
    let document = document();
    for (name, operation) in operations(&document) {
        let path = name.split_once(' ').unwrap().1;
        let listed = security.contains(&format!("`{path}`"));
        assert_eq!(listed, operation["tags"][0] == "Operations", "{path}");
    }
    assert!(security.contains("`/dashboard`"));
}

#[tokio::test]
async fn the_document_is_served_as_json_and_as_yaml() {
    let (app, _database) = TestApp::start().await;
    let response = app.get("/openapi.json").await;
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.text().await.unwrap(), api::document());
    let response = app.get("/openapi.yaml").await;
    assert_eq!(response.headers()["content-type"], "application/yaml");
    let yaml: Value = serde_saphyr::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(yaml, document());
}

#[tokio::test]
async fn swagger_ui_has_its_script_a_viewport_and_a_dark_mode() {
    let (app, _database) = TestApp::start().await;
    let text = async |path| app.get(path).await.text().await.unwrap();
    let page = text("/docs").await;
    assert!(page.starts_with("<!doctype html>"));
    assert!(page.contains("<meta name=\"viewport\" content=\"width=device-width"));
    assert!(page.contains("href=\"docs.css\"") && page.contains("src=\"docs.js\""));
    let style = text("/docs.css").await;
    let (theirs, ours) = style.split_once("\n}\n").unwrap();
    assert!(theirs.starts_with("@layer swagger-ui {") && theirs.contains(".swagger-ui .opblock"));
    assert!(ours.contains("color-scheme: light dark"));
    let script = text("/docs.js").await;
    assert!(script.contains("PACKAGE_VERSION") && script.len() > 1_000_000);
    assert!(script.trim_end().ends_with("deepLinking: true });"));
}

#[tokio::test]
async fn the_pages_have_a_strict_policy_and_refer_to_nothing_elsewhere() {
    let (app, _database) = TestApp::start().await;
    for path in [
        "/",
        "/style.css",
        "/docs",
        "/docs.css",
        "/docs.js",
        "/dashboard",
        "/dashboard.css",
        "/dashboard.js",
    ] {
        let response = app.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert!(!policy.contains('*') && !policy.contains("unsafe"), "{path}: {policy}");
        let body = response.text().await.unwrap();
        for elsewhere in ["src=\"http", "href=\"http", "src=\"//", "url(http"] {
            assert!(!body.contains(elsewhere), "{path} has {elsewhere}");
        }
    }
}

#[test]
fn every_operation_has_an_id_of_its_own() {
    let document = document();
    let operations = operations(&document);
    let ids = operations.iter().map(|(name, it)| it["operationId"].as_str().expect(name));
    let ids: BTreeSet<&str> = ids.collect();
    assert_eq!(ids.len(), operations.len(), "{ids:?}");
}
