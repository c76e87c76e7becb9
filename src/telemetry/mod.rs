//! "What happened, for those who watch?" The decision record, metrics, logs, and the queue that lines go through.
//!
//! A leaf: outer rooms call it, it calls none of them. Changes no decision; labels come from closed sets, never from traffic.

pub mod health;
mod histogram;
pub mod json;
mod json_lines;
pub mod lines;
pub mod log_filter;
pub mod logs;
pub mod metrics;
pub mod occasionally;
mod process;
pub mod record;
pub mod reloads;
mod scrape;
mod sharded;
pub mod sink;
pub mod stream;
#[cfg(test)]
mod tests;
pub mod timestamp;
pub mod upstream;

pub use health::{AddressHealth, AddressState, AuditUse, CacheUse, Health, IssuerHealth, KeyState};
pub use metrics::{Metrics, Verdict};
pub use occasionally::Occasionally;
pub use record::{Blocked, Decision, KeptEvent, Protocol, Recorder, UpstreamFailure};
pub use reloads::{FilesHealth, Reloads};
pub(crate) use sharded::Sharded;
pub use stream::{StreamEnd, StreamEnded};
pub use upstream::{Forwarding, UpstreamMeter};
