//! The provider is away: at the start, or later.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::support::{Gate, POLICY, Provider, Request, Upstream, World, free_port};

#[test]
fn a_gate_that_starts_before_its_provider_heals_by_itself() {
    let port = free_port();
    let issuer = format!("http://127.0.0.1:{port}");
    let upstream = Upstream::start();
    let gate = Gate::start(&issuer, &upstream, POLICY);

    // Alive, not ready; what needs no token works, what needs one is not answered with a guess.
    assert!(gate.is_live());
    assert!(!gate.is_ready());
    assert_eq!(gate.send(&Request::get("/healthz")).status, 200);
    let token = unsigned_token(&issuer);
    let (refused, decision) = gate.decision(&Request::get("/accounts/1").bearer(&token));
    assert_eq!((refused.status, &decision["reason"]), (503, &"keys_unavailable".into()));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(upstream.count(), 1);

    let provider = Provider::start(&["--port", &port.to_string()]);
    gate.wait_until_ready(Duration::from_secs(60));
    let tokens = provider.sign_in("alice").password().tokens();
    assert_eq!(gate.send(&Request::get("/accounts/1").bearer(tokens.access())).status, 200);
}

#[test]
fn keys_that_were_fetched_go_on_working_while_the_provider_is_away() {
    let World { mut provider, upstream, gate } = World::start();
    let used = provider.sign_in("alice").password().tokens();
    let unused = provider.sign_in("bob").password().tokens();
    assert_eq!(gate.send(&Request::get("/accounts/1").bearer(used.access())).status, 200);

    provider.kill();
    assert_eq!(gate.send(&Request::get("/accounts/1").bearer(used.access())).status, 200);
    assert_eq!(gate.send(&Request::get("/accounts/1").bearer(unused.access())).status, 200);
    assert!(gate.is_ready(), "the keys are still good");

    let seen = upstream.count();
    let (refused, decision) = gate.decision(&Request::get("/accounts/1").bearer(&unsigned_token(&provider.issuer)));
    assert_eq!((refused.status, &decision["reason"]), (503, &"keys_unavailable".into()));
    assert_eq!(upstream.count(), seen);
}

/// A token of this issuer whose key nobody has.
fn unsigned_token(issuer: &str) -> String {
    let header = r#"{"alg":"RS256","typ":"at+jwt","kid":"nobody-has-it"}"#;
    let claims = format!(
        r#"{{"iss":"{issuer}","aud":"https://api.demo.example","sub":"alice","iat":1,"exp":4000000000,"amr":["pwd","otp"]}}"#
    );
    let signature = URL_SAFE_NO_PAD.encode([7_u8; 256]);
    format!("{}.{}.{signature}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
}
