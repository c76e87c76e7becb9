//! Whom an issuer's server must prove to be.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::jwks::IssuerKeysConfig;
use crate::jwks::tests::idp::*;
use crate::telemetry::KeyState;
use crate::token::testing::jwks;
use crate::token::{KeyPlace, KeySource};

pub(super) type Authority = CertifiedIssuer<'static, KeyPair>;

pub(super) fn authority() -> Authority {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// An HTTPS server on loopback that answers every request with a key set; its certificate names `name`.
pub(super) async fn serve(authority: &Authority, name: &str) -> u16 {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, authority).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _head = stream.read(&mut [0; 4096]).await;
            let body = jwks(&[&super::idp::key("a")]);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _gone = stream.write_all(&[head.as_bytes(), &body].concat()).await;
            let _gone = stream.shutdown().await;
        }
    });
    port
}

/// The state and error of an issuer at `https://localhost:port` whose `ca` file holds this certificate.
async fn outcome(port: u16, trusted: Option<&Authority>) -> (KeyState, String) {
    let folder = tempfile::tempdir().unwrap();
    let ca = trusted.map(|authority| {
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, authority.pem()).unwrap();
        path
    });
    let place = KeyPlace::JwksUrl(format!("https://localhost:{port}/jwks").into());
    let config =
        IssuerKeysConfig { name: "bank".into(), issuer: "https://localhost".into(), source: KeySource { place, ca } };
    let store = store(settings(), &[config]);
    eventually("an answer", || store.status()[0].next_fetch_in.as_millis() > 0).await;
    let status = &store.status()[0];
    (status.state, status.error.clone().unwrap_or_default())
}

#[tokio::test]
async fn a_private_authority_is_believed_where_the_policy_names_it_and_nowhere_else() {
    let (ours, other) = (authority(), authority());
    let port = serve(&ours, "localhost").await;
    assert_eq!(outcome(port, Some(&ours)).await, (KeyState::Ready, String::new()));
    for trusted in [Some(&other), None] {
        let (state, error) = outcome(port, trusted).await;
        assert_eq!(state, KeyState::Waiting);
        assert!(error.to_lowercase().contains("certificate"), "{error}");
    }
}

#[tokio::test]
async fn a_new_file_of_authorities_counts_from_the_next_fetch_on() {
    let (old, new) = (authority(), authority());
    let port = serve(&old, "localhost").await;
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, old.pem()).unwrap();
    let place = KeyPlace::JwksUrl(format!("https://localhost:{port}/jwks").into());
    let source = KeySource { place, ca: Some(ca.clone()) };
    let mut settings = settings();
    settings.pace.lifetime = Duration::from_millis(50);
    let config = IssuerKeysConfig { name: "bank".into(), issuer: "https://localhost".into(), source };
    let (store, _keys) = ready(settings, config).await;
    // The server still shows what the old authority signed, and would be believed over an open connection or by a client that
    // was made before.
    std::fs::write(&ca, new.pem()).unwrap();
    eventually("refused", || store.status()[0].error.as_ref().is_some_and(|e| e.contains("certificate"))).await;
    std::fs::write(&ca, "").unwrap();
    eventually("the file is named", || store.status()[0].error.as_ref().is_some_and(|e| e.contains("ca.pem"))).await;
    std::fs::write(&ca, old.pem() + &new.pem()).unwrap();
    eventually("both are believed", || store.status()[0].error.is_none()).await;
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let ours = authority();
    let port = serve(&ours, "other.example").await;
    let (state, error) = outcome(port, Some(&ours)).await;
    assert_eq!(state, KeyState::Waiting);
    assert!(error.contains("not valid for name"), "{error}");
}
