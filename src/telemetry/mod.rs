//! What is told to the outside: logs, metrics and the record of each decision.

pub mod record;

pub use record::{Blocked, Decision, Recorder, UpstreamFailure};
