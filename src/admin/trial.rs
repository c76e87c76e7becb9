//! A listener to try out, over real sockets, and what tests send to it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::admin::{Actions, AdminListener, Credential, Door, Inside, Jwks, Published, Readiness, router};
use crate::audit::tests::some_policy;
use crate::config::SourceFile;
use crate::demo::Ports;
use crate::demo::setting::settings;
use crate::live::{Live, Snapshot};
use crate::policy::Policy;
use crate::telemetry::log_filter::tests::some_filter;
use crate::telemetry::metrics::tests::{OneIssuer, busy};
use crate::telemetry::{AddressHealth, Health as _, KeyState, Reloads};

/// What a listener is to know.
pub(super) struct Known {
    pub(super) state: KeyState,
    pub(super) audit_blocks: bool,
    pub(super) credential: Option<&'static str>,
    pub(super) told: Arc<Reloads>,
    pub(super) policy: Policy,
    pub(super) upstreams: Vec<AddressHealth>,
}

impl Default for Known {
    fn default() -> Self {
        let (told, policy) = (Arc::new(Reloads::new()), some_policy());
        Self { state: KeyState::Ready, audit_blocks: false, credential: None, told, policy, upstreams: Vec::new() }
    }
}

pub(super) fn serve(state: KeyState, audit_blocks: bool) -> (SocketAddr, Readiness) {
    let (address, readiness, _) = serve_with(state, audit_blocks, None);
    (address, readiness)
}

pub(super) fn serve_with(
    state: KeyState,
    audit_blocks: bool,
    credential: Option<&'static str>,
) -> (SocketAddr, Readiness, Arc<AtomicUsize>) {
    Known { state, audit_blocks, credential, ..Known::default() }.serve()
}

impl Known {
    /// Serves in a thread that the test's end takes with it; counts how often files are asked to be read again.
    pub(super) fn serve(self) -> (SocketAddr, Readiness, Arc<AtomicUsize>) {
        let Self { state, audit_blocks, credential, told, policy, upstreams } = self;
        let listener = AdminListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.address();
        let file =
            SourceFile { name: "policies/a.yaml".into(), folder: "policies".into(), text: "version: 1\n".into() };
        let (files, hash) = ([file].into(), policy.hash().to_owned());
        let live = Arc::new(Live::new(Snapshot { policy, upstream_of_route: vec![0], metadata: None, files }));
        let readiness = Readiness::new(Arc::clone(&live), Arc::new(OneIssuer(state)), told, move || audit_blocks)
            .with_upstreams(Arc::new(move || upstreams.clone()));
        let (filter, subscriber) = some_filter("warn");
        let reloads = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&reloads);
        let reload = Arc::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let door = Arc::new(Door::new(credential.map(|text| Credential::new(text).unwrap())));
        let actions = Actions::new(Arc::clone(&door), filter, reload);
        let settings = settings(&Ports { gate: 0, idp: 0, echo: 0, admin: 0 }.reserve().unwrap(), "info");
        let jwks: Jwks = Arc::new(|| r#"{"keys":[]}"#.to_owned());
        let keys = move |policy: &str| {
            assert_eq!(policy, hash, "of the policy in force");
            let health = OneIssuer(state).issuers().remove(0);
            let jwks = (state != KeyState::Waiting).then(|| r#"{"keys":[{"kty":"EC"}]}"#.into());
            let acr_values_supported = Some(Arc::new(["gold".into()].into()));
            vec![Published { health, issuer: "https://bank.example".into(), jwks, acr_values_supported }]
        };
        let inside = Inside::new(door, live, &settings, Box::new(keys));
        let jwks = (state == KeyState::Ready).then_some(jwks);
        let router = router(readiness.clone(), busy(), actions, inside, jwks);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            tracing::subscriber::with_default(subscriber, || {
                runtime.block_on(listener.serve(router, std::future::pending())).unwrap();
            });
        });
        (address, readiness, reloads)
    }
}

pub(super) fn ask(address: SocketAddr, path: &str, host: &str) -> String {
    send(address, &format!("GET {path}"), &format!("Host: {host}\r\n"), "")
}

pub(super) fn send(address: SocketAddr, what: &str, fields: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(stream, "{what} HTTP/1.1\r\n{fields}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

pub(super) const SECRET: &str = "0123456789abcdef";
pub(super) const HOST: &str = "Host: 127.0.0.1\r\n";

pub(super) fn with_secret() -> String {
    format!("{HOST}Authorization: Bearer {SECRET}\r\n")
}

/// As a browser shows it, once its user has typed it in.
pub(super) fn with_password(password: &str) -> String {
    use base64::Engine as _;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("whoever:{password}"));
    format!("{HOST}Authorization: Basic {pair}\r\n")
}

/// What changes something, or shows programs what requests are judged by.
pub(super) const GUARDED: [&str; 5] = ["PUT /log", "DELETE /log", "POST /reload", "GET /policy", "GET /keys"];
