//! The proxy as `stepgate run` puts it together, to be asked what is explained, and an upstream behind it.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread::{self, JoinHandle};

use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::sent::{Form, Kept, Sent, Spoilt};
use super::sign;
use super::worlds::Made;
use crate::cli::explain::beside::{Beside, KeptClaims};
use crate::cli::explain::setting::{Setting, seal};
use crate::cli::explain::told::{Explained, Given, Keys, What};
use crate::cli::explain::walk::{How, Question, explain};
use crate::cli::gate::control_runtime;
use crate::cli::parts::{Proxy, Tokens};
use crate::clock;
use crate::config::settings::Listener;
use crate::config::{Loaded, Settings, SourceFile, cases, load_policy_without_lints, load_settings};
use crate::live::{Live, Snapshot};
use crate::policy::Policy;
use crate::reason::Reason;
use crate::seal;
use crate::telemetry::{Blocked, Decision, Recorder, UpstreamFailure};
use crate::token::testing::{API, CLIENT, ISSUER, Signer, credential, jwks, key_set, parsed};
use crate::token::{Algorithm, Json, KeySet, Timestamp, verify};

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
pub(super) struct Came {
    pub(super) reason: Option<Reason>,
    pub(super) status: u16,
    challenge: Option<String>,
    /// The kept cookies that the answer sets (`+`) and deletes (`-`).
    pub(super) cookies: Vec<String>,
}

impl Came {
    /// What is explained to come.
    pub(super) fn explained(told: &Explained) -> Self {
        let response = told.response.as_ref();
        let keeps = told.keeps.iter().filter(|keeps| keeps.until.is_ok()).map(|keeps| format!("+{}", keeps.cookie));
        let mut cookies: Vec<String> = keeps.chain(told.deletes.iter().map(|name| format!("-{name}"))).collect();
        cookies.sort();
        Self {
            cookies,
            reason: told.denial.as_ref().map(|denial| denial.reason),
            status: response.map_or(UPSTREAM_S, |response| response.status),
            challenge: response.and_then(|response| response.challenge.clone()),
        }
    }
}

/// A status that the gate itself never answers.
pub(super) const UPSTREAM_S: u16 = 299;

/// The proxy as `stepgate run` puts it together, and its parts that a reload changes.
pub(super) struct Gate {
    address: SocketAddr,
    settings: Settings,
    tokens: Arc<Tokens>,
    live: Arc<Live>,
    last: Arc<Last>,
    keys: Arc<KeySet>,
    setting: Setting,
    folder: tempfile::TempDir,
    stop: watch::Sender<bool>,
    proxy: JoinHandle<()>,
    /// The cookie that was set last.
    pub(super) kept: RefCell<Option<String>>,
    _control: Runtime,
}

/// A request as it is asked, and explained.
pub(super) struct Ask {
    pub(super) request: &'static str,
    /// The tokens, and whether each stands where the worlds' routes look for id_tokens.
    pub(super) texts: Vec<(bool, String)>,
    pub(super) beside: Beside,
}

