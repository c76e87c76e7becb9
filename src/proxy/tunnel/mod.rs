//! "What happens on a connection that has left HTTP?" WebSocket, and the upgrades that a route names.
//!
//! `ask` reads what a request wants to go over to, `switch` has the upstream go over and checks that it did, `enter`
//! hands both to the client's connection, and a [`Tunnel`] carries bytes both ways until a side ends, the gate drains, or somebody says that it must end (`end`). `frames` knows where
//! WebSocket's frames begin, so that the gate says goodbye between two of them; what is in them it never looks at. Whatever
//! comes here was judged before, like any other request. Called by `handler`, `passage` and `downstream`. Judges nothing.

pub(in crate::proxy) mod ask;
mod carry;
pub(in crate::proxy) mod end;
mod enter;
mod flow;
mod frames;
pub(in crate::proxy) mod switch;

pub(in crate::proxy) use carry::{Kind, Tunnel};
pub(in crate::proxy) use enter::Entrance;
