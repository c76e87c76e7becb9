//! A user who signed in too weakly, or too long ago, is told how to sign in, does so, and gets through.

use crate::support::{POLICY, Provider, Request, World};

#[test]
fn a_password_login_steps_up_to_pay() {
    let World { provider, upstream, gate } = World::start();

    // A weak sign-in is enough to read.
    let weak = provider.sign_in("alice").password().in_browser("alice").tokens();
    assert_eq!(weak.prompted(), ["login", "consent"]);
    let (response, decision) = gate.decision(&Request::get("/accounts/1").bearer(weak.access()));
    assert_eq!(response.status, 200);
    assert_eq!(response.body, "ok");
    assert_eq!((&decision["decision"], &decision["route"]), (&"allow".into(), &"read-accounts".into()));
    assert_eq!(upstream.last().header("x-stepgate-level"), Some("single-factor"));

    // It is not enough to pay, and the upstream does not hear of it.
    let pay = Request::post("/payments/7", "amount=1");
    let (refused, decision) = gate.decision(&pay.bearer(weak.access()));
    assert_eq!(refused.status, 401);
    assert_eq!(decision["reason"], "level_too_low");
    assert_eq!(upstream.count(), 1);
    let challenge = refused.challenge();
    assert_eq!(challenge.get("error"), Some("insufficient_user_authentication"));
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));

    // The app sends the user back with what the challenge asks for; the provider's session alone will not do.
    let strong = provider
        .sign_in("alice")
        .password_and_otp()
        .in_browser("alice")
        .with("--acr-values", challenge.get("acr_values").expect("the challenge names acr_values"))
        .with("--max-age", challenge.get("max_age").expect("the challenge names max_age"))
        .tokens();
    assert_eq!(strong.prompted(), ["login"]);

    // Now it goes through, and the upstream is told who it is and how they signed in, by the gate alone.
    let pay = Request::post("/payments/7", "amount=1")
        .header("X-Stepgate-Subject", "mallory")
        .header("X-Stepgate-Level", "hardware-protected")
        .header("X_Stepgate_Admin", "yes")
        .bearer(strong.access());
    let (passed, decision) = gate.decision(&pay);
    assert_eq!(passed.status, 200);
    assert_eq!(decision["decision"], "allow");
    assert!(decision["reason"].is_null());
    let seen = upstream.last();
    assert_eq!(seen.line, "POST /payments/7 HTTP/1.1");
    assert_eq!(seen.body, "amount=1");
    assert_eq!(seen.header("x-stepgate-subject"), Some("alice"));
    assert_eq!(seen.header("x-stepgate-level"), Some("multi-factor"));
    assert_eq!(seen.header("x-stepgate-acr"), Some("urn:example:loa:2"));
    assert_eq!(seen.header("x-stepgate-amr"), Some("pwd otp"));
    assert_eq!(seen.header("x-stepgate-issuer"), Some("idp"));
    assert_eq!(seen.header("x-stepgate-client"), Some("web"));
    assert_eq!(seen.header("x_stepgate_admin"), None);
    let auth_time: u64 = seen.header("x-stepgate-auth-time").unwrap().parse().unwrap();
    assert_eq!(decision["auth_time"], auth_time);

    // Nothing that the gate wrote holds a token, or the signature of one.
    let written = gate.everything_written();
    for token in [weak.access(), strong.access()] {
        assert!(!written.contains(token), "a token was written down");
        assert!(!written.contains(token.rsplit('.').next().unwrap()), "a signature was written down");
    }
}

#[test]
fn a_sign_in_that_is_too_old_is_asked_for_again_and_a_new_one_passes() {
    let World { provider, upstream, gate } = World::start();
    let old = provider.sign_in("alice").password_and_otp().with("--ago", "400").in_browser("alice").tokens();

    let (refused, decision) = gate.decision(&Request::post("/payments/7", "x").bearer(old.access()));
    assert_eq!(refused.status, 401);
    assert_eq!(decision["reason"], "auth_too_old");
    let challenge = refused.challenge();
    assert_eq!(challenge.get("error"), Some("insufficient_user_authentication"));
    assert_eq!(challenge.get("max_age"), Some("300"));
    assert_eq!(upstream.count(), 0);

    let fresh = provider
        .sign_in("alice")
        .password_and_otp()
        .in_browser("alice")
        .with("--max-age", challenge.get("max_age").unwrap())
        .tokens();
    assert_eq!(fresh.prompted(), ["login"], "the provider asked the user again");
    assert_eq!(gate.send(&Request::post("/payments/7", "x").bearer(fresh.access())).status, 200);
}

