//! The JSON of messages: parsing posts and rendering stored messages.

use super::respond::rfc3339_milliseconds;
use crate::{
    message::{Message, MessageId, TEXT_CHARS_MAX, Text, USER_CHARS_MAX, UserName, UserNameError},
    problem::{ApiError, Code},
};
use poem_openapi::{Object, types::Example};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use time::OffsetDateTime;

/// The id in the examples: that of the first post.
pub const EXAMPLE_ID: MessageId = 1;

/// A message.
#[derive(Object, Serialize)]
#[oai(rename = "Message", example)]
pub struct MessageBody {
    /// The position in the order of all messages. Messages become visible in this order: after a
    /// client has seen an id, no message with a smaller id appears.
    id: MessageId,
    user: String,
    text: String,
    /// The time at which the database stored it, in UTC. Never earlier than that of a smaller id.
    #[serde(serialize_with = "rfc3339_milliseconds")]
    created_at: OffsetDateTime,
}

impl From<Message> for MessageBody {
    fn from(Message { id, user, text, created_at }: Message) -> Self {
        Self { id, user, text, created_at }
    }
}

impl From<Arc<Message>> for MessageBody {
    fn from(message: Arc<Message>) -> Self {
        Arc::unwrap_or_clone(message).into()
    }
}

impl Example for MessageBody {
    fn example() -> Self {
        Self {
            id: EXAMPLE_ID,
            user: "superman".into(),
            text: "hello".into(),
            created_at: time::macros::datetime!(2026-11-22 10:00:00.123 UTC),
        }
    }
}

/// Messages, newest first.
#[derive(Object, Serialize)]
pub struct MessageList {
    pub messages: Vec<MessageBody>,
}

/// A message to post.
#[derive(Object)]
#[oai(example)]
pub struct MessageToPost {
    /// The author's name: 1 to 100 characters, none of them a control character. White space around
    /// the name is removed.
    #[oai(validator(
        pattern = r"^[^\S\u001c-\u001f]*[^\s\u0000-\u001f\u007f-\u009f]([^\u0000-\u001f\u007f-\u009f]{0,98}[^\s\u0000-\u001f\u007f-\u009f])?[^\S\u001c-\u001f]*$"
    ))]
    user: String,
    /// The text: at most 65,535 characters, kept byte for byte.
    #[oai(validator(max_length = 65_535))]
    text: String,
}

impl Example for MessageToPost {
    fn example() -> Self {
        Self { user: "superman".into(), text: "hello".into() }
    }
}

/// Parses a body without poem-openapi, because a client gets a code for each field, and because its
/// validators would measure the text a second time.
pub fn parse(body: &[u8]) -> Result<(UserName, Text), ApiError> {
    #[derive(Deserialize)]
    struct Members {
        user: Option<Value>,
        text: Option<Value>,
    }
    let malformed = |detail: String| ApiError::because(Code::MalformedJson, detail);
    if let Some(encoding) = encoding_of_mark(body) {
        return Err(malformed(format!(
            "The body begins with a byte order mark ({encoding}). Send UTF-8 without one."
        )));
    }
    // serde would also accept an array for a struct.
    if body.trim_ascii_start().first().is_some_and(|byte| *byte != b'{') {
        return Err(malformed(
            "The body must be a JSON object: {\"user\": …, \"text\": …}.".into(),
        ));
    }
    let Members { user, text } = serde_json::from_slice(body)
        .map_err(|error| malformed(format!("The body is not valid JSON: {error}.")))?;

    match (parse_user(user), parse_text(text)) {
        (Ok(user), Ok(text)) => Ok((user, text)),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
        (Err(user), Err(text)) => Err(user.with_fields_of(text)),
    }
}

/// The encoding that a byte order mark indicates. JSON must not be sent with one (RFC 8259, section
/// 8.1), but editors and shells on Windows add it silently, so the error names it.
fn encoding_of_mark(body: &[u8]) -> Option<&'static str> {
    match body {
        [0xef, 0xbb, 0xbf, ..] => Some("UTF-8"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16"),
        _ => None,
    }
}

fn parse_user(user: Option<Value>) -> Result<UserName, ApiError> {
    let invalid = |code, detail: &str| ApiError::field(code, "user", detail);
    let user = match user {
        Some(Value::String(user)) => user,
        Some(_) => return Err(invalid(Code::UserInvalid, "`user` must be a string.")),
        None => return Err(invalid(Code::UserMissing, "`user` is missing.")),
    };
    UserName::parse(&user).map_err(|error| match error {
        UserNameError::Empty => {
            invalid(Code::UserEmpty, "`user` must have a character that is not white space.")
        }
        UserNameError::TooLong => {
            let detail = format!("`user` may have at most {USER_CHARS_MAX} characters.");
            invalid(Code::UserTooLong, &detail)
        }
        UserNameError::ControlCharacter => {
            invalid(Code::UserInvalid, "`user` must not contain control characters.")
        }
    })
}

fn parse_text(text: Option<Value>) -> Result<Text, ApiError> {
    let invalid = |code, detail: &str| ApiError::field(code, "text", detail);
    match text {
        Some(Value::String(text)) => Text::parse(text).map_err(|_| {
            let detail = format!("`text` may have at most {TEXT_CHARS_MAX} characters.");
            invalid(Code::TextTooLong, &detail)
        }),
        Some(_) => Err(invalid(Code::TextInvalid, "`text` must be a string.")),
        None => Err(invalid(Code::TextMissing, "`text` is missing; it may be empty.")),
    }
}
