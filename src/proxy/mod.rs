//! The data path: a client's request in, the upstream's response or a refusal out.
//!
//! [`bind`] takes the listeners' addresses, [`serve`] starts the workers: threads that share nothing on a request's way
//! but what is in force. `downstream` faces the clients and `forwarding` the upstreams; `handler` is the walk between them,
//! and every other file here one stage of it. Called by `cli`. Reads no file and no environment, parses no YAML.

mod answer;
mod challenge;
mod downstream;
mod edge;
mod evidence;
mod extract;
mod form;
mod forwarding;
mod glance;
mod handler;
mod headers;
mod identity;
mod kept;
mod metadata;
mod origin;
mod passage;
mod preview;
mod refusal;
mod repeats;
mod request_id;
mod respond;
mod spare;
mod spellings;
mod target;
mod tunnel;
pub mod verify;

pub use downstream::listener::{BindError, Bound, bind};
pub use downstream::worker::{Gate, Running, serve};
pub use forwarding::checks::check_health;
pub use forwarding::standing::{Standing, Standings};
pub use kept::Sealing;
pub(crate) use preview::{Preview, preview};
pub(crate) use respond::{Told, told};
pub use verify::Verify;
