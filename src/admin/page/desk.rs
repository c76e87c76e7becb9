//! Which page is asked for, and by whom.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;

use crate::admin::door::{Behind, Door, Looking};
use crate::admin::inside::Inside;
use crate::admin::page::{front, listing, sheet};
use crate::admin::readiness::Readiness;
use crate::clock;

/// What the pages are made of.
struct Desk {
    readiness: Readiness,
    inside: Arc<Inside>,
}

impl Behind for Desk {
    fn door(&self) -> &Door {
        self.inside.door()
    }
}

/// The routes. What shows the policy asks for [`Looking`].
pub(in crate::admin) fn routes(readiness: Readiness, inside: Arc<Inside>) -> Router {
    Router::new()
        .route("/", get(front))
        .route("/routes", get(listed))
        .route("/page.css", get(style))
        .with_state(Arc::new(Desk { readiness, inside }))
}

async fn front(State(desk): State<Arc<Desk>>) -> Response {
    front::page(&desk.readiness.report(true), desk.door().can_open())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    page: Option<usize>,
}

async fn listed(
    _shown: Looking,
    State(desk): State<Arc<Desk>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let live = desk.inside.in_force();
    let page = asked.ok().and_then(|Query(asked)| {
        let number = asked.page.unwrap_or(1);
        listing::page(&live.policy, clock::now(), number)
    });
    page.unwrap_or_else(|| {
        let last = listing::last_page(&live.policy);
        let hint = format!("`?page=` is all that can be asked for here, and goes from 1 to {last}\n");
        (StatusCode::NOT_FOUND, hint).into_response()
    })
}

async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], sheet::STYLE).into_response()
}
