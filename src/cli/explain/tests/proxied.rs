//! What is explained is what the running proxy does: random policies, requests and tokens, over real sockets.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use proptest::test_runner::TestCaseError;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::worlds::{Made, busy_worlds};
use super::{runner, sign, signed_in};
use crate::cli::explain::told::{Explained, Given, Keys, What};
use crate::cli::explain::walk::{How, Question, explain};
use crate::cli::gate::control_runtime;
use crate::cli::parts::{Proxy, Tokens};
use crate::clock;
use crate::config::settings::Listener;
use crate::config::{Loaded, Settings, SourceFile, cases, load_policy, load_settings};
use crate::live::{Live, Snapshot};
use crate::policy::Policy;
use crate::reason::Reason;
use crate::telemetry::{Blocked, Decision, Recorder, UpstreamFailure};
use crate::token::testing::{CLIENT, ISSUER, NOW, Signer, credential, jwks, key_set};
use crate::token::{Algorithm, KeySet};

/// The last decision that was recorded.
#[derive(Debug, Default)]
struct Last(Mutex<Option<Option<Reason>>>);

impl Recorder for Last {
    fn decided(&self, decision: &Decision<'_>) -> Result<(), Blocked> {
        *self.0.lock().unwrap() = Some(decision.outcome.err().map(|denial| denial.reason));
        Ok(())
    }

    fn upstream_failed(&self, failure: &UpstreamFailure<'_>) {
        panic!("the upstream failed: {}", failure.detail);
    }
}

/// What a client and the audit log are told of one request.
#[derive(Debug, PartialEq, Eq)]
struct Came {
    reason: Option<Reason>,
    status: u16,
    challenge: Option<String>,
}

impl Came {
    /// What is explained to come.
    fn explained(told: &Explained) -> Self {
        let response = told.response.as_ref();
        Self {
            reason: told.denial.as_ref().map(|denial| denial.reason),
            status: response.map_or(UPSTREAM_S, |response| response.status),
            challenge: response.and_then(|response| response.challenge.clone()),
        }
    }
}

/// A status that the gate itself never answers.
const UPSTREAM_S: u16 = 299;

/// The proxy as `stepgate run` puts it together, and its parts that a reload changes.
struct Gate {
    address: SocketAddr,
    settings: Settings,
    tokens: Arc<Tokens>,
    live: Arc<Live>,
    last: Arc<Last>,
    keys: Arc<KeySet>,
    folder: tempfile::TempDir,
    stop: watch::Sender<bool>,
    proxy: JoinHandle<()>,
    _control: Runtime,
}

/// Answers whatever it is asked; one request a connection.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            read_head(&mut stream);
            let answer = format!("HTTP/1.1 {UPSTREAM_S} Fine\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    address
}

fn read_head(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
        head.extend(byte);
    }
    String::from_utf8(head).unwrap()
}

impl Gate {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let signer = [Signer::shared(Algorithm::Es256)];
        std::fs::write(folder.path().join("keys.json"), jwks(&signer)).unwrap();
        let upstream = upstream();
        let text = format!(
            "version: 1\nlisteners: [ {{ address: \"127.0.0.1:8080\" }} ]\nupstreams: {{ app: {{ url: \"http://{upstream}\" }} }}\n\
             workers: 1\n"
        );
        let file = SourceFile { name: "stepgate.yaml".into(), folder: ".".into(), text };
        let settings = load_settings(file).unwrap().settings;
        let settings = Settings { listeners: vec![Listener::plain(([127, 0, 0, 1], 0).into())], ..settings };
        let proxy = Proxy::bind(&settings).unwrap();
        let address = proxy.addresses()[0];
        let Loaded { policy, keys, .. } = load("version: 1\nroutes: []\n", folder.path()).unwrap();
        let control = control_runtime().unwrap();
        let tokens = Arc::new(Tokens::start(&settings, policy.hash(), &keys, control.handle()).unwrap());
        let live = Arc::new(Live::new(Snapshot::new(policy, &settings).unwrap()));
        let last = Arc::new(Last::default());
        let (stop, stopped) = watch::channel(false);
        let proxy = {
            let (live, tokens) = (Arc::clone(&live), Arc::clone(&tokens));
            let last: Arc<dyn Recorder> = Arc::<Last>::clone(&last);
            thread::spawn(move || proxy.run(live, tokens, last, &stopped).unwrap())
        };
        let keys = Arc::new(key_set(&signer));
        Self { address, settings, tokens, live, last, keys, folder, stop, proxy, _control: control }
    }

    /// Puts a policy in force as a reload does; `None`: the loader takes it not.
    fn enforces(&self, text: &str) -> Option<Policy> {
        let Loaded { policy, keys, .. } = load(text, self.folder.path())?;
        self.tokens.take_up(policy.hash(), &keys);
        self.live.swap(Snapshot::new(policy.clone(), &self.settings).unwrap());
        self.tokens.let_go(&[]);
        Some(policy)
    }

    /// What comes of a request.
    fn asked(&self, request: &str, texts: &[(bool, String)]) -> Came {
        let (method, authority, path) = cases::request(request).unwrap();
        let mut stream = TcpStream::connect(self.address).unwrap();
        let tokens = texts.iter().map(|(is_id, text)| match is_id {
            true => format!("X-Id: {text}\r\n"),
            false => format!("Authorization: Bearer {text}\r\n"),
        });
        let tokens: String = tokens.collect();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {authority}\r\n{tokens}Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
        *self.last.0.lock().unwrap() = None;
        stream.write_all(head.as_bytes()).unwrap();
        let head = read_head(&mut stream);
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut fields = head.lines().filter_map(|line| line.split_once(": "));
        let challenge = fields.find(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"));
        let reason = self.last.0.lock().unwrap().take().expect("a decision was recorded");
        Came { reason, status, challenge: challenge.map(|(_, value)| value.to_owned()) }
    }

    /// What is explained of it, now.
    fn explained(&self, policy: &Policy, request: &str, texts: &[(bool, String)]) -> Explained {
        let (method, authority, path) = cases::request(request).unwrap();
        let given = texts.iter().map(|(_, text)| Given { name: "t".into(), what: What::Token(Ok(credential(text))) });
        let (given, now) = (given.collect::<Vec<_>>(), clock::now());
        let keys = [Keys::Read { set: Arc::clone(&self.keys), from: "keys".into() }];
        let (given, keys) = (&*given, &keys);
        let (metadata, supported, gate) = (None, &[], None);
        let how = How::Plain;
        explain(&Question {
            policy,
            keys,
            request,
            method,
            authority,
            path,
            given,
            metadata,
            how,
            supported,
            gate,
            now,
        })
    }

    fn end(self) {
        self.stop.send_replace(true);
        self.proxy.join().unwrap();
    }
}

