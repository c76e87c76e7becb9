//! What can be changed on the admin listener, by whoever shows the credential: the log filter, and when files are read anew.

use std::fmt;
use std::sync::Arc;

use axum::extract::rejection::{QueryRejection, StringRejection};
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use crate::admin::door::{Authorized, Behind, Door};
use crate::audit::timestamp::Rfc3339;
use crate::config::units;
use crate::telemetry::log_filter::{InForce, LogFilter};

/// What can be done, by whoever is let in.
pub struct Actions {
    door: Arc<Door>,
    log: LogFilter,
    /// What SIGHUP does.
    reload: Arc<dyn Fn() + Send + Sync>,
}

impl Actions {
    /// `reload` does what SIGHUP does, and does not wait for it.
    #[must_use]
    pub fn new(door: Arc<Door>, log: LogFilter, reload: Arc<dyn Fn() + Send + Sync>) -> Self {
        Self { door, log, reload }
    }
}

impl fmt::Debug for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Actions").field("door", &self.door).field("log", &self.log).finish_non_exhaustive()
    }
}

impl Behind for Actions {
    fn door(&self) -> &Door {
        &self.door
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
    _shown: Authorized,
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

async fn restore(_shown: Authorized, State(actions): State<Arc<Actions>>) -> Response {
    match actions.log.restore() {
        Ok(()) => told(State(actions)).await.into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn reload(_shown: Authorized, State(actions): State<Arc<Actions>>) -> Response {
    tracing::info!("`POST /reload`: the policy folder and every other watched file are looked at now, as on SIGHUP");
    (actions.reload)();
    (StatusCode::ACCEPTED, "the files are looked at now; /readyz and the log tell what comes of it\n").into_response()
}
