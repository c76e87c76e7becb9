//! Every reason, produced by a request through the running program: its status, its challenge, its audit line, its count,
//! and an upstream that heard nothing.

use serde_json::{Value, json};
use stepgate::Reason;

use crate::support::{Request, Response, Token, World, base64_url, now};

/// What a challenge says besides `realm`, `resource_metadata` and `error_description`.
type Parameters = &'static [(&'static str, &'static str)];

struct Case {
    reason: Reason,
    status: u16,
    /// `None`: there is no challenge at all.
    challenge: Option<Parameters>,
    request: fn(&World) -> Request,
}

const INVALID_REQUEST: Option<Parameters> = Some(&[("error", "invalid_request")]);
const INVALID_TOKEN: Option<Parameters> = Some(&[("error", "invalid_token")]);
const INSUFFICIENT: &str = "insufficient_user_authentication";

/// A step-up challenge with these parameters besides the error.
macro_rules! step_up {
    ($($name:literal = $value:literal),*) => { Some(&[("error", INSUFFICIENT), $(($name, $value)),*]) };
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    Case { reason: Reason::RequestMalformed, status: 400, challenge: None, request: |_| Request::new("TRACE", "/any/1") },
    Case { reason: Reason::PathAmbiguous, status: 400, challenge: None, request: |w| get("/any/a%2Fb", w, Token::access()) },
    Case { reason: Reason::RouteNone, status: 403, challenge: None, request: |w| get("/nowhere", w, Token::access()) },
    Case { reason: Reason::TokenMissing, status: 401, challenge: Some(&[]), request: |_| Request::get("/any/1") },
    Case { reason: Reason::TokenDuplicate, status: 400, challenge: INVALID_REQUEST, request: |w| {
        get("/any/1", w, Token::access()).bearer(&Token::access().sign(&w.bank))
    } },
    Case { reason: Reason::TokenTooLarge, status: 400, challenge: INVALID_REQUEST, request: |w| {
        get("/any/1", w, Token::access().claim("filler", "x".repeat(17 << 10)))
    } },
    Case { reason: Reason::BodyUnsupported, status: 415, challenge: None, request: |_| {
        Request::post("/callback", "{}").header("Content-Type", "application/json")
    } },
    Case { reason: Reason::OriginRefused, status: 403, challenge: None, request: |w| {
        Request::post("/portal/1", "x")
            .header("Cookie", &format!("portal_id={}", Token::id().sign(&w.bank)))
            .header("Origin", "https://evil.example")
    } },
    Case { reason: Reason::TokenMalformed, status: 401, challenge: INVALID_TOKEN, request: |_| {
        Request::get("/any/1").bearer("only.twoparts")
    } },
    Case { reason: Reason::TokenEncrypted, status: 401, challenge: INVALID_TOKEN, request: |_| {
        let header = base64_url(r#"{"alg":"dir","enc":"A256GCM"}"#);
        Request::get("/any/1").bearer(&format!("{header}..aXY.Y2lwaGVy.dGFn"))
    } },
    Case { reason: Reason::HeaderRefused, status: 401, challenge: INVALID_TOKEN, request: |w| {
        get("/any/1", w, Token::access().header("crit", json!(["exp"])))
    } },
    Case { reason: Reason::AlgorithmRefused, status: 401, challenge: INVALID_TOKEN, request: |w| {
        get("/any/1", w, Token::access().header("alg", "HS256"))
    } },
    Case { reason: Reason::IssuerUnknown, status: 401, challenge: INVALID_TOKEN, request: |w| {
        get("/any/1", w, Token::access().issuer("https://bank.example/"))
    } },
    Case { reason: Reason::KeyUnknown, status: 401, challenge: INVALID_TOKEN, request: |w| {
        get("/any/1", w, Token::access().header("kid", "nobody's"))
    } },
    Case { reason: Reason::SignatureInvalid, status: 401, challenge: INVALID_TOKEN, request: |w| {
        Request::get("/any/1").bearer(&Token::access().sign(&w.shop))
    } },
    Case { reason: Reason::ClaimsMalformed, status: 401, challenge: INVALID_TOKEN, request: |w| {
        get("/any/1", w, Token::access().claim("exp", "tomorrow"))
    } },
    Case { reason: Reason::Expired, status: 401, challenge: INVALID_TOKEN, request: |w| {
        get("/any/1", w, Token::access().claim("exp", now() - 40))
    } },
    Case { reason: Reason::NotYetValid, status: 401, challenge: INVALID_TOKEN, request: |w| {
        get("/any/1", w, Token::access().claim("nbf", now() + 90))
    } },
    Case { reason: Reason::AudienceWrong, status: 401, challenge: INVALID_TOKEN, request: |w| {
        get("/any/1", w, Token::access().claim("aud", "https://elsewhere.example"))
    } },
    Case { reason: Reason::AzpWrong, status: 401, challenge: INVALID_TOKEN, request: |w| {
        Request::get("/portal/1").header("X-Id-Token", &Token::id().claim("azp", "another-app").sign(&w.bank))
    } },
    Case { reason: Reason::TokenKindWrong, status: 401, challenge: INVALID_TOKEN, request: |w| get("/any/1", w, Token::id()) },
    Case { reason: Reason::IssuerRefused, status: 401, challenge: INVALID_TOKEN, request: |w| {
        Request::get("/bank-only").bearer(&Token::access().issuer("https://shop.example").sign(&w.shop))
    } },
    Case { reason: Reason::BindingMissing, status: 401, challenge: INVALID_TOKEN, request: |w| {
        get("/any/1", w, Token::access().claim("cnf", json!({ "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" })))
    } },
    Case { reason: Reason::TokensDisagree, status: 401, challenge: INVALID_TOKEN, request: |w| {
        get("/orders", w, Token::access()).header("X-Id-Token", &Token::id().sign(&w.bank))
    } },
    Case { reason: Reason::CallerWrong, status: 403, challenge: None, request: |w| {
        get("/strong/1", w, Token::access().without("sub"))
    } },
    Case { reason: Reason::AcrMalformed, status: 401, challenge: step_up!("acr_values" = "high"), request: |w| {
        shop("/strong/1", w, shopper().claim("acr", json!({ "high": true })))
    } },
    Case { reason: Reason::AmrMalformed, status: 401, challenge: step_up!(), request: |w| {
        club("/strong/1", w, Token::access().claim("amr", json!({ "pwd": true })))
    } },
    Case { reason: Reason::AcrMissing, status: 401, challenge: step_up!("acr_values" = "high"), request: |w| {
        shop("/strong/1", w, shopper().without("acr"))
    } },
    Case { reason: Reason::AmrMissing, status: 401, challenge: step_up!(), request: |w| {
        club("/strong/1", w, Token::access().without("amr"))
    } },
    Case { reason: Reason::AcrUnknown, status: 401, challenge: step_up!("acr_values" = "high"), request: |w| {
        shop("/strong/1", w, shopper().claim("acr", "odd"))
    } },
    Case { reason: Reason::AcrInsufficient, status: 401, challenge: step_up!("acr_values" = "gold"), request: |w| {
        get("/gold", w, Token::access())
    } },
    Case { reason: Reason::AmrInsufficient, status: 401, challenge: step_up!(), request: |w| {
        get("/otp", w, Token::access().weak())
    } },
    Case { reason: Reason::LevelTooLow, status: 401, challenge: step_up!("acr_values" = "2"), request: |w| {
        get("/strong/1", w, Token::access().weak())
    } },
    Case { reason: Reason::AuthTimeMissing, status: 401, challenge: step_up!("max_age" = "300"), request: |w| {
        get("/fresh", w, Token::access().without("auth_time"))
    } },
    Case { reason: Reason::AuthTooOld, status: 401, challenge: step_up!("max_age" = "300"), request: |w| {
        get("/fresh", w, Token::access().claim("auth_time", now() - 302))
    } },
    Case { reason: Reason::ScopeMissing, status: 403,
        challenge: Some(&[("error", "insufficient_scope"), ("scope", "payments")]), request: |w| {
        get("/scoped", w, Token::access().claim("scope", "accounts"))
    } },
    Case { reason: Reason::ClaimMismatch, status: 403, challenge: None, request: |w| {
        get("/tier", w, Token::access().claim("tier", "silver"))
    } },
];

/// Reasons that need a set-up of their own: the tests in `limits` and `issuers_keys`.
const ELSEWHERE: &[Reason] = &[
    Reason::Overloaded,
    Reason::BodyTooLarge,
    Reason::KeysUnavailable,
    Reason::UpstreamUnreachable,
    Reason::UpstreamTimeout,
];

/// Reasons of what does not work yet: introspection, revocation, proofs of possession.
const LATER: &[Reason] = &[
    Reason::IntrospectionUnavailable,
    Reason::IntrospectionInactive,
    Reason::Revoked,
    Reason::BindingInvalid,
    Reason::DpopReplayed,
];

#[expect(clippy::needless_pass_by_value, reason = "made where it is called")]
fn get(path: &str, world: &World, token: Token) -> Request {
    Request::get(path).bearer(&token.sign(&world.bank))
}

#[expect(clippy::needless_pass_by_value, reason = "made where it is called")]
fn shop(path: &str, world: &World, token: Token) -> Request {
    Request::get(path).bearer(&token.sign(&world.shop))
}

fn shopper() -> Token {
    Token::access().issuer("https://shop.example").claim("acr", "low").without("amr")
}

fn club(path: &str, world: &World, token: Token) -> Request {
    Request::get(path).bearer(&token.issuer("https://club.example").without("acr").sign(&world.club))
}

#[test]
fn every_reason_is_produced_here_or_is_written_down_as_later() {
    let mut accounted: Vec<_> = CASES.iter().map(|case| case.reason).collect();
    accounted.extend(ELSEWHERE.iter().chain(LATER));
    accounted.sort_unstable();
    assert_eq!(accounted, Reason::ALL);
}

#[test]
fn every_reason_has_its_status_challenge_audit_line_and_count_and_the_upstream_hears_nothing() {
    let world = World::start();
    let mut wrong = Vec::new();
    for case in CASES {
        let (response, decision) = world.gate.decision(&(case.request)(&world));
        let complaints = complaints(case, &response, &decision);
        if !complaints.is_empty() {
            wrong.push(format!("{}: {complaints:?}\n{}\n{}\n{decision}", case.reason, response.head, response.body));
        }
        assert_eq!(world.upstream.begun(), 0, "the upstream heard of {}", case.reason);
    }
    let metrics = world.gate.metrics();
    for case in CASES {
        let counted = metrics.lines().find(|line| {
            line.starts_with("stepgate_requests_total{") && line.contains(&format!("reason=\"{}\"", case.reason))
        });
        if !counted.is_some_and(|line| line.ends_with(" 1")) {
            wrong.push(format!("{}: counted as {counted:?}", case.reason));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_refusal_of_a_head_request_has_the_same_head_and_no_body() {
    let world = World::start();
    for case in CASES.iter().filter(|case| case.reason != Reason::RequestMalformed) {
        let as_get = world.gate.send(&(case.request)(&world).method("GET"));
        let mut wire = crate::support::Wire::open(world.gate.port);
        wire.send(&(case.request)(&world).method("HEAD").header("Connection", "close").bytes(world.gate.port));
        let as_head = wire.response_to("HEAD");
        assert_eq!(wire.rest(std::time::Duration::from_millis(500)), b"", "a body after HEAD: {}", case.reason);
        assert_eq!(as_head.status, as_get.status, "{}", case.reason);
        for field in ["www-authenticate", "content-type", "retry-after"] {
            assert_eq!(as_head.header(field), as_get.header(field), "{}", case.reason);
        }
    }
    // The refused cookie came with a POST; as a GET it is the user's own doing.
    let passed = world.upstream.seen();
    assert!(passed.iter().all(|seen| seen.path() == "/portal/1"), "{passed:?}");
}

/// What is not as the case says.
fn complaints(case: &Case, response: &Response, decision: &Value) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut check = |is_so: bool, what: &str| {
        if !is_so {
            complaints.push(what.to_owned());
        }
    };
    check(response.status == case.status, "the status");
    check(decision["reason"] == case.reason.code(), "the reason in the audit line");
    check(decision["decision"] == "deny", "the decision in the audit line");
    check(decision["status"] == case.status, "the status in the audit line");
    check(decision["hint"] == case.reason.hint(), "the hint in the audit line");
    let told = format!("{} {}", response.head, response.body);
    check(!told.contains(&case.reason.hint()[..24]), "the client is told the hint");
    let said = response.header("www-authenticate").map(|_| {
        let mut parameters = response.challenge().parameters;
        let plain = ["realm", "resource_metadata", "error_description"];
        parameters.retain(|(name, _)| !plain.contains(&name.as_str()));
        parameters.sort();
        parameters
    });
    let wanted = case.challenge.map(|parameters| {
        let mut wanted: Vec<_> =
            parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        wanted.sort();
        wanted
    });
    check(said == wanted, &format!("the challenge, which should be {wanted:?}"));
    check(response.header("content-type") == Some("application/problem+json"), "the content type");
    let problem: Value = serde_json::from_str(&response.body).unwrap_or_default();
    check(problem["status"] == case.status, "the problem document");
    check(problem.get("title").is_some_and(Value::is_string), "the problem's title");
    complaints
}

#[test]
fn a_level_that_the_issuer_can_never_prove_gets_no_challenge() {
    let world = World::start();
    let refused = world.refuses(&shop("/strongest", &world, shopper()), 403, "level_too_low");
    assert_eq!(refused.header("www-authenticate"), None, "no sign-in would help");
}

#[test]
fn a_challenge_asks_for_all_that_lacks_at_once() {
    let world = World::start();
    let weak = Token::access().weak().claim("scope", "accounts").claim("auth_time", now() - 4000).sign(&world.bank);
    let refused = world.refuses(&Request::post("/payments/7", "x").bearer(&weak), 401, "level_too_low");
    let challenge = refused.challenge();
    assert_eq!(challenge.get("error"), Some(INSUFFICIENT));
    assert_eq!(challenge.get("acr_values"), Some("2"));
    assert_eq!(challenge.get("max_age"), Some("300"));
    assert_eq!(challenge.get("scope"), Some("payments"));
}

#[test]
fn a_body_tells_a_stranger_no_more_than_the_challenge() {
    // Whoever has no valid token learns neither which check failed nor anything of the policy.
    let world = World::start();
    let body = |request: &Request| {
        let mut problem: Value = serde_json::from_str(&world.gate.send(request).body).unwrap();
        for particular in ["instance", "id", "request_id"] {
            drop(problem.as_object_mut().unwrap().remove(particular));
        }
        problem
    };
    let forged = body(&Request::get("/any/1").bearer(&Token::access().sign(&world.shop)));
    for other in [
        Token::access().issuer("https://nobody.example").sign(&world.bank),
        Token::access().claim("exp", now() - 1000).sign(&world.bank),
        Token::access().header("kid", "k").sign(&world.bank),
    ] {
        assert_eq!(body(&Request::get("/any/1").bearer(&other)), forged);
    }
}
