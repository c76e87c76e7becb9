//! The demo's identity provider: discovery, keys, and `/token`, which answers with whatever token is asked for.
//!
//! It signs in nobody, so it must never be trusted by anything but the demo: loopback, a key in memory.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::clock;
use crate::demo::mint::{Mint, Wish};
use crate::token::TokenKind;

/// The routes.
pub fn router(mint: Arc<Mint>) -> Router {
    Router::new()
        .route("/", get(async || HELP))
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/jwks", get(keys))
        .route("/token", get(token))
        .with_state(mint)
}

const HELP: &str = "\
The demo's identity provider. Ask it for a token:

  /token?kind=access&amr=pwd,otp&acr=urn:example:loa:2&age=10m&scope=accounts+payments&sub=alice

  kind      access (default) or id
  amr       how the user signed in, with commas between; left out: the token has no amr
  acr       the authentication context class; left out: the token has no acr
  age       how long ago the user signed in: 30s, 10m, 2h; default 0s; none: the token has no auth_time
  scope     default \"accounts payments\"; empty: the token has none
  sub       the user, default alice
  client    the client, default demo-app; the same as sub: a client that acts for itself
  aud       the audience; default: what the demo's policy expects
  lifetime  how long the token is valid, default 5m; -1m: it has expired
";

async fn discovery(State(mint): State<Arc<Mint>>) -> Response {
    let issuer = mint.issuer();
    Json(json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/jwks"),
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "acr_values_supported": ["urn:example:loa:1", "urn:example:loa:2"],
    }))
    .into_response()
}

async fn keys(State(mint): State<Arc<Mint>>) -> Response {
    Json(mint.key_set()).into_response()
}

async fn token(State(mint): State<Arc<Mint>>, Query(query): Query<Vec<(String, String)>>) -> Response {
    match wish(&query) {
        Ok(wish) => match mint.token(&wish, clock::now()) {
            Ok(token) => format!("{token}\n").into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
        },
        Err(problem) => (StatusCode::BAD_REQUEST, format!("{problem}\n\n{HELP}")).into_response(),
    }
}

/// Reads what a query asks for. What it does not know it refuses, so that a slip of the pen makes no surprising token.
fn wish(query: &[(String, String)]) -> Result<Wish, String> {
    let mut wish = Wish::default();
    for (name, value) in query {
        let given = || Some(value.clone()).filter(|value| !value.is_empty());
        match name.as_str() {
            "kind" => {
                wish.kind = match value.as_str() {
                    "access" => TokenKind::Access,
                    "id" => TokenKind::Id,
                    _ => return Err(format!("`kind={value}`: use `access` or `id`")),
                };
            }
            "amr" => wish.amr = value.split(',').filter(|value| !value.is_empty()).map(str::to_owned).collect(),
            "acr" => wish.acr = given(),
            "age" if value == "none" => wish.age = None,
            "age" => wish.age = Some(seconds(value).ok_or_else(|| no_duration(name, value))?),
            "lifetime" => wish.lifetime = seconds(value).ok_or_else(|| no_duration(name, value))?,
            "scope" => wish.scope.clone_from(value),
            "sub" => wish.subject.clone_from(value),
            "client" => wish.client.clone_from(value),
            "aud" => wish.audience = given(),
            _ => return Err(format!("`{name}` is not known")),
        }
    }
    Ok(wish)
}

fn no_duration(name: &str, value: &str) -> String {
    format!("`{name}={value}` is no duration: use a number and a unit, such as `30s`, `10m` or `2h`")
}

/// A number and a unit, at most ten years either way.
fn seconds(text: &str) -> Option<i64> {
    let at = text.len().checked_sub(1)?;
    let (number, unit) = text.split_at_checked(at)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let seconds = number.parse::<i64>().ok()?.checked_mul(unit)?;
    (-315_360_000..=315_360_000).contains(&seconds).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Wish, String> {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        wish(&pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>())
    }

    #[test]
    fn a_token_is_what_was_asked_for() {
        let wish = read("kind=id&amr=pwd,otp&acr=urn:example:loa:2&age=10m&scope=&sub=bob&lifetime=-1m").unwrap();
        let asked = Wish {
            kind: TokenKind::Id,
            subject: "bob".into(),
            acr: Some("urn:example:loa:2".into()),
            amr: vec!["pwd".into(), "otp".into()],
            age: Some(600),
            scope: String::new(),
            lifetime: -60,
            ..Wish::default()
        };
        assert_eq!(wish, asked);
        assert_eq!(read("age=none").unwrap().age, None);
        assert_eq!(read("amr=").unwrap().amr, Vec::<String>::new());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for query in ["kind=refresh", "age=10", "age=", "age=m", "age=1e9h", "age=99999999999h", "arm=pwd", "age=10µ"]
        {
            assert!(read(query).is_err(), "{query}");
        }
    }
}
