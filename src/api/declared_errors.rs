//! Lets an endpoint declare the errors that it can return, in its return type.

use crate::problem::{ApiError, Code, Problem};
use poem_openapi::{
    ApiResponse,
    registry::{
        MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
    },
    types::Type,
};
use std::{collections::BTreeMap, marker::PhantomData};

/// The errors of one endpoint.
pub trait Codes {
    /// The codes specific to this endpoint.
    const CODES: &'static [Code];
    /// The common code that the endpoint describes itself.
    const DESCRIBED: Option<Code> = None;
}

/// The codes that every endpoint can return.
const COMMON: [Code; 6] = [
    Code::MalformedRequest,
    Code::NotAcceptable,
    Code::RequestTimeout,
    Code::HeadTooLarge,
    Code::Internal,
    Code::Overloaded,
];

/// For an endpoint without specific codes.
pub struct NoErrors;
impl Codes for NoErrors {
    const CODES: &'static [Code] = &[];
}

/// The given codes and those of every endpoint that uses the database.
macro_rules! database_codes {
    ($($code:ident),*) => {
        &[
            $(crate::problem::Code::$code,)*
            crate::problem::Code::DatabaseUnavailable,
            crate::problem::Code::Draining,
            crate::problem::Code::DeadlineExceeded,
        ]
    };
}
pub(crate) use database_codes;

/// An error of an endpoint that declares its codes by `C`.
pub struct Failure<C> {
    error: ApiError,
    codes: PhantomData<fn() -> C>,
}

impl<C: Codes, E: Into<ApiError>> From<E> for Failure<C> {
    fn from(error: E) -> Self {
        let error = error.into();
        debug_assert!(
            C::CODES.contains(&error.code) || COMMON.contains(&error.code),
            "{} is not declared",
            error.code.name()
        );
        Self { error, codes: PhantomData }
    }
}

impl<C> From<Failure<C>> for poem::Error {
    fn from(failure: Failure<C>) -> Self {
        failure.error.into()
    }
}

impl<C: Codes> ApiResponse for Failure<C> {
    fn meta() -> MetaResponses {
        let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
        let common = COMMON.iter().filter(|code| C::DESCRIBED != Some(**code));
        for code in C::CODES.iter().chain(common) {
            by_status.entry(code.status()).or_default().push(*code);
        }
        MetaResponses {
            responses: by_status
                .into_iter()
                .map(|(status, codes)| response(status, &codes))
                .collect(),
        }
    }

    fn register(registry: &mut Registry) {
        Problem::register(registry);
    }
}

/// Describes the errors of one status for the OpenAPI document.
pub fn response(status: u16, codes: &[Code]) -> MetaResponse {
    let lines: Vec<String> =
        codes.iter().map(|code| format!("`{}`: {}", code.name(), code.title())).collect();
    let code = MetaSchema {
        enum_items: codes.iter().map(|code| code.name().into()).collect(),
        ..MetaSchema::new("string")
    };
    let these_codes = MetaSchema {
        properties: vec![("code", MetaSchemaRef::Inline(Box::new(code)))],
        ..MetaSchema::new("object")
    };
    let schema = MetaSchema {
        all_of: vec![Problem::schema_ref(), MetaSchemaRef::Inline(Box::new(these_codes))],
        ..MetaSchema::ANY
    };
    let header = |name: &str, description: &str, required, schema| MetaHeader {
        name: name.into(),
        description: Some(description.into()),
        required,
        deprecated: false,
        schema,
    };
    let headers = match status {
        415 => {
            let about = "The supported content coding, if the body's coding is unsupported";
            vec![header("Accept-Encoding", about, false, String::schema_ref())]
        }
        503 => {
            let about = "Seconds to wait before a retry";
            vec![header("Retry-After", about, true, u16::schema_ref())]
        }
        _ => vec![],
    };
    MetaResponse {
        // The registry requires a static string; each is made once per process.
        description: lines.join("; ").leak(),
        status: Some(status),
        status_range: None,
        content: vec![MetaMediaType {
            content_type: "application/problem+json",
            schema: MetaSchemaRef::Inline(Box::new(schema)),
        }],
        headers,
    }
}
