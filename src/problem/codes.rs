//! The codes of all errors, with status and title.
//!
//! `docs/errors.md` has a section for each code, and a test keeps the two lists equal.

macro_rules! codes {
    ($($code:ident $status:literal $name:literal $title:literal;)*) => {
        /// The stable names of everything that can go wrong.
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
    InvalidParameter 400 "invalid_parameter" "A parameter of the URL is not valid";
    InvalidIdempotencyKey 400 "invalid_idempotency_key" "The Idempotency-Key header is not valid";
    RouteNotFound 404 "route_not_found" "There is nothing at this path";
    MessageNotFound 404 "message_not_found" "There is no message with this id";
    MethodNotAllowed 405 "method_not_allowed" "This path does not answer this method";
    NotAcceptable 406 "not_acceptable" "The answer has no form that the Accept header takes";
    RequestTimeout 408 "request_timeout" "The request took too long to arrive";
    BodyTooLarge 413 "body_too_large" "The body has too many bytes";
    UnsupportedMediaType 415 "unsupported_media_type" "The body must be application/json in UTF-8, uncompressed";
    UserMissing 422 "user_missing" "The user is missing";
    UserEmpty 422 "user_empty" "The user is empty";
    UserTooLong 422 "user_too_long" "The user has too many characters";
    UserInvalid 422 "user_invalid" "The user is not a valid name";
    TextMissing 422 "text_missing" "The text is missing";
    TextTooLong 422 "text_too_long" "The text has too many characters";
    TextInvalid 422 "text_invalid" "The text is not a string";
    IdempotencyKeyReused 422 "idempotency_key_reused" "The key was used for another message";
    HeadTooLarge 431 "head_too_large" "The head of the request is too large";
    Internal 500 "internal" "The server has a fault";
    DatabaseUnavailable 503 "database_unavailable" "The database is not available";
    Overloaded 503 "overloaded" "The server has too much to do";
    Draining 503 "draining" "This server is stopping";
    DeadlineExceeded 504 "deadline_exceeded" "The database took too long to answer";
}
