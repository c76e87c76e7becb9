//! The demo's settings and policy: what `stepgate.yaml` and the policy folder are to `run`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::settings::{
    Admin, Audit, AuditTarget, Identity, Keys, Limits, Listener, LogFormat, Settings, Telemetry, Upstream, WhenBlocked,
};
use crate::demo::mint::Usual;
use crate::demo::ports::Reserved;

/// The policy as it is shipped: `policies/examples/demo/policy.yaml`.
const POLICY: &str = include_str!("../../policies/examples/demo/policy.yaml");

/// The issuer that it names.
const ISSUER: &str = "http://127.0.0.1:8081";

/// The name under which problems in it are reported.
pub const POLICY_NAME: &str = "policies/examples/demo/policy.yaml";

/// The demo's policy with the identity provider where it really is.
#[must_use]
pub fn policy(idp: SocketAddr) -> String {
    POLICY.replace(ISSUER, &issuer(idp))
}

/// What the identity provider calls itself.
#[must_use]
pub fn issuer(idp: SocketAddr) -> String {
    format!("http://{idp}")
}

/// What the demo's own tokens say unless they are asked to say otherwise: enough for its policy.
#[must_use]
pub fn usual() -> Usual {
    Usual { scope: "accounts payments".to_owned(), client: "demo-app".to_owned() }
}

/// The settings.
#[must_use]
pub fn settings(reserved: &Reserved, log: &str) -> Settings {
    Settings {
        public_url: None,
        listeners: vec![Listener::plain(reserved.gate)],
        upstreams: vec![Upstream::plain(
            "app".into(),
            reserved.echo_address.ip().to_string(),
            reserved.echo_address.port(),
        )],
        policies: PathBuf::new(),
        admin: Some(Admin { address: reserved.admin, credential: None }),
        identity: Identity { headers: true, strip_token: false },
        assertion: None,
        seal: Vec::new(),
        keys: Keys { max_stale: Duration::from_secs(24 * 3_600), allow_http: false, cache_dir: None, proxy: None },
        audit: Audit::new(AuditTarget::Stdout, WhenBlocked::Refuse),
        workers: None,
        telemetry: Telemetry { log: log.into(), format: LogFormat::Text },
        limits: Limits::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_trusts_the_identity_provider_where_it_is() {
        let policy = policy("127.0.0.1:40000".parse().unwrap());
        assert_eq!(policy.matches("http://127.0.0.1:40000").count(), 1, "{policy}");
        assert!(!policy.contains(ISSUER));
    }
}
