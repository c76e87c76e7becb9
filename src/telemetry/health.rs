//! How issuers' keys, the token cache and upstreams are doing, as `/readyz` and `/metrics` show it.

use std::time::Duration;

use crate::token::Timestamp;

/// Whoever can tell. Asked at each scrape, never by a request; must not wait.
pub trait Health: Send + Sync {
    /// Every issuer of the policy, in its order.
    fn issuers(&self) -> Vec<IssuerHealth>;

    /// The cache of verified tokens.
    fn cache(&self) -> CacheUse;
}

/// One issuer's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerHealth {
    /// The policy's name for it.
    pub name: String,
    /// Whether its tokens can be verified.
    pub state: KeyState,
    /// How many usable keys are held.
    pub keys: usize,
    /// When the key set was last fetched with success.
    pub fetched_at: Option<Timestamp>,
    /// What the last fetch failed for; `None`: it did not.
    pub error: Option<String>,
    /// How long until the next fetch.
    pub next_fetch_in: Duration,
    /// Fetches that succeeded since the start.
    pub fetched: u64,
    /// Fetches that failed since the start.
    pub failed: u64,
}

/// Whether an issuer's tokens can be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// The keys are fresh.
    Ready,
    /// The keys are past their lifetime and no newer ones can be had; they are still honoured.
    Stale,
    /// No key is held: requests with this issuer's tokens are refused with 503.
    Waiting,
}

impl KeyState {
    /// Its name, as `/readyz` writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Stale => "stale",
            Self::Waiting => "waiting",
        }
    }

    /// Whether this issuer's tokens can be verified now.
    #[must_use]
    pub const fn is_usable(self) -> bool {
        match self {
            Self::Ready | Self::Stale => true,
            Self::Waiting => false,
        }
    }
}

/// One place of an upstream that has several, or that is asked how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressHealth {
    /// The upstream's name.
    pub upstream: Box<str>,
    /// Where the place is, as the settings say.
    pub address: Box<str>,
    /// Whether it gets requests.
    pub state: AddressState,
    /// How long until it is tried again.
    pub out_for: Duration,
    /// Requests that got no response there.
    pub failures: u64,
    /// How often it was left out for that.
    pub ejections: u64,
    /// Health checks that succeeded and that failed; `None`: it is not asked.
    pub checks: Option<(u64, u64)>,
    /// What the last health check failed for; `None`: it did not.
    pub error: Option<Box<str>>,
}

/// Whether a place of an upstream gets requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressState {
    /// It does.
    Up,
    /// Requests failed there, and it is left out for a while.
    Ejected,
    /// Its health checks fail.
    Unhealthy,
}

impl AddressState {
    /// Its name, as `/readyz` writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Ejected => "ejected",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// What the cache of verified tokens did and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheUse {
    /// Tokens found.
    pub hits: u64,
    /// Tokens not found, so verified.
    pub misses: u64,
    /// Bytes held, by the cache's own reckoning.
    pub bytes: u64,
    /// Tokens held.
    pub entries: u64,
}

/// What the audit log did and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditUse {
    /// Lines written.
    pub written: u64,
    /// Lines lost.
    pub dropped: u64,
    /// Failed writes, retries included.
    pub errors: u64,
    /// Lines not written yet.
    pub waiting_lines: usize,
    /// Their bytes.
    pub waiting_bytes: usize,
    /// When a write failed last; `None`: never.
    pub last_error: Option<Timestamp>,
}
