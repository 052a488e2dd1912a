//! Response bodies: JSON that is rendered once and shared by equal responses, and the 304 for
//! clients that already have it.

use super::extract::EntityTags;
use crate::problem::{ApiError, json_line};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use poem::{
    IntoResponse, Response,
    http::{HeaderValue, header},
};
use poem_openapi::{
    ApiResponse,
    payload::Payload,
    registry::{MetaSchemaRef, Registry},
    types::Type,
};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::{
    marker::PhantomData,
    sync::{Arc, Mutex, PoisonError, Weak},
};
use time::OffsetDateTime;
use tokio::sync::OnceCell;

/// The maximum number of headers of a response, to allocate their map once.
const HEADERS_MAX: usize = 10;

/// A rendered JSON body. `T` only provides the schema.
pub struct Rendered<T> {
    body: Bytes,
    schema: PhantomData<fn() -> T>,
}

impl<T> Rendered<T> {
    /// # Errors
    /// When the value has no JSON form, which is a bug.
    pub fn new(value: &impl Serialize) -> Result<Self, ApiError> {
        Ok(Self::from(json_line(value).map_err(ApiError::internal)?))
    }
}

impl<T> From<Bytes> for Rendered<T> {
    fn from(body: Bytes) -> Self {
        Self { body, schema: PhantomData }
    }
}

impl<T: Type> Payload for Rendered<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Send> IntoResponse for Rendered<T> {
    fn into_response(self) -> Response {
        let mut response = Response::from(self.body);
        let headers = response.headers_mut();
        // The endpoint and `middleware.rs` add more.
        headers.reserve(HEADERS_MAX);
        let json = const { HeaderValue::from_static("application/json") };
        headers.insert(header::CONTENT_TYPE, json);
        headers.insert(header::CACHE_CONTROL, const { HeaderValue::from_static("no-cache") });
        response
    }
}

/// A JSON body and its entity tag.
#[derive(Clone, Debug)]
pub struct Rendering {
    pub body: Bytes,
    /// The value of the `ETag` header. It is a hash of the content, so all servers return the same.
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

/// The rendering of the last list that requests shared. One request renders it; the others wait.
#[derive(Debug)]
pub struct LastRendering<T>(Mutex<(Weak<T>, Arc<OnceCell<Rendering>>)>);

impl<T> Default for LastRendering<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> LastRendering<T> {
    /// Returns the rendering of this list. The weak reference keeps another list from getting its
    /// address.
    pub async fn of<F: Future<Output = Result<Rendering, ApiError>>>(
        &self,
        shared: &Arc<T>,
        render: impl FnOnce() -> F,
    ) -> Result<Rendering, ApiError> {
        let cell = match self.known(shared) {
            Ok(rendering) => return Ok(rendering),
            Err(cell) => cell,
        };
        // Boxed, so that the many requests that find a rendering have no room for it.
        Box::pin(async move { cell.get_or_try_init(render).await.cloned() }).await
    }

    /// The rendering, or else the cell for it.
    fn known(&self, shared: &Arc<T>) -> Result<Rendering, Arc<OnceCell<Rendering>>> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.0.as_ptr() != Arc::as_ptr(shared) {
            *last = (Arc::downgrade(shared), Arc::default());
        }
        last.1.get().cloned().ok_or_else(|| Arc::clone(&last.1))
    }
}

#[derive(ApiResponse)]
pub enum Listing<T: Type> {
    /// The list
    #[oai(status = 200)]
    Ok(
        Rendered<T>,
        /// Identifies this content
        #[oai(header = "ETag")]
        String,
    ),
    /// The list has not changed since the `ETag` in `If-None-Match`
    #[oai(status = 304)]
    NotModified(
        /// Identifies this content
        #[oai(header = "ETag")]
        String,
        /// The same as in the 200
        #[oai(header = "Cache-Control")]
        String,
    ),
}

impl<T: Type> Listing<T> {
    pub fn new(Rendering { body, etag }: Rendering, if_none_match: Option<&EntityTags>) -> Self {
        if if_none_match.is_some_and(|tags| tags.name(&etag)) {
            return Self::NotModified(etag, "no-cache".into());
        }
        Self::Ok(body.into(), etag)
    }
}

/// Renders a time in UTC as RFC 3339 with milliseconds. A page has a hundred of them, and the
/// general formatter takes ten times as long.
pub fn rfc3339_milliseconds<S: serde::Serializer>(
    time: &OffsetDateTime,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let year = u16::try_from(time.year()).map_err(serde::ser::Error::custom)?;
    for (end, number) in [
        (4, year),
        (7, u8::from(time.month()).into()),
        (10, time.day().into()),
        (13, time.hour().into()),
        (16, time.minute().into()),
        (19, time.second().into()),
        (23, time.millisecond()),
    ] {
        put_digits(&mut text[..end], number);
    }
    serializer.serialize_str(str::from_utf8(&text).map_err(serde::ser::Error::custom)?)
}

/// Writes a number over the zeros at the end.
fn put_digits(text: &mut [u8], mut number: u16) {
    for digit in text.iter_mut().rev().take_while(|byte| **byte == b'0') {
        *digit += (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use time::macros::datetime;

    #[tokio::test]
    async fn a_list_is_rendered_once_and_not_taken_for_one_at_its_address() {
        let (last, renderings) = (LastRendering::default(), Cell::new(0));
        for round in 1..=3 {
            // Allocated at the address of the previous one.
            let shared = Arc::new([round]);
            for _ in 0..2 {
                let render = async || {
                    renderings.set(renderings.get() + 1);
                    Rendering::json(&*shared).map_err(ApiError::internal)
                };
                assert_eq!(last.of(&shared, render).await.unwrap().body, format!("[{round}]\n"));
            }
            assert_eq!(renderings.get(), round);
        }
    }

    #[test]
    fn a_time_has_its_digits_where_rfc_3339_wants_them() {
        for (time, text) in [
            (datetime!(2026-11-22 10:00:00.123 UTC), r#""2026-11-22T10:00:00.123Z""#),
            (datetime!(1970-01-01 00:00:00 UTC), r#""1970-01-01T00:00:00.000Z""#),
            (datetime!(9999-12-31 23:59:59.999_999 UTC), r#""9999-12-31T23:59:59.999Z""#),
        ] {
            let mut json = Vec::new();
            rfc3339_milliseconds(&time, &mut serde_json::Serializer::new(&mut json)).unwrap();
            assert_eq!(str::from_utf8(&json).unwrap(), text);
        }
    }
}
