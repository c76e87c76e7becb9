//! The demo's identity provider: keys, and `/token`, which answers with whatever token is asked for.
//!
//! It signs in nobody, so it must never be trusted by anything but the demo: loopback, keys in memory.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::clock;
use crate::demo::mint::Mint;
use crate::demo::wish::Wish;

/// The routes. `own`: what the provider calls itself, where the policy names it under this name; it answers for every
/// other issuer too, but has no discovery document for them.
pub fn router(mint: Arc<Mint>, own: Option<String>) -> Router {
    let router = Router::new().route("/", get(help)).route("/jwks", get(keys)).route("/token", get(token));
    let router = match own {
        Some(issuer) => router.route("/.well-known/openid-configuration", get(async move || Json(discovery(&issuer)))),
        None => router,
    };
    router.with_state(mint)
}

const HELP: &str = "\
The demo's identity provider. Ask it for a token:

  /token?kind=access&amr=pwd,otp&acr=urn:example:loa:2&age=10m&scope=accounts+payments&sub=alice

  issuer    whose token: the policy's name for the issuer; left out: the only one
  kind      access or id; default access, where the policy takes access tokens of this issuer
  amr       how the user signed in, with commas between; left out: the token has no amr
  acr       the authentication context class; left out: the token has no acr
  age       how long ago the user signed in: 30s, 10m, 2h; default 0s; none: the token has no auth_time
  scope     with spaces between, where the issuer's mapping looks first; empty: the token has none
  sub       the user, default alice
  client    the client, where the issuer's mapping looks first; the same as sub: a client that acts for itself
  aud       the audience; default: the first that the policy expects of this kind
  lifetime  how long the token is valid, default 5m; -1m: it has expired
  typ       typ of the header; default: the first that the policy takes; none: the header has no typ
  claim.X   any claim X, or one below others: claim./ext/method. What reads as JSON is JSON, anything else is text;
            empty: the claim is taken out
  claims    a JSON object with claims: they go over all others
  test      a token of the *.test.yaml beside the policy, by its name; with it only typ, claim.X and claims
";

async fn help(State(mint): State<Arc<Mint>>) -> String {
    manual(&mint)
}

/// The parameters, and what they can name here.
fn manual(mint: &Mint) -> String {
    let mut text = HELP.to_owned();
    let mut add = |line: String| writeln!(text, "{line}").unwrap_or_default();
    add("\nIssuers here:".to_owned());
    for issuer in mint.issuers() {
        let kinds = [("access", &issuer.access), ("id", &issuer.id)];
        let taken = kinds.into_iter().filter_map(|(kind, shape)| Some((kind, shape.as_ref()?)));
        let taken: Vec<String> = taken.map(|(kind, shape)| format!("{kind} tokens for {}", shape.audience)).collect();
        add(format!("  {}  {}  {}", issuer.name, issuer.iss, taken.join(", ")));
    }
    let tests: Vec<&str> = mint.tests().collect();
    if !tests.is_empty() {
        add(format!("\nTokens of the tests: {}", tests.join(", ")));
    }
    for (name, usual) in [("scope", &mint.usual().scope), ("client", &mint.usual().client)] {
        if !usual.is_empty() {
            add(format!("\nUnless it is given, `{name}` is \"{usual}\"."));
        }
    }
    text
}

fn discovery(issuer: &str) -> serde_json::Value {
    json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/jwks"),
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "acr_values_supported": ["urn:example:loa:1", "urn:example:loa:2"],
    })
}

async fn keys(State(mint): State<Arc<Mint>>) -> Response {
    Json(mint.key_set()).into_response()
}

async fn token(State(mint): State<Arc<Mint>>, Query(query): Query<Vec<(String, String)>>) -> Response {
    match Wish::read(&query).and_then(|wish| mint.token(&wish, clock::now())) {
        Ok(token) => format!("{token}\n").into_response(),
        Err(problem) => (StatusCode::BAD_REQUEST, format!("{problem}\n\n{}", manual(&mint))).into_response(),
    }
}
