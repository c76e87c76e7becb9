//! "A permitted request in, the upstream's response out." Connections to upstreams, and what may be sent on them again.

mod bodiless;
pub(in crate::proxy) mod body;
pub(in crate::proxy) mod checks;
pub(in crate::proxy) mod exchange;
pub(in crate::proxy) mod multiplexed;
pub(in crate::proxy) mod pool;
pub(in crate::proxy) mod reach;
pub(in crate::proxy) mod received;
pub(in crate::proxy) mod several;
pub(in crate::proxy) mod standing;
