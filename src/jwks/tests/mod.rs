//! Promises of this room, kept against a real server on loopback.

mod budgets;
mod copies;
mod fetching;
mod idp;
mod keeping;
mod proxied;
mod tls;
