//! A server that a proxy serves under a path: no reference leads out of it.

use crate::harness::{TestApp, TestDatabase};
use url::Url;

/// Where the proxy serves it. It takes `/chat` off the path of each request.
const AT: &str = "https://example.org/chat/";

/// The references of a text that begin with one of these marks and end with a quotation mark.
fn references(text: &str) -> Vec<&str> {
    let marks = ["href=\"", "src=\"", "url(\"", "url: \"", "ask(\""];
    let after = |mark| text.split(mark).skip(1);
    marks.into_iter().flat_map(after).filter_map(|rest| rest.split('"').next()).collect()
}

#[tokio::test]
async fn every_reference_leads_to_the_server_again() {
    let (app, _database) = TestApp::start().await;
    for (page, count) in [("", 7), ("docs", 5), ("dashboard", 8), ("dashboard.js", 2)] {
        let at = Url::parse(AT).unwrap().join(page).unwrap();
        let text = app.get(&format!("/{page}")).await.text().await.unwrap();
        let found = references(&text);
        assert!(found.len() >= count, "{page}: {found:?}");
        for reference in found.iter().filter(|reference| !reference.starts_with("data:")) {
            let target = at.join(reference).unwrap();
            let path = target.as_str().strip_prefix(AT);
            let path = path.unwrap_or_else(|| panic!("{reference} of {at} leads to {target}"));
            assert_eq!(app.get(&format!("/{path}")).await.status(), 200, "{reference} of {at}");
        }
    }
}

#[tokio::test]
async fn the_document_s_server_and_the_place_of_a_message_are_relative() {
    let (app, _database) = TestApp::start().await;
    let at = Url::parse(AT).unwrap();
    let document = app.get_json("/openapi.json").await;
    let server = document["servers"][0]["url"].as_str().unwrap();
    assert_eq!(at.join("openapi.json").unwrap().join(server).unwrap(), at);
    let posted = app.post("bob", "hi").send().await.unwrap();
    let location = posted.headers()["location"].to_str().unwrap();
    let place = at.join("message").unwrap().join(location).unwrap();
    let path = place.as_str().strip_prefix(AT).unwrap();
    assert_eq!(app.get_json(&format!("/{path}")).await["text"], "hi");
}

#[tokio::test]
async fn examples_and_the_document_name_the_public_address_where_it_is_set() {
    let database = TestDatabase::new();
    let app = TestApp::start_with(&database, &["--public-url", AT]).await;
    let home = app.get("/").await.text().await.unwrap();
    assert!(home.contains("curl -i https://example.org/chat/message "), "{home}");
    assert!(!home.contains("localhost"), "{home}");
    let document = app.get_json("/openapi.json").await;
    let servers = document["servers"].as_array().unwrap();
    let servers: Vec<_> = servers.iter().map(|server| server["url"].as_str().unwrap()).collect();
    assert_eq!(servers, [".", "https://example.org/chat"], "the first one is right everywhere");
    let yaml = app.get("/openapi.yaml").await.text().await.unwrap();
    assert!(yaml.contains("url: https://example.org/chat\n"), "{yaml}");
}
