//! The command line: arguments in, exit code out. One file a command; holds no rules of its own.

pub mod check;
pub mod files;
pub mod profiles;
pub mod render;
pub mod test;