/// A policy whose issuer's keys are in a file.
fn load(text: &str, folder: &std::path::Path) -> Option<Loaded> {
    let keys = folder.join("keys.json").display().to_string();
    let from = format!("    issuer: {ISSUER}\n");
    let text = text.replace(&from, &format!("{from}    keys: {{ jwks_file: {keys:?} }}\n"));
    load_policy(vec![SourceFile { name: "p.yaml".into(), folder: ".".into(), text }]).ok()
}

/// The same claims, made now: those of the worlds are of another day.
fn today(claims: &Value) -> Value {
    let since = clock::now().seconds() - NOW.seconds();
    let mut claims = claims.clone();
    for name in ["iat", "exp", "auth_time"] {
        if let Some(at) = claims[name].as_i64() {
            claims[name] = json!(at + since);
        }
    }
    claims
}

/// Each token's text, and whether it stands where the worlds' routes look for id_tokens; `None`: two would stand in one place,
/// which is refused before either is looked at, and no part of what is explained.
fn texts(made: &[Made]) -> Option<Vec<(bool, String)>> {
    let texts: Vec<_> = made.iter().map(|(claims, good)| (claims["aud"] == CLIENT, sign(claims, *good))).collect();
    match &*texts {
        [(one, _), (other, _)] if one == other => None,
        _ => Some(texts),
    }
}

#[test]
fn the_running_proxy_does_what_is_explained_and_lets_in_the_sign_in_that_it_names() {
    #[derive(Default)]
    struct Counts {
        all: u32,
        allowed: u32,
        routed: u32,
        mended: u32,
        reasons: BTreeMap<Reason, u32>,
    }
    let (gate, counts) = (Gate::start(), RefCell::new(Counts::default()));
    let one = |policy: &Policy, request: &'static str, made: &[Made]| -> Result<(), String> {
        let made: Vec<Made> = made.iter().map(|(claims, good)| (today(claims), *good)).collect();
        let Some(tokens) = texts(&made) else { return Ok(()) };
        let told = gate.explained(policy, request, &tokens);
        let came = gate.asked(request, &tokens);
        let mut counts = counts.borrow_mut();
        counts.all += 1;
        counts.allowed += u32::from(came.status == UPSTREAM_S);
        counts.routed += u32::from(told.route.is_some());
        came.reason.into_iter().for_each(|reason| *counts.reasons.entry(reason).or_default() += 1);
        if came != Came::explained(&told) {
            return Err(format!("explained {:?}\nthe proxy did {came:?}\n{request}\n{made:?}", Came::explained(&told)));
        }
        let Some(mend) = told.client.as_ref().and_then(|client| client.mend.as_ref()) else { return Ok(()) };
        counts.mended += 1;
        let again: Vec<Made> =
            made.iter().map(|(claims, good)| (signed_in(claims, &mend.claims, &mend.scopes), *good)).collect();
        let came = gate.asked(request, &texts(&again).unwrap());
        if came.status != UPSTREAM_S {
            return Err(format!("{mend:?} does not mend: {came:?}\n{request}\n{again:?}"));
        }
        Ok(())
    };
    let result = runner(60).run(&busy_worlds(), |(text, requests)| {
        let Some(policy) = gate.enforces(&text) else { return Err(TestCaseError::reject("no policy")) };
        let mut requests = requests.iter();
        let failed = requests.try_for_each(|(request, made)| one(&policy, request, made));
        failed.map_err(|why| TestCaseError::fail(format!("{why}\n{text}")))
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
    gate.end();
    let Counts { all, allowed, routed, mended, reasons } = counts.into_inner();
    assert!(all >= 800, "too few to mean anything: {all}");
    assert!(allowed * 10 >= all * 3 && routed * 10 >= all * 3, "{allowed} allowed, {routed} with a route, of {all}");
    assert!(mended >= 60 && reasons.len() >= 15, "too few to mean anything: {mended} mended, {reasons:?}");
}
