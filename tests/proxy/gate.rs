//! A gate with a policy made by hand and a verifier that knows a dozen tokens by name.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stepgate::Reason;
use stepgate::assertion::Keyring;
use stepgate::assurance::mapping::{Accept, Mapping, ValueMapping};
use stepgate::assurance::{
    Assurance, Caller, Challenge, ClaimFacts, ClaimTable, Evidence, Expression, Fact, Issuer, IssuerId, Ladders,
    Method, MethodTable, Pair, Proof, Reading,
};
use stepgate::config::settings::{self as config, Identity, Limits, Listener, ServerTls};
use stepgate::live::{Live, Snapshot};
use stepgate::policy::{
    Allowances, Condition, Demand, HostPattern, Kinds, Match, Methods, Origins, PathPattern, Place, Policy,
    PolicyParts, Requirement, Route, TokenSource,
};
use stepgate::proxy::{Gate, Running, Standings, Verify, bind, serve};
use stepgate::telemetry::{Blocked, Decision, Recorder, StreamEnd, StreamEnded, UpstreamFailure, UpstreamMeter};
use stepgate::tls::{ListenerTls, UpstreamTls};
use stepgate::token::{ClaimPath, Credential, Expectation, KindRule, Rejection, Timestamp, TokenKind};
use stepgate::verification::Rejected;
use tokio::sync::watch;

use super::client::{Client, Response, get};
use super::upstream::{Upstream, eventually};

/// Decides by a token's name what it says.
#[derive(Default)]
pub struct Known {
    asked_for: Arc<Mutex<Vec<IpAddr>>>,
}

impl Verify for Known {
    async fn verify(
        &self,
        credential: &Credential,
        policy: &Policy,
        peer: IpAddr,
        now: Timestamp,
    ) -> Result<Arc<Assurance>, Rejected> {
        self.asked_for.lock().unwrap().push(peer);
        // Nothing is to depend on the answer being there at once.
        tokio::task::yield_now().await;
        let token = credential.expose();
        if let Some(millis) = token.strip_prefix("sleep.") {
            // Not how a verifier may behave: the worker does nothing else meanwhile.
            std::thread::sleep(Duration::from_millis(millis.parse().unwrap()));
        }
        let rejected =
            |reason, retry_after| Rejected { rejection: Rejection::new(reason, "by name"), issuer: None, retry_after };
        if let Some(reason) = token.strip_prefix("bad.").and_then(Reason::from_code) {
            let wait = (reason == Reason::KeysUnavailable).then_some(Duration::from_secs(30));
            return Err(rejected(reason, wait));
        }
        let words: Vec<&str> = token.split('.').collect();
        let has = |word: &str| words.contains(&word);
        let said = |what: &str| words.iter().find_map(|word| word.strip_prefix(what));
        let name = if has("hopeless") { "weak" } else { "bank" };
        let Some(issuer) = policy.issuers().iter().find(|issuer| *issuer.name == *name) else {
            return Err(rejected(Reason::IssuerUnknown, None));
        };
        let issuer = issuer.id;
        let moment = |what| said(what).map(|millis| Timestamp::from_micros(millis.parse::<i64>().unwrap() * 1000));
        let expires = moment("until-").unwrap_or(now.plus_seconds(300));
        if now >= expires.plus_seconds(30) {
            return Err(rejected(Reason::Expired, None));
        }
        let boxed = |text: &str| Some(Box::from(text));
        let age = if has("old") { -3600 } else { -60 };
        Ok(Arc::new(Assurance {
            issuer,
            kind: if has("id") { TokenKind::Id } else { TokenKind::Access },
            evidence: Evidence {
                acr: if has("high") {
                    Fact::Known([Box::from("urn:high")].into())
                } else {
                    Fact::Known([Box::from("urn:low")].into())
                },
                amr: Fact::Known(
                    ["pwd", "o t p"]
                        .map(|value| Method { value: value.into(), class: Default::default(), ignored: false })
                        .into(),
                ),
                auth_time: Fact::Known(moment("signed-").unwrap_or(now.plus_seconds(age))),
                reading: Reading::default(),
            },
            caller: if has("client") { Caller::Client } else { Caller::User },
            subject: boxed(said("sub-").unwrap_or("zoë")),
            client: Some("app 1".into()),
            scopes: if has("scoped") { [Box::from("pay")].into() } else { Default::default() },
            audiences: Default::default(),
            session: said("sid-").or(has("s1").then_some("s1")).map(Into::into),
            at_hash: None,
            claims: ClaimFacts::default(),
            expires,
            issued: Some(now),
        }))
    }
}

