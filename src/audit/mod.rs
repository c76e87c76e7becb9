//! "What was decided, for those who must answer for it later?" One JSON line a decision, and the writer that loses none.
//!
//! `record` is the line (only core types go into it), `writer` takes it, `file` and `rotation` are where it goes, `observer` is
//! what the data path calls.
//! A line never holds a token.

mod file;
pub mod observer;
pub mod record;
mod rotation;
pub mod stream;
#[cfg(test)]
pub(crate) mod tests;
mod voice;
pub mod writer;

pub use crate::telemetry::timestamp;
pub use observer::Observer;
pub use record::{FailureLine, GapLine, Line, Record};
pub use stream::StreamLine;
pub use writer::{Auditor, OpenError};
