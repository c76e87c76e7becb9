//! The HTTP client that asks one issuer: own trust roots, no redirects, no proxy, short timeouts.

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::jwks::pace::Pace;
use crate::tls::roots;

/// Makes a client. Reads files: call it where blocking is allowed.
///
/// Left to itself the library would fail where the system has no store of roots.
pub(super) fn client(ca: Option<&Path>, pace: &Pace) -> Result<reqwest::Client, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_root_certificates(roots(ca)?)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(pace.connect)
        .timeout(pace.total)
        .pool_max_idle_per_host(1)
        .user_agent(concat!("stepgate/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| format!("the HTTP client cannot be set up: {error}"))
}
