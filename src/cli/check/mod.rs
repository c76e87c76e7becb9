//! `stepgate check`: loads and lints policies, each folder that holds one by itself.

mod command;
mod findings;
mod format;
mod github;
mod lints;
mod online;
mod page;
mod sarif;

pub(super) use command::{CheckArgs, run};
