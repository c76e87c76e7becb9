//! Cookies, forms and sign-ins that were kept, as a person meets them. What a running gate does with them is in `tests/it`.

use serde_json::{Value, json};

use crate::{Bank, Said, folder, stepgate};

pub(crate) const SIGN_IN: &str = "POST https://app.corp.example/signin";
pub(crate) const HOME: &str = "GET https://app.corp.example/";

/// The document's site with the keys of its issuer, and a token of it.
pub(crate) fn site() -> (tempfile::TempDir, String) {
    let (folder, bank) = (folder(), Bank::new());
    let path = folder.path().join("site/policy.yaml");
    let policy = std::fs::read_to_string(&path).unwrap();
    let issuer = "https://login.corp.example\n";
    std::fs::write(&path, policy.replace(issuer, &format!("{issuer}    keys: {{ jwks_file: ../jwks.json }}\n")))
        .unwrap();
    std::fs::write(folder.path().join("jwks.json"), bank.jwks()).unwrap();
    let token = bank.sign(&json!({
        "iss": "https://login.corp.example", "aud": "client-1", "sub": "ada", "amr": ["pwd"], "exp": 1_767_269_100, "acr": "a-claim",
    }));
    (folder, token)
}

/// Explains it at noon, unless another time is named.
pub(crate) fn explain(folder: &tempfile::TempDir, request: &str, more: &[&str], stdin: &str) -> Said {
    let noon: &[&str] = if more.contains(&"--now") { &[] } else { &["--now", "2026-01-01T12:00:00Z"] };
    stepgate(folder.path(), &[&[request, "--policies", "site"], noon, more].concat(), stdin, &[])
}

pub(crate) fn told(folder: &tempfile::TempDir, request: &str, more: &[&str], stdin: &str) -> Value {
    let (_, out, error) = explain(folder, request, &[more, &["--format", "json"]].concat(), stdin);
    serde_json::from_str(&out).unwrap_or_else(|_none| panic!("{error}"))
}

#[test]
fn a_posted_id_token_is_explained_with_what_is_kept_of_it_and_never_shown() {
    let (folder, token) = site();
    let form = format!("state=s3cret&id_token={token}\n");
    std::fs::write(folder.path().join("form.txt"), &form).unwrap();
    for (from, stdin, name) in [("form.txt", "", "the form in form.txt"), ("-", &*form, "the form on standard input")] {
        let (code, out, error) = explain(&folder, SIGN_IN, &["--form", from], stdin);
        assert_eq!((code, &*error), (Some(0), ""), "{out}");
        for line in [
            format!("form      {name}: `state` `id_token`\n"),
            format!("token     the token in the parameter `id_token` of {name}, of corp, kind id\n"),
            "          holds   signature: that of the issuer's key\n".to_owned(),
            "keeps     the sign-in, in the cookie __Host-stepgate until 2026-01-01T20:00:00.000000Z, if the application answers \
             below 400\n"
                .to_owned(),
        ] {
            assert!(out.contains(&line), "{line}{out}");
        }
        let parts = token.split('.').chain(["s3cret"]);
        assert!(!parts.into_iter().any(|part| out.contains(part)), "{out}");
    }
    let told = told(&folder, SIGN_IN, &["--form", "form.txt"], "");
    let kept = json!({ "cookie": "__Host-stepgate", "until": "2026-01-01T20:00:00.000000Z", "why_not": null });
    assert_eq!((&told["keeps"], &told["signatures_checked"]), (&kept, &json!(true)), "{told}");
}

#[test]
fn a_form_is_refused_or_left_unread_as_the_gate_does_and_an_error_response_passes() {
    let (folder, token) = site();
    let told = |request: &str, form: &str| told(&folder, request, &["--form", "-"], form);
    let reason = |request: &str, form: &str| told(request, form)["reason"].clone();
    let good = format!("id_token={token}");
    assert_eq!(reason(SIGN_IN, &good), Value::Null);
    assert_eq!(reason(SIGN_IN, &format!("{good}&ID_TOKEN=x")), "token_duplicate");
    assert_eq!(reason(&format!("{SIGN_IN}?id_token=x"), &good), "token_duplicate", "the query is looked at");
    assert_eq!(reason(SIGN_IN, &format!("{good}&x=%")), "body_unsupported");
    assert_eq!(reason(SIGN_IN, &format!("{good}&x={}", "y".repeat(64 << 10))), "body_too_large");
    assert_eq!(reason(SIGN_IN, "state=1"), "token_missing");
    let other = told("PUT https://app.corp.example/signin", &good);
    assert_eq!(other["unread"][0]["text"], "the route takes no token from a form", "{other}");
    let error = told(SIGN_IN, "error=login_required&state=1");
    assert_eq!((&error["decision"], &error["keeps"]), (&json!("allow"), &Value::Null));
    assert!(error["form"]["text"].as_str().unwrap().ends_with("an error response: `login_required`"), "{error}");
    assert_eq!(reason(SIGN_IN, "error=login_required&code=x"), "token_missing", "an application might sign in by it");
    let (code, _, why) = explain(&folder, SIGN_IN, &["--form", "nowhere.txt"], "");
    assert!(code == Some(2) && why.contains("failed to read `nowhere.txt`"), "{why}");
}

