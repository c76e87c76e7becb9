//! A small HTTP server that plays an issuer, and what tests ask of a store.
#![expect(clippy::arithmetic_side_effects, reason = "test code")]

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

use crate::jwks::{IssuerKeys, IssuerKeysConfig, KeySettings, KeyStore, Pace};
use crate::token::testing::{Signer, jwks};
use crate::token::{Algorithm, KeyPlace, KeySource};

/// A server whose answers can be changed while it runs.
#[derive(Clone)]
pub(super) struct Idp {
    pub(super) url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    answers: HashMap<String, Answer>,
    asked: HashMap<String, usize>,
    delay: Duration,
}

#[derive(Clone)]
struct Answer {
    status: u16,
    headers: String,
    body: Vec<u8>,
}

impl Idp {
    /// A server that knows no document yet.
    pub(super) async fn start() -> Self {
        Self::listen(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(super) fn listen(listener: TcpListener) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let serving = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&serving)));
            }
        });
        Self { url, state }
    }

    pub(super) fn set(&self, path: &str, status: u16, headers: &str, body: impl Into<Vec<u8>>) {
        let answer = Answer { status, headers: headers.to_owned(), body: body.into() };
        self.state.lock().unwrap().answers.insert(path.to_owned(), answer);
    }

    /// Serves these keys at `/jwks`.
    pub(super) fn keys(&self, signers: &[&Signer]) {
        self.set("/jwks", 200, "", jwks(signers));
    }

    /// Serves a discovery document that names `/jwks`.
    pub(super) fn discovery(&self) {
        let document = serde_json::json!({
            "issuer": self.url, "jwks_uri": format!("{}/jwks", self.url), "acr_values_supported": ["1", "2"],
        });
        self.set("/.well-known/openid-configuration", 200, "", document.to_string());
    }

    pub(super) fn delay(&self, delay: Duration) {
        self.state.lock().unwrap().delay = delay;
    }

    /// How often this path was asked for.
    pub(super) fn asked(&self, path: &str) -> usize {
        self.state.lock().unwrap().asked.get(path).copied().unwrap_or_default()
    }

    pub(super) fn by_url(&self, name: &str) -> IssuerKeysConfig {
        config(name, &self.url, KeyPlace::JwksUrl(format!("{}/jwks", self.url).into()))
    }

    pub(super) fn by_discovery(&self, name: &str) -> IssuerKeysConfig {
        config(name, &self.url, KeyPlace::Discovery)
    }
}

async fn answer(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read_exact(&mut byte).await.is_err() {
            return;
        }
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let (answer, delay) = {
        let mut state = state.lock().unwrap();
        *state.asked.entry(path.clone()).or_default() += 1;
        let missing = Answer { status: 404, headers: String::new(), body: Vec::new() };
        (state.answers.get(&path).cloned().unwrap_or(missing), state.delay)
    };
    tokio::time::sleep(delay).await;
    let Answer { status, headers, body } = answer;
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n", body.len());
    let _gone = stream.write_all(&[head.as_bytes(), &body].concat()).await;
}

pub(super) fn config(name: &str, issuer: &str, place: KeyPlace) -> IssuerKeysConfig {
    IssuerKeysConfig { name: name.into(), issuer: issuer.into(), source: KeySource { place, ca: None } }
}

/// The usual settings, with everything short that a test would wait for.
pub(super) fn settings() -> KeySettings {
    let millis = Duration::from_millis;
    let pace = Pace {
        shortest_lifetime: millis(50),
        first_retry: millis(20),
        last_retry: millis(50),
        file_poll: millis(20),
        first_wait: millis(2000),
        total: millis(2000),
        ..Pace::USUAL
    };
    KeySettings { pace, ..KeySettings::new(Duration::from_secs(3600), false) }
}

pub(super) fn store(settings: KeySettings, configs: &[IssuerKeysConfig]) -> KeyStore {
    let store = KeyStore::new(settings, Handle::current());
    store.apply(configs);
    store
}

/// A store of one issuer, with its first set.
pub(super) async fn ready(settings: KeySettings, config: IssuerKeysConfig) -> (KeyStore, Arc<IssuerKeys>) {
    let store = store(settings, std::slice::from_ref(&config));
    let keys = store.get(&config.name).unwrap();
    keys.first().await.unwrap();
    (store, keys)
}

/// Waits for something that the background is to bring about.
pub(super) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(holds(), "{what}");
}

pub(super) fn key(kid: &str) -> Signer {
    Signer::new(Algorithm::Es256, kid)
}

pub(super) fn peer(n: u8) -> IpAddr {
    SocketAddr::from(([192, 0, 2, n], 0)).ip()
}
