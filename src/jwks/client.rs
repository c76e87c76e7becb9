//! The HTTP client that asks one issuer: own trust roots, no redirects, a proxy only where the settings name one, short
//! timeouts.

use std::path::Path;
use std::sync::Arc;

use reqwest::Url;
use rustls::ClientConfig;

use crate::jwks::origin::{is_loopback, told};
use crate::jwks::pace::KeySettings;
use crate::tls::roots;

/// A client, and what bounds and explains its answers.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) http: reqwest::Client,
    /// The proxy, for every host but this machine.
    proxy: Option<Url>,
    /// The longest document that is read, in bytes.
    pub(super) most: usize,
}

impl Client {
    /// Makes a client. Reads files: call it where blocking is allowed.
    ///
    /// Left to itself the library would fail where the system has no store of roots, and would ask the environment for a
    /// proxy.
    pub(super) fn new(ca: Option<&Path>, settings: &KeySettings) -> Result<Self, String> {
        let impossible = |error: &dyn std::fmt::Display| format!("the HTTP client cannot be set up: {error}");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?
            .with_root_certificates(roots(ca)?)
            .with_no_client_auth();
        let proxy = settings.proxy.as_deref().map(proxy).transpose()?;
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(settings.pace.connect)
            .timeout(settings.pace.total)
            .pool_max_idle_per_host(1)
            .user_agent(concat!("stepgate/", env!("CARGO_PKG_VERSION")));
        if let Some(proxy) = proxy.clone() {
            let by_proxy = move |url: &Url| (!is_loopback(url)).then(|| proxy.clone());
            builder = builder.proxy(reqwest::Proxy::custom(by_proxy));
        }
        let http = builder.build().map_err(|error| impossible(&error))?;
        Ok(Self { http, proxy, most: settings.limits.bytes })
    }

    /// What a failure to fetch this URL begins with: the proxy, where one is in between.
    pub(super) fn by_way_of(&self, url: &Url) -> String {
        match &self.proxy {
            Some(proxy) if !is_loopback(url) => format!("through the proxy {}: ", told(proxy)),
            Some(_) | None => String::new(),
        }
    }
}

fn proxy(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("`keys.proxy` is not a URL: {error}"))?;
    if url.scheme() != "http" || !url.has_host() {
        return Err("`keys.proxy` is not a URL of the form `http://HOST:PORT`".into());
    }
    Ok(url)
}
