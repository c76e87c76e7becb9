//! `stepgate test`: judges the cases of `*.test.yaml` by the functions that judge requests, and tells how each came about.

mod case;
mod command;
mod human;
mod json;
pub(super) mod judge;
mod junit;

pub(super) use command::{TestArgs, run};
