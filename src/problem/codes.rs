//! All error codes with their status and title.
//!
//! `docs/errors.md` has a section for each code, and a test keeps the two lists equal.

macro_rules! codes {
    ($($code:ident $status:literal $name:literal $title:literal;)*) => {
        /// The error codes. Their names are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code { $(#[doc = $title] $code,)* }

        impl Code {
            pub const ALL: &[Self] = &[$(Self::$code,)*];

            pub const fn name(self) -> &'static str {
                match self { $(Self::$code => $name,)* }
            }

            pub const fn title(self) -> &'static str {
                match self { $(Self::$code => $title,)* }
            }

            pub const fn status(self) -> u16 {
                match self { $(Self::$code => $status,)* }
            }
        }
    };
}

codes! {
    MalformedRequest 400 "malformed_request" "The request is not valid HTTP";
    MalformedJson 400 "malformed_json" "The body is not a JSON object";
    InvalidParameter 400 "invalid_parameter" "A URL parameter is invalid";
    InvalidIdempotencyKey 400 "invalid_idempotency_key" "The Idempotency-Key header is invalid";
    RouteNotFound 404 "route_not_found" "No resource at this path";
    MessageNotFound 404 "message_not_found" "No message with this id";
    MethodNotAllowed 405 "method_not_allowed" "Method not allowed at this path";
    NotAcceptable 406 "not_acceptable" "No response format matches the Accept header";
    RequestTimeout 408 "request_timeout" "The request did not arrive in time";
    BodyTooLarge 413 "body_too_large" "The body is too large";
    UnsupportedMediaType 415 "unsupported_media_type" "The body must be uncompressed application/json in UTF-8";
    UserMissing 422 "user_missing" "The user name is missing";
    UserEmpty 422 "user_empty" "The user name is empty";
    UserTooLong 422 "user_too_long" "The user name is too long";
    UserInvalid 422 "user_invalid" "The user name is invalid";
    TextMissing 422 "text_missing" "The text is missing";
    TextTooLong 422 "text_too_long" "The text is too long";
    TextInvalid 422 "text_invalid" "The text is not a string";
    IdempotencyKeyReused 422 "idempotency_key_reused" "The key was already used for another message";
    HeadTooLarge 431 "head_too_large" "The request head is too large";
    Internal 500 "internal" "Internal server error";
    DatabaseUnavailable 503 "database_unavailable" "The database is unavailable";
    Overloaded 503 "overloaded" "The server is overloaded";
    Draining 503 "draining" "The server is shutting down";
    DeadlineExceeded 504 "deadline_exceeded" "The database did not respond in time";
}
