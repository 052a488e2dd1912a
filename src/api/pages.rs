//! The HTML pages, and the OpenAPI document as JSON and YAML. Each is one fixed body.

use super::{openapi, routes::Route};
use crate::config::PublicUrl;
use bytes::Bytes;
use futures_util::future::{BoxFuture, ready};
use poem::{Request, Response, Result, endpoint::DynEndpoint, http::header};
use poem_openapi::{OpenApi, OpenApiService};
use std::sync::LazyLock;

const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Allows the page's script to run and to call this server.
const SCRIPT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// The URL in the examples of the start page, unless the public URL is set.
const LOCAL: &str = "http://localhost:8081";

const HOME: &str = include_str!("pages/index.html");
const DASHBOARD: &str = include_str!("pages/dashboard.html");

/// A style sheet, after the colours that all of them share.
macro_rules! style {
    ($file:literal) => {
        concat!(include_str!("pages/colours.css"), "\n", include_str!($file))
    };
}

struct Page {
    /// Rendered on the first request, to save startup time and memory.
    content: LazyLock<Content, Make>,
}

type Make = Box<dyn FnOnce() -> Content + Send + Sync>;

struct Content {
    kind: &'static str,
    policy: &'static str,
    body: Bytes,
}

impl Page {
    fn at(path: &'static str, make: impl FnOnce() -> Content + Send + Sync + 'static) -> Route {
        Route::get(path, Box::new(Self { content: LazyLock::new(Box::new(make)) }))
    }
}

impl Content {
    fn new(kind: &'static str, body: impl Into<Bytes>) -> Self {
        Self { kind, policy: PAGE_POLICY, body: body.into() }
    }

    fn html(body: impl Into<Bytes>) -> Self {
        Self::new("text/html; charset=utf-8", body)
    }

    fn css(body: impl Into<Bytes>) -> Self {
        Self::new("text/css; charset=utf-8", body)
    }

    fn script(body: impl Into<Bytes>) -> Self {
        Self::new("text/javascript; charset=utf-8", body)
    }

    fn with_script(self) -> Self {
        Self { policy: SCRIPT_POLICY, ..self }
    }
}

/// The start page and the API documentation. It links to the dashboard only if that is on the same
/// port. All links are relative, because a proxy may add a path prefix.
pub fn guide<T: OpenApi>(has_dashboard: bool, public_url: Option<PublicUrl>) -> Vec<Route> {
    let home = move || {
        let home = HOME.replace(LOCAL, public_url.map_or(LOCAL, |url| url.0));
        if has_dashboard {
            return Content::html(home);
        }
        Content::html(without(&home, "<li><a href=\"dashboard\">", "</li>\n"))
    };
    vec![
        Page::at("/", home),
        Page::at("/style.css", || Content::css(style!("pages/style.css"))),
        Page::at("/docs", || Content::html(include_str!("pages/docs.html")).with_script()),
        Page::at("/docs.css", || Content::css(SwaggerUi::new().style())),
        Page::at("/docs.js", || Content::script(SwaggerUi::new().script())),
        Page::at("/openapi.json", move || {
            Content::new("application/json", openapi::json::<T>(public_url))
        }),
        Page::at("/openapi.yaml", move || yaml::<T>(public_url)),
    ]
}

/// The dashboard, which must be on the same port as `/stats`. It links to the guide only if that is
/// on this port too.
pub fn dashboard(has_guide: bool) -> [Route; 3] {
    let dashboard = move || {
        let page =
            if has_guide { DASHBOARD.to_owned() } else { without(DASHBOARD, "<nav>", "</nav>\n") };
        Content::html(page).with_script()
    };
    let pages = [
        Page::at("/dashboard", dashboard),
        Page::at("/dashboard.css", || Content::css(style!("pages/dashboard.css"))),
        Page::at("/dashboard.js", || Content::script(include_str!("pages/dashboard.js"))),
    ];
    pages.map(Route::for_operators)
}

impl DynEndpoint for Page {
    type Output = Response;

    fn call(&self, _: Request) -> BoxFuture<'_, Result<Response>> {
        let content = &*self.content;
        let response = Response::builder()
            .header(header::CONTENT_TYPE, content.kind)
            .header(header::CONTENT_SECURITY_POLICY, content.policy)
            .header(header::CACHE_CONTROL, "no-cache")
            .body(content.body.clone());
        Box::pin(ready(Ok(response)))
    }
}

/// Returns a page without the part from `begin` to `end`.
fn without(page: &str, begin: &str, end: &str) -> String {
    let (before, rest) = page.split_once(begin).expect("the page has this part");
    let (_, after) = rest.split_once(end).expect("the part has an end");
    format!("{before}{after}")
}

/// Swagger UI's page. poem-openapi ships it as one file, without a viewport and a dark mode.
struct SwaggerUi(String);

impl SwaggerUi {
    fn new() -> Self {
        Self(OpenApiService::new((), "", "").swagger_ui_html())
    }

    /// Its style sheet in a layer, so that our rules take precedence, followed by our rules.
    fn style(&self) -> String {
        let style = self.between("<style charset=\"UTF-8\">", "</style>");
        format!("@layer swagger-ui {{\n{style}\n}}\n{}", style!("pages/docs.css"))
    }

    /// Its script, followed by the call that starts it.
    fn script(&self) -> String {
        let script = self.between("<script charset=\"UTF-8\">", "</script>\n</head>");
        format!("{script}\n{}", include_str!("pages/docs.js"))
    }

    fn between(&self, start: &str, end: &str) -> &str {
        let (_, rest) = self.0.split_once(start).unwrap_or_default();
        rest.split_once(end).unwrap_or_default().0
    }
}

fn yaml<T: OpenApi>(public_url: Option<PublicUrl>) -> Content {
    let document: serde_json::Value =
        serde_json::from_str(&openapi::json::<T>(public_url)).expect("the document is JSON");
    let yaml = serde_saphyr::to_string(&document).expect("all JSON can be written as YAML");
    Content::new("application/yaml", yaml)
}
