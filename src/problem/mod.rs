//! The error contract: every code, what it means, and how an error is answered and logged.

mod response;

mod error;

mod codes;

pub use codes::Code;
pub use error::{ApiError, ERROR_PAGE, FieldError, Problem, json_line};
pub use response::{add_headers, answer, new_trace_id, refuse_head};
