//! `stepgate.yaml`, read and checked: how the process runs (deploy/stepgate.yaml shows all of it). Changing it needs a restart.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

/// Everything in `stepgate.yaml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What clients call us, without a final slash: the scheme and host of links that we make. `None`: as the request says.
    pub public_url: Option<String>,
    /// Where requests are taken. Never empty.
    pub listeners: Vec<Listener>,
    /// Where requests are forwarded. Never empty; names are unique.
    pub upstreams: Vec<Upstream>,
    /// The folder of policy files.
    pub policies: PathBuf,
    /// The admin listener; `None`: there is none.
    pub admin: Option<Admin>,
    /// What upstreams are told of the user.
    pub identity: Identity,
    /// What they are told in its place, signed; `None`: nothing is.
    pub assertion: Option<Assertion>,
    /// Where the keys are that kept cookies are sealed with, the first of them, and opened, all of them; empty: there are none.
    pub seal: Vec<SecretSource>,
    /// How keys are fetched and kept.
    pub keys: Keys,
    /// The audit log.
    pub audit: Audit,
    /// Worker threads; `None`: as many as the cores that the process may use.
    pub workers: Option<usize>,
    /// Logs.
    pub telemetry: Telemetry,
    /// Limits and timeouts.
    pub limits: Limits,
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address to listen on.
    pub address: SocketAddr,
    /// How it speaks TLS; `None`: it does not.
    pub tls: Option<ServerTls>,
    /// Whether each connection begins with a PROXY protocol header. Only with [`Listener::trusted_peers`]; what comes from
    /// elsewhere is closed.
    pub proxy_protocol: bool,
    /// Whose `X-Forwarded-*` and `Forwarded` are believed. Never the whole of the address space.
    pub trusted_peers: Box<[IpNet]>,
}

impl Listener {
    /// A listener that speaks HTTP in the clear and believes nobody about anybody else.
    #[must_use]
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, tls: None, proxy_protocol: false, trusted_peers: Box::default() }
    }
}

/// A listener's side of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// The certificate chain, in PEM, the own certificate first.
    pub cert: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
    /// Whether clients show certificates; `None`: they are not asked to.
    pub client_auth: Option<ClientAuth>,
}

/// Client certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuth {
    /// Who may have signed them, in PEM.
    pub ca: PathBuf,
    /// Whether a client without one is turned away. One that shows a certificate which does not verify always is.
    pub required: bool,
}

/// An upstream: one application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The name by which routes call it.
    pub name: String,
    /// Where it is.
    pub endpoint: Endpoint,
    /// Whether it is spoken to in HTTP/2, by prior knowledge or, with TLS, by ALPN; else in HTTP/1.1. Never guessed.
    pub http2: bool,
    /// How it is spoken to in TLS; `None`: in the clear.
    pub tls: Option<ClientTls>,
    /// How long it may take to answer with a head; `None`: [`Limits::response_head`].
    pub timeout: Option<Duration>,
    /// Where else it is. Spoken to in the same way; a request goes to the place that has the least to do.
    pub others: Box<[Endpoint]>,
    /// How each place is asked whether it is well; `None`: it is not.
    pub health: Option<HealthCheck>,
}

/// How an upstream is asked whether it is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked for, with `GET`.
    pub path: String,
    /// How often.
    pub every: Duration,
    /// How long the answer may take, the connection included.
    pub timeout: Duration,
    /// The statuses that mean it is well. Empty: any of 200 to 299.
    pub status: Box<[u16]>,
}

impl HealthCheck {
    /// A check of a path, with everything else as it is when left out.
    #[must_use]
    pub fn of(path: String) -> Self {
        Self { path, every: Duration::from_secs(10), timeout: Duration::from_secs(2), status: Box::default() }
    }
}

impl Upstream {
    /// An upstream that speaks HTTP/1.1 in the clear.
    #[must_use]
    pub fn plain(name: String, host: String, port: u16) -> Self {
        let (endpoint, others) = (Endpoint::Tcp(host, port), Box::default());
        Self { name, endpoint, http2: false, tls: None, timeout: None, others, health: None }
    }

    /// Everywhere that it is.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        std::iter::once(&self.endpoint).chain(&self.others)
    }
}

/// Where an upstream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A host, a name or an address (an IPv6 address without brackets), and a port.
    Tcp(String, u16),
    /// A Unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// An upstream's TLS, seen from us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// Who may have signed its certificate, in PEM; `None`: the system's store, else the compiled-in list.
    pub ca: Option<PathBuf>,
    /// Our own certificate chain and its key, in PEM, where it wants to see one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name that its certificate must have, and that SNI says; `None`: the endpoint's host.
    pub server_name: Option<String>,
}

