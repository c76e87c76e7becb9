//! "What was decided, for those who must answer for it later?" One JSON line a decision, and the writer that loses none.
//!
//! `record` is the line (only core types go into it), `writer` where it goes, `observer` what the data path calls.
//! A line never holds a token.

pub mod observer;
pub mod record;
#[cfg(test)]
pub(crate) mod tests;
pub mod timestamp;
pub mod writer;

pub use observer::Observer;
pub use record::{FailureLine, Line};
pub use writer::{Auditor, OpenError};