/// What was recorded of one decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    pub id: String,
    pub trace: Option<String>,
    pub host: String,
    pub path: String,
    pub route: Option<String>,
    pub reason: Option<Reason>,
    pub status: Option<u16>,
    pub subject: Option<String>,
    pub peer: IpAddr,
    pub method: String,
    pub detail: String,
}

#[derive(Default)]
pub struct Notes {
    pub decided: Mutex<Vec<Noted>>,
    pub failed: Mutex<Vec<(String, Reason, u16)>>,
    /// Why the upstream failed, as operators read it.
    pub causes: Mutex<Vec<String>>,
    /// What each worker asked of the upstream.
    pub meters: Mutex<Vec<UpstreamMeter>>,
    pub refused: Mutex<usize>,
    pub unreadable: Mutex<usize>,
    pub unproxied: Mutex<Vec<(IpAddr, String)>>,
    /// For whom keys would have been fetched.
    pub asked_for: Arc<Mutex<Vec<IpAddr>>>,
    pub handshakes: Mutex<Vec<String>>,
    pub open: Mutex<isize>,
    pub cut: Mutex<usize>,
    /// Tunnels that are open.
    pub tunnels: Mutex<isize>,
    pub blocked: Mutex<bool>,
    /// Streams that were ended: id, route, why and how long they lasted.
    pub ended: Mutex<Vec<(String, String, StreamEnd, Duration)>>,
}

impl Notes {
    /// Connections that were made to the upstream.
    pub fn connections(&self) -> u64 {
        self.meters.lock().unwrap().iter().map(UpstreamMeter::connections).sum()
    }
}

impl Recorder for Notes {
    fn decided(&self, decision: &Decision<'_>) -> Result<(), Blocked> {
        if *self.blocked.lock().unwrap() {
            return Err(Blocked);
        }
        self.decided.lock().unwrap().push(Noted {
            id: decision.id.to_owned(),
            trace: decision.trace.map(str::to_owned),
            host: decision.host.to_owned(),
            path: decision.path.to_owned(),
            route: decision.route.map(|route| route.name.to_string()),
            reason: decision.outcome.err().map(|denial| denial.reason),
            status: decision.status,
            subject: decision.assurance.and_then(|one| one.subject.as_deref()).map(str::to_owned),
            peer: decision.peer,
            method: decision.method.to_owned(),
            detail: decision.detail.to_owned(),
        });
        Ok(())
    }

    fn upstream_failed(&self, failure: &UpstreamFailure<'_>) {
        self.causes.lock().unwrap().push(failure.detail.to_owned());
        self.failed.lock().unwrap().push((failure.upstream.to_owned(), failure.reason, failure.status));
    }

    fn stream_ended(&self, ended: &StreamEnded<'_>) {
        let StreamEnded { id, route, why, lasted, .. } = *ended;
        self.ended.lock().unwrap().push((id.to_owned(), route.to_owned(), why, lasted));
    }

    fn upstream(&self, _: &str) -> UpstreamMeter {
        let meter = UpstreamMeter::default();
        self.meters.lock().unwrap().push(meter.clone());
        meter
    }

