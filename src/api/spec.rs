//! The OpenAPI document, and what else is read off the endpoints' declarations.

use super::{
    Tag,
    error::{ApiError, Code},
    health::HealthApi,
    messages::MessagesApi,
    metrics::MetricsApi,
    stats::{self, StatsApi},
    users::UsersApi,
};
use poem::{endpoint::BoxEndpoint, http::Method};
use poem_openapi::{
    LicenseObject, OpenApi, OpenApiService, ServerObject, Tags,
    registry::{MetaApi, MetaPath, Registry},
};
use serde_json::{Map, Value, json};
use std::{collections::HashMap, marker::PhantomData};

const ABOUT: &str = "\
Users post short messages, and everyone reads the latest ones and the list of users.

Every error is an `application/problem+json` (RFC 9457) with a stable `code`. Every response has \
an `X-Request-Id`: the trace id of the request's `traceparent` header, or a new one; it finds the request in the \
server's log.";

/// The trace id in the examples.
const EXAMPLE_TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// The declarations of an API without the API.
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

/// The OpenAPI document of everything, as JSON.
pub fn document() -> String {
    json::<(MessagesApi, UsersApi, HealthApi, StatsApi, MetricsApi)>()
}

/// The OpenAPI document of some endpoints, as JSON.
pub fn json<T: OpenApi>() -> String {
    let mut document =
        serde_json::from_str(&service::<T>().spec()).expect("poem-openapi writes JSON");
    add_error_examples(&mut document);
    mark_nullable(&mut document);
    sort_tags(&mut document);
    // Any client may call anything.
    document["security"] = json!([]);
    format!("{document:#}\n")
}

fn service<T: OpenApi>() -> OpenApiService<Declared<T>, ()> {
    OpenApiService::new(Declared(PhantomData), "chat-server", env!("CARGO_PKG_VERSION"))
        .description(ABOUT)
        .license(
            LicenseObject::new("Apache-2.0").url("https://www.apache.org/licenses/LICENSE-2.0"),
        )
        .server(ServerObject::new("/").description("The server that this document comes from"))
}

/// Gives each error response one example a code. poem-openapi itself has one example a schema.
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

/// Says which numbers may be null. poem-openapi says only that they may be absent.
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

/// Puts the tags in the order of their operations. poem-openapi sorts them by name.
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

/// A path and one method that it answers.
#[derive(Debug)]
pub struct RoutePattern {
    pub path: &'static str,
    pub method: Method,
    /// For those who run the server. Neither counted nor traced: what probes and scrapers see would
    /// hide what people see.
    pub for_operators: bool,
}

impl RoutePattern {
    /// Whether a path fits, `{name}` in the pattern standing for any one segment.
    fn matches(&self, path: &str) -> bool {
        self.path.split('/').count() == path.split('/').count()
            && self.path.split('/').zip(path.split('/')).all(|(pattern, segment)| {
                pattern == segment || (pattern.starts_with('{') && !segment.is_empty())
            })
    }
}

/// All that an application answers.
#[derive(Debug, Default)]
pub struct Routes(Vec<RoutePattern>);

impl Routes {
    /// What endpoints declare.
    pub fn of<T: OpenApi>() -> Self {
        let operations = |path: MetaPath| {
            // Routes are made once and needed to the end.
            let template: &'static str = path.path.leak();
            path.operations.into_iter().map(move |operation| RoutePattern {
                path: template,
                method: operation.method,
                for_operators: operation.tags.contains(&Tag::Operations.name()),
            })
        };
        Self(T::meta().into_iter().flat_map(|api| api.paths).flat_map(operations).collect())
    }

    pub fn extend(&mut self, more: impl IntoIterator<Item = RoutePattern>) {
        self.0.extend(more);
    }

    /// A route of a path, whatever its method.
    pub fn find(&self, path: &str) -> Option<&RoutePattern> {
        let exact = self.0.iter().find(|route| route.path == path);
        exact.or_else(|| self.0.iter().find(|route| route.matches(path)))
    }

    /// The methods that a path answers, as the `Allow` header has them.
    pub fn allow(&self, path: &str) -> String {
        let mut methods: Vec<&str> = Vec::new();
        for route in self.0.iter().filter(|route| route.matches(path)) {
            methods.push(route.method.as_str());
            if route.method == Method::GET {
                methods.push("HEAD");
            }
        }
        methods.join(", ")
    }
}
