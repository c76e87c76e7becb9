//! "What does a client send, and may it take its time?" Sockets accepted, TLS ended, heads and streams told apart, within limits.
//!
//! `worker` accepts and hands each socket to `connection`; what is a request goes to [`super::handler`] with its
//! `lane::Exchange`, whichever protocol it came in. Judges nothing.

pub(in crate::proxy) mod clerk;
pub(in crate::proxy) mod connection;
pub(in crate::proxy) mod first;
pub(in crate::proxy) mod frames;
pub(in crate::proxy) mod framing;
pub(in crate::proxy) mod http2;
pub(in crate::proxy) mod lane;
pub(in crate::proxy) mod listener;
pub(in crate::proxy) mod proxy_protocol;
pub(in crate::proxy) mod scratch;
pub(in crate::proxy) mod streams;
pub(in crate::proxy) mod timing;
pub(in crate::proxy) mod turn;
pub(in crate::proxy) mod unreadable;
pub(in crate::proxy) mod wire;
pub(in crate::proxy) mod worker;
