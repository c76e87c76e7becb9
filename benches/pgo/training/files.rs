//! What the gate is given to hold: its settings, and a policy that has of everything something.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::upstream::Upstream;

const POLICY: &str = r#"
version: 1
issuers:
  bank:
    issuer: https://bank.example
    algorithms: [RS256]
    keys: { jwks_file: ../jwks.json }
    access: { audiences: ["https://api.example"] }
    id: { audiences: [portal] }
    proves:
      single-factor: { any: [ { acr: ["1"] }, { factors: 1 } ] }
      multi-factor: { any: [ { acr: ["2"] }, { factors: 2 } ] }
    challenge: { single-factor: ["1"], multi-factor: ["2"] }
  club:
    issuer: https://club.example
    algorithms: [ES256]
    keys: { jwks_file: ../jwks.json }
    access: { audiences: ["https://api.example"] }
    proves: { single-factor: { factors: 1 }, multi-factor: { factors: 2 } }
floors:
  - { name: transfers-floor, match: { path: "/transfers/**" }, require: { level: multi-factor } }
routes:
  - { name: health, match: { path: /healthz }, upstream: app, require: public }
  - { name: open, match: { path: "/open/**" }, upstream: app, require: public }
  - { name: accounts, match: { path: "/accounts/**" }, upstream: app, require: { level: multi-factor } }
  - { name: methods, match: { path: "/methods/**", methods: [GET] }, upstream: app, require: { amr: { any: [otp, mfa] } } }
  - name: transfers
    match: { path: "/transfers/{id}", methods: [POST, PUT, DELETE] }
    upstream: app
    require: { level: multi-factor, max_age: 1h, scopes: { all: [payments] } }
  - { name: live, match: { path: "/live/{room}" }, upstream: app, require: authenticated }
  - name: portal
    match: { path: "/portal/**" }
    take: [ { cookie: portal_id, kind: id }, { header: x-id-token, kind: id } ]
    upstream: app
    require: { level: multi-factor }
  - { name: ledger, match: { path: "/ledger/**" }, upstream: ledger, require: { level: multi-factor } }
"#;

/// Of how many further routes the policy is.
const FURTHER: usize = 40;

/// The policy, in the version of this number: of what there is in no other, `open` tells the path.
pub(crate) fn policy(number: usize) -> String {
    let mut text = POLICY.to_owned();
    let mut line = |line: String| writeln!(text, "  - {line}").unwrap_or_default();
    line(format!("{{ name: version, match: {{ path: {} }}, upstream: app, require: public }}", open(number)));
    for route in 0..FURTHER {
        let path = format!("/services-{}/resources-{route}/{{id}}/**", route % 7);
        line(format!(
            "{{ name: further-{route}, match: {{ path: \"{path}\", methods: [GET, POST] }}, upstream: app, require: {{ level: multi-factor }} }}"
        ));
    }
    text
}

/// A public path of this version of the policy.
pub(crate) fn open(number: usize) -> String {
    format!("/version/{number}")
}

/// Two workers, whatever the machine has.
pub(crate) fn settings([plain, secured, admin]: [SocketAddr; 3], upstream: Upstream, audit: bool) -> String {
    let Upstream { http1, http2 } = upstream;
    let audit = if audit { "{ to: file, path: audit.jsonl }" } else { "off" };
    format!(
        "version: 1\n\
         listeners:\n  \
         - address: \"{plain}\"\n  \
         - {{ address: \"{secured}\", tls: {{ cert: server.pem, key: server.key }} }}\n\
         upstreams:\n  \
         app: {{ url: \"http://{http1}\" }}\n  \
         ledger: {{ url: \"h2c://{http2}\" }}\n\
         policies: policies/\n\
         admin: {{ address: \"{admin}\" }}\n\
         audit: {audit}\n\
         workers: 2\n"
    )
}
