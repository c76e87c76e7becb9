//! id_tokens: where they may be, what they prove, and how one goes with an access token.

use crate::support::{Request, World};

#[test]
fn an_id_token_in_a_cookie_or_a_header_is_judged_by_its_sign_in() {
    let World { provider, upstream, gate } = World::start();
    let weak = provider.sign_in("alice").password().in_browser("alice").tokens();
    let refused = gate.send(&Request::get("/portal/home").header("Cookie", &format!("a=b; portal_id={}", weak.id())));
    assert_eq!(refused.status, 401);
    let challenge = refused.challenge();
    assert_eq!(challenge.get("error"), Some("insufficient_user_authentication"));
    assert_eq!(upstream.count(), 0);

    let strong = provider
        .sign_in("alice")
        .password_and_otp()
        .in_browser("alice")
        .with("--acr-values", challenge.get("acr_values").unwrap())
        .tokens();
    let cookie = format!("portal_id={}", strong.id());
    assert_eq!(gate.send(&Request::get("/portal/home").header("Cookie", &cookie)).status, 200);
    assert_eq!(upstream.last().header("x-stepgate-subject"), Some("alice"));
    assert_eq!(gate.send(&Request::get("/portal/home").header("X-Id-Token", strong.id())).status, 200);
}

#[test]
fn a_token_of_the_other_kind_is_no_token_there() {
    let World { provider, upstream, gate } = World::start();
    let tokens = provider.sign_in("alice").password_and_otp().tokens();

    let as_id = Request::get("/portal/home").header("Cookie", &format!("portal_id={}", tokens.access()));
    let (refused, decision) = gate.decision(&as_id);
    assert_eq!((refused.status, &decision["reason"]), (401, &"token_kind_wrong".into()));

    let as_access = Request::get("/accounts/1").bearer(tokens.id());
    let (refused, decision) = gate.decision(&as_access);
    assert_eq!((refused.status, &decision["reason"]), (401, &"token_kind_wrong".into()));
    assert_eq!(refused.challenge().get("error"), Some("invalid_token"));

    // The portal does not look into `Authorization` at all.
    let (refused, decision) = gate.decision(&Request::get("/portal/home").bearer(tokens.access()));
    assert_eq!((refused.status, &decision["reason"]), (401, &"token_missing".into()));
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_cookie_does_not_let_another_site_act_for_the_user() {
    let World { provider, upstream, gate } = World::start();
    let tokens = provider.sign_in("alice").password_and_otp().tokens();
    let cookie = format!("portal_id={}", tokens.id());
    let post = || Request::post("/portal/home", "x").header("Cookie", &cookie);

    let (refused, decision) = gate.decision(&post().header("Origin", "https://evil.example"));
    assert_eq!((refused.status, &decision["reason"]), (403, &"origin_refused".into()));
    let (refused, decision) = gate.decision(&post());
    assert_eq!((refused.status, &decision["reason"]), (403, &"origin_refused".into()), "no origin is not ours");
    assert_eq!(upstream.count(), 0);

    let ours = format!("http://127.0.0.1:{}", gate.port);
    assert_eq!(gate.send(&post().header("Origin", &ours)).status, 200);
}

#[test]
fn an_access_token_and_an_id_token_of_one_session_go_together() {
    let World { provider, upstream, gate } = World::start();
    let weak = provider.sign_in("alice").password().in_browser("alice").tokens();
    let order = |access: &str, id: &str| Request::post("/orders", "x").bearer(access).header("X-Id-Token", id);
    assert_eq!(gate.send(&order(weak.access(), weak.id())).status, 401);

    // The same session stepped up: its id_token proves the level, the access token brings the scope.
    let strong = provider
        .sign_in("alice")
        .password_and_otp()
        .in_browser("alice")
        .with("--acr-values", "urn:example:loa:2")
        .tokens();
    assert_eq!(gate.send(&order(weak.access(), strong.id())).status, 200);

    let seen = upstream.count();
    let bob = provider.sign_in("bob").password_and_otp().tokens();
    let (refused, decision) = gate.decision(&order(weak.access(), bob.id()));
    assert_eq!((refused.status, &decision["reason"]), (401, &"tokens_disagree".into()));
    assert_eq!(upstream.count(), seen);
}