/// The admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// The address to listen on: a loopback one.
    pub address: SocketAddr,
    /// What whoever changes something must show; `None`: nothing can be changed there.
    pub credential: Option<SecretSource>,
}

/// Where a secret is, for whoever may look there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable.
    Env(String),
    /// A file; white space around it is no part of the secret.
    File(PathBuf),
    /// 32 random bytes in base64, gone with the process: the demo's. No file of settings can ask for them.
    Drawn,
}

/// What upstreams are told of the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Whether `X-Stepgate-*` headers are set. Those that clients send are removed in any case.
    pub headers: bool,
    /// Whether the token is taken out before a request is forwarded.
    pub strip_token: bool,
}

/// A signed assertion of the caller, in the place of headers and token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    /// The files of its private keys, in PEM. The first signs; all are published. Never empty.
    pub keys: Box<[PathBuf]>,
    /// How long one counts.
    pub lifetime: Duration,
}

impl Assertion {
    /// How long one counts, where the settings do not say.
    pub const LIFETIME: Duration = Duration::from_mins(1);
}

/// How keys are fetched and kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// How long the last good key set is honoured while no new one can be had.
    pub max_stale: Duration,
    /// Whether issuers other than loopback ones may be asked over plain HTTP.
    pub allow_http: bool,
    /// The folder in which the last good sets are kept for a start without the issuer; `None`: nowhere.
    pub cache_dir: Option<PathBuf>,
    /// The HTTP proxy through which issuers are asked, such as `http://proxy:3128`; `None`: directly. The environment is
    /// not asked.
    pub proxy: Option<String>,
}

/// The audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Where it goes.
    pub to: AuditTarget,
    /// What becomes of a request whose line cannot be queued.
    pub when_blocked: WhenBlocked,
    /// How a file is kept small; `None`: by others, who send SIGHUP when they have moved it away.
    pub rotate: Option<Rotation>,
    /// When lines in a file are on the disk itself.
    pub sync: Sync,
}

impl Audit {
    /// A power cut costs no more than the last second of an audit file.
    pub const SYNC: Sync = Sync::Every(Duration::from_secs(1));

    /// An audit log with everything else as it is when left out.
    #[must_use]
    pub const fn new(to: AuditTarget, when_blocked: WhenBlocked) -> Self {
        Self { to, when_blocked, rotate: None, sync: Self::SYNC }
    }
}

/// How an audit file is kept small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The size in bytes from which on a new file is begun.
    pub size: u64,
    /// How many older files are kept, as `PATH.1` (the newest) and so on.
    pub keep: usize,
}

/// When lines in an audit file are on the disk itself. With each of these they outlive the process at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// When the system sees fit.
    System,
    /// Before the next batch is written.
    Batch,
    /// At the latest after so long.
    Every(Duration),
}

/// Where the audit log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditTarget {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// This file, appended to.
    File(PathBuf),
}

/// What becomes of a request whose audit line cannot be queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenBlocked {
    /// It is refused (`overloaded`): nothing is forwarded without a record.
    Refuse,
    /// It goes on and the line is lost; losses are counted.
    Drop,
}

/// Logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// The least severe level that is logged, or a `tracing` filter.
    pub log: String,
    /// How lines are written to standard error.
    pub format: LogFormat,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For eyes.
    Text,
}

/// Limits and timeouts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest token, in bytes.
    pub token: usize,
    /// The longest request head, in bytes.
    pub head: usize,
    /// The longest request body, in bytes; `None`: any.
    pub body: Option<u64>,
    /// The longest form that is read for a token, in bytes.
    pub form: usize,
    /// What the cache of verified tokens may hold, in bytes.
    pub token_cache: u64,
    /// Open connections from clients.
    pub connections: usize,
    /// Requests under way at once, over all connections.
    pub requests: usize,
    /// Fields in a head.
    pub headers: usize,
    /// Streams open at once on one HTTP/2 connection.
    pub streams: u32,
    /// The longest key set of an issuer, in bytes.
    pub jwks: usize,
    /// The most keys in a key set.
    pub jwks_keys: usize,
    /// How long requests may go on after SIGTERM.
    pub drain: Duration,
    /// How long a client may take to send a head.
    pub head_read: Duration,
    /// How long a connection may stay open between requests.
    pub idle: Duration,
    /// How long a connection to an upstream may take.
    pub connect: Duration,
    /// How long an upstream may take to answer with a head.
    pub response_head: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            token: 16 << 10,
            head: 32 << 10,
            body: None,
            form: 64 << 10,
            token_cache: 64 << 20,
            connections: 10_000,
            requests: 20_000,
            headers: 100,
            streams: 100,
            jwks: 1 << 20,
            jwks_keys: 100,
            drain: Duration::from_secs(30),
            head_read: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            connect: Duration::from_secs(2),
            response_head: Duration::from_secs(60),
        }
    }
}
