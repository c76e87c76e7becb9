//! What the tests stand on: a provider, an upstream, a gate, certificates, and clients and peers that others wrote.

mod front;
#[path = "../../it/support/keys.rs"]
#[expect(dead_code, reason = "the other suite uses more of it")]
mod keys;
mod load;
mod nginx;
mod pki;
mod provider;
#[path = "../../it/support/token.rs"]
#[expect(dead_code, reason = "the other suite uses more of it")]
mod token;
mod tool;

use std::time::Duration;

pub(crate) use crate::shared::gate::Gate;
pub(crate) use crate::shared::http::{Request, Wire};
pub(crate) use crate::shared::upstream::{Answer, Upstream};
pub(crate) use crate::shared::{eventually, free_port};
pub(crate) use front::{Front, HOST, Unusual};
pub(crate) use keys::{Alg, Key, jwks};
pub(crate) use load::{Load, alone};
pub(crate) use nginx::Nginx;
pub(crate) use pki::Authority;
pub(crate) use provider::{Provider, discover};
pub(crate) use token::{Token, now};
pub(crate) use tool::{PYTHON, Said, run, said_by, spawn, terminate};

/// The policy of most tests. `{issuer}` stands for the provider's issuer.
pub(crate) const POLICY: &str = r#"
version: 1
issuers:
  idp:
    issuer: {issuer}
    profile: rfc8176
    access: { audiences: ["https://api.demo.example"], typ: [at+jwt] }
    id: { audiences: [web] }
    pair: bound
    proves:
      single-factor: { any: [ { acr: ["urn:example:loa:1"] }, { factors: 1 } ] }
      multi-factor: { any: [ { acr: ["urn:example:loa:2"] }, { factors: 2 } ] }
    challenge:
      single-factor: ["urn:example:loa:1"]
      multi-factor: ["urn:example:loa:2"]
routes:
  - name: read-accounts
    match: { path: "/accounts/**", methods: [GET] }
    require: { level: single-factor, scopes: { all: [accounts] } }
  - name: pay
    match: { path: "/payments/{id}", methods: [POST] }
    require: { level: multi-factor, max_age: 5m, scopes: { all: [payments] } }
  - name: portal
    match: { path: "/portal/**", methods: [GET, POST] }
    take: [ { cookie: portal_id, kind: id }, { header: x-id-token, kind: id } ]
    require: { level: multi-factor }
  - name: orders
    match: { path: /orders, methods: [POST] }
    take: [ authorization, { header: x-id-token, kind: id } ]
    require: { level: multi-factor, scopes: { all: [payments] } }
  - name: health
    match: { path: /healthz }
    require: public
"#;

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
        let gate = Gate::setup(&upstream).policy(&policy.replace("{issuer}", &provider.issuer)).start();
        gate.wait_until_ready(Duration::from_secs(20));
        Self { provider, upstream, gate }
    }
}
