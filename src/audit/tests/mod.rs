mod file;
mod line;
mod writer;

pub(crate) use line::{policy_with_upstream, some_denial, some_permit, some_policy, with_exception};