    fn connection_opened(&self) {
        *self.open.lock().unwrap() += 1;
    }

    fn tunnel_opened(&self) {
        *self.tunnels.lock().unwrap() += 1;
    }

    fn tunnel_closed(&self) {
        *self.tunnels.lock().unwrap() -= 1;
    }

    fn connections_cut(&self, connections: usize) {
        *self.cut.lock().unwrap() += connections;
    }

    fn connection_closed(&self) {
        *self.open.lock().unwrap() -= 1;
    }

    fn connection_refused(&self, _: IpAddr) {
        *self.refused.lock().unwrap() += 1;
    }

    fn proxy_header_refused(&self, peer: IpAddr, detail: &str) {
        self.unproxied.lock().unwrap().push((peer, detail.to_owned()));
    }

    fn handshake_failed(&self, _: IpAddr, detail: &str) {
        self.handshakes.lock().unwrap().push(detail.to_owned());
    }

    fn request_unreadable(&self, _: IpAddr, _: &str) {
        *self.unreadable.lock().unwrap() += 1;
    }
}

pub struct Running1 {
    pub address: SocketAddr,
    pub notes: Arc<Notes>,
    pub live: Arc<Live>,
    pub standings: Standings,
    pub upstream_tls: Option<Arc<UpstreamTls>>,
    pub tls: Vec<Option<ListenerTls>>,
    shutdown: watch::Sender<bool>,
    running: Option<Running>,
}

/// Settings that a test may change.
pub struct Setup {
    pub limits: Limits,
    pub identity: Identity,
    pub assertion: Option<Arc<Keyring>>,
    pub public_url: Option<String>,
    pub timeout: Option<Duration>,
    pub workers: usize,
    /// The networks whose word on the client is taken.
    pub trusted: Vec<&'static str>,
    pub proxy_protocol: bool,
    pub tls: Option<ServerTls>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            limits: Limits { drain: Duration::from_secs(3), ..Limits::default() },
            identity: Identity { headers: true, strip_token: false },
            assertion: None,
            public_url: None,
            timeout: None,
            workers: 1,
            trusted: Vec::new(),
            proxy_protocol: false,
            tls: None,
        }
    }
}

impl Setup {
    pub fn start(self, upstream: SocketAddr) -> Running1 {
        let timeout = self.timeout;
        let plain = config::Upstream::plain("app".into(), upstream.ip().to_string(), upstream.port());
        self.start_with(config::Upstream { timeout, ..plain })
    }

    /// In front of an upstream with settings of its own.
    pub fn start_with(self, upstream: config::Upstream) -> Running1 {
        let listener = Listener {
            tls: self.tls,
            trusted_peers: self.trusted.iter().map(|net| net.parse().unwrap()).collect(),
            proxy_protocol: self.proxy_protocol,
            ..Listener::plain(([127, 0, 0, 1], 0).into())
        };
        let tls = stepgate::tls::server::load_all(std::slice::from_ref(&listener)).unwrap();
        let bound = bind(std::slice::from_ref(&listener), self.workers).unwrap();
        let address = bound.addresses()[0];
        let upstream_tls = UpstreamTls::load_all(std::slice::from_ref(&upstream)).unwrap();
        let standings = Standings::of(std::slice::from_ref(&upstream));
        let notes = Arc::new(Notes::default());
        let live = Arc::new(Live::new(snapshot()));
        let gate = Arc::new(Gate {
            live: live.clone(),
            verifier: Known { asked_for: notes.asked_for.clone() },
            recorder: notes.clone(),
            tls: tls.clone(),
            listeners: vec![listener],
            upstream_tls: upstream_tls.clone(),
            standings: standings.clone(),
            upstreams: vec![upstream],
            identity: self.identity,
            assertion: self.assertion,
            public_url: self.public_url,
            sealing: None,
            limits: self.limits,
        });
        let (shutdown, told) = watch::channel(false);
        let running = serve(bound, &gate, &told).unwrap();
        let upstream_tls = upstream_tls[0].clone();
        Running1 { address, notes, live, standings, tls, upstream_tls, shutdown, running: Some(running) }
    }
}

