//! The data path: a client's request in, the upstream's response or a refusal out.
//!
//! [`bind`] takes the listeners' addresses, [`serve`] starts the workers: threads that share nothing on a request's way
//! but what is in force. `handler` is the walk; every other file is one stage of it. Called by `cli`. Reads no file and no
//! environment, parses no YAML.

mod answer;
mod body;
mod challenge;
mod connection;
mod edge;
mod evidence;
mod extract;
mod first;
mod forwarded;
mod frames;
mod framing;
mod handler;
mod headers;
mod http2;
mod identity;
mod lane;
mod listener;
mod multiplexed;
mod origin;
mod peers;
mod pool;
mod proxy_protocol;
mod reach;
mod refusal;
mod request_id;
mod respond;
mod streams;
mod target;
mod timing;
mod turn;
mod unreadable;
mod upstream;
pub mod verify;
mod wire;
mod worker;

pub use listener::{BindError, Bound, bind};
pub use verify::Verify;
pub use worker::{Gate, Running, serve};
