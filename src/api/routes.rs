//! Maps a path and a method to an endpoint.
//!
//! poem-openapi makes the endpoints, but its router is not used: it stores the query, the path and
//! the operation of each request in new maps (docs/performance.md). Metrics and traces need the
//! route of a request anyway.

use poem::{endpoint::BoxEndpoint, http::Method};
use poem_openapi::{OpenApi, Tags, registry::MetaPath};
use std::collections::HashMap;

/// The groups of the OpenAPI document.
#[derive(Tags)]
pub enum Tag {
    /// Post and read messages.
    Messages,
    /// List the users who have posted.
    Users,
    /// Probes and measurements for operators.
    Operations,
}

/// The handler of one method.
pub type Endpoint = BoxEndpoint<'static>;

/// A path and its endpoints.
pub struct Route {
    /// `{name}` stands for any one segment.
    pub path: &'static str,
    /// For operators. Neither counted nor traced: probes and scrapes would hide what users see.
    pub for_operators: bool,
    endpoints: Vec<(Method, Endpoint)>,
}

impl Route {
    pub fn get(path: &'static str, endpoint: Endpoint) -> Self {
        Self { path, for_operators: false, endpoints: vec![(Method::GET, endpoint)] }
    }

    pub fn for_operators(self) -> Self {
        Self { for_operators: true, ..self }
    }

    pub fn endpoint(&self, method: &Method) -> Option<&Endpoint> {
        self.endpoints.iter().find(|(known, _)| known == method).map(|(_, endpoint)| endpoint)
    }

    /// The methods that the path supports, in the format of the `Allow` header.
    pub fn allow(&self) -> String {
        let mut methods: Vec<&str> = Vec::new();
        for (method, _) in &self.endpoints {
            methods.push(method.as_str());
            if method == Method::GET {
                methods.push("HEAD");
            }
        }
        methods.join(", ")
    }

    fn matches(&self, path: &str) -> bool {
        self.path.split('/').count() == path.split('/').count()
            && self.path.split('/').zip(path.split('/')).all(|(pattern, segment)| {
                pattern == segment || (pattern.starts_with('{') && !segment.is_empty())
            })
    }
}

/// All routes of an application.
pub struct Routes(Vec<Route>);

impl Routes {
    /// The endpoints of an API, in the order in which it declares them.
    pub fn of<T: OpenApi>(api: T) -> Self {
        let mut endpoints = HashMap::new();
        api.add_routes(&mut endpoints);
        let mut endpoints_at = |path: &str| {
            // poem-openapi writes a parameter as `:param0` in the keys of this map.
            let same = |key: &&String| segments(key).eq(segments(path));
            let key = endpoints.keys().find(same).cloned().unwrap_or_default();
            endpoints.remove(&key).into_iter().flatten().collect()
        };
        let paths = T::meta().into_iter().flat_map(|api| api.paths);
        let routes = paths.map(|MetaPath { path, operations }| Route {
            for_operators: operations.iter().all(|it| it.tags.contains(&Tag::Operations.name())),
            endpoints: endpoints_at(&path),
            // Routes are made once and live as long as the process.
            path: path.leak(),
        });
        Self(routes.collect())
    }

    pub fn find(&self, path: &str) -> Option<&Route> {
        let exact = self.0.iter().find(|route| route.path == path);
        exact.or_else(|| self.0.iter().find(|route| route.matches(path)))
    }
}

impl FromIterator<Route> for Routes {
    fn from_iter<I: IntoIterator<Item = Route>>(routes: I) -> Self {
        Self(routes.into_iter().collect())
    }
}

impl Extend<Route> for Routes {
    fn extend<I: IntoIterator<Item = Route>>(&mut self, more: I) {
        self.0.extend(more);
    }
}

/// The segments of a path, without the names of parameters.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').map(|segment| if segment.starts_with([':', '{']) { "{}" } else { segment })
}
