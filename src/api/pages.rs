//! The pages for people, and the OpenAPI document in its two forms. Each is one fixed body.

use super::{
    App,
    spec::{self, RoutePattern},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures_util::future::{BoxFuture, ready};
use poem::{
    Request, Response, Result,
    endpoint::DynEndpoint,
    error::MethodNotAllowedError,
    http::{Method, header},
};
use poem_openapi::OpenApi;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The dashboard's script may run, and read `/stats` and `/stats/history`.
const DASHBOARD_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const HOME: &str = include_str!("pages/index.html");
const DASHBOARD: &str = include_str!("pages/dashboard.html");

pub struct Page {
    path: &'static str,
    /// Made when first asked for: a server that nobody looks at should start fast and stay small.
    content: LazyLock<Content>,
}

struct Content {
    kind: &'static str,
    policy: String,
    body: Bytes,
}

impl Page {
    fn new(path: &'static str, make: fn() -> Content) -> Self {
        Self { path, content: LazyLock::new(make) }
    }
}

impl Content {
    fn new(kind: &'static str, body: impl Into<Bytes>) -> Self {
        Self { kind, policy: PAGE_POLICY.to_owned(), body: body.into() }
    }

    fn of_dashboard(kind: &'static str, body: impl Into<Bytes>) -> Self {
        Self { policy: DASHBOARD_POLICY.to_owned(), ..Self::new(kind, body) }
    }
}

/// What says how to use an API. Links to the dashboard only where that is.
pub fn guide<T: OpenApi>(has_dashboard: bool) -> Vec<Page> {
    let home: fn() -> Content = if has_dashboard {
        || Content::new(HTML, HOME)
    } else {
        || Content::new(HTML, without(HOME, "<li><a href=\"/dashboard\">", "</li>\n"))
    };
    vec![
        Page::new("/", home),
        Page::new("/style.css", || {
            Content::new("text/css; charset=utf-8", include_str!("pages/style.css"))
        }),
        Page::new("/docs", docs::<T>),
        Page::new("/openapi.json", || Content::new("application/json", spec::json::<T>())),
        Page::new("/openapi.yaml", yaml::<T>),
    ]
}

/// What draws the numbers of `/stats`, so it belongs where that is. Links to the guide only where
/// that is.
pub fn dashboard(has_guide: bool) -> Vec<Page> {
    let dashboard: fn() -> Content = if has_guide {
        || Content::of_dashboard(HTML, DASHBOARD)
    } else {
        || Content::of_dashboard(HTML, without(DASHBOARD, "<nav>", "</nav>\n"))
    };
    vec![
        Page::new("/dashboard", dashboard),
        Page::new("/dashboard.css", || {
            let css = include_str!("pages/dashboard.css");
            Content::of_dashboard("text/css; charset=utf-8", css)
        }),
        Page::new("/dashboard.js", || {
            let script = include_str!("pages/dashboard.js");
            Content::of_dashboard("text/javascript; charset=utf-8", script)
        }),
    ]
}

/// The pages, before the endpoints of the API.
pub struct Pages {
    pages: Vec<Page>,
    next: App,
}

impl Pages {
    pub fn new(pages: Vec<Page>, next: App) -> Self {
        Self { pages, next }
    }

    pub fn routes(&self) -> impl Iterator<Item = RoutePattern> {
        self.pages.iter().map(|page| RoutePattern {
            path: page.path,
            method: Method::GET,
            for_operators: page.path.starts_with("/dashboard"),
        })
    }
}

impl DynEndpoint for Pages {
    type Output = Response;

    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response>> {
        let Some(page) = self.pages.iter().find(|page| page.path == request.uri().path()) else {
            return self.next.call(request);
        };
        if request.method() != Method::GET {
            return Box::pin(ready(Err(MethodNotAllowedError.into())));
        }
        let content = &*page.content;
        let response = Response::builder()
            .header(header::CONTENT_TYPE, content.kind)
            .header(header::CONTENT_SECURITY_POLICY, &content.policy)
            .header(header::CACHE_CONTROL, "no-cache")
            .body(content.body.clone());
        Box::pin(ready(Ok(response)))
    }
}

/// A page without the part that begins and ends like this.
fn without(page: &str, begin: &str, end: &str) -> String {
    let (before, rest) = page.split_once(begin).expect("the page has this part");
    let (_, after) = rest.split_once(end).expect("the part has an end");
    format!("{before}{after}")
}

fn docs<T: OpenApi>() -> Content {
    let html = spec::swagger_ui::<T>();
    // Swagger UI needs its own scripts, known by their hashes, and writes style attributes.
    let hashes: Vec<String> = html
        .split("</script>")
        .filter_map(|piece| piece.split_once("<script")?.1.split_once('>'))
        .map(|(_, script)| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(script))))
        .collect();
    let policy = format!(
        "default-src 'none'; script-src {}; style-src 'unsafe-inline'; img-src 'self' data:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hashes.join(" ")
    );
    Content { policy, ..Content::new(HTML, html) }
}

fn yaml<T: OpenApi>() -> Content {
    let document: serde_json::Value =
        serde_json::from_str(&spec::json::<T>()).expect("JSON of ours");
    let yaml = serde_yaml::to_string(&document).expect("what has a JSON form has a YAML form");
    Content::new("application/yaml", yaml)
}
