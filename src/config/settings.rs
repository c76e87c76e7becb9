//! `stepgate.yaml`, read and checked: how the process runs (deploy/stepgate.yaml shows all of it). Changing it needs a restart.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

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
    pub admin: Option<SocketAddr>,
    /// What upstreams are told of the user.
    pub identity: Identity,
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
}

/// An upstream: one application, reached over plain HTTP/1.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The name by which routes call it.
    pub name: String,
    /// Its host: a name or an address (an IPv6 address without brackets).
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How long it may take to answer with a head; `None`: [`Limits::response_head`].
    pub timeout: Option<Duration>,
}

/// What upstreams are told of the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Whether `X-Stepgate-*` headers are set. Those that clients send are removed in any case.
    pub headers: bool,
    /// Whether the token is taken out before a request is forwarded.
    pub strip_token: bool,
}

/// How keys are fetched and kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// How long the last good key set is honoured while no new one can be had.
    pub max_stale: Duration,
    /// Whether issuers other than loopback ones may be asked over plain HTTP.
    pub allow_http: bool,
}

/// The audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Where it goes.
    pub to: AuditTarget,
    /// What becomes of a request whose line cannot be queued.
    pub when_blocked: WhenBlocked,
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
    /// What the cache of verified tokens may hold, in bytes.
    pub token_cache: u64,
    /// Open connections from clients.
    pub connections: usize,
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
            token_cache: 64 << 20,
            connections: 10_000,
            drain: Duration::from_secs(30),
            head_read: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            connect: Duration::from_secs(2),
            response_head: Duration::from_secs(60),
        }
    }
}
