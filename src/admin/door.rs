//! Who is let in to what is not for every user of this machine.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

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

    /// Whether there is a credential to show.
    pub(super) fn can_open(&self) -> bool {
        self.credential.is_some()
    }

    /// Lets a request in that shows the credential, else says what is asked for.
    fn open(&self, parts: &Parts, shown: Option<&[u8]>, way: &'static Way) -> Result<(), Refusal> {
        let Some(credential) = &self.credential else {
            return Err(Refusal::NoCredential);
        };
        if shown.is_some_and(|shown| credential.is(shown)) {
            return Ok(());
        }
        let expected = way.is_asked_first && !parts.headers.contains_key(header::AUTHORIZATION);
        if !expected && let Some(more) = self.refused.due() {
            let (method, path) = (parts.method.as_str(), parts.uri.path());
            tracing::warn!(method, path, more, "asked on the admin listener without its credential");
        }
        Err(Refusal::NotShown(way))
    }
}

/// Why somebody is not let in.
pub(super) enum Refusal {
    /// Nobody is.
    NoCredential,
    /// What must be shown was not.
    NotShown(&'static Way),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::NoCredential => {
                let hint =
                    "nothing can be changed here, and no policy read, without `admin.credential` in stepgate.yaml\n";
                (StatusCode::FORBIDDEN, hint).into_response()
            }
            Self::NotShown(Way { challenge, hint, .. }) => {
                (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, *challenge)], *hint).into_response()
            }
        }
    }
}

/// How a credential is asked for.
pub(super) struct Way {
    challenge: &'static str,
    hint: &'static str,
    /// Whether clients come without it first, as browsers do: nothing is wrong then.
    is_asked_first: bool,
}

static BEARER: Way = Way {
    challenge: "Bearer realm=\"stepgate admin\"",
    hint: "show the credential: `Authorization: Bearer …`\n",
    is_asked_first: false,
};
static BROWSER: Way = Way {
    challenge: "Basic realm=\"stepgate\", charset=\"UTF-8\"",
    hint: "show the credential: as the password, under any user name, or as `Authorization: Bearer …`\n",
    is_asked_first: true,
};

/// The credential was shown. Only made by looking at a request's.
pub(super) struct Authorized(());

/// It was shown by whoever may look and no more: a browser's password counts too. Browsers send that by themselves, whatever page had
/// the request made, so it never opens what changes something.
pub(super) struct Looking(());

/// What stands behind a door.
pub(super) trait Behind: Send + Sync {
    /// The door.
    fn door(&self) -> &Door;
}

impl<S: Behind> FromRequestParts<Arc<S>> for Authorized {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<S>) -> Result<Self, Refusal> {
        state.door().open(parts, bearer(&parts.headers), &BEARER).map(Self)
    }
}

impl<S: Behind> FromRequestParts<Arc<S>> for Looking {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<S>) -> Result<Self, Refusal> {
        let only_looks = matches!(parts.method, Method::GET | Method::HEAD);
        let password = if only_looks { password(&parts.headers) } else { None };
        let shown = bearer(&parts.headers).or(password.as_deref());
        state.door().open(parts, shown, &BROWSER).map(Self)
    }
}

/// The one bearer credential of a request.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    shown(headers, b"Bearer ")
}

/// The password of a request, whatever the user is called (RFC 7617 section 2).
fn password(headers: &HeaderMap) -> Option<Vec<u8>> {
    let pair = STANDARD.decode(shown(headers, b"Basic ")?).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    pair.get(colon.checked_add(1)?..).map(<[u8]>::to_vec)
}

/// What stands behind this scheme in the one field there is.
fn shown<'h>(headers: &'h HeaderMap, scheme: &[u8]) -> Option<&'h [u8]> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else { return None };
    let (named, credential) = field.as_bytes().split_at_checked(scheme.len())?;
    named.eq_ignore_ascii_case(scheme).then_some(credential)
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;
    use crate::admin::trial::SECRET;

    impl Behind for Door {
        fn door(&self) -> &Door {
            self
        }
    }

    fn asked(method: &str, authorization: &str) -> Parts {
        let request = Request::builder().method(method).uri("/routes").header(header::AUTHORIZATION, authorization);
        request.body(()).unwrap().into_parts().0
    }

    async fn tried<T: FromRequestParts<Arc<Door>>>(method: &str, authorization: &str) -> bool {
        let door = Arc::new(Door::new(Some(Credential::new(SECRET).unwrap())));
        T::from_request_parts(&mut asked(method, authorization), &door).await.is_ok()
    }

    #[tokio::test]
    async fn a_password_opens_what_is_looked_at_and_never_what_changes_something() {
        let password = format!("Basic {}", STANDARD.encode(format!("x:{SECRET}")));
        for (method, looks) in [("GET", true), ("HEAD", true), ("POST", false), ("PUT", false), ("DELETE", false)] {
            assert_eq!(tried::<Looking>(method, &password).await, looks, "{method}");
            assert!(!tried::<Authorized>(method, &password).await, "{method}");
            let bearer = format!("bearer {SECRET}");
            assert!(tried::<Looking>(method, &bearer).await && tried::<Authorized>(method, &bearer).await);
        }
    }

    #[tokio::test]
    async fn only_the_whole_password_behind_any_user_name_is_one() {
        let pair = |text: &str| format!("Basic {}", STANDARD.encode(text));
        for good in [pair(&format!(":{SECRET}")), pair(&format!("a b:{SECRET}")).replace("Basic", "bASIC")] {
            assert!(tried::<Looking>("GET", &good).await, "{good}");
        }
        for bad in [
            pair(SECRET),
            pair(&format!("{SECRET}:")),
            pair(&format!("x:y:{SECRET}")),
            pair(&format!("x:{SECRET} ")),
            pair("x:"),
            pair(&format!("xx:{SECRET}")).replace('=', ""),
            format!("Basic x:{SECRET}"),
            format!("Basic {SECRET}"),
            "Basic ".to_owned(),
            "Basic".to_owned(),
        ] {
            assert!(!tried::<Looking>("GET", &bad).await, "{bad}");
        }
    }
}
