//! `stepgate test`: judges the cases of `*.test.yaml` by the functions that judge requests, and tells how each came about.

mod case;
mod command;
mod coverage;
mod human;
mod json;
pub(super) mod judge;
mod junit;
mod watch;

pub(super) use command::{TestArgs, run};
