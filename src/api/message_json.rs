//! The body of a post: its schema, and how it is read.

use crate::{
    message::{TEXT_CHARS_MAX, Text, USER_CHARS_MAX, UserName, UserNameError},
    problem::{ApiError, Code},
};
use poem_openapi::{Object, types::Example};
use serde::Deserialize;
use serde_json::Value;

/// A message to post.
#[derive(Object)]
#[oai(example)]
pub struct MessageToPost {
    /// Who speaks: 1 to 100 characters, none of them a control character. White space around the
    /// name is removed.
    #[oai(validator(
        pattern = r"^[^\S\u001c-\u001f]*[^\s\u0000-\u001f\u007f-\u009f]([^\u0000-\u001f\u007f-\u009f]{0,98}[^\s\u0000-\u001f\u007f-\u009f])?[^\S\u001c-\u001f]*$"
    ))]
    user: String,
    /// What is said: up to 65,535 characters, kept byte for byte.
    #[oai(validator(max_length = 65_535))]
    text: String,
}

impl Example for MessageToPost {
    fn example() -> Self {
        Self { user: "superman".into(), text: "hello".into() }
    }
}

/// Reads a body by hand, because a client gets a code for each field, and because the text may hold
/// what poem-openapi's own validators would measure a second time.
pub fn parse(body: &[u8]) -> Result<(UserName, Text), ApiError> {
    #[derive(Deserialize)]
    struct Members {
        user: Option<Value>,
        text: Option<Value>,
    }
    let malformed = |detail: String| ApiError::because(Code::MalformedJson, detail);
    if let Some(encoding) = encoding_of_mark(body) {
        return Err(malformed(format!(
            "The body begins with a byte order mark, of {encoding}. Send UTF-8 without one."
        )));
    }
    // serde would also take an array for a struct.
    if body.trim_ascii_start().first().is_some_and(|byte| *byte != b'{') {
        return Err(malformed(
            "The body must be a JSON object: {\"user\": …, \"text\": …}.".into(),
        ));
    }
    let Members { user, text } = serde_json::from_slice(body)
        .map_err(|error| malformed(format!("The body is not valid JSON: {error}.")))?;

    let mut errors = Vec::new();
    let user = parse_user(user).map_err(|(code, detail)| errors.push((code, "user", detail)));
    let text = parse_text(text).map_err(|(code, detail)| errors.push((code, "text", detail)));
    ApiError::fields(&errors)?;
    user.ok().zip(text.ok()).ok_or_else(|| ApiError::internal("a field error without an error"))
}

/// What a byte order mark at the beginning says. Editors and shells of Windows write it unseen, so
/// it is named: JSON must not be sent with one (RFC 8259, section 8.1).
fn encoding_of_mark(body: &[u8]) -> Option<&'static str> {
    match body {
        [0xef, 0xbb, 0xbf, ..] => Some("UTF-8"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16"),
        _ => None,
    }
}

fn parse_user(user: Option<Value>) -> Result<UserName, (Code, String)> {
    let user = match user {
        Some(Value::String(user)) => user,
        Some(_) => return Err((Code::UserInvalid, "`user` must be a string.".into())),
        None => return Err((Code::UserMissing, "`user` is missing.".into())),
    };
    UserName::parse(&user).map_err(|error| match error {
        UserNameError::Empty => {
            (Code::UserEmpty, "`user` must have a character that is not white space.".into())
        }
        UserNameError::TooLong => {
            (Code::UserTooLong, format!("`user` may have up to {USER_CHARS_MAX} characters."))
        }
        UserNameError::ControlCharacter => {
            (Code::UserInvalid, "`user` must not have control characters.".into())
        }
    })
}

fn parse_text(text: Option<Value>) -> Result<Text, (Code, String)> {
    match text {
        Some(Value::String(text)) => Text::parse(text).map_err(|_| {
            (Code::TextTooLong, format!("`text` may have up to {TEXT_CHARS_MAX} characters."))
        }),
        Some(_) => Err((Code::TextInvalid, "`text` must be a string.".into())),
        None => Err((Code::TextMissing, "`text` is missing; it may be empty.".into())),
    }
}
