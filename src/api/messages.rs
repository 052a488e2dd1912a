//! The endpoints that post and read messages.

use super::{
    declared_errors::{Codes, Failure, database_codes},
    extract::{
        AcceptJson, BoundedInt, EntityTags, Header, Id, LastSegment, Query, RequestLimits, Unread,
    },
    message_json::{self, EXAMPLE_ID, MessageBody, MessageList, MessageToPost},
    respond::{LastRendering, Listing, Rendered, Rendering},
    routes::Tag,
};
use crate::{
    message::{IdempotencyKey, Message, NewMessage},
    problem::{ApiError, Code},
    store::{LATEST_MAX, Latest, Page, Posted, Store},
};
use poem_openapi::{ApiResponse, OpenApi};
use std::{borrow::Borrow, sync::Arc};

/// Pages with at least this many bytes of text are rendered on a blocking thread. Smaller ones take
/// less than a millisecond; the largest, 26 MB, would block connections for tens of milliseconds.
const BLOCKING_BYTES_MIN: usize = 256 * 1024;

/// The number of messages requested.
type Limit = BoundedInt<1, { LATEST_MAX as i64 }>;

pub struct MessagesApi {
    pub store: Arc<Store>,
    pub limits: RequestLimits,
    pub last: LastRendering<Latest>,
}

#[derive(ApiResponse)]
enum PostResponse {
    /// The stored message
    #[oai(status = 201)]
    Created(
        Rendered<MessageBody>,
        /// The URL of the message, relative to this one
        #[oai(header = "Location")]
        String,
        /// `true` if the message was already stored, by an earlier request with the same key or by
        /// an earlier attempt of this one
        #[oai(header = "Idempotency-Replayed")]
        Option<bool>,
    ),
}

#[derive(ApiResponse)]
enum GetResponse {
    /// The message
    #[oai(status = 200)]
    Ok(Rendered<MessageBody>),
}

struct PostErrors;
impl Codes for PostErrors {
    const CODES: &'static [Code] = database_codes![
        MalformedJson,
        InvalidIdempotencyKey,
        BodyTooLarge,
        UnsupportedMediaType,
        UserMissing,
        UserEmpty,
        UserTooLong,
        UserInvalid,
        TextMissing,
        TextTooLong,
        TextInvalid,
        IdempotencyKeyReused
    ];
}

struct ListErrors;
impl Codes for ListErrors {
    const CODES: &'static [Code] = database_codes![InvalidParameter];
}

struct GetErrors;
impl Codes for GetErrors {
    const CODES: &'static [Code] = database_codes![InvalidParameter, MessageNotFound];
}

#[OpenApi(tag = "Tag::Messages")]
impl MessagesApi {
    /// Post a message
    ///
    /// The server responds after the message is stored durably. If there is no response, or one
    /// that can be retried, repeat the request with the same `Idempotency-Key`: the message is then
    /// stored once.
    #[oai(path = "/message", method = "post")]
    async fn post(
        &self,
        _accept: AcceptJson,
        /// A key for this request, chosen by the client. Later requests of the same user with the
        /// same key and text get the message that is already stored.
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<IdempotencyKey>>,
        body: Unread<MessageToPost>,
    ) -> Result<PostResponse, Failure<PostErrors>> {
        let deadline = self.limits.deadline();
        let body = body.read(self.limits, deadline).await?;
        let (user, text) = message_json::parse(&body)?;
        let message = NewMessage::new(user, text, key.0.as_ref());
        let posted = self.store.post(message, deadline).await?;
        let (message, replayed) = match posted {
            Posted::Created(message) => (message, None),
            Posted::Replayed(message) => (message, Some(true)),
            Posted::KeyReused => {
                let detail = "This user has already posted another text with this key.";
                return Err(ApiError::because(Code::IdempotencyKeyReused, detail).into());
            }
        };
        // Relative to /message, because a proxy may serve the API under a path prefix.
        let location = format!("messages/{}", message.id);
        Ok(PostResponse::Created(Rendered::new(&MessageBody::from(message))?, location, replayed))
    }

    /// Read messages
    ///
    /// Without parameters, returns the latest 100 messages, newest first. They include every
    /// message that was acknowledged before this request began.
    ///
    /// To read older messages, pass the last `id` as `before`. To poll for new ones, pass the first
    /// `id` as `after`: the response has the messages that come directly after it.
    ///
    /// Messages become visible in the order of their ids, on all replicas. A client that has paged
    /// up to an id, on any replicas, has therefore seen every message up to it, and `after` returns
    /// each later one exactly once.
    #[oai(path = "/messages", method = "get")]
    async fn list(
        &self,
        _accept: AcceptJson,
        /// The maximum number of messages.
        #[oai(default = "Limit::greatest")]
        limit: Query<Limit>,
        /// Only messages with a smaller id.
        before: Query<Option<Id>>,
        /// Only messages with a larger id: the ones directly after it, or with `before` the ones
        /// directly before that.
        after: Query<Option<Id>>,
        /// The `ETag` of an earlier response. If the list has not changed since, the response is a
        /// 304 without a body.
        #[oai(name = "If-None-Match")]
        if_none_match: Header<Option<EntityTags>>,
    ) -> Result<Listing<MessageList>, Failure<ListErrors>> {
        let (limit, deadline) = (limit.0.count(), self.limits.deadline());
        let rendering = match (after.0, before.0) {
            (None, None) => {
                let latest = self.store.latest(deadline).await?;
                if limit == LATEST_MAX {
                    self.last.of(&latest, || render(latest.to_vec())).await?
                } else {
                    render(latest.iter().take(limit as usize).cloned().collect()).await?
                }
            }
            (Some(BoundedInt(after)), None) => {
                let page = Page::Following { after, limit };
                render(self.store.messages(page, deadline).await?).await?
            }
            (after, Some(BoundedInt(before))) => {
                let after = after.map_or(0, |id| id.0);
                let page = Page::Newest { after, before, limit };
                render(self.store.messages(page, deadline).await?).await?
            }
        };
        Ok(Listing::new(rendering, if_none_match.0.as_ref()))
    }

    /// Read one message
    #[oai(path = "/messages/:id", method = "get")]
    async fn get(
        &self,
        _accept: AcceptJson,
        /// The message's `id`.
        #[oai(example = "example_id")]
        id: LastSegment<Id>,
    ) -> Result<GetResponse, Failure<GetErrors>> {
        match self.store.message(id.0.0, self.limits.deadline()).await? {
            Some(message) => Ok(GetResponse::Ok(Rendered::new(&MessageBody::from(message))?)),
            None => Err(Code::MessageNotFound.into()),
        }
    }
}

fn example_id() -> Id {
    BoundedInt(EXAMPLE_ID)
}

/// Renders a page.
async fn render<M>(messages: Vec<M>) -> Result<Rendering, ApiError>
where
    M: Borrow<Message> + Into<MessageBody> + Send + 'static,
{
    let bytes: usize = messages.iter().map(|message| message.borrow().text.len()).sum();
    let render = move || {
        let messages = messages.into_iter().map(Into::into).collect();
        Rendering::json(&MessageList { messages })
    };
    let rendering = if bytes < BLOCKING_BYTES_MIN {
        render()
    } else {
        tokio::task::spawn_blocking(render).await.map_err(ApiError::internal)?
    };
    rendering.map_err(ApiError::internal)
}
