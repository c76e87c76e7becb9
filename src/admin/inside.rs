//! What requests are judged by, for whoever shows the credential: the policy in force and the keys of its issuers.
//! `stepgate explain --admin` judges by both. No secret is among it: policies name theirs by their place, and of key sets only
//! usable public keys are kept.

use std::fmt;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::admin::door::{Authorized, Behind, Door};
use crate::config::{Settings, settings};
use crate::live::{Live, Snapshot};
use crate::telemetry::timestamp::Rfc3339;
use crate::telemetry::{IssuerHealth, KeyState};

/// The version of what is told. Members may be added under it; none goes or changes its meaning.
const VERSION: u32 = 1;

/// The keys of one issuer, as requests are judged by them now.
#[derive(Clone, Debug)]
pub struct Published {
    /// How they are doing.
    pub health: IssuerHealth,
    /// The issuer's `iss`.
    pub issuer: Box<str>,
    /// Its usable public keys, as a key set document; `None`: there are none to honour.
    pub jwks: Option<Arc<str>>,
    /// What the issuer's discovery document says of `acr`, where it does.
    pub acr_values_supported: Option<Arc<Box<[Box<str>]>>>,
}

/// The keys of the issuers of the policy with this hash.
pub type KeysOf = dyn Fn(&str) -> Vec<Published> + Send + Sync;

/// What can be looked at, by whoever is let in.
pub struct Inside {
    door: Arc<Door>,
    live: Arc<Live>,
    public_url: Option<Box<str>>,
    limits: Limits,
    keys: Box<KeysOf>,
}

/// The settings that bound tokens, key sets and what is posted.
#[derive(Clone, Copy, Debug, Serialize)]
struct Limits {
    token: usize,
    jwks: usize,
    jwks_keys: usize,
    form: usize,
    body: Option<u64>,
}

impl Inside {
    /// `keys` knows the keys of the policies that requests are judged by.
    #[must_use]
    pub fn new(door: Arc<Door>, live: Arc<Live>, settings: &Settings, keys: Box<KeysOf>) -> Self {
        let settings::Limits { token, jwks, jwks_keys, form, body, .. } = settings.limits;
        let limits = Limits { token, jwks, jwks_keys, form, body };
        Self { door, live, public_url: settings.public_url.as_deref().map(Into::into), limits, keys }
    }

    /// What is in force.
    pub(super) fn in_force(&self) -> Arc<Snapshot> {
        self.live.current()
    }
}

impl fmt::Debug for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inside").field("door", &self.door).finish_non_exhaustive()
    }
}

impl Behind for Inside {
    fn door(&self) -> &Door {
        &self.door
    }
}

/// The routes. Each asks for [`Authorized`].
pub(super) fn routes(inside: Arc<Inside>) -> Router {
    Router::new().route("/policy", get(policy)).route("/keys", get(keys)).with_state(inside)
}

#[derive(Debug, Serialize)]
struct PolicyTold {
    v: u32,
    version: &'static str,
    policy: Box<str>,
    public_url: Option<Box<str>>,
    limits: Limits,
    files: Vec<FileTold>,
}

#[derive(Debug, Serialize)]
struct FileTold {
    name: String,
    folder: String,
    text: String,
}

async fn policy(_shown: Authorized, State(inside): State<Arc<Inside>>) -> Json<PolicyTold> {
    let live = inside.in_force();
    let files = live.files.iter().map(|file| FileTold {
        name: file.name.clone(),
        folder: file.folder.display().to_string(),
        text: file.text.clone(),
    });
    Json(PolicyTold {
        v: VERSION,
        version: env!("CARGO_PKG_VERSION"),
        policy: live.policy.hash().into(),
        public_url: inside.public_url.clone(),
        limits: inside.limits,
        files: files.collect(),
    })
}

#[derive(Debug, Serialize)]
struct KeysTold {
    v: u32,
    policy: Box<str>,
    issuers: Vec<IssuerTold>,
}

#[derive(Debug, Serialize)]
struct IssuerTold {
    name: String,
    issuer: Box<str>,
    state: &'static str,
    fetched_at: Option<Rfc3339>,
    error: Option<String>,
    acr_values_supported: Option<Box<[Box<str>]>>,
    jwks: Option<Box<RawValue>>,
}

async fn keys(_shown: Authorized, State(inside): State<Arc<Inside>>) -> Json<KeysTold> {
    let live = inside.in_force();
    let issuers = (inside.keys)(live.policy.hash()).into_iter().map(IssuerTold::from).collect();
    Json(KeysTold { v: VERSION, policy: live.policy.hash().into(), issuers })
}

impl From<Published> for IssuerTold {
    fn from(published: Published) -> Self {
        let Published { health, issuer, jwks, acr_values_supported } = published;
        let jwks = jwks.and_then(|text| RawValue::from_string(text.as_ref().to_owned()).ok());
        // Keys that were let go between two looks are not told as honoured.
        let state = if jwks.is_none() { KeyState::Waiting } else { health.state };
        Self {
            name: health.name,
            issuer,
            state: state.name(),
            fetched_at: health.fetched_at.map(Rfc3339),
            error: health.error,
            acr_values_supported: acr_values_supported.map(|values| Box::clone(&values)),
            jwks,
        }
    }
}
