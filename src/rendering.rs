//! What readers get: bytes that are made once and shared by all who get the same.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// A JSON body and its entity tag.
#[derive(Clone, Debug)]
pub struct Rendering {
    pub body: Bytes,
    /// As the `ETag` header has it. It names the content, so all servers give the same.
    pub etag: String,
}

impl Rendering {
    /// # Errors
    /// When the value has no JSON form, which is a bug.
    pub fn json(value: &impl Serialize) -> serde_json::Result<Self> {
        let body = json_line(value)?;
        let digest = Sha256::digest(&body);
        let etag = format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(&digest[..16]));
        Ok(Self { body, etag })
    }
}

/// A JSON body. It ends with a newline, so that a terminal's prompt stands on a line of its own.
///
/// # Errors
/// When the value has no JSON form, which is a bug.
pub fn json_line(value: &impl Serialize) -> serde_json::Result<Bytes> {
    let mut body = serde_json::to_vec(value)?;
    body.push(b'\n');
    Ok(body.into())
}
