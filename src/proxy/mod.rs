//! The data path: a client's request in, the upstream's response or a refusal out.
//!
//! [`bind`] takes the listeners' addresses, [`serve`] starts the workers: threads that share nothing on a request's way
//! but what is in force. `downstream` faces the clients and `forwarding` the upstreams; `handler` is the walk between them,
//! and every other file here one stage of it. Called by `cli`. Reads no file and no environment, parses no YAML.

mod answer;
mod assertion;
mod challenge;
mod downstream;
mod edge;
mod evidence;
mod extract;
mod fields;
mod form;
mod forwarding;
mod glance;
mod handler;
mod headers;
mod identity;
mod kept;
mod metadata;
mod origin;
mod oversight;
mod passage;
mod preflight;
mod preview;
mod refusal;
mod rehearsal;
mod repeats;
mod request_id;
mod respond;
mod sink;
mod spare;
mod spellings;
mod target;
mod tunnel;
pub mod verify;
mod via;

pub use downstream::listener::{BindError, Bound, bind};
pub use downstream::worker::{Gate, Running, serve};
pub use forwarding::checks::check_health;
pub use forwarding::standing::{Standing, Standings};
pub use kept::Sealing;
pub(crate) use preview::{Preview, PreviewOfGrpc, preview};
pub(crate) use rehearsal::{Brought, Opened, Piece, Rehearsal, Site, Taken, has_cookie, keep};
pub(crate) use respond::{Told, told};
pub use verify::Verify;
