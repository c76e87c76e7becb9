//! What each reader gets for each refusal.

use std::time::Duration;

use http::header::HeaderValue;
use http::request::Parts;
use http::{Request, Response, StatusCode};

use super::face::Face;
use super::problem::Wanted;
use super::*;
use crate::assurance::Challenge;
use crate::policy::on_deny::{OnDeny, Origin, Part, Placeholder, Template};
use crate::policy::{
    Allowances, CanonicalPath, Denial, HostPattern, Match, Methods, PathPattern, Requirement, Route, StepUp,
};
use crate::proxy::answer::ResponseBody;
use crate::proxy::downstream::lane::{Answered, Lane};
use crate::proxy::downstream::timing::Ticker;
use crate::proxy::downstream::wire::Watch;
use crate::proxy::refusal::Refusal;
use crate::reason::Reason;

const ID: HeaderValue = HeaderValue::from_static("id-1");

fn head(method: &str, uri: &str, fields: &[(&'static str, &'static str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

/// The answer to this head, and its body.
fn answer_to(
    refusal: &Refusal,
    head: &Parts,
    route: Option<&Route>,
    supported: Option<&[Box<str>]>,
) -> (Response<ResponseBody>, String) {
    let watch = Watch::new(&Ticker::new(), &crate::config::settings::Limits::default());
    let answered = Answered::new(Lane::Alone(watch), None);
    let path = CanonicalPath::parse(head.uri.path()).unwrap();
    let asked = Asked { head, path: Some(&path), public_url: Some("https://api.example") };
    let reader = Reader::of(&asked, route);
    let is_head = head.method == http::Method::HEAD;
    let context =
        Context { id: &ID, realm: "api.example", head: is_head, supported, resource_metadata: None, asked, reader };
    let mut response = refuse(refusal, &context, answered);
    assert_eq!(response.status(), status_for(refusal, &reader), "what is recorded is what is answered");
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let frame = http_body::Body::poll_frame(std::pin::Pin::new(response.body_mut()), &mut cx);
    let data = match frame {
        std::task::Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap(),
        std::task::Poll::Ready(_) | std::task::Poll::Pending => Default::default(),
    };
    let text = String::from_utf8(data.to_vec()).unwrap();
    assert!(is_head || response.headers()["content-length"] == text.len().to_string().as_str());
    (response, text)
}

fn answer(refusal: &Refusal, supported: Option<&[Box<str>]>) -> (Response<ResponseBody>, serde_json::Value) {
    let (response, text) = answer_to(refusal, &head("GET", "/", &[]), None, supported);
    (response, serde_json::from_str(&text).unwrap())
}

fn challenge_of(denial: Denial, supported: Option<&[Box<str>]>) -> (u16, Option<String>) {
    let (response, _) = answer(&denial.into(), supported);
    let challenge = response.headers().get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
    (response.status().as_u16(), challenge)
}

fn boxed(values: &[&str]) -> Box<[Box<str>]> {
    values.iter().map(|value| Box::from(*value)).collect()
}

#[test]
fn no_token_is_challenged_without_an_error() {
    let (status, challenge) = challenge_of(Denial::because(Reason::TokenMissing), None);
    assert_eq!((status, challenge.as_deref()), (401, Some("Bearer realm=\"api.example\"")));
}

#[test]
fn a_weak_sign_in_is_told_what_would_be_enough() {
    let step_up = StepUp { acr_values: Some(Challenge::Listed(boxed(&["urn:a", "urn:b"]))), max_age: Some(300) };
    let denial = Denial {
        step_up: Some(step_up),
        scope: vec!["pay".into(), "pay".into(), "read".into()],
        ..Denial::because(Reason::LevelTooLow)
    };
    let expected = "Bearer realm=\"api.example\", error=\"insufficient_user_authentication\", \
        acr_values=\"urn:a urn:b\", max_age=\"300\", scope=\"pay read\"";
    assert_eq!(challenge_of(denial.clone(), None), (401, Some(expected.into())));
    let (_, body) = answer(&denial.clone().into(), None);
    assert_eq!(body["acr_values"], serde_json::json!(["urn:a", "urn:b"]));
    assert_eq!(body["max_age"], 300);
    assert_eq!(body.get("reason"), None, "the challenge does not tell it either");
    let hopeless = Denial { step_up: None, ..denial };
    assert_eq!(challenge_of(hopeless, None), (403, None));
}

#[test]
fn a_derived_challenge_names_what_the_issuer_supports() {
    let derived = |supported: Option<&[Box<str>]>| {
        let step_up = StepUp { acr_values: Some(Challenge::Derived(boxed(&["a", "b"]))), max_age: None };
        let denial = Denial { step_up: Some(step_up), ..Denial::because(Reason::AcrMissing) };
        challenge_of(denial, supported).1.unwrap()
    };
    assert!(derived(None).ends_with(", acr_values=\"a b\""));
    assert!(derived(Some(&boxed(&["b", "c"]))).ends_with(", acr_values=\"b\""));
    assert!(derived(Some(&boxed(&["c"]))).ends_with("error=\"insufficient_user_authentication\""));
}

#[test]
fn nothing_that_a_policy_names_breaks_out_of_the_challenge() {
    let step_up =
        StepUp { acr_values: Some(Challenge::Listed(boxed(&["a\"b", "c d", "é", "ok", "\r\nX: 1"]))), max_age: None };
    let denial = Denial {
        step_up: Some(step_up),
        scope: vec!["s\\x".into(), "fine".into()],
        ..Denial::because(Reason::AuthTooOld)
    };
    let (_, challenge) = challenge_of(denial, None);
    assert!(challenge.unwrap().ends_with(", acr_values=\"ok\", scope=\"fine\""));
}

#[test]
fn a_problem_document_is_json_whatever_stands_in_it() {
    let id = HeaderValue::from_bytes(b"a\"b\\c\xff").unwrap();
    let face = Face { status: StatusCode::UNAUTHORIZED, error: Some("e\"\n"), challenged: true, named: true };
    let (error, claims) = (Some("e\"\n"), Some("e30="));
    let wanted = Wanted { error, acr_values: &["x", "y"], claims, max_age: Some(u32::MAX), scope: &["s", "t"] };
    let text = problem::text(face, Reason::ScopeMissing, &id, &wanted);
    let read: serde_json::Value = serde_json::from_str(&text).unwrap();
    let expected = serde_json::json!({
        "type": "about:blank", "title": "Unauthorized", "status": 401, "error": "e\"\n", "max_age": u32::MAX,
        "reason": "scope_missing", "detail": Reason::ScopeMissing.meaning(), "claims": "e30=", "acr_values": ["x", "y"],
        "scope": "s t", "request_id": "a\"b\\c\u{fffd}",
    });
    assert_eq!(read, expected);
    assert!(text.ends_with("}\n"));
}

#[test]
fn every_reason_has_a_face_that_is_never_cached_and_tells_no_stranger_more_than_the_challenge() {
    for reason in Reason::ALL {
        let (response, body) = answer(&Refusal::because(*reason), None);
        let fields = response.headers();
        assert!(response.status().is_client_error() || response.status().is_server_error(), "{reason}");
        assert_eq!(fields["cache-control"], "no-store", "{reason}");
        assert_eq!(fields["content-type"], "application/problem+json", "{reason}");
        assert_eq!(response.status() == 401, fields.get("www-authenticate").is_some_and(|_| response.status() == 401));
        assert_eq!(response.status() == 503, fields.contains_key("retry-after"), "{reason}");
        assert_eq!(body["status"], response.status().as_u16(), "{reason}");
        assert_eq!(body["request_id"], "id-1");
        let about_the_token =
            (Reason::TokenMalformed..=Reason::AuthTooOld).contains(reason) || *reason == Reason::ClaimMismatch;
        assert!(!about_the_token || body.get("reason").is_none(), "{reason} is told to a stranger");
    }
}

#[test]
fn an_invalid_token_is_never_told_apart_from_another() {
    let told = |reason| {
        let (response, body) = answer(&Refusal::because(reason), None);
        (response.status(), response.headers()["www-authenticate"].clone(), body)
    };
    for reason in [Reason::Expired, Reason::KeyUnknown, Reason::IssuerUnknown, Reason::TokensDisagree, Reason::Revoked]
    {
        assert_eq!(told(reason), told(Reason::SignatureInvalid));
    }
}

#[test]
fn trouble_with_keys_says_when_to_come_back() {
    let refusal = Refusal { retry_after: Some(Duration::from_secs(30)), ..Refusal::because(Reason::KeysUnavailable) };
    let (response, _) = answer(&refusal, None);
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &HeaderValue::from(30)));
    assert_eq!(response.headers().get("www-authenticate"), None);
}

const BROWSER: &[(&str, &str)] = &[
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
];

fn route(redirect: Option<Template>) -> Route {
    Route {
        on_deny: Some(Box::new(OnDeny { redirect, ..OnDeny::default() })),
        ..Route::new(
            "r",
            Match {
                hosts: [HostPattern::Any].into(),
                path: PathPattern::parse("/**").unwrap(),
                path_written: "/**".into(),
                methods: Methods::Any,
                ignore_case: false,
                allows: Allowances::default(),
            },
            Requirement::Authenticated,
        )
    }
}

fn to_login() -> Route {
    let (literal, filled) = (|text: &str| Part::Literal(text.into()), Part::Filled);
    let parts = [
        literal("/login?acr="),
        filled(Placeholder::AcrValues),
        literal("&age="),
        filled(Placeholder::MaxAge),
        literal("&to="),
        filled(Placeholder::Url),
    ];
    route(Some(Template { at: Origin::Named("https://app.example".into()), parts: parts.into() }))
}

fn too_weak() -> Refusal {
    let step_up = StepUp { acr_values: Some(Challenge::Listed(boxed(&["urn:a", "b&c"]))), max_age: Some(300) };
    Denial { step_up: Some(step_up), ..Denial::because(Reason::LevelTooLow) }.into()
}

#[test]
fn a_browser_is_sent_to_sign_in_where_that_would_help_and_a_program_never_is() {
    let there = "https://app.example/login?acr=urn%3Aa%20b%26c&age=300&to=https%3A%2F%2Fapi.example%2Fa%3Fx%3D1";
    let (response, text) = answer_to(&too_weak(), &head("GET", "/a?x=1", BROWSER), Some(&to_login()), None);
    assert_eq!((response.status().as_u16(), &response.headers()["location"]), (303, &HeaderValue::from_static(there)));
    assert_eq!(response.headers().get("www-authenticate"), None);
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert!(text.contains(&there.replace('&', "&amp;")) && text.contains("id-1"), "{text}");
    let (response, text) = answer_to(&too_weak(), &head("HEAD", "/a?x=1", BROWSER), Some(&to_login()), None);
    assert_eq!((response.status().as_u16(), text.as_str()), (303, ""));
    for reason in [Reason::TokenMissing, Reason::Expired] {
        let (response, _) = answer_to(&Refusal::because(reason), &head("GET", "/", BROWSER), Some(&to_login()), None);
        let there = "https://app.example/login?acr=&age=&to=https%3A%2F%2Fapi.example%2F";
        assert_eq!(response.headers()["location"], there, "{reason}: what is absent is empty");
    }
    let fetch = &[BROWSER[0], ("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")];
    for (method, fields) in [("POST", BROWSER), ("OPTIONS", BROWSER), ("GET", fetch), ("GET", &[]), ("HEAD", &[])] {
        let (response, _) = answer_to(&too_weak(), &head(method, "/", fields), Some(&to_login()), None);
        assert_eq!(response.status(), 401, "{method} {fields:?}");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert!(response.headers().get("location").is_none() && response.headers().contains_key("www-authenticate"));
    }
}

#[test]
fn what_no_sign_in_mends_is_a_page_wherever_the_route_would_send_a_browser() {
    for reason in Reason::ALL {
        let (response, text) =
            answer_to(&Refusal::because(*reason), &head("GET", "/", BROWSER), Some(&to_login()), None);
        let (status, fields) = (response.status().as_u16(), response.headers());
        let bare = answer(&Refusal::because(*reason), None).0;
        assert_eq!(status == 303, bare.status() == 401, "{reason}");
        assert_eq!(fields.contains_key("location"), status == 303, "{reason}");
        if status != 303 {
            assert_eq!(status, bare.status().as_u16());
            assert_eq!(fields.get("www-authenticate"), bare.headers().get("www-authenticate"), "{reason}");
        }
        assert!(text.starts_with("<!doctype html>") && text.contains("<code>id-1</code>"), "{reason}");
    }
}

#[test]
fn a_page_has_the_challenge_of_the_problem_document_and_the_fields_of_a_safe_page() {
    let (page, text) = answer_to(&too_weak(), &head("GET", "/", BROWSER), Some(&route(None)), None);
    let (problem, _) = answer(&too_weak(), None);
    assert_eq!((page.status(), problem.status()), (StatusCode::UNAUTHORIZED, StatusCode::UNAUTHORIZED));
    assert_eq!(page.headers()["www-authenticate"], problem.headers()["www-authenticate"]);
    assert!(text.contains("<code>urn:a</code> <code>b&amp;c</code>") && text.contains("<code>300</code>"), "{text}");
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
        ("cache-control", "no-store"),
        ("vary", "accept, sec-fetch-dest, sec-fetch-mode"),
        ("x-request-id", "id-1"),
    ] {
        assert_eq!(page.headers()[name], value, "{name}");
    }
    let security = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(
        security.starts_with("default-src 'none'; style-src 'sha256-") && !security.contains("unsafe"),
        "{security}"
    );
    assert!(page.headers().len() < page.headers().capacity(), "there is room for `Connection`");
    assert_eq!(problem.headers()["vary"], page.headers()["vary"], "the problem document depends on the same");
    let (post, _) = answer_to(&too_weak(), &head("POST", "/", BROWSER), None, None);
    assert_eq!(post.headers().get("vary"), None, "a POST gets no page, whoever sends it");
}

#[test]
fn without_a_public_url_nobody_is_sent_to_what_needs_one() {
    let (head, path) = (head("GET", "/", BROWSER), CanonicalPath::parse("/").unwrap());
    let asked = |public_url| Asked { head: &head, path: Some(&path), public_url };
    assert!(Reader::of(&asked(Some("https://api.example")), Some(&to_login())).is_sent_to_sign_in());
    assert!(!Reader::of(&asked(None), Some(&to_login())).is_sent_to_sign_in());
    let pathless = Asked { path: None, ..asked(Some("https://api.example")) };
    assert!(!Reader::of(&pathless, Some(&to_login())).is_sent_to_sign_in());
}
