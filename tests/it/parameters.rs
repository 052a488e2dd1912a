//! Parameters that cannot be read.

use crate::harness::{TestApp, problem, refusal};
use reqwest::Method;

#[tokio::test]
async fn a_parameter_that_is_not_utf_8_or_there_twice_is_refused_by_every_endpoint() {
    let (app, _database) = TestApp::start().await;
    let document = app.get_json("/openapi.json").await;
    let has_query = |operation: &serde_json::Value| {
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        parameters.iter().any(|parameter| parameter["in"] == "query")
    };
    let paths = document["paths"].as_object().unwrap().iter();
    let paths: Vec<_> =
        paths.filter(|(_, path)| has_query(&path["get"])).map(|(path, _)| path).collect();
    assert!(paths.len() >= 2, "{paths:?}");
    for path in paths {
        for (query, name) in [
            ("after=%ff", "after"),
            ("limit=1&after=a%C3", "after"),
            ("after=%ED%A0%80", "after"),
            ("limit=1&limit=1", "limit"),
            ("after=1&%61fter=", "after"),
        ] {
            let response = app.get(&format!("{path}?{query}")).await;
            let problem = problem(response).await;
            assert_eq!(problem["code"], "invalid_parameter", "{path} {query}");
            assert_eq!(problem["errors"][0]["field"], name, "{path} {query}");
        }
    }
    for query in [
        "after=%C3%BC",
        "after=ü",
        "after=%EF%BF%BD",
        "after=100%",
        "after=+%2B&",
        "%C3%BC",
        "%ff=unknown&other=1&other=2",
    ] {
        assert_eq!(app.get(&format!("/users?{query}")).await.status(), 200, "{query}");
    }
    let refused = refusal(app.request(Method::GET, "/messages/%ff")).await;
    assert_eq!(refused, (400, "invalid_parameter".into()));
}
