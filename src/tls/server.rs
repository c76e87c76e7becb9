//! Our side of TLS towards clients: what a listener offers, whom it asks for a certificate, what it never does.
//!
//! What is offered is the same everywhere and not configurable: docs/tls.md lists it, and a test holds the list against
//! this file.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};

use crate::config::settings::{ClientAuth, Listener, ServerTls};
use crate::tls::pem;
use crate::tls::reload::Reloaded;
use crate::tls::roots;

/// What a client asks for by ALPN to be spoken to in HTTP/2.
pub const HTTP2: &[u8] = b"h2";
/// And in HTTP/1.1, as a client is that asks for nothing.
pub const HTTP1: &[u8] = b"http/1.1";

/// How a listener speaks TLS, by what its files last made sense as.
pub type ListenerTls = Arc<Reloaded<ServerConfig>>;

/// Reads the files of every listener, in their order; `None` where one speaks in the clear. Call it where blocking is
/// allowed.
///
/// # Errors
/// A sentence that names the listener and the files that cannot be used.
pub fn load_all(listeners: &[Listener]) -> Result<Vec<Option<ListenerTls>>, String> {
    listeners.iter().map(load).collect()
}

fn load(listener: &Listener) -> Result<Option<ListenerTls>, String> {
    let Some(tls) = &listener.tls else { return Ok(None) };
    let ca = tls.client_auth.as_ref().map(|auth| &auth.ca);
    let files: Vec<PathBuf> = [&tls.cert, &tls.key].into_iter().chain(ca).cloned().collect();
    let wanted = tls.clone();
    Reloaded::load(format!("the TLS of listener {}", listener.address), files, move || config(&wanted))
        .map(Some)
        .map_err(|detail| format!("listener {}: {detail}", listener.address))
}

/// What a listener's files make it: a whole configuration, or a sentence that names the file that is at fault.
///
/// # Errors
/// A file that cannot be read, or a key that is not that of the certificate.
pub fn config(tls: &ServerTls) -> Result<ServerConfig, String> {
    let provider = Arc::new(provider());
    let impossible = |error: rustls::Error| format!("TLS cannot be set up: {error}");
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(impossible)?;
    let builder = match &tls.client_auth {
        None => builder.with_no_client_auth(),
        Some(auth) => builder.with_client_cert_verifier(verifier(auth, &provider)?),
    };
    let (chain, key) = (pem::certificates(&tls.cert)?, pem::private_key(&tls.key)?);
    let unfit = |detail: &dyn std::fmt::Display| {
        format!("the certificate `{}` and the key `{}` do not fit: {detail}", tls.cert.display(), tls.key.display())
    };
    pem::fits(chain.clone(), key.clone_key()).map_err(|detail| unfit(&detail))?;
    let mut config = builder.with_single_cert(chain, key).map_err(|error| unfit(&error))?;
    config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
    // Early data can be replayed: a payment would be made twice.
    config.max_early_data_size = 0;
    if tls.client_auth.is_some() {
        // A resumed session is not verified again: it would go on after its certificate's signer left the file.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    } else {
        // Tickets are sealed with keys of this process alone, which change every few hours and with the files.
        config.ticketer = Ticketer::new().map_err(impossible)?;
    }
    Ok(config)
}

fn verifier(
    auth: &ClientAuth,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, String> {
    let roots = Arc::new(roots(Some(&auth.ca))?);
    let builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
    // Optional: a client without one is let in, one that shows another's is not.
    let builder = if auth.required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(|error| format!("`ca` file `{}` cannot be used: {error}", auth.ca.display()))
}

/// Suites, groups and signatures, in the library's order: it knows better than a list that grows old here.
#[must_use]
pub fn provider() -> CryptoProvider {
    default_provider()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn identity(folder: &Path, name: &str) -> ServerTls {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (cert, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        fs::write(&cert, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        ServerTls { cert, key, client_auth: None }
    }

    #[test]
    fn early_data_is_off_and_both_protocols_are_offered_the_newer_one_first() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(&identity(folder.path(), "a")).unwrap();
        assert_eq!(config.max_early_data_size, 0);
        assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        assert!(config.ticketer.enabled(), "without client certificates a session may be resumed");
    }

    #[test]
    fn nothing_can_be_resumed_where_clients_show_certificates() {
        let folder = tempfile::tempdir().unwrap();
        let plain = identity(folder.path(), "a");
        for required in [true, false] {
            let client_auth = Some(ClientAuth { ca: plain.cert.clone(), required });
            let config = config(&ServerTls { client_auth, ..plain.clone() }).unwrap();
            assert!(!config.session_storage.can_cache() && !config.ticketer.enabled());
            assert_eq!(config.send_tls13_tickets, 0);
        }
    }

    #[test]
    fn files_that_do_not_fit_each_other_are_both_named() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (identity(folder.path(), "one"), identity(folder.path(), "other"));
        let mixed = ServerTls { key: other.key, ..one.clone() };
        let said = config(&mixed).unwrap_err();
        assert!(said.contains("one.pem`") && said.contains("other.key`") && said.contains("do not fit"), "{said}");
        let listener = Listener { tls: Some(mixed), ..Listener::plain(([127, 0, 0, 1], 8443).into()) };
        let said = load_all(&[listener]).unwrap_err();
        assert!(said.starts_with("listener 127.0.0.1:8443: "), "{said}");
        let client_auth = Some(ClientAuth { ca: folder.path().join("nowhere.pem"), required: true });
        assert!(config(&ServerTls { client_auth, ..one }).unwrap_err().contains("nowhere.pem`"));
    }

    /// The lists under a heading of docs/tls.md.
    fn documented(heading: &str) -> Vec<String> {
        let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tls.md")).unwrap();
        let part = text.split("\n## ").find(|part| part.starts_with(heading)).unwrap();
        let items =
            part.lines().filter_map(|line| line.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix(". `"));
        items.map(|item| item.split('`').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_document_lists_exactly_what_is_offered_in_its_order() {
        let provider = provider();
        let suites: Vec<String> = provider.cipher_suites.iter().map(|suite| format!("{:?}", suite.suite())).collect();
        assert_eq!(documented("Cipher suites"), suites);
        let groups: Vec<String> = provider.kx_groups.iter().map(|group| format!("{:?}", group.name())).collect();
        assert_eq!(documented("Key exchange"), groups);
    }
}
