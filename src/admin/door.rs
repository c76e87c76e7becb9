//! Who is let in to what is not for every user of this machine.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::admin::credential::Credential;
use crate::telemetry::Occasionally;

/// What must be shown. Without a credential nobody is let in.
#[derive(Debug)]
pub struct Door {
    credential: Option<Credential>,
    refused: Occasionally,
}

impl Door {
    /// One that opens to this credential.
    #[must_use]
    pub fn new(credential: Option<Credential>) -> Self {
        Self { credential, refused: Occasionally::new(Duration::from_secs(10)) }
    }
}

/// The credential was shown. Only made by looking at a request's.
pub(super) struct Authorized(());

/// What stands behind a door.
pub(super) trait Behind: Send + Sync {
    /// The door.
    fn door(&self) -> &Door;
}

impl<S: Behind> FromRequestParts<Arc<S>> for Authorized {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<S>) -> Result<Self, Response> {
        let door = state.door();
        let Some(credential) = &door.credential else {
            let hint = "nothing can be changed here, and no policy read, without `admin.credential` in stepgate.yaml\n";
            return Err((StatusCode::FORBIDDEN, hint).into_response());
        };
        if shown(&parts.headers).is_some_and(|shown| credential.is(shown)) {
            return Ok(Self(()));
        }
        if let Some(more) = door.refused.due() {
            let (method, path) = (parts.method.as_str(), parts.uri.path());
            tracing::warn!(method, path, more, "asked on the admin listener without its credential");
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
