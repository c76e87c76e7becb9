//! What can be changed on the admin listener, by whoever shows the credential: the log filter, and when files are read anew.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::{QueryRejection, StringRejection};
use axum::extract::{DefaultBodyLimit, FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use crate::admin::credential::Credential;
use crate::audit::timestamp::Rfc3339;
use crate::config::units;
use crate::telemetry::Occasionally;
use crate::telemetry::log_filter::{InForce, LogFilter};

/// What can be done, and what must be shown for it.
pub struct Actions {
    credential: Option<Credential>,
    log: LogFilter,
    /// What SIGHUP does.
    reload: Arc<dyn Fn() + Send + Sync>,
    refused: Occasionally,
}

impl Actions {
    /// Without a credential nothing can be done. `reload` does what SIGHUP does, and does not wait for it.
    #[must_use]
    pub fn new(credential: Option<Credential>, log: LogFilter, reload: Arc<dyn Fn() + Send + Sync>) -> Self {
        Self { credential, log, reload, refused: Occasionally::new(Duration::from_secs(10)) }
    }
}

impl fmt::Debug for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Actions").field("credential", &self.credential).field("log", &self.log).finish_non_exhaustive()
    }
}

/// The routes. What changes something asks for [`Authorized`].
pub(super) fn routes(actions: Actions) -> Router {
    const LONGEST_FILTER: usize = 4 << 10;
    Router::new()
        .route("/log", get(told).put(set).delete(restore).layer(DefaultBodyLimit::max(LONGEST_FILTER)))
        .route("/reload", post(reload))
        .with_state(Arc::new(actions))
}

/// The credential was shown. Only made by looking at a request's.
struct Authorized(());

impl FromRequestParts<Arc<Actions>> for Authorized {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, actions: &Arc<Actions>) -> Result<Self, Response> {
        let Some(credential) = &actions.credential else {
            let hint = "nothing can be changed here without `admin.credential` in stepgate.yaml\n";
            return Err((StatusCode::FORBIDDEN, hint).into_response());
        };
        if shown(&parts.headers).is_some_and(|shown| credential.is(shown)) {
            return Ok(Self(()));
        }
        if let Some(more) = actions.refused.due() {
            let (method, path) = (parts.method.as_str(), parts.uri.path());
            tracing::warn!(method, path, more, "a change was asked for on the admin listener without its credential");
        }
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer realm=\"stepgate admin\"")];
        let hint = "show the credential: `Authorization: Bearer …`\n";
        Err((StatusCode::UNAUTHORIZED, challenge, hint).into_response())
    }
}

/// The one bearer credential of a request.
fn shown(headers: &HeaderMap) -> Option<&[u8]> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else { return None };
    let (scheme, credential) = field.as_bytes().split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(credential)
}

/// What `/log` answers.
#[derive(Debug, Serialize)]
struct Told {
    filter: String,
    configured: String,
    until: Option<Rfc3339>,
}

async fn told(State(actions): State<Arc<Actions>>) -> Json<Told> {
    let InForce { filter, configured, until, .. } = actions.log.current();
    Json(Told { filter, configured, until: until.map(Rfc3339) })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lasting {
    #[serde(rename = "for")]
    lasting: Option<String>,
}

async fn set(
    Authorized(()): Authorized,
    State(actions): State<Arc<Actions>>,
    lasting: Result<Query<Lasting>, QueryRejection>,
    filter: Result<String, StringRejection>,
) -> Response {
    let mistaken = |text: String| (StatusCode::BAD_REQUEST, format!("{text}\n")).into_response();
    let Ok(Query(Lasting { lasting })) = lasting else {
        return mistaken("the only thing to ask for behind the `?` is `for`, as in `?for=10m`".to_owned());
    };
    let lasting = match lasting.as_deref().map(units::duration).transpose() {
        Ok(lasting) => lasting,
        Err(mistake) => return mistaken(format!("`for`: {mistake}; {}", units::DURATION_HELP)),
    };
    let filter = match filter {
        Ok(filter) => filter,
        Err(rejection) => return rejection.into_response(),
    };
    match actions.log.set(filter.trim(), lasting) {
        Ok(change) => {
            if let Some(lasting) = lasting {
                let log = actions.log.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(lasting).await;
                    log.take_back(change);
                });
            }
            told(State(actions)).await.into_response()
        }
        Err(error) => mistaken(error.to_string()),
    }
}

async fn restore(Authorized(()): Authorized, State(actions): State<Arc<Actions>>) -> Response {
    match actions.log.restore() {
        Ok(()) => told(State(actions)).await.into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn reload(Authorized(()): Authorized, State(actions): State<Arc<Actions>>) -> Response {
    tracing::info!("`POST /reload`: the policy folder and every other watched file are looked at now, as on SIGHUP");
    (actions.reload)();
    (StatusCode::ACCEPTED, "the files are looked at now; /readyz and the log tell what comes of it\n").into_response()
}
