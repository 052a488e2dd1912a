//! The error contract: the codes, their meaning, and how errors become responses and log lines.

mod response;

mod error;

mod codes;

pub use codes::Code;
pub(crate) use error::{ApiError, Problem, json_line};
pub(crate) use response::{add_headers, answer, new_trace_id, refuse_head};
