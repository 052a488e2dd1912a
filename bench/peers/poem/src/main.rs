//! The ceiling: the frameworks of chat-server in the same versions, with the same headers and the
//! same checks, and no database. What it answers is either prepared or made from the request.
//!
//! Usage: peer-poem PORT

use bytes::Bytes;
use poem::{
    IntoResponse, Response, Server,
    error::Error,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    listener::TcpListener,
};
use poem_openapi::{
    ApiResponse, OpenApi, OpenApiService,
    payload::Binary,
    registry::{MetaResponses, Registry},
};
use serde::{Deserialize, Serialize, Serializer};
use std::{
    borrow::Cow,
    collections::BTreeMap,
    env, io, str,
    sync::atomic::{AtomicUsize, Ordering},
};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: usize = 100;
const USERS: usize = 10;
const USER_CHARS_MAX: usize = 100;
const TEXT_CHARS_MAX: usize = 65_535;

struct Api {
    messages: Prepared,
    users: Prepared,
    /// The headers of every answer.
    headers: HeaderMap,
    id: AtomicUsize,
}

/// An answer that is the same for everyone. Cloning it copies the headers and shares the body.
struct Prepared {
    headers: HeaderMap,
    body: Bytes,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let port = env::args().nth(1).and_then(|port| port.parse::<u16>().ok());
    let port = port.ok_or_else(|| io::Error::other("usage: peer-poem PORT"))?;
    let mut headers = HeaderMap::with_capacity(8);
    for (name, value) in [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let users = Prepared { headers: headers.clone(), body: users().into() };
    let mut messages = Prepared { headers: headers.clone(), body: messages().into() };
    let etag = HeaderValue::from_static("\"GXaUhJ05Yh1PoZbG7WvKyw\"");
    messages.headers.insert(header::ETAG, etag);
    let api = Api { messages, users, headers, id: AtomicUsize::new(ROWS) };
    let app = OpenApiService::new(api, env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    Server::new(TcpListener::bind(("127.0.0.1", port))).run(app).await
}

/// What `bench/run` seeds the databases of the others with, so that as many bytes move.
fn users() -> Vec<u8> {
    let users = (0..USERS).map(|user| format!("user{user}"));
    json(&BTreeMap::from([("users", users.collect::<Vec<_>>())]))
}

/// The same, newest first.
fn messages() -> Vec<u8> {
    let created_at = OffsetDateTime::now_utc();
    let messages = (0..ROWS).rev().map(|seed| Message {
        id: seed + 1,
        user: format!("user{}", seed % USERS).into(),
        text: format!("seed {seed}: {}", "words ".repeat(seed % 12)).into(),
        created_at,
    });
    json(&BTreeMap::from([("messages", messages.collect::<Vec<_>>())]))
}

#[derive(Deserialize)]
struct MessageToPost<'a> {
    #[serde(borrow)]
    user: Cow<'a, str>,
    #[serde(borrow)]
    text: Cow<'a, str>,
}

#[derive(Serialize)]
struct Message<'a> {
    id: usize,
    user: Cow<'a, str>,
    text: Cow<'a, str>,
    #[serde(serialize_with = "rfc3339_milliseconds")]
    created_at: OffsetDateTime,
}

#[OpenApi]
impl Api {
    #[oai(path = "/message", method = "post")]
    async fn post(&self, body: Binary<Bytes>) -> poem::Result<Answer> {
        let refused = |code| Error::from_string(code, StatusCode::UNPROCESSABLE_ENTITY);
        let MessageToPost { user, text } = serde_json::from_slice(&body.0)
            .map_err(|error| Error::from_string(error.to_string(), StatusCode::BAD_REQUEST))?;
        let user = user.trim();
        if user.is_empty() {
            return Err(refused("user_empty"));
        }
        if user.chars().any(char::is_control) {
            return Err(refused("user_invalid"));
        }
        if user.chars().nth(USER_CHARS_MAX).is_some() {
            return Err(refused("user_too_long"));
        }
        if text.len() > TEXT_CHARS_MAX && text.chars().nth(TEXT_CHARS_MAX).is_some() {
            return Err(refused("text_too_long"));
        }
        let id = self.id.fetch_add(1, Ordering::Relaxed) + 1;
        let created_at = OffsetDateTime::now_utc();
        let message = Message { id, user: user.into(), text, created_at };
        let mut headers = self.headers.clone();
        headers.insert(header::LOCATION, header_value(format!("/messages/{id}"))?);
        Answer::new(StatusCode::CREATED, headers, json(&message).into())
    }

    #[oai(path = "/messages", method = "get")]
    async fn messages(&self) -> poem::Result<Answer> {
        self.messages.answer()
    }

    #[oai(path = "/users", method = "get")]
    async fn users(&self) -> poem::Result<Answer> {
        self.users.answer()
    }
}

impl Prepared {
    fn answer(&self) -> poem::Result<Answer> {
        Answer::new(StatusCode::OK, self.headers.clone(), self.body.clone())
    }
}

/// A rendered answer. The types that poem-openapi derives would render or copy headers once more.
struct Answer(Response);

impl Answer {
    fn new(status: StatusCode, mut headers: HeaderMap, body: Bytes) -> poem::Result<Self> {
        let trace_id = format!("{:032x}", fastrand::u128(1..));
        headers.insert("x-request-id", header_value(trace_id)?);
        let mut response = Response::builder().status(status).body(body);
        *response.headers_mut() = headers;
        Ok(Self(response))
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        self.0
    }
}

impl ApiResponse for Answer {
    fn meta() -> MetaResponses {
        MetaResponses { responses: Vec::new() }
    }

    fn register(_: &mut Registry) {}
}

/// Takes the string over without copying it.
fn header_value(value: String) -> poem::Result<HeaderValue> {
    HeaderValue::from_maybe_shared(Bytes::from(value)).map_err(poem::error::InternalServerError)
}

fn json(value: &impl Serialize) -> Vec<u8> {
    let mut json = Vec::with_capacity(256);
    serde_json::to_writer(&mut json, value).expect("strings and numbers have JSON forms");
    json
}

fn rfc3339_milliseconds<S: Serializer>(
    time: &OffsetDateTime,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    const FORMAT: &[BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let mut text = [0; 24];
    time.format_into(&mut &mut text[..], FORMAT).map_err(serde::ser::Error::custom)?;
    serializer.serialize_str(str::from_utf8(&text).map_err(serde::ser::Error::custom)?)
}
