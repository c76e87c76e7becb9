//! Our side of TLS towards upstreams: whom we believe, what we show, and nothing that falls back to less.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::config::settings::{ClientTls, Endpoint, Upstream};
use crate::tls::pem;
use crate::tls::reload::Reloaded;
use crate::tls::roots;

/// How one upstream is spoken to in TLS.
#[derive(Debug)]
pub struct UpstreamTls {
    config: Arc<Reloaded<ClientConfig>>,
    name: ServerName<'static>,
    /// The names of the places that it is in besides the first, in their order.
    others: Box<[ServerName<'static>]>,
}

impl UpstreamTls {
    /// Reads an upstream's files; `None` where it is spoken to in the clear. Call it where blocking is allowed.
    ///
    /// # Errors
    /// A sentence that names the upstream and what of its `tls` cannot be used.
    pub fn load(upstream: &Upstream) -> Result<Option<Arc<Self>>, String> {
        let Some(tls) = &upstream.tls else { return Ok(None) };
        let what = format!("the TLS of upstream `{}`", upstream.name);
        let refused = |detail: String| format!("upstream `{}`: {detail}", upstream.name);
        let name = |endpoint: &Endpoint| {
            let host = match (&tls.server_name, endpoint) {
                (Some(name), Endpoint::Tcp(..)) => name,
                (None, Endpoint::Tcp(host, _)) => host,
                (_, Endpoint::Unix(_)) => return Err(refused("TLS is not spoken over a Unix socket".into())),
            };
            ServerName::try_from(host.clone())
                .map_err(|error| refused(format!("`{host}` cannot be the name in a certificate: {error}")))
        };
        let others = upstream.others.iter().map(name).collect::<Result<_, _>>()?;
        let name = name(&upstream.endpoint)?;
        let (wanted, http2) = (tls.clone(), upstream.http2);
        let config = Reloaded::load(what, files(tls), move || config(&wanted, http2)).map_err(refused)?;
        Ok(Some(Arc::new(Self { config, name, others })))
    }

    /// How the place of this number is spoken to: with the same files, under its own name. `None`: there is none.
    #[must_use]
    pub fn at(&self, number: usize) -> Option<Arc<Self>> {
        let name = match number.checked_sub(1) {
            None => &self.name,
            Some(other) => self.others.get(other)?,
        };
        let config = Arc::clone(&self.config);
        Some(Arc::new(Self { config, name: name.clone(), others: Box::default() }))
    }

    /// The same for each upstream, in their order.
    ///
    /// # Errors
    /// As [`UpstreamTls::load`], for the first that cannot be used.
    pub fn load_all(upstreams: &[Upstream]) -> Result<Vec<Option<Arc<Self>>>, String> {
        upstreams.iter().map(Self::load).collect()
    }

    /// What holds for a connection that is made now.
    #[must_use]
    pub fn config(&self) -> Arc<ClientConfig> {
        self.config.current()
    }

    /// What takes up changed files while it runs.
    #[must_use]
    pub fn reloaded(&self) -> Arc<Reloaded<ClientConfig>> {
        Arc::clone(&self.config)
    }

    /// The name that the upstream's certificate must have. SNI says it too, unless it is an address.
    #[must_use]
    pub fn name(&self) -> ServerName<'static> {
        self.name.clone()
    }
}

fn files(tls: &ClientTls) -> Vec<PathBuf> {
    let own = tls.identity.iter().flat_map(|(cert, key)| [cert, key]);
    tls.ca.iter().chain(own).cloned().collect()
}

/// The protocol that an upstream must choose by ALPN. One that chooses none speaks HTTP/1.1.
pub const HTTP2: &[u8] = b"h2";
/// The other one.
pub const HTTP1: &[u8] = b"http/1.1";