/// A gate as it is by default.
pub fn gate(upstream: &Upstream) -> Running1 {
    Setup::default().start(upstream.address)
}

impl Running1 {
    pub fn client(&self) -> Client {
        Client::to(self.address)
    }

    pub fn ask(&self, bytes: impl AsRef<[u8]>) -> Response {
        self.client().ask(bytes)
    }

    pub fn get(&self, path: &str, token: Option<&str>) -> Response {
        self.ask(get(path, token))
    }

    pub fn shut_down(&self) {
        self.shutdown.send_replace(true);
    }

    pub fn join(mut self) {
        self.shut_down();
        self.running.take().unwrap().join().unwrap();
    }

    pub fn decided(&self) -> Vec<Noted> {
        self.notes.decided.lock().unwrap().clone()
    }

    /// Asks for something that is refused for this reason; the upstream must not have seen it, and the record must tell.
    #[track_caller]
    pub fn refused(&self, bytes: impl AsRef<[u8]>, reason: Reason, status: u16, upstream: &Upstream) -> Response {
        let before = upstream.seen().len();
        let response = self.ask(bytes);
        assert_eq!(response.status, status, "{response:?}");
        assert_eq!(upstream.seen().len(), before, "the upstream saw a refused request");
        let noted = self.decided().pop().unwrap();
        assert_eq!((noted.reason, noted.status), (Some(reason), Some(status)));
        assert_only_known_fields(&response);
        response
    }
}

/// No field leaves with a refusal but these.
#[track_caller]
pub fn assert_only_known_fields(response: &Response) {
    let known = [
        "content-type",
        "content-length",
        "cache-control",
        "www-authenticate",
        "retry-after",
        "vary",
        "x-request-id",
        "connection",
        "date",
    ];
    for (name, _) in &response.fields {
        assert!(known.contains(&name.as_str()), "{name} left with a refusal");
    }
    assert_eq!(response.field("cache-control"), Some("no-store"));
    assert_eq!(response.field("content-type"), Some("application/problem+json"));
}

impl Drop for Running1 {
    fn drop(&mut self) {
        self.shutdown.send_replace(true);
        let Some(running) = self.running.take() else { return };
        if std::thread::panicking() {
            return;
        }
        running.join().unwrap();
        eventually(|| *self.notes.open.lock().unwrap() == 0);
    }
}

fn route(name: &str, path: &str, methods: Methods, take: Vec<TokenSource>, require: Requirement) -> Route {
    Route {
        take: take.into(),
        ..Route::new(
            name,
            Match {
                hosts: [HostPattern::Any].into(),
                path: PathPattern::parse(path).unwrap(),
                path_written: path.into(),
                methods,
                ignore_case: false,
                allows: Allowances::default(),
            },
            require,
        )
    }
}

fn demands(conditions: impl IntoIterator<Item = Condition>) -> Requirement {
    Requirement::Demands(Demand { conditions: conditions.into_iter().collect(), ignore_amr: Box::default() })
}

fn issuer(number: u32, name: &str, proofs: Vec<Proof>) -> Issuer {
    let value = ValueMapping {
        trusted: true,
        // Tokens are made by name here, but the policy must see that the issuer can speak of acr and amr at all.
        from: [ClaimPath::parse("acr").unwrap()].into(),
        accept: Accept::default(),
        absent: None,
        rename: BTreeMap::new(),
    };
    Issuer {
        id: IssuerId(number),
        name: name.into(),
        expectation: Expectation {
            issuer: format!("https://{name}.example").into(),
            algorithms: None,
            access: None::<KindRule>,
            id: None,
        },
        mapping: Mapping {
            acr: value.clone(),
            amr: value,
            auth_time: Box::default(),
            subject: Box::default(),
            client: Box::default(),
            scopes: Box::default(),
        },
        client_when: None,
        methods: MethodTable::default(),
        ignore_amr: Box::default(),
        reading: Reading::default(),
        proofs: proofs.into(),
        challenges: Box::default(),
        dialect: stepgate::assurance::Dialect::default(),
        pair: Pair::Bound,
        hints: stepgate::reason::Hints::default(),
        fingerprint: 0,
    }
}

