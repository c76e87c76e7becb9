//! `stepgate demo`: everything on this machine, in one process; with the demo's own policy or an operator's.

mod command;
mod pasted;
mod stops;

pub(super) use command::{Arguments, run};