#[test]
fn claims_that_were_kept_count_until_the_time_of_their_keep_has_passed_and_not_as_a_token() {
    let (folder, _) = site();
    let kept = |now: &str, more: &[&str]| {
        let at = ["--kept-claims", "sign-in.yaml", "--kept-at", "2026-01-01T08:00:00Z", "--now", now];
        told(&folder, HOME, &[&at, more].concat(), "")
    };
    let last = kept("2026-01-01T15:59:59Z", &[]);
    assert_eq!((&last["decision"], &last["signatures_checked"]), (&json!("allow"), &json!(false)), "{last}");
    let whole = json!({
        "cookie": "__Host-stepgate", "at": "2026-01-01T08:00:00.000000Z", "until": "2026-01-01T16:00:00.000000Z", "logout_checked": false,
    });
    assert_eq!(last["tokens"][0]["kept"], whole);
    assert_eq!(last["tokens"][0]["claims"].get("exp"), None, "what the policy does not read is not kept");
    let over = kept("2026-01-01T16:00:00Z", &["--kept-by", "callback"]);
    assert_eq!((&over["reason"], &over["deletes"]), (&json!("expired"), &json!(["__Host-stepgate"])), "{over}");
    assert!(
        over["operator"]["hint"].as_str().unwrap().contains("`keep: { for }`"),
        "of cookies, not of tokens: {over}"
    );
    let elsewhere = ["--kept-claims", "sign-in.yaml", "--kept-at", "2026-01-01T08:00:00Z"];
    let post = "POST https://app.corp.example/";
    assert_eq!(told(&folder, post, &elsewhere, "")["decision"], "allow", "from a page of its own");
    let evil = [&elsewhere[..], &["--origin", "https://evil.example"]].concat();
    assert_eq!(told(&folder, post, &evil, "")["reason"], "origin_refused");
    let token = told(&folder, HOME, &["--claims", "sign-in.yaml"], "");
    assert_eq!(token["reason"], "token_missing", "a token stands nowhere there: {token}");
    assert!(token["unread"][0]["text"].as_str().unwrap().contains("--kept-claims"), "{token}");
}

