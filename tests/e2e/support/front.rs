//! A gate with two listeners: one in the clear, one in TLS.

use std::path::PathBuf;
use std::time::Duration;

use super::{Alg, Authority, Gate, Key, Token, Upstream, free_port, jwks};
use crate::shared::gate::Setup;

/// What clients call it.
pub(crate) const HOST: &str = "gate.example";

const ISSUERS: &str = r#"
version: 1
issuers:
  bank:
    issuer: https://bank.example
    keys: { jwks_file: ../bank.json }
    access: { audiences: ["https://api.example"] }
    proves:
      single-factor: { factors: 1 }
      multi-factor: { factors: 2 }
"#;

const ROUTES: &str = r#"
  - { name: public, match: { path: "/public/**" }, require: public }
  - { name: any, match: { path: "/any/**" }, require: authenticated }
"#;

pub(crate) struct Front {
    pub(crate) gate: Gate,
    /// The port that speaks TLS; the gate's own port speaks in the clear.
    pub(crate) tls: u16,
    /// Who signed the gate's certificate.
    pub(crate) authority: Authority,
    pub(crate) bank: Key,
}

/// What is not as usual.
pub(crate) struct Unusual {
    /// More keys of the TLS listener, indented by four spaces.
    pub(crate) tls: String,
    /// More keys of both listeners, the same way.
    pub(crate) both: String,
    /// An RSA key in place of the usual one.
    pub(crate) rsa: bool,
    pub(crate) routes: String,
    /// More of the settings.
    pub(crate) settings: String,
    /// The upstreams in place of the one that answers.
    pub(crate) upstreams: Option<String>,
}

impl Default for Unusual {
    fn default() -> Self {
        let none = String::new;
        Self { tls: none(), both: none(), rsa: false, routes: ROUTES.to_owned(), settings: none(), upstreams: None }
    }
}

impl Front {
    /// The policy with these routes.
    pub(crate) fn policy(routes: &str) -> String {
        format!("{ISSUERS}routes:\n{routes}\n")
    }

    pub(crate) fn before(upstream: &Upstream) -> Self {
        Self::with(Gate::setup(upstream), &Unusual::default())
    }

    #[expect(clippy::needless_pass_by_value, reason = "each is made for one gate")]
    pub(crate) fn unusual(upstream: &Upstream, unusual: Unusual) -> Self {
        Self::with(Gate::setup(upstream), &unusual)
    }

    /// One whose upstreams the settings name.
    pub(crate) fn to(upstreams: &str) -> Self {
        let unusual = Unusual { upstreams: Some(upstreams.to_owned()), ..Unusual::default() };
        Self::with(Gate::setup_to(1), &unusual)
    }

    /// One whose upstreams are named with what else is not as usual.
    pub(crate) fn to_unusual(unusual: &Unusual) -> Self {
        Self::with(Gate::setup_to(1), unusual)
    }

    fn with(setup: Setup, unusual: &Unusual) -> Self {
        let (authority, bank, tls) = (Authority::new("Front"), Key::new(Alg::Es256, "key-1"), free_port());
        let (cert, key) = if unusual.rsa { authority.rsa_server("server") } else { authority.server("server") };
        let (cert, key, clear) = (cert.display(), key.display(), setup.port);
        let listeners = format!(
            "listeners:\n  - address: 127.0.0.1:{clear}\n{both}\n  \
             - address: 127.0.0.1:{tls}\n    tls: {{ cert: {cert}, key: {key} }}\n{both}\n{}\n{}",
            unusual.tls,
            unusual.settings,
            both = unusual.both,
        );
        let setup = match &unusual.upstreams {
            Some(upstreams) => setup.upstreams(upstreams),
            None => setup,
        };
        let gate = setup
            .file("bank.json", &jwks(&[&bank]))
            .policy(&Self::policy(&unusual.routes))
            .settings(&listeners)
            .start();
        gate.wait_until_ready(Duration::from_secs(10));
        Self { gate, tls, authority, bank }
    }

    /// Where a path is, in the clear.
    pub(crate) fn clear(&self, path: &str) -> String {
        format!("http://{HOST}:{}{path}", self.gate.port)
    }

    /// Where a path is, in TLS.
    pub(crate) fn secure(&self, path: &str) -> String {
        format!("https://{HOST}:{}{path}", self.tls)
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.authority.ca()
    }

    /// `Authorization: …` of somebody who signed in with a password.
    pub(crate) fn authorization(&self) -> String {
        format!("Authorization: Bearer {}", Token::access().weak().sign(&self.bank))
    }
}
