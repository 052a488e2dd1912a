//! The OpenAPI document.

use super::{
    health::HealthApi,
    messages::MessagesApi,
    metrics::MetricsApi,
    stats::{self, StatsApi},
    users::UsersApi,
};
use crate::{
    config::PublicUrl,
    problem::{ApiError, Code},
};
use poem::{endpoint::BoxEndpoint, http::Method};
use poem_openapi::{
    LicenseObject, OpenApi, OpenApiService, ServerObject,
    registry::{MetaApi, Registry},
};
use serde_json::{Map, Value, json};
use std::{collections::HashMap, marker::PhantomData};

const ABOUT: &str = "\
Users post short messages and read the latest messages and the list of users.

Every error is an `application/problem+json` (RFC 9457) with a stable `code`. Every response has \
an `X-Request-Id`: the trace id from the request's `traceparent` header, or a new one. It \
identifies the request in the server's log.";

/// The trace id in the examples.
const EXAMPLE_TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// The operation id of each path, which names the methods of generated clients. poem-openapi's
/// attribute for it would add the name to each response.
const OPERATION_IDS: [(&str, &str); 10] = [
    ("/message", "postMessage"),
    ("/messages", "listMessages"),
    ("/messages/{id}", "getMessage"),
    ("/users", "listUsers"),
    ("/livez", "live"),
    ("/readyz", "ready"),
    ("/version", "version"),
    ("/stats", "stats"),
    ("/stats/history", "history"),
    ("/metrics", "metrics"),
];

/// The declarations of an API, without its handlers.
struct Declared<T>(PhantomData<T>);

impl<T: OpenApi> OpenApi for Declared<T> {
    fn meta() -> Vec<MetaApi> {
        T::meta()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn add_routes(self, _: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {}
}

/// Returns the OpenAPI document of all endpoints, as JSON.
pub fn document() -> String {
    json::<(MessagesApi, UsersApi, HealthApi, StatsApi, MetricsApi)>(None)
}

/// Returns the OpenAPI document of some endpoints, as JSON. Its server URL is relative, because a
/// proxy may add a path prefix; the public URL is for a document that was saved as a file.
pub fn json<T: OpenApi>(public_url: Option<PublicUrl>) -> String {
    let mut service = service::<T>();
    if let Some(PublicUrl(url)) = public_url {
        service = service.server(ServerObject::new(url).description("The public URL"));
    }
    let mut document = serde_json::from_str(&service.spec()).expect("poem-openapi writes JSON");
    add_operation_ids(&mut document);
    add_error_examples(&mut document);
    mark_nullable(&mut document);
    sort_tags(&mut document);
    // No endpoint requires authentication.
    document["security"] = json!([]);
    format!("{document:#}\n")
}

fn service<T: OpenApi>() -> OpenApiService<Declared<T>, ()> {
    OpenApiService::new(Declared(PhantomData), "chat-server", env!("CARGO_PKG_VERSION"))
        .description(ABOUT)
        .license(
            LicenseObject::new("Apache-2.0").url("https://www.apache.org/licenses/LICENSE-2.0"),
        )
        .server(ServerObject::new(".").description("The server that returned this document"))
}

fn add_operation_ids(document: &mut Value) {
    for (path, id) in OPERATION_IDS {
        let operations = document["paths"].get_mut(path).and_then(Value::as_object_mut);
        for operation in operations.into_iter().flat_map(Map::values_mut) {
            operation["operationId"] = id.into();
        }
    }
}

/// Adds an example for each code of an error response. poem-openapi has one example per schema.
fn add_error_examples(document: &mut Value) {
    let paths = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    let operations = paths.filter_map(Value::as_object_mut).flat_map(Map::values_mut);
    let responses = operations
        .filter_map(|operation| operation["responses"].as_object_mut())
        .flat_map(Map::values_mut);
    for content in
        responses.filter_map(|r| r.get_mut("content")?.get_mut("application/problem+json"))
    {
        let names = content["schema"]["allOf"][1]["properties"]["code"]["enum"].clone();
        let codes = Code::ALL.iter().filter(|code| {
            names.as_array().is_some_and(|names| names.iter().any(|name| name == code.name()))
        });
        let examples: Map<_, _> =
            codes.map(|code| (code.name().to_owned(), example(*code))).collect();
        content["examples"] = examples.into();
    }
}

/// Marks numbers that may be null. poem-openapi only describes that they may be absent.
fn mark_nullable(document: &mut Value) {
    for name in stats::NULLABLE {
        let Some(schema) = document["components"]["schemas"].get_mut(name) else { continue };
        let required = schema["required"].clone();
        let is_required = |name: &str| {
            required.as_array().is_some_and(|names| names.iter().any(|required| required == name))
        };
        let properties = schema["properties"].as_object_mut().into_iter().flatten();
        for (_, property) in properties.filter(|(name, _)| !is_required(name)) {
            property["nullable"] = true.into();
        }
    }
}

/// Sorts the tags by their first operation. poem-openapi sorts them by name.
fn sort_tags(document: &mut Value) {
    let paths = document["paths"].as_object().into_iter().flat_map(Map::values);
    let operations = paths.filter_map(Value::as_object).flat_map(Map::values);
    let order: Vec<Value> = operations.map(|operation| operation["tags"][0].clone()).collect();
    if let Some(tags) = document["tags"].as_array_mut() {
        tags.sort_by_key(|tag| order.iter().position(|name| *name == tag["name"]));
    }
}

fn example(code: Code) -> Value {
    let problem = ApiError::from(code).problem(EXAMPLE_TRACE_ID.to_owned());
    json!({ "summary": code.title(), "value": problem })
}
