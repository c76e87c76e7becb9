//! `stepgate reasons`: all there is to say of the reasons for which requests are refused.

mod command;
mod entry;
mod page;

pub(super) use command::{ReasonsArgs, run};