/// The policy that all these tests run under.
pub fn snapshot() -> Snapshot {
    snapshot_but(|_| {})
}

/// The same, changed.
pub fn snapshot_but(change: impl FnOnce(&mut PolicyParts)) -> Snapshot {
    let ladders = Ladders::default();
    let (low, high) = (ladders.rung("single-factor").unwrap(), ladders.rung("multi-factor").unwrap());
    let proof = |rung, acr: &str| Proof {
        rung,
        evidence: Expression::Acr([Box::from(acr)].into()),
        challenge: Challenge::Listed([Box::from(acr)].into()),
    };
    let from = |place, kinds| TokenSource { place, kinds };
    let bearer = || vec![from(Place::Authorization, Kinds::Access)];
    let cookie = |origins| vec![from(Place::Cookie("session".into(), origins), Kinds::Any)];
    let pay = [
        Condition::Level(high),
        Condition::MaxAge(300),
        Condition::Scopes { all: [Box::from("pay")].into(), any: Box::default() },
    ];
    let pair = vec![from(Place::Authorization, Kinds::Access), from(Place::Header("x-id-token".into()), Kinds::Id)];
    let copies = vec![from(Place::Authorization, Kinds::Any), from(Place::Header("x-token".into()), Kinds::Any)];
    let form = vec![from(Place::Form { name: "id_token".into(), forwards_errors: true }, Kinds::Id)];
    let spa = vec![from(Place::Authorization, Kinds::Access), from(Place::Header("x-token".into()), Kinds::Access)];
    let spa =
        route("spa", "/spa/**", Methods::named(["GET".into(), "POST".into()]), spa, demands([Condition::Level(high)]));
    let routes = vec![
        Route { cors: true, ..spa },
        route("public", "/public/**", Methods::Any, Vec::new(), Requirement::Public),
        route("any", "/accounts/**", Methods::Any, bearer(), Requirement::Authenticated),
        route("pay", "/pay/**", Methods::Any, bearer(), demands(pay)),
        route("admin", "/admin/**", Methods::Any, bearer(), demands([Condition::Level(high)])),
        route("read", "/read", Methods::named(["GET".into()]), bearer(), demands([Condition::Level(low)])),
        route("pair", "/pair", Methods::Any, pair, demands([Condition::Level(high)])),
        route("copies", "/copies", Methods::Any, copies, Requirement::Authenticated),
        route("form", "/form/**", Methods::Any, form, demands([Condition::Level(high)])),
        route("app", "/app/**", Methods::Any, cookie(Origins::Same), Requirement::Authenticated),
        Route {
            upgrades: ["tcp".into()].into(),
            ..route("wire", "/wire/**", Methods::Any, Vec::new(), Requirement::Public)
        },
    ];
    let issuers = vec![
        issuer(0, "bank", vec![proof(low, "urn:low"), proof(high, "urn:high")]),
        issuer(1, "weak", vec![proof(low, "urn:low")]),
    ];
    let mut parts = PolicyParts {
        ladders,
        issuers,
        claims: ClaimTable::default(),
        floors: Vec::new(),
        routes,
        hash: "sha256:test".into(),
    };
    change(&mut parts);
    let upstream_of_route = vec![0; parts.routes.len()];
    Snapshot { policy: Policy::new(parts).unwrap(), upstream_of_route, metadata: None, files: Arc::default() }
}