/// Answers whatever it is asked; one request a connection.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let head = read_head(&mut stream);
            // With what is left unread the connection would be reset, before anybody read the answer.
            let length = head
                .to_lowercase()
                .split_once("content-length: ")
                .and_then(|(_, rest)| rest.lines().next()?.parse().ok());
            stream.read_exact(&mut vec![0; length.unwrap_or(0)]).unwrap();
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
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let signer = [Signer::shared(Algorithm::Es256)];
        std::fs::write(folder.path().join("keys.json"), jwks(&signer)).unwrap();
        std::fs::write(folder.path().join("seal.key"), SEAL_KEY).unwrap();
        let upstream = upstream();
        let text = format!(
            "version: 1\nlisteners: [ {{ address: \"127.0.0.1:8080\" }} ]\nupstreams: {{ app: {{ url: \"http://{upstream}\" }} }}\n\
             workers: 1\nseal: {{ keys: [ {{ file: seal.key }} ] }}\nlimits: {{ form: 4KiB }}\n"
        );
        let file = SourceFile { name: "stepgate.yaml".into(), folder: folder.path().into(), text };
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
        let file = std::path::Path::new("stepgate.yaml");
        let seal = seal(&[], Some((file, &settings)), "").unwrap();
        let setting = Setting { public_url: None, limits: settings.limits.clone(), seal };
        Self {
            setting,
            address,
            settings,
            tokens,
            live,
            last,
            keys,
            folder,
            stop,
            proxy,
            kept: RefCell::default(),
            _control: control,
        }
    }

    /// Puts a policy in force as a reload does; `None`: the loader takes it not.
    pub(super) fn enforces(&self, text: &str) -> Option<Policy> {
        let Loaded { policy, keys, .. } = load(text, self.folder.path())?;
        self.tokens.take_up(policy.hash(), &keys);
        self.live.swap(Snapshot::new(policy.clone(), &self.settings).unwrap());
        self.tokens.let_go(&[]);
        Some(policy)
    }

    /// What comes of a request.
    pub(super) fn asked(&self, ask: &Ask) -> Came {
        let (method, authority, path) = cases::request(ask.request).unwrap();
        let query = ask.request.split_once('?').map(|(_, query)| format!("?{query}")).unwrap_or_default();
        let mut stream = TcpStream::connect(self.address).unwrap();
        let tokens = ask.texts.iter().map(|(is_id, text)| match is_id {
            true => format!("X-Id: {text}\r\n"),
            false => format!("Authorization: Bearer {text}\r\n"),
        });
        let mut fields: String = tokens.collect();
        fields += &match &ask.beside.origin {
            Some(origin) => format!("Origin: {origin}\r\n"),
            None => "Sec-Fetch-Site: same-origin\r\n".to_owned(),
        };
        if let Some((_, cookies)) = &ask.beside.cookies {
            fields += &format!("Cookie: {cookies}\r\n");
        }
        let body: &[u8] = ask.beside.form.as_ref().map_or(&[], |(_, form)| form);
        if ask.beside.form.is_some() {
            fields += "Content-Type: application/x-www-form-urlencoded\r\n";
        }
        let head = format!(
            "{method} {path}{query} HTTP/1.1\r\nHost: {authority}\r\n{fields}Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        *self.last.0.lock().unwrap() = None;
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let head = read_head(&mut stream);
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let field = |wanted: &'static str| {
            let fields = head.lines().filter_map(|line| line.split_once(": "));
            fields.filter(move |(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
        };
        let mut cookies: Vec<String> = field("set-cookie")
            .map(|cookie| match cookie.split(';').next().unwrap().split_once('=').unwrap() {
                (name, "") => format!("-{name}"),
                (name, value) => {
                    *self.kept.borrow_mut() = Some(format!("{name}={value}"));
                    format!("+{name}")
                }
            })
            .collect();
        cookies.sort();
        let reason = self.last.0.lock().unwrap().take().expect("a decision was recorded");
        Came { reason, status, challenge: field("www-authenticate").next().map(str::to_owned), cookies }
    }

    /// What is explained of it, now.
    pub(super) fn explained(&self, policy: &Policy, ask: &Ask) -> Explained {
        let request = ask.request;
        let (method, authority, path) = cases::request(request).unwrap();
        let given =
            ask.texts.iter().map(|(_, text)| Given { name: "t".into(), what: What::Token(Ok(credential(text))) });
        let (given, now) = (given.collect::<Vec<_>>(), clock::now());
        let keys = [Keys::Read { set: Arc::clone(&self.keys), from: "keys".into() }];
        let (given, keys) = (&*given, &keys);
        let (metadata, supported, gate) = (None, &[], None);
        let (how, beside, setting) = (How::Plain, &ask.beside, &self.setting);
        explain(&Question {
            policy,
            keys,
            request,
            method,
            authority,
            path,
            given,
            beside,
            setting,
            metadata,
            how,
            supported,
            gate,
            now,
        })
    }

    /// The cookie of a sign-in that was kept, as a gate would have made it.
    fn cookie(&self, policy: &Policy, kept: &Kept, now: Timestamp) -> Option<String> {
        let (at, text) = (now.plus_seconds(-kept.ago), sign(&kept.claims, true));
        let issuer = policy.issuer_of(kept.claims["iss"].as_str().unwrap())?;
        let token = parsed(&text).unwrap();
        let (verified, _) = verify(token, &self.keys, &issuer.expectation, at).ok()?;
        let assurance = issuer.assess(&verified, policy.claims());
        let renamed =
            (kept.spoilt == Spoilt::OfOtherIssuer).then(|| load(&OTHER_ISSUER, self.folder.path()).unwrap().policy);
        let policy = renamed.as_ref().unwrap_or(policy);
        let sealed = seal::Kept::of(&credential(&text), &assurance, policy, 3_600, at).ok()?.to_bytes().unwrap();
        let key =
            if kept.spoilt == Spoilt::OfOtherKey { SEAL_KEY.replace("AAEC", "BBBB") } else { SEAL_KEY.to_owned() };
        let keys = seal::Keyring::new(&[seal::SealKey::parse(&key).unwrap()]).unwrap();
        let host = if kept.spoilt == Spoilt::OfOtherHost { "other.example" } else { "app.example" };
        let value = keys.seal(sealed, seal::Label { cookie: "__Host-k", host }, [7; seal::NONCE]).unwrap();
        // What a cookie has no room for is not kept.
        (value.len() <= 4_000).then_some(())?;
        Some(match kept.spoilt {
            Spoilt::Altered => {
                let (before, rest) = value.split_at(40);
                let other = if rest.starts_with('x') { 'y' } else { 'x' };
                format!("__Host-k={before}{other}{}", rest.split_at(1).1)
            }
            Spoilt::Twice => format!("__Host-k={value}; __Host-k={value}"),
            Spoilt::MadeUp => "__Host-k=made-up".to_owned(),
            Spoilt::Empty => "__Host-k=".to_owned(),
            Spoilt::Not | Spoilt::OfOtherHost | Spoilt::OfOtherKey | Spoilt::OfOtherIssuer => {
                format!("theme=dark; __Host-k={value}")
            }
        })
    }

    /// What is sent, and the claims in place of its cookie where they say the same.
    pub(super) fn ask(&self, policy: &Policy, sent: &Sent) -> Option<(Ask, Option<Ask>)> {
        let now = clock::now();
        let texts = texts(&sent.tokens)?;
        let mut beside = Beside { origin: sent.origin.map(str::to_owned), ..Beside::default() };
        let cookie = sent.kept.as_ref().and_then(|kept| self.cookie(policy, kept, now));
        let token = sent.in_cookie.as_ref().map(|(claims, good)| format!("t={}", sign(claims, *good)));
        let cookies: Vec<String> = cookie.into_iter().chain(token).collect();
        beside.cookies = (!cookies.is_empty()).then(|| ("c".to_owned(), cookies.join("; ")));
        beside.form = sent.form.as_ref().map(|form| ("f".to_owned(), posted(form).into()));
        let claims =
            sent.kept.as_ref().filter(|kept| kept.spoilt == Spoilt::Not && sent.in_cookie.is_none()).map(|kept| {
                let claims = Json::parse(&kept.claims.to_string()).unwrap();
                let (route, keep) =
                    policy.routes().iter().find_map(|route| Some((route, route.keep.as_deref()?.clone()))).unwrap();
                let (route, hosts, at) = (route.name.clone(), route.matches.hosts.clone(), now.plus_seconds(-kept.ago));
                let kept = KeptClaims { name: "k".into(), claims, typ: None, at, keep, route, hosts };
                let beside = Beside { cookies: None, kept: Some(kept), ..beside.clone() };
                Ask { request: sent.request, texts: texts.clone(), beside }
            });
        Some((Ask { request: sent.request, texts, beside }, claims))
    }

    pub(super) fn end(self) {
        self.stop.send_replace(true);
        self.proxy.join().unwrap();
    }
}

/// What is posted.
fn posted(form: &Form) -> Vec<u8> {
    match form {
        Form::Token((claims, good), name, before, after) => {
            format!("{before}{name}={}{after}", sign(claims, *good)).into()
        }
        Form::Text(text) => (*text).into(),
        Form::Long(length) => [&b"x="[..], &vec![b'y'; *length - 2]].concat(),
    }
}

const SEAL_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// The worlds' issuer by another name.
static OTHER_ISSUER: LazyLock<String> = LazyLock::new(|| {
    format!(
        "version: 1\nissuers:\n  other:\n    issuer: {ISSUER}\n    access: {{ audiences: [\"{API}\"] }}\n    id: {{ audiences: [{CLIENT}] }}\nroutes: []\n"
    )
});

/// A policy whose issuer's keys are in a file.
fn load(text: &str, folder: &std::path::Path) -> Option<Loaded> {
    let keys = folder.join("keys.json").display().to_string();
    let from = format!("    issuer: {ISSUER}\n");
    let text = text.replace(&from, &format!("{from}    keys: {{ jwks_file: {keys:?} }}\n"));
    load_policy_without_lints(vec![SourceFile { name: "p.yaml".into(), folder: ".".into(), text }]).ok()
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
