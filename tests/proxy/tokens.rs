//! Which tokens speak for a request, and what of them reaches the upstream.

use stepgate::Reason;
use stepgate::config::settings::Identity;

use super::gate::{Setup, gate};
use super::upstream::Upstream;

fn ask(line: &str, fields: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: api.example\r\n{fields}\r\n")
}

#[test]
fn a_good_token_passes_and_the_upstream_learns_who_calls_and_how_they_signed_in() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    assert_eq!(gate.ask(ask("POST /pay/7?a=b", "Authorization: Bearer high.scoped\r\n")).body, "ok");
    let seen = upstream.only();
    assert_eq!(seen.line(), "POST /pay/7?a=b HTTP/1.1");
    assert_eq!(seen.field("x-stepgate-subject"), Some("zo%C3%AB"));
    assert_eq!(seen.field("x-stepgate-client"), Some("app%201"));
    assert_eq!(seen.field("x-stepgate-level"), Some("multi-factor"));
    assert_eq!(seen.field("x-stepgate-acr"), Some("urn:high"));
    assert_eq!(seen.field("x-stepgate-amr"), Some("pwd o%20t%20p"));
    assert_eq!(seen.field("x-stepgate-issuer"), Some("bank"));
    assert!(seen.field("x-stepgate-auth-time").unwrap().parse::<u64>().unwrap() > 1_700_000_000);
    assert_eq!(seen.field("authorization"), Some("Bearer high.scoped"), "kept unless the settings say otherwise");
    let noted = gate.decided().pop().unwrap();
    assert_eq!((noted.reason, noted.status, noted.route.as_deref()), (None, None, Some("pay")));
    assert_eq!((noted.path.as_str(), noted.subject.as_deref()), ("/pay/7", Some("zoë")));
}

#[test]
fn two_tokens_that_belong_together_speak_for_one_caller() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let pair =
        |access: &str, id: &str| ask("GET /pair", &format!("Authorization: Bearer {access}\r\nX-Id-Token: {id}\r\n"));
    assert_eq!(gate.ask(pair("low.s1", "id.high.s1")).status, 200);
    assert_eq!(upstream.only().field("x-stepgate-acr"), Some("urn:high"), "the evidence that was enough");
    gate.refused(pair("low.s1", "id.high"), Reason::TokensDisagree, 401, &upstream);
    gate.refused(pair("low", "id.high"), Reason::TokensDisagree, 401, &upstream);
    gate.refused(pair("low.s1", "id.high.s1.hopeless"), Reason::TokensDisagree, 401, &upstream);
    gate.refused(pair("low.s1", "bad.expired"), Reason::Expired, 401, &upstream);
    gate.refused(pair("bad.expired", "bad.signature_invalid"), Reason::SignatureInvalid, 401, &upstream);
    gate.refused(pair("low.s1", "id.s1"), Reason::LevelTooLow, 401, &upstream);
}

#[test]
fn a_token_of_a_kind_that_is_not_taken_where_it_stands_is_refused() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    gate.refused(ask("GET /accounts", "Authorization: Bearer id.high\r\n"), Reason::TokenKindWrong, 401, &upstream);
    gate.refused(ask("GET /pair", "X-Id-Token: high\r\n"), Reason::TokenKindWrong, 401, &upstream);
}

#[test]
fn the_scheme_dpop_promises_a_proof_and_lets_nobody_in_without_one() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    for scheme in ["DPoP", "dpop"] {
        let fields = format!("Authorization: {scheme} low\r\n");
        gate.refused(ask("GET /accounts", &fields), Reason::BindingMissing, 401, &upstream);
    }
    assert_eq!(gate.ask(ask("GET /accounts", "Authorization: bearer low\r\n")).status, 200);
}

#[test]
fn t24_one_token_in_two_places_is_one_and_two_of_a_kind_are_too_many() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let copies =
        |one: &str, other: &str| ask("GET /copies", &format!("Authorization: Bearer {one}\r\nX-Token: {other}\r\n"));
    assert_eq!(gate.ask(copies("low", "low")).status, 200);
    gate.refused(copies("low", "high"), Reason::TokenDuplicate, 400, &upstream);
}

#[test]
fn a_stripped_token_is_gone_from_every_place_where_it_stood_and_nothing_else_is() {
    let upstream = Upstream::plain();
    let identity = Identity { headers: false, strip_token: true };
    let gate = Setup { identity, ..Setup::default() }.start(upstream.address);
    gate.ask(ask("GET /copies", "Authorization: Bearer low\r\nX-Token: low\r\nCookie: a=1\r\n"));
    gate.ask(ask("GET /app", "Authorization: Basic dTpw\r\nCookie: a=1; session=low; b=2\r\n"));
    gate.ask(ask("GET /app", "Cookie: session=low\r\n"));
    let seen = upstream.seen();
    assert_eq!(
        (seen[0].field("authorization"), seen[0].field("x-token"), seen[0].field("cookie")),
        (None, None, Some("a=1"))
    );
    assert_eq!((seen[1].field("authorization"), seen[1].field("cookie")), (Some("Basic dTpw"), Some("a=1; b=2")));
    assert_eq!(seen[2].field("cookie"), None);
    assert!(!seen.iter().any(|seen| seen.head.to_lowercase().contains("x-stepgate")), "the settings say: none");
}