fn config(tls: &ClientTls, http2: bool) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_root_certificates(roots(tls.ca.as_deref())?);
    let mut config = match &tls.identity {
        Some((cert, key)) => {
            let (chain, own) = (pem::certificates(cert)?, pem::private_key(key)?);
            let unfit = |detail: &dyn std::fmt::Display| {
                format!("the certificate `{}` and the key `{}` do not fit: {detail}", cert.display(), key.display())
            };
            pem::fits(chain.clone(), own.clone_key()).map_err(|detail| unfit(&detail))?;
            builder.with_client_auth_cert(chain, own).map_err(|error| unfit(&error))?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![if http2 { HTTP2.to_vec() } else { HTTP1.to_vec() }];
    // Replayed early data would be a request that is carried out twice.
    config.enable_early_data = false;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(tls: ClientTls) -> Upstream {
        Upstream { tls: Some(tls), ..Upstream::plain("ledger".into(), "ledger.example".into(), 8443) }
    }

    #[test]
    fn one_protocol_is_offered_and_never_early_data() {
        for (http2, offered) in [(true, "h2"), (false, "http/1.1")] {
            let tls = UpstreamTls::load(&Upstream { http2, ..upstream(ClientTls::default()) }).unwrap().unwrap();
            assert_eq!(tls.config().alpn_protocols, [offered.as_bytes()]);
            assert!(!tls.config().enable_early_data);
        }
        assert!(UpstreamTls::load(&Upstream::plain("app".into(), "a".into(), 1)).unwrap().is_none());
    }

    #[test]
    fn the_name_is_the_hosts_unless_another_is_given() {
        let name = |upstream: &Upstream| UpstreamTls::load(upstream).unwrap().unwrap().name();
        assert_eq!(name(&upstream(ClientTls::default())).to_str(), "ledger.example");
        let other = ClientTls { server_name: Some("inner.example".into()), ..ClientTls::default() };
        assert_eq!(name(&upstream(other)).to_str(), "inner.example");
        let endpoint = Endpoint::Tcp("::1".into(), 8443);
        let address = Upstream { endpoint, ..upstream(ClientTls::default()) };
        assert!(matches!(name(&address), ServerName::IpAddress(_)));
    }

    #[test]
    fn each_place_has_its_own_name_unless_one_is_given_for_all() {
        let others: Box<[Endpoint]> = [Endpoint::Tcp("10.0.0.8".into(), 8443)].into();
        let names = |tls: ClientTls| {
            let upstream = Upstream { others: others.clone(), ..upstream(tls) };
            let tls = UpstreamTls::load(&upstream).unwrap().unwrap();
            (0..3).map(|place| tls.at(place).map(|tls| tls.name().to_str().into_owned())).collect::<Vec<_>>()
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(names(ClientTls::default()), [text("ledger.example"), text("10.0.0.8"), None]);
        let given = ClientTls { server_name: Some("inner.example".into()), ..ClientTls::default() };
        assert_eq!(names(given), [text("inner.example"), text("inner.example"), None]);
    }

    #[test]
    fn files_that_cannot_be_used_are_told_with_the_upstreams_name() {
        let folder = tempfile::tempdir().unwrap();
        let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
        let refused = |tls| UpstreamTls::load(&upstream(tls)).unwrap_err();
        let missing = refused(ClientTls { ca: Some(cert.clone()), ..ClientTls::default() });
        assert!(missing.contains("`ledger`") && missing.contains("cert.pem"), "{missing}");
        let [one, other] = [(); 2].map(|()| rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap());
        std::fs::write(&cert, one.cert.pem()).unwrap();
        std::fs::write(&key, other.signing_key.serialize_pem()).unwrap();
        let identity = Some((cert, key.clone()));
        let mismatch = refused(ClientTls { identity: identity.clone(), ..ClientTls::default() });
        assert!(mismatch.contains("do not fit"), "{mismatch}");
        std::fs::write(&key, one.signing_key.serialize_pem()).unwrap();
        assert!(UpstreamTls::load(&upstream(ClientTls { identity, ..ClientTls::default() })).is_ok());
        let nameless = refused(ClientTls { server_name: Some("not a name".into()), ..ClientTls::default() });
        assert!(nameless.contains("`not a name`"), "{nameless}");
        let unix = Upstream { endpoint: Endpoint::Unix("/s".into()), ..upstream(ClientTls::default()) };
        assert!(UpstreamTls::load(&unix).unwrap_err().contains("Unix socket"));
    }
}
