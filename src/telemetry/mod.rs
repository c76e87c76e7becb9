//! "What happened, for those who watch?" The decision record, metrics, logs, and the queue that lines go through.
//!
//! A leaf: outer rooms call it, it calls none of them. Changes no decision; labels come from closed sets, never from traffic.

pub mod health;
pub mod lines;
pub mod logs;
pub mod metrics;
pub mod occasionally;
pub mod record;
pub mod reloads;
mod scrape;

pub use health::{CacheUse, Health, IssuerHealth, KeyState};
pub use metrics::Metrics;
pub use occasionally::Occasionally;
pub use record::{Blocked, Decision, Recorder, UpstreamFailure};
pub use reloads::Reloads;
