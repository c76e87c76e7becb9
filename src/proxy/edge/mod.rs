//! "Where does a request come from?" What the connection says, and what peers that are named may say instead.

pub(in crate::proxy) mod approach;
pub(in crate::proxy) mod forwarded;
pub(in crate::proxy) mod peers;
pub(in crate::proxy) mod told;
