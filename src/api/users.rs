//! The endpoint that lists users.

use super::{
    declared_errors::{Codes, Failure, database_codes},
    extract::{AcceptJson, BoundedInt, EntityTags, Header, Query, RequestLimits},
    respond::{LastRendering, Listing, Rendering},
    routes::Tag,
};
use crate::{
    problem::{ApiError, Code},
    store::{FirstNames, NAMES_MAX, Store},
};
use poem_openapi::{Object, OpenApi};
use serde::Serialize;
use std::sync::Arc;

/// The maximum number of names in a response, one less than [`Store::first_users`] returns.
const LIMIT_MAX: u32 = NAMES_MAX - 1;

/// The number of names requested.
type Limit = BoundedInt<1, { LIMIT_MAX as i64 }>;

pub struct UsersApi {
    pub store: Arc<Store>,
    pub limits: RequestLimits,
    pub last: LastRendering<FirstNames>,
}

/// The names of all users who have posted, without duplicates, in byte order.
#[derive(Object, Serialize)]
#[oai(example)]
struct UserList {
    users: Vec<String>,
    /// Present if there are more users: pass it as `after` to get the next page.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl poem_openapi::types::Example for UserList {
    fn example() -> Self {
        Self { users: vec!["batman".into(), "superman".into()], next: Some("superman".into()) }
    }
}

struct ListErrors;
impl Codes for ListErrors {
    const CODES: &'static [Code] = database_codes![InvalidParameter];
}

#[OpenApi(tag = "Tag::Users")]
impl UsersApi {
    /// List users
    ///
    /// The names of all users who have posted a message.
    #[oai(path = "/users", method = "get")]
    async fn list(
        &self,
        _accept: AcceptJson,
        /// The maximum number of names.
        #[oai(default = "Limit::greatest")]
        limit: Query<Limit>,
        /// Only names after this one in byte order.
        after: Query<Option<String>>,
        /// The `ETag` of an earlier response. If the list has not changed since, the response is a
        /// 304 without a body.
        #[oai(name = "If-None-Match")]
        if_none_match: Header<Option<EntityTags>>,
    ) -> Result<Listing<UserList>, Failure<ListErrors>> {
        let (limit, deadline) = (limit.0.count(), self.limits.deadline());
        let rendering = match after.0 {
            None => {
                let first = self.store.first_users(deadline).await?;
                if limit == LIMIT_MAX {
                    self.last.of(&first, async || render(&first, limit)).await?
                } else {
                    render(&first, limit)?
                }
            }
            Some(after) => {
                // One more than requested, to see whether there is another page.
                render(&self.store.users(after, limit + 1, deadline).await?, limit)?
            }
        };
        Ok(Listing::new(rendering, if_none_match.0.as_ref()))
    }
}

/// Renders a page of at most `limit` names. `names` is longer if there is another page.
fn render(names: &[String], limit: u32) -> Result<Rendering, ApiError> {
    let users = names[..names.len().min(limit as usize)].to_vec();
    let next = if users.len() < names.len() { users.last().cloned() } else { None };
    Rendering::json(&UserList { users, next }).map_err(ApiError::internal)
}