#[test]
fn of_a_token_that_was_not_good_when_it_came_nothing_was_kept() {
    let (folder, _) = site();
    let claims = |claims: &str| {
        let text = format!("issuer: corp\nkind: id\nclaims: {{ amr: [pwd], {claims} }}\n");
        let told = told(&folder, HOME, &["--kept-claims", "-", "--kept-at", "2026-01-01T11:00:00Z"], &text);
        assert_eq!(told["reason"].is_null(), told["tokens"][0]["refused"].is_null(), "{told}");
        let why = &told["tokens"][0]["refused"]["why"];
        (told["reason"].clone(), why.as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(claims("exp: 1m"), (Value::Null, String::new()), "it need not be good any more");
    for (said, why) in [
        ("exp: -1m", "at 2026-01-01T11:00:00.000000Z nothing was kept of it: "),
        ("aud: other", "nothing was kept of it: "),
        ("cnf: { jkt: x }", "nothing was kept of it: "),
    ] {
        let (reason, said_why) = claims(said);
        assert!(reason == "token_missing" && said_why.contains(why), "{said}: {reason} {said_why}");
    }
    let (reason, why) = claims(&format!("sub: {}", "x".repeat(4_000)));
    assert!(reason == "token_missing" && why.contains("a cookie can have 4000"), "{why}");
}

#[test]
fn what_is_missing_or_cannot_be_meant_ends_with_2_and_no_cookie_is_repeated() {
    let (folder, _) = site();
    std::fs::write(folder.path().join("cookie.txt"), "Cookie: a=1; __Host-stepgate=c2VjcmV0\n").unwrap();
    std::fs::write(folder.path().join("alone.txt"), "c2VjcmV0\n").unwrap();
    std::fs::write(folder.path().join("lines.txt"), "a=c2VjcmV0\nb=2\n").unwrap();
    let unsealed = "nobody can read here what is sealed in `__Host-stepgate`";
    for (more, why) in [
        (&["--cookie-file", "cookie.txt"][..], unsealed),
        (&["--cookie-file", "alone.txt"], unsealed),
        (&["--cookie-file", "lines.txt"], "are no value of a field `Cookie`"),
        (&["--cookie-stdin"], "are no value of a field `Cookie`"),
        (&["--cookie-env", "STEPGATE_NO_SUCH"], "is not set"),
        (&["--cookie", "__Host-stepgate=c2VjcmV0"], "unexpected argument '--cookie'"),
        (&["--cookie=__Host-stepgate=c2VjcmV0"], "unexpected argument '--cookie'"),
        (&["--cookie-stdin", "--form", "-"], "read once"),
        (&["--cookie-stdin", "--cookie-file", "cookie.txt"], "cannot be used with"),
        (&["--kept-claims", "sign-in.yaml"], "--kept-at <TIME>"),
        (&["--kept-claims", "sign-in.yaml", "--kept-at", "noon"], "`noon` is no moment"),
        (&["--kept-claims", "sign-in.yaml", "--kept-at", "2026-01-01T12:00:01Z"], "is later than"),
        (
            &["--kept-claims", "sign-in.yaml", "--kept-at", "2026-01-01T11:00:00Z", "--kept-by", "app"],
            "those are `callback`",
        ),
        (&["--cookie-file", "cookie.txt", "--seal-key-env", "STEPGATE_NO_SUCH"], "`STEPGATE_NO_SUCH` is not set"),
    ] {
        let (code, out, error) = explain(&folder, HOME, more, "");
        assert_eq!((code, &*out), (Some(2), ""), "{more:?}");
        assert!(error.contains(why) && !error.contains("c2VjcmV0"), "{more:?}: {error}");
    }
    // Several routes keep, and in several cookies.
    let path = folder.path().join("site/policy.yaml");
    let policy = std::fs::read_to_string(&path).unwrap();
    let second = "  - name: second\n    match: { path: /second }\n    take: [ { form: id_token, kind: id } ]\n    require: authenticated\n    \
                  keep: { cookie: __Host-second, for: 1h }\n";
    std::fs::write(&path, format!("{policy}{second}")).unwrap();
    let (code, _, error) = explain(&folder, HOME, &["--cookie-file", "alone.txt"], "");
    assert!(code == Some(2) && error.contains("write `__Host-") && !error.contains("c2VjcmV0"), "{error}");
    let kept = ["--kept-claims", "sign-in.yaml", "--kept-at", "2026-01-01T11:00:00Z"];
    let (code, _, error) = explain(&folder, HOME, &kept, "");
    assert!(code == Some(2) && error.contains("say --kept-by, one of `callback`, `second`"), "{error}");
    let by_second = [&kept[..], &["--kept-by", "second"]].concat();
    let told = told(&folder, HOME, &by_second, "");
    assert_eq!(told["reason"], "token_missing", "another cookie than the route looks at: {told}");
    assert!(told["unread"][0]["text"].as_str().unwrap().contains("does not look at `__Host-second`"), "{told}");
}

#[test]
fn a_gate_that_has_no_keys_keeps_nothing_and_opens_nothing() {
    let (folder, token) = site();
    let settings = "version: 1\nlisteners: [ { address: \"127.0.0.1:8080\" } ]\nupstreams: { app: { url: \"http://127.0.0.1:8081\" } }\n\
                    policies: site/\nlimits: { form: 1KiB }\n";
    std::fs::write(folder.path().join("stepgate.yaml"), settings).unwrap();
    std::fs::write(folder.path().join("cookie.txt"), "__Host-stepgate=c2VjcmV0").unwrap();
    let with = |request: &str, more: &[&str], stdin: &str| {
        told(&folder, request, &[&["--config", "stepgate.yaml"], more].concat(), stdin)
    };
    assert_eq!(with(HOME, &["--cookie-file", "cookie.txt"], "")["reason"], "signature_invalid");
    let form = format!("id_token={token}");
    let kept = with(SIGN_IN, &["--form", "-"], &form);
    assert_eq!(
        (&kept["decision"], &kept["keeps"]["why_not"]),
        (&json!("allow"), &json!("there are no `seal.keys`")),
        "{kept}"
    );
    assert_eq!(with(SIGN_IN, &["--form", "-"], &format!("{form}&x={}", "y".repeat(1_000)))["reason"], "body_too_large");
}
