//! Where the rooms meet that `gate` puts together: configuration, keys and tokens, the proxy.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::cli::output::Failure;
use crate::config::Settings;
use crate::live::Live;
use crate::live::folder::PolicyFile;
use crate::policy::Policy;
use crate::telemetry::{CacheUse, Health, IssuerHealth, Recorder};

/// A policy, compiled, with what was found odd about it.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) policy: Policy,
    pub(super) keys: KeySources,
    pub(super) lints: Vec<String>,
}

/// Where the keys of the policy's issuers come from.
#[derive(Debug)]
pub(super) struct KeySources;

/// Reads `stepgate.yaml`.
///
/// # Errors
/// Every problem in it, rendered.
pub(super) fn settings(file: PolicyFile) -> Result<Settings, Failure> {
    Err(Failure::could_not_run(format!("`{}` cannot be understood by this build", file.name)))
}

/// Compiles the files of a policy folder.
///
/// # Errors
/// Every problem in them, rendered.
pub(super) fn policy(files: Vec<PolicyFile>) -> Result<Compiled, Failure> {
    let names: Vec<String> = files.into_iter().map(|file| file.name).collect();
    Err(Failure::could_not_run(format!("`{}` cannot be understood by this build", names.join("`, `"))))
}

/// Keys and verified tokens.
#[derive(Debug)]
pub(super) struct Tokens;

impl Tokens {
    /// Begins to fetch the keys of the policy's issuers, on this runtime.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub(super) fn start(_settings: &Settings, _keys: &KeySources, _control: &Handle) -> Result<Self, Failure> {
        Ok(Self)
    }
}

impl Health for Tokens {
    fn issuers(&self) -> Vec<IssuerHealth> {
        Vec::new()
    }

    fn cache(&self) -> CacheUse {
        CacheUse::default()
    }
}

/// The proxy, its ports bound.
#[derive(Debug)]
pub(super) struct Proxy {
    addresses: Vec<SocketAddr>,
}

impl Proxy {
    /// Binds every listener.
    ///
    /// # Errors
    /// For a port that is busy or cannot be bound.
    pub(super) fn bind(settings: &Settings) -> Result<Self, Failure> {
        Ok(Self { addresses: settings.listeners.iter().map(|listener| listener.address).collect() })
    }

    /// Where it listens.
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves until `shutdown` turns true and the requests under way are done, or `limits.drain` has passed.
    ///
    /// # Errors
    /// When a worker cannot be started.
    pub(super) fn run(
        self,
        _live: Arc<Live>,
        _tokens: Arc<Tokens>,
        _recorder: Arc<dyn Recorder>,
        _shutdown: watch::Receiver<bool>,
    ) -> Result<(), Failure> {
        Err(Failure::could_not_run("this build has no proxy"))
    }
}
