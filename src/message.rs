//! The domain: who says what. Parsing and rules only; no I/O, no HTTP, no SQL.

use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use uuid::Uuid;

/// Most characters (Unicode scalar values) of a text. Four bytes each make 262,140 bytes, more than
/// MySQL's `TEXT` holds, so the column is a `MEDIUMTEXT`.
pub const TEXT_CHARS_MAX: usize = 65_535;

/// Most characters (Unicode scalar values) of a user name.
pub const USER_CHARS_MAX: usize = 100;

/// Most bytes of an idempotency key.
pub const KEY_BYTES_MAX: usize = 255;

/// Where a message stands in the one order that all readers see. Positive; given by the database.
pub type MessageId = i64;

/// A stored message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: MessageId,
    pub user: String,
    pub text: String,
    /// When the database stored it, to the millisecond. Never less than that of a smaller id.
    pub created_at: OffsetDateTime,
}

/// The name of a user: 1 to 100 characters, none of them a control character, no
/// white space around it. Names are compared exactly: `Bob`, `bob` and `böb` are three users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserName(String);

/// Why a user name is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserNameError {
    Empty,
    TooLong,
    ControlCharacter,
}

impl UserName {
    /// Trims surrounding white space (the Unicode property `White_Space`) and checks the rest.
    ///
    /// # Errors
    /// Names the first rule that the name breaks.
    pub fn parse(name: &str) -> Result<Self, UserNameError> {
        let name = name.trim();
        if name.is_empty() {
            return Err(UserNameError::Empty);
        }
        if name.chars().any(char::is_control) {
            return Err(UserNameError::ControlCharacter);
        }
        if name.chars().nth(USER_CHARS_MAX).is_some() {
            return Err(UserNameError::TooLong);
        }
        Ok(Self(name.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a message says: 0 to 65,535 characters, kept byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(String);

/// The text has more than [`TEXT_CHARS_MAX`] characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextTooLong;

impl Text {
    /// # Errors
    /// [`TextTooLong`] is the only one: the empty text is a text.
    pub fn parse(text: String) -> Result<Self, TextTooLong> {
        // A text has at most as many characters as bytes, so most are judged by their length alone.
        if text.len() > TEXT_CHARS_MAX && text.chars().nth(TEXT_CHARS_MAX).is_some() {
            return Err(TextTooLong);
        }
        Ok(Self(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A client's name for one request, so that repeating the request does not repeat the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

/// The key is empty, longer than [`KEY_BYTES_MAX`], or has other than printable ASCII characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidKey;

impl IdempotencyKey {
    /// # Errors
    /// [`InvalidKey`] is the only one.
    pub fn parse(key: &[u8]) -> Result<Self, InvalidKey> {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(InvalidKey);
        }
        match std::str::from_utf8(key) {
            Ok(key) if key.bytes().all(|byte| matches!(byte, b' '..=b'~')) => {
                Ok(Self(key.to_owned()))
            }
            _ => Err(InvalidKey),
        }
    }
}

/// A message that is not stored yet.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// What makes storing it twice impossible: unique in the table, and chosen before the first
    /// attempt, so that a commit whose answer got lost can be repeated.
    pub dedup: Uuid,
    /// Whether the client chose `dedup` (by a key): another request may have used it before.
    pub keyed: bool,
    pub user: UserName,
    pub text: Text,
}

impl NewMessage {
    pub fn new(user: UserName, text: Text, key: Option<&IdempotencyKey>) -> Self {
        Self {
            dedup: key.map_or_else(Uuid::now_v7, |key| dedup_of(&user, key)),
            keyed: key.is_some(),
            user,
            text,
        }
    }

    pub fn stored_as(&self, id: MessageId, created_at: OffsetDateTime) -> Message {
        Message { id, user: self.user.0.clone(), text: self.text.0.clone(), created_at }
    }
}

/// A key belongs to its user: two users may choose the same one. The result is a `UUIDv8`
/// (RFC 9562, section 5.8), which no `UUIDv7` of an unkeyed message can equal.
fn dedup_of(user: &UserName, key: &IdempotencyKey) -> Uuid {
    // A user name has no control characters, so the zero byte keeps ("ab", "c") and ("a", "bc")
    // apart.
    let digest =
        Sha256::new().chain_update(&user.0).chain_update([0]).chain_update(&key.0).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Uuid::new_v8(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_name_is_trimmed_but_otherwise_kept() {
        for (given, kept) in [("bob ", "bob"), ("\u{a0}\tBöb\u{2003}", "Böb"), ("a  b", "a  b")] {
            assert_eq!(UserName::parse(given).unwrap().as_str(), kept);
        }
    }

    #[test]
    fn a_user_name_that_breaks_a_rule_is_refused_by_that_rule() {
        assert_eq!(UserName::parse(" \n\t "), Err(UserNameError::Empty));
        assert_eq!(UserName::parse("a\0b"), Err(UserNameError::ControlCharacter));
        assert_eq!(UserName::parse("a\u{85}b"), Err(UserNameError::ControlCharacter));
        assert_eq!(UserName::parse(&"ß".repeat(101)), Err(UserNameError::TooLong));
        assert!(UserName::parse(&"🦀".repeat(100)).is_ok());
    }

    #[test]
    fn a_text_is_measured_in_characters() {
        assert!(Text::parse("🦀".repeat(TEXT_CHARS_MAX)).is_ok());
        assert_eq!(Text::parse("🦀".repeat(TEXT_CHARS_MAX + 1)), Err(TextTooLong));
        assert!(Text::parse(String::new()).is_ok());
    }

    #[test]
    fn a_key_is_printable_ascii() {
        let key = |bytes: &[u8]| IdempotencyKey::parse(bytes).is_ok();
        assert!(key(b"a b~") && key(&[b'x'; 255]));
        assert!(!key(b"") && !key(&[b'x'; 256]) && !key(b"a\tb") && !key("é".as_bytes()));
        assert!(!key(b"\xff"));
    }

    #[test]
    fn one_key_of_two_users_names_two_messages() {
        let dedup = |user: &str, key: &[u8]| {
            let key = IdempotencyKey::parse(key).unwrap();
            dedup_of(&UserName::parse(user).unwrap(), &key)
        };
        assert_eq!(dedup("bob", b"1"), dedup("bob", b"1"));
        assert_ne!(dedup("bob", b"1"), dedup("eve", b"1"));
        assert_ne!(dedup("ab", b"c"), dedup("a", b"bc"));
        assert_eq!(dedup("bob", b"1").get_version_num(), 8);
    }

    #[test]
    fn a_message_without_a_key_is_named_by_its_time() {
        let user = UserName::parse("bob").unwrap();
        let message = NewMessage::new(user, Text::parse(String::new()).unwrap(), None);
        assert_eq!(message.dedup.get_version_num(), 7);
    }
}
