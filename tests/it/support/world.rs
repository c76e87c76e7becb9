//! A gate with three issuers before an upstream.

use std::time::Duration;

use serde_json::Value;

use super::keys::{Alg, Key, jwks};
use crate::shared::gate::{Gate, Setup};
use crate::shared::http::{Request, Response};
use crate::shared::upstream::Upstream;

/// The policy of most tests: the bank proves by `acr` or factors, the shop by `acr` alone, the club by factors alone.
pub(crate) const POLICY: &str = r#"
version: 1
issuers:
  bank:
    issuer: https://bank.example
    keys: { jwks_file: ../bank.json }
    access: { audiences: ["https://api.example", "https://other-api.example"] }
    id: { audiences: [app] }
    proves:
      single-factor: { any: [ { acr: ["1"] }, { factors: 1 } ] }
      multi-factor: { any: [ { acr: ["2"] }, { factors: 2 } ] }
      phishing-resistant: { acr: ["3"] }
    challenge: { single-factor: ["1"], multi-factor: ["2"], phishing-resistant: ["3"] }
  shop:
    issuer: https://shop.example
    keys: { jwks_file: ../shop.json }
    access: { audiences: ["https://api.example"] }
    proves:
      single-factor: { acr: [low] }
      multi-factor: { acr: [high] }
  club:
    issuer: https://club.example
    keys: { jwks_file: ../club.json }
    access: { audiences: ["https://api.example"] }
    proves:
      single-factor: { factors: 1 }
      multi-factor: { factors: 2 }
routes:
  - { name: health, match: { path: /healthz }, require: public }
  - { name: public, match: { path: "/public/**" }, require: public }
  - { name: any, match: { path: "/any/**" }, require: authenticated }
  - name: accounts
    match: { path: "/accounts/**", methods: [GET] }
    require: { level: single-factor }
  - name: pay
    match: { path: "/payments/{id}", methods: [POST] }
    require: { level: multi-factor, max_age: 5m, scopes: { all: [payments] } }
  - { name: strong, match: { path: "/strong/**" }, require: { level: multi-factor } }
  - { name: strongest, match: { path: /strongest }, require: { level: phishing-resistant } }
  - { name: gold, match: { path: /gold }, require: { issuers: [bank], acr: [gold] } }
  - { name: otp, match: { path: /otp }, require: { amr: { all: [otp] } } }
  - { name: fresh, match: { path: /fresh }, require: { max_age: 5m } }
  - { name: scoped, match: { path: /scoped }, require: { scopes: { all: [payments] } } }
  - { name: tier, match: { path: /tier }, require: { claims: { tier: gold } } }
  - { name: consent, match: { path: "/consents/{id}" }, require: { bind: { id: /consent_id } } }
  - { name: bank-only, match: { path: /bank-only }, require: { issuers: [bank] } }
  - { name: other-api, match: { path: /other-api }, require: { audience: ["https://other-api.example"] } }
  - { name: nightly, match: { path: /nightly }, require: { caller: client, clients: [job-7] } }
  - name: portal
    match: { path: "/portal/**" }
    take: [ { cookie: portal_id, kind: id }, { header: x-id-token, kind: id } ]
    require: { level: multi-factor }
  - name: callback
    match: { path: /callback }
    take: [ { form: id_token, kind: id } ]
    require: { level: multi-factor }
  - name: orders
    match: { path: /orders }
    take: [ authorization, { header: x-id-token, kind: id } ]
    require: { level: multi-factor, scopes: { all: [payments] } }
"#;

pub(crate) struct World {
    pub(crate) gate: Gate,
    pub(crate) upstream: Upstream,
    pub(crate) bank: Key,
    pub(crate) shop: Key,
    pub(crate) club: Key,
}

impl World {
    pub(crate) fn start() -> Self {
        Self::before(Upstream::start(), |setup| setup.policy(POLICY))
    }

    /// One with a policy of the test's own, whose issuers may be the three of [`POLICY`].
    pub(crate) fn with_policy(policy: &str) -> Self {
        Self::before(Upstream::start(), |setup| setup.policy(policy))
    }

    /// The issuers of [`POLICY`] with other routes, in YAML from the dash of the first.
    pub(crate) fn with_routes(routes: &str) -> Self {
        Self::with_policy(&Self::issuers_and(routes))
    }

    /// The issuers of [`POLICY`] and these routes.
    pub(crate) fn issuers_and(routes: &str) -> String {
        let (issuers, _routes) = POLICY.split_once("routes:\n").unwrap();
        format!("{issuers}routes:\n{routes}\n")
    }

    /// One before an upstream of the test's own, set up by the test.
    pub(crate) fn before(upstream: Upstream, set_up: impl FnOnce(Setup) -> Setup) -> Self {
        let (bank, shop, club) =
            (Key::new(Alg::Es256, "key-1"), Key::new(Alg::Es256, "key-1"), Key::new(Alg::EdDsa, "key-1"));
        let setup = Gate::setup(&upstream)
            .file("bank.json", &jwks(&[&bank]))
            .file("shop.json", &jwks(&[&shop]))
            .file("club.json", &jwks(&[&club]));
        let gate = set_up(setup).start();
        gate.wait_until_ready(Duration::from_secs(20));
        Self { gate, upstream, bank, shop, club }
    }

    /// Sends a request that must be refused before the upstream hears of it, for this reason.
    pub(crate) fn refuses(&self, request: &Request, status: u16, reason: &str) -> Response {
        let before = self.upstream.begun();
        let (response, decision) = self.gate.decision(request);
        let answer = format!("{}\n{}", response.head, response.body);
        assert_eq!((response.status, &decision["reason"]), (status, &Value::from(reason)), "{answer}\n{decision}");
        assert_eq!(decision["decision"], "deny");
        assert_eq!(self.upstream.begun(), before, "the upstream heard of a refused request: {decision}");
        response
    }

    /// Sends a request that must pass.
    pub(crate) fn passes(&self, request: &Request) -> Response {
        let response = self.gate.send(request);
        assert_eq!(response.status, 200, "{}\n{}", response.head, response.body);
        response
    }
}
