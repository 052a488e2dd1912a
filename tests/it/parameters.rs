//! Parameters that cannot be read.

use crate::harness::{TestApp, problem, refusal};
use reqwest::Method;

#[tokio::test]
async fn a_query_that_means_nothing_or_two_things_is_refused_by_every_endpoint_that_has_one() {
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
            ("after=%zz", "after"),
            ("after=%", "after"),
            ("after=%4", "after"),
            ("x=%zz", "x"),
            ("after=a&after=b", "after"),
            ("limit=1&limit=1", "limit"),
            ("limit=1&l%69mit=2", "limit"),
            ("limit=1&after=a%C3", "after"),
            ("after=%ED%A0%80", "after"),
            ("other=%80&limit=1", "other"),
            ("%fe", "%fe"),
        ] {
            let response = app.get(&format!("{path}?{query}")).await;
            let problem = problem(response).await;
            assert_eq!(problem["code"], "invalid_parameter", "{path} {query}");
            assert_eq!(problem["errors"][0]["field"], name, "{path} {query}");
        }
    }
    for query in
        ["after=%C3%BC", "after=ü", "after=%EF%BF%BD", "after=100%25", "after=+%2B&", "%C3%BC"]
    {
        assert_eq!(app.get(&format!("/users?{query}")).await.status(), 200, "{query}");
    }
    // It is the name that is wrong there, and the value here.
    for (query, what) in [("%ff=1", "its name `%ff` is not UTF-8"), ("a=%ff", "its value `%ff`")] {
        let problem = problem(app.get(&format!("/users?{query}")).await).await;
        assert!(problem["detail"].as_str().unwrap().contains(what), "{problem}");
    }
    for id in ["%ff", "%zz", "%"] {
        let refused = refusal(app.request(Method::GET, &format!("/messages/{id}"))).await;
        assert_eq!(refused, (400, "invalid_parameter".into()), "{id}");
    }
}
