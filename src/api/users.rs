//! Who has spoken.

use super::{
    Tag,
    error::Code,
    failure::{Codes, Failure, database_codes},
    parameter::{AcceptJson, Whole},
    payload::{Rendered, RequestLimits},
};
use crate::store::Store;
use poem_openapi::{ApiResponse, Object, OpenApi, param::Query};
use serde::Serialize;
use std::sync::Arc;

pub struct UsersApi {
    pub store: Arc<Store>,
    pub limits: RequestLimits,
}

/// The names of those who have posted, each once, in byte order.
#[derive(Object, Serialize)]
#[oai(example)]
struct UserList {
    users: Vec<String>,
    /// There are more: give this as `after` to read on.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl poem_openapi::types::Example for UserList {
    fn example() -> Self {
        Self { users: vec!["batman".into(), "superman".into()], next: None }
    }
}

#[derive(ApiResponse)]
enum ListResponse {
    /// The names
    #[oai(status = 200)]
    Ok(Rendered<UserList>),
}

struct ListErrors;
impl Codes for ListErrors {
    const CODES: &'static [Code] = database_codes![InvalidParameter];
}

#[OpenApi(tag = "Tag::Users")]
impl UsersApi {
    /// Read who has spoken
    #[oai(path = "/users", method = "get", operation_id = "listUsers")]
    async fn list(
        &self,
        _accept: AcceptJson,
        /// How many names at most.
        #[oai(default = "limit_default")]
        limit: Query<Whole<1, 1000>>,
        /// Only names that come after this one.
        after: Query<Option<String>>,
    ) -> Result<ListResponse, Failure<ListErrors>> {
        let limit = limit.0.0;
        // One more than asked for tells whether there is more.
        let mut users = self
            .store
            .users(after.0.unwrap_or_default(), limit + 1, self.limits.deadline())
            .await?;
        let next = if users.len().cast_signed() as i64 > limit {
            users.pop();
            users.last().cloned()
        } else {
            None
        };
        Ok(ListResponse::Ok(Rendered::new(&UserList { users, next })?))
    }
}

const fn limit_default() -> Whole<1, 1000> {
    Whole(1_000)
}