#[test]
fn a_new_token_of_the_old_session_is_as_weak_as_the_session() {
    let World { provider, upstream, gate } = World::start();
    provider.sign_in("alice").password().in_browser("alice").tokens();
    let again = provider.sign_in("alice").in_browser("alice").tokens();
    assert!(again.prompted().is_empty(), "the session was enough for the provider");

    let (refused, decision) = gate.decision(&Request::post("/payments/7", "x").bearer(again.access()));
    assert_eq!((refused.status, &decision["reason"]), (401, &"level_too_low".into()));
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_provider_that_says_nothing_of_the_sign_in_proves_no_level() {
    let World { provider, upstream, gate } = World::start();
    let silent = provider.sign_in("alice").tokens();

    let (refused, decision) = gate.decision(&Request::get("/accounts/1").bearer(silent.access()));
    assert_eq!((refused.status, &decision["reason"]), (401, &"acr_missing".into()));
    assert_eq!(refused.challenge().get("acr_values"), Some("urn:example:loa:1"));
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_client_by_itself_is_not_a_user() {
    let World { provider, upstream, gate } = World::start();
    let client = provider.client_credentials();

    let (refused, decision) = gate.decision(&Request::get("/accounts/1").bearer(client.access()));
    assert_eq!((refused.status, &decision["reason"]), (403, &"caller_wrong".into()));
    assert_eq!(refused.header("www-authenticate"), None, "no sign-in would help");
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_scope_that_the_user_was_not_asked_for_is_missing() {
    let World { provider, upstream, gate } = World::start();
    let narrow = provider.sign_in("alice").password_and_otp().with("--scope", "openid accounts").tokens();

    let (refused, decision) = gate.decision(&Request::post("/payments/7", "x").bearer(narrow.access()));
    assert_eq!((refused.status, &decision["reason"]), (403, &"scope_missing".into()));
    let challenge = refused.challenge();
    assert_eq!(challenge.get("error"), Some("insufficient_scope"));
    assert_eq!(challenge.get("scope"), Some("payments"));
    assert_eq!(upstream.count(), 0);
}

#[test]
fn no_token_gets_a_bare_challenge_and_a_public_route_needs_none() {
    let World { provider: _provider, upstream, gate } = World::start();
    let (refused, decision) = gate.decision(&Request::get("/accounts/1"));
    assert_eq!((refused.status, &decision["reason"]), (401, &"token_missing".into()));
    assert_eq!(refused.challenge().get("error"), None);
    assert_eq!(upstream.count(), 0);

    let healthy = gate.send(&Request::get("/healthz").header("X-Stepgate-Subject", "mallory"));
    assert_eq!(healthy.status, 200);
    assert_eq!(upstream.last().header("x-stepgate-subject"), None);
}

#[test]
fn every_signature_algorithm_of_the_provider_is_understood() {
    for alg in ["RS256", "PS256", "ES256", "EdDSA"] {
        let World { provider, upstream: _upstream, gate } = World::with(Provider::start(&["--alg", alg]), POLICY);
        let tokens = provider.sign_in("alice").password_and_otp().tokens();
        assert_eq!(gate.send(&Request::get("/accounts/1").bearer(tokens.access())).status, 200, "{alg}");
    }
}

#[test]
fn a_brazilian_bank_steps_up_from_loa2_to_loa3_with_the_shipped_profile() {
    let levels = "urn:brasil:openbanking:loa2 urn:brasil:openbanking:loa3";
    let provider = Provider::start(&["--alg", "PS256", "--acr-values-supported", levels]);
    let World { provider, upstream, gate } = World::with(provider, BRAZILIAN_BANK);

    let loa2 = provider.sign_in("carla").by("urn:brasil:openbanking:loa2", "").in_browser("carla").tokens();
    assert_eq!(gate.send(&Request::get("/accounts/1").bearer(loa2.access())).status, 200);
    let (refused, decision) = gate.decision(&Request::post("/payments/7", "x").bearer(loa2.access()));
    assert_eq!((refused.status, &decision["reason"]), (401, &"level_too_low".into()));
    assert_eq!(refused.challenge().get("acr_values"), Some("urn:brasil:openbanking:loa3"));
    assert_eq!(upstream.count(), 1);

    let loa3 = provider
        .sign_in("carla")
        .by("urn:brasil:openbanking:loa3", "")
        .in_browser("carla")
        .with("--acr-values", refused.challenge().get("acr_values").unwrap())
        .tokens();
    assert_eq!(gate.send(&Request::post("/payments/7", "x").bearer(loa3.access())).status, 200);

    // The profile's algorithms hold: a key of another kind signs nothing here.
    provider.rotate("RS256", "keep");
    let other = provider.sign_in("carla").in_browser("carla").tokens();
    let (refused, decision) = gate.decision(&Request::post("/payments/7", "x").bearer(other.access()));
    assert_eq!((refused.status, &decision["reason"]), (401, &"algorithm_refused".into()));
    assert_eq!(upstream.count(), 2);
}

const BRAZILIAN_BANK: &str = r#"
version: 1
issuers:
  bank:
    issuer: {issuer}
    profile: openfinance-brasil
    access: { audiences: ["https://api.demo.example"] }
routes:
  - name: read-accounts
    match: { path: "/accounts/**", methods: [GET] }
    require: { level: single-factor, scopes: { all: [accounts] } }
  - name: pay
    match: { path: "/payments/{id}", methods: [POST] }
    require: { level: multi-factor, scopes: { all: [payments] } }
"#;
