//! `stepgate explain`: one request, with the tokens that it would bring, from its path to the answer.
//!
//! [`command`] reads what is given, [`walk`] takes it the way of a request by the functions that requests go by, and keeps what
//! each step found in [`told`], which [`human`] and [`json`] show. No token or signature is ever shown; claims are.

mod beside;
mod client;
mod command;
mod human;
mod input;
mod json;
mod kept;
mod mapping;
mod running;
mod setting;
#[cfg(test)]
mod tests;
mod tokens;
mod told;
mod walk;

pub(super) use command::{ExplainArgs, run};
