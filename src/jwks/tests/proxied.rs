//! Issuers that are asked through a proxy.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::jwks::tests::idp::*;
use crate::jwks::tests::tls::{authority, serve};
use crate::jwks::{IssuerKeysConfig, KeySettings};
use crate::telemetry::KeyState;
use crate::token::testing::jwks;
use crate::token::{KeyPlace, KeySource};

/// A proxy to which every host is this machine.
struct Proxy {
    url: String,
    /// The request lines that it was sent.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass_on(stream, Arc::clone(&seen)));
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn pass_on(mut client: TcpStream, asked: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if client.read_exact(&mut byte).await.is_err() {
            return;
        }
        head.extend(byte);
    }
    let line = String::from_utf8(head.clone()).unwrap().lines().next().unwrap().to_owned();
    asked.lock().unwrap().push(line.clone());
    let target = line.split(' ').nth(1).unwrap();
    let authority = target.trim_start_matches("http://").split('/').next().unwrap();
    let port: u16 = authority.rsplit(':').next().unwrap().parse().unwrap();
    let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    if line.starts_with("CONNECT ") {
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    } else {
        server.write_all(&head).await.unwrap();
    }
    let _closed = copy_bidirectional(&mut client, &mut server).await;
}

fn through(proxy: &str) -> KeySettings {
    KeySettings { proxy: Some(proxy.into()), allow_http: true, ..settings() }
}

fn at(url: &str, ca: Option<std::path::PathBuf>) -> IssuerKeysConfig {
    let source = KeySource { place: KeyPlace::JwksUrl(url.into()), ca };
    IssuerKeysConfig { name: "bank".into(), issuer: "https://idp.example".into(), source }
}

#[tokio::test]
async fn an_https_issuer_is_asked_through_a_tunnel_in_which_it_proves_who_it_is() {
    let (ours, other) = (authority(), authority());
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, ours.pem()).unwrap();
    let proxy = Proxy::start().await;
    let port = serve(&ours, "idp.example").await;
    let url = format!("https://idp.example:{port}/jwks");
    ready(through(&proxy.url), at(&url, Some(ca.clone()))).await;
    assert_eq!(proxy.asked(), [format!("CONNECT idp.example:{port} HTTP/1.1")], "it sees the host, and nothing else");

    let imposter = serve(&other, "idp.example").await;
    let store = store(through(&proxy.url), &[at(&format!("https://idp.example:{imposter}/jwks"), Some(ca))]);
    eventually("the fetch fails", || store.status()[0].failed > 0).await;
    let error = store.status()[0].error.clone().unwrap();
    assert!(error.to_lowercase().contains("certificate"), "{error}");
}

#[tokio::test]
async fn a_plain_http_issuer_is_asked_through_the_proxy_too() {
    let (idp, proxy) = (Idp::start().await, Proxy::start().await);
    let url = idp.url.replace("127.0.0.1", "idp.example") + "/jwks";
    idp.set(&url, 200, "", jwks(&[&key("a")]));
    ready(through(&proxy.url), at(&url, None)).await;
    assert_eq!(proxy.asked(), [format!("GET {url} HTTP/1.1")]);
}

#[tokio::test]
async fn this_machine_is_asked_directly() {
    let (idp, proxy) = (Idp::start().await, Proxy::start().await);
    idp.keys(&[&key("a")]);
    for host in ["127.0.0.1", "localhost"] {
        let url = idp.url.replace("127.0.0.1", host) + "/jwks";
        ready(through(&proxy.url), at(&url, None)).await;
    }
    assert_eq!(proxy.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_proxy_that_is_down_is_told_from_an_issuer_that_is() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for url in ["https://idp.example/jwks", "http://idp.example/jwks"] {
        let store = store(through(&format!("http://user:secret@{gone}")), &[at(url, None)]);
        eventually("the fetch fails", || store.status()[0].failed > 0).await;
        let status = &store.status()[0];
        let error = status.error.clone().unwrap();
        assert_eq!(status.state, KeyState::Waiting);
        assert!(error.contains(&format!("through the proxy http://{gone}/")), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn a_proxy_that_refuses_is_said_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _head = stream.read(&mut [0; 4096]).await;
            let _gone = stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    let store = store(through(&proxy), &[at("https://idp.example/jwks", None)]);
    eventually("the fetch fails", || store.status()[0].failed > 0).await;
    let error = store.status()[0].error.clone().unwrap();
    assert!(error.contains("through the proxy") && error.contains("unsuccessful"), "{error}");
}

#[tokio::test]
async fn a_proxy_that_is_none_is_a_failed_fetch() {
    for bad in ["socks5://127.0.0.1:1", "proxy:3128", "", "https://proxy:3128"] {
        let store = store(through(bad), &[at("https://idp.example/jwks", None)]);
        eventually("the fetch fails", || store.status()[0].failed > 0).await;
        assert!(store.status()[0].error.as_ref().unwrap().contains("keys.proxy"), "{bad}");
    }
}
