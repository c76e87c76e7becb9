//! Where that stands which is given alone, and what is never told of what is posted.

use serde_json::{Value, json};

use crate::beside::{HOME, SIGN_IN, explain, site, told};

/// Routes beside the document's, each with another place to look at.
const MORE: &str = "  - name: crumb
    match: { hosts: [app.corp.example], path: /crumb }
    take: [ { cookie: t, kind: id, origins: [\"https://spa.example\"] }, { form: crumb, kind: access } ]
    max_body: 1KiB
    require: authenticated
  - name: either
    match: { hosts: [app.corp.example], path: /either }
    take: [ { cookie: t, kind: id }, { header: X-Id, kind: id } ]
    require: authenticated
  - name: posted
    match: { hosts: [app.corp.example], path: /posted }
    take: [ { form: id_token, kind: id, on_error: forward } ]
    require: authenticated
  - name: mixed
    match: { hosts: [app.corp.example], path: /mixed }
    take: [ { form: id_token, kind: id, on_error: forward }, authorization ]
    require: authenticated
  - name: other
    match: { hosts: [other.corp.example], path: \"/**\" }
    take: [ { kept: __Host-stepgate } ]
    require: authenticated
";

const KEPT: &[&str] = &["--kept-claims", "sign-in.yaml", "--kept-at", "2026-01-01T08:00:00Z"];

fn wider_site() -> tempfile::TempDir {
    let (folder, _) = site();
    let path = folder.path().join("site/policy.yaml");
    let policy = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, policy + MORE).unwrap();
    folder
}

#[test]
fn what_is_posted_without_a_name_is_counted_and_never_shown() {
    let (folder, token) = site();
    let named = |text: &str| {
        let (_, out, error) = explain(&folder, SIGN_IN, &["--form", "-"], text);
        let told = told(&folder, SIGN_IN, &["--form", "-"], text);
        for part in token.split('.').chain(["c2VjcmV0"]) {
            assert!(![&out, &error, &told.to_string()].into_iter().any(|said| said.contains(part)), "{out}{error}");
        }
        told["form"]["text"].as_str().unwrap().to_owned()
    };
    let hidden = "1 parameter, whose name is not shown";
    for text in [
        token.clone(),
        format!("{token}=1"),
        format!("{{\"id_token\":\"{token}\"}}"),
        format!("Cookie: id_token={token}"),
        "c2VjcmV0".to_owned(),
        "c2VjcmV0c2VjcmV0==".to_owned(),
    ] {
        assert_eq!(named(&text), hidden, "{text}");
    }
    assert_eq!(named(&format!("state=1&{token}&c2VjcmV0")), "`state` and 2 more");
    assert_eq!(named("state=1&id_token=&id_token"), "`state` `id_token` `id_token`", "what the route looks for");
    let longest = "n".repeat(40);
    assert_eq!(named(&format!("{longest}=1&{longest}n=1")), format!("`{longest}` and 1 more"));
}

#[test]
fn a_token_that_is_given_alone_hides_nothing_that_the_request_is_refused_for() {
    let folder = wider_site();
    let at = |path: &str, method: &str, more: &[&str], form: &str| {
        let more = [&["--claims", "sign-in.yaml"], more].concat();
        told(&folder, &format!("{method} https://app.corp.example{path}"), &more, form)["reason"].clone()
    };
    let large = format!("x={}", "y".repeat(1_100));
    for method in ["POST", "PUT"] {
        assert_eq!(at("/crumb", method, &["--form", "-"], &large), "body_too_large");
        assert_eq!(at("/crumb", method, &["--form", "-"], "x=1"), Value::Null);
    }
    let evil = ["--origin", "https://evil.example"];
    assert_eq!(at("/crumb", "POST", &evil, ""), "origin_refused", "it can stand in a cookie alone");
    assert_eq!(at("/crumb", "GET", &evil, ""), Value::Null);
    assert_eq!(at("/crumb", "POST", &["--origin", "https://spa.example"], ""), Value::Null);
    assert_eq!(at("/crumb", "POST", &[], ""), Value::Null, "from a page of its own");
    assert_eq!(at("/either", "POST", &evil, ""), Value::Null, "it can stand in a field too");
    let both = [&evil[..], &["--form", "-"]].concat();
    assert_eq!(at("/crumb", "PUT", &both, &large), "body_too_large", "the first of the two");
}

#[test]
fn a_token_that_is_given_alone_stands_in_no_form_that_nobody_reads_or_that_was_given() {
    let folder = wider_site();
    let told = |request: &str, more: &[&str], form: &str| {
        let more = [&["--claims", "sign-in.yaml"], more].concat();
        told(&folder, request, &more, form)
    };
    for path in ["posted", "mixed"] {
        let at = |method: &str| format!("{method} https://app.corp.example/{path}");
        assert_eq!(told(&at("POST"), &[], "")["decision"], "allow");
        for (method, more, form, why) in [
            ("GET", &[][..], "", "in a form, which is read of a POST alone"),
            ("POST", &["--form", "-"], "state=1", "in the form, and that was given"),
        ] {
            let told = told(&at(method), more, form);
            assert_eq!((&told["reason"], &told["tokens"]), (&json!("token_missing"), &json!([])), "{told}");
            assert_eq!(told["unread"][0]["name"], "the claims in sign-in.yaml");
            assert!(told["unread"][0]["text"].as_str().unwrap().contains(why), "{told}");
        }
        let error = told(&at("POST"), &["--form", "-"], "error=login_required&state=1");
        assert_eq!(error["decision"], "allow", "an error response, since no token came: {error}");
    }
}

#[test]
fn nothing_is_kept_at_a_host_where_the_route_that_keeps_is_not() {
    let folder = wider_site();
    assert_eq!(told(&folder, HOME, KEPT, "")["decision"], "allow");
    let other = told(&folder, "GET https://other.corp.example/", KEPT, "");
    assert_eq!(other["reason"], "token_missing", "{other}");
    let why = other["tokens"][0]["refused"]["why"].as_str().unwrap();
    assert!(why.ends_with("nothing was kept of it: route `callback` keeps nothing at this host"), "{why}");
}

#[test]
fn a_preflight_comes_without_cookies_and_without_what_was_kept() {
    let folder = wider_site();
    std::fs::write(folder.path().join("cookie.txt"), "__Host-stepgate=c2VjcmV0").unwrap();
    for more in [&["--cookie-file", "cookie.txt"][..], &["--cookie-stdin"], &["--cookie-env", "PATH"], KEPT] {
        let request = "OPTIONS https://app.corp.example/";
        let (code, out, error) = explain(&folder, request, &[more, &["--preflight", "GET"]].concat(), "a=1");
        assert_eq!((code, &*out), (Some(2), ""), "{more:?}");
        assert!(error.contains("cannot be used with"), "{error}");
    }
}

#[test]
fn no_key_is_asked_for_where_nobody_looks_at_what_is_sealed() {
    let folder = wider_site();
    std::fs::write(folder.path().join("cookie.txt"), "__Host-stepgate=c2VjcmV0").unwrap();
    let with = ["--cookie-file", "cookie.txt"];
    let crumb = told(&folder, "GET https://app.corp.example/crumb", &with, "");
    assert_eq!(crumb["reason"], "token_missing", "{crumb}");
    assert!(crumb["unread"][0]["text"].as_str().unwrap().starts_with("none that the route looks at"), "{crumb}");
    assert_eq!(told(&folder, "GET https://nowhere.example/", &with, "")["reason"], "route_none");
    assert_eq!(explain(&folder, HOME, &with, "").0, Some(2));
}
