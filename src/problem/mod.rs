//! The error contract: every code, what it means, and how an error is answered and logged.

mod response;

mod error;

mod codes;

pub use codes::Code;
pub(crate) use error::{ApiError, Problem, json_line};
pub(crate) use response::{add_headers, answer, new_trace_id, refuse_head};
