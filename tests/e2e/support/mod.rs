//! What the tests stand on: a provider, an upstream, a gate, and a plain HTTP client.

mod gate;
mod http;
mod provider;
mod upstream;

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use gate::{Gate, POLICY};
pub(crate) use http::Request;
pub(crate) use provider::Provider;
pub(crate) use upstream::Upstream;

/// A provider, an upstream and a gate between them, ready to serve.
pub(crate) struct World {
    pub(crate) provider: Provider,
    pub(crate) upstream: Upstream,
    pub(crate) gate: Gate,
}

impl World {
    pub(crate) fn start() -> Self {
        Self::with(Provider::start(&[]), POLICY)
    }

    pub(crate) fn with(provider: Provider, policy: &str) -> Self {
        let upstream = Upstream::start();
        let gate = Gate::start(&provider.issuer, &upstream, policy);
        gate.wait_until_ready(Duration::from_secs(20));
        Self { provider, upstream, gate }
    }
}

/// A port of loopback that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Asks every fifth of a second until the answer is yes, or panics with `what` when `patience` is over.
pub(crate) fn eventually(what: &str, patience: Duration, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < patience, "not within {patience:?}: {what}");
        thread::sleep(Duration::from_millis(200));
    }
}
