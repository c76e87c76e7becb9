//! Where lints are said, and where they are not: no false alarm is worth more than one true one.

use super::found;

/// The codes that are said of routes, with an issuer that reaches every default level and can be challenged for it.
fn of_routes(routes: &str) -> Vec<&'static str> {
    let head = "version: 1\nissuers:\n  idp: { issuer: \"https://idp.example\", profile: okta, access: { audiences: [api] } }\n";
    codes(&format!("{head}{routes}"))
}

fn codes(text: &str) -> Vec<&'static str> {
    found(text, false).iter().map(|problem| problem.code).collect()
}

fn route(name: &str, matches: &str, require: &str) -> String {
    format!("  - {{ name: {name}, match: {{ {matches} }}, require: {require} }}\n")
}

const MULTI: &str = "{ level: multi-factor }";
const SINGLE: &str = "{ level: single-factor }";

#[test]
fn methods_fall_to_the_next_route_and_not_to_any_weaker_one() {
    let weak = route("rest", "path: \"/**\"", SINGLE);
    let said = |first: &str, others: &str| of_routes(&format!("routes:\n{first}{others}{weak}"));
    let pay = |methods: &str, require: &str| route("pay", &format!("path: /pay, methods: [{methods}]"), require);
    assert_eq!(said(&pay("POST", MULTI), ""), ["weaker_method"], "PUT writes, too");
    assert_eq!(said(&pay("POST, PUT, PATCH, DELETE", MULTI), ""), [""; 0], "reading may ask for less");
    assert_eq!(said(&pay("GET", MULTI), ""), ["weaker_method"]);
    assert_eq!(said(&pay("POST", MULTI), &route("between", "path: \"/pay/**\"", MULTI)), [""; 0]);
    assert_eq!(
        said(&pay("GET", MULTI), &pay("POST, PUT, PATCH, DELETE", MULTI).replace("name: pay", "name: b")),
        [""; 0]
    );
    assert_eq!(said(&pay("POST", SINGLE), ""), [""; 0]);
    let floor = "floors:\n  - { name: f, match: { path: \"/pay/**\" }, require: { level: multi-factor } }\n";
    let routes = format!("{floor}routes:\n{}{weak}", pay("POST", MULTI));
    assert_eq!(of_routes(&routes), [""; 0], "a floor holds whatever route is taken");
}

#[test]
fn a_host_goes_before_the_path_and_only_a_weaker_one_is_said() {
    let strict = route("admin", "path: \"/admin/**\"", MULTI);
    let said = |host: &str, path: &str, require: &str, more: &str| {
        let other = route("app", &format!("hosts: [{host}], path: \"{path}\""), require);
        of_routes(&format!("routes:\n{strict}{other}{more}"))
    };
    assert_eq!(said("a.example", "/**", SINGLE, ""), ["weaker_by_host"]);
    assert_eq!(said("\"*.example\"", "/**", SINGLE, ""), ["weaker_by_host"]);
    assert_eq!(said("a.example", "/**", MULTI, ""), [""; 0]);
    assert_eq!(said("a.example", "/admin/**", SINGLE, ""), [""; 0], "written for just these paths");
    assert_eq!(said("a.example", "/other/**", SINGLE, ""), [""; 0]);
    let again = route("again", "hosts: [a.example], path: \"/admin/**\"", MULTI);
    assert_eq!(said("a.example", "/**", SINGLE, &again), [""; 0]);
    let elsewhere = again.replace("a.example", "b.example");
    assert_eq!(said("a.example", "/**", SINGLE, &elsewhere), ["weaker_by_host"]);
    let floor = "floors:\n  - { name: f, match: { path: \"/admin/**\" }, require: { level: multi-factor } }\nroutes:\n";
    let app = route("app", "hosts: [a.example], path: \"/**\"", SINGLE);
    assert_eq!(of_routes(&format!("{floor}{strict}{app}")), [""; 0]);
}

#[test]
fn a_route_is_shadowed_only_if_nothing_is_left_for_it() {
    let all = route("all", "path: \"/a/**\"", MULTI);
    let said = |others: &[(&str, &str)]| {
        let others: String = others.iter().map(|(name, matches)| route(name, matches, MULTI)).collect();
        of_routes(&format!("routes:\n{all}{others}"))
    };
    assert_eq!(said(&[("b", "path: /a"), ("c", "path: \"/a/{x}/**\"")]), ["route_shadowed"]);
    assert_eq!(
        said(&[("b", "path: /a"), ("c", "path: \"/a/{x}\""), ("d", "path: \"/a/{x}/{y}/**\"")]),
        ["route_shadowed"]
    );
    assert_eq!(said(&[("b", "path: /a"), ("c", "path: \"/a/{x}\"")]), [""; 0]);
    assert_eq!(said(&[("c", "path: \"/a/{x}/**\"")]), [""; 0]);
    assert_eq!(said(&[("b", "path: /a"), ("c", "path: \"/a/{x}/**\", hosts: [h.example]")]), [""; 0]);
    assert_eq!(said(&[("b", "path: /a, methods: [GET]"), ("c", "path: \"/a/{x}/**\"")]), [""; 0]);
}

#[test]
fn a_public_pattern_is_said_beside_a_stricter_path_alone() {
    let said = |public: &str, strict: &str| {
        of_routes(&format!("routes:\n{}{}", route("open", public, "public"), route("strict", strict, MULTI)))
    };
    assert_eq!(said("path: \"/d/**\"", "path: \"/d/x/**\""), ["public_sibling"]);
    assert_eq!(said("path: \"/d/{page}\"", "path: /d/x"), ["public_sibling"]);
    assert_eq!(said("path: /d/y", "path: /d/x"), [""; 0]);
    assert_eq!(said("path: \"/d/**\"", "path: \"/e/x\""), [""; 0]);
    assert_eq!(said("path: \"/d/**\", methods: [GET]", "path: /d/x, methods: [POST]"), [""; 0]);
}

#[test]
fn the_highest_level_needs_an_age_from_anywhere() {
    let top = "{ level: hardware-protected }";
    let routes = |require: &str| format!("routes:\n{}", route("r", "path: \"/**\"", require));
    assert_eq!(of_routes(&routes(top)), ["max_age_missing"]);
    assert_eq!(of_routes(&routes("{ level: hardware-protected, max_age: 1h }")), [""; 0]);
    assert_eq!(of_routes(&routes("{ level: hardware-protected, any: [ { max_age: 1h } ] }")), [""; 0]);
    assert_eq!(of_routes(&routes("{ level: phishing-resistant }")), [""; 0]);
    let floor = |require: &str| format!("floors:\n{}", route("f", "path: \"/**\"", require));
    assert_eq!(of_routes(&format!("{}{}", floor("{ max_age: 1h }"), routes(top))), [""; 0]);
    assert_eq!(of_routes(&format!("{}{}", floor(top), routes("{ max_age: 1h }"))), [""; 0]);
    assert_eq!(of_routes(&format!("{}{}", floor(top), routes("authenticated"))), ["max_age_missing"]);
}

/// An issuer with these lines of its own.
fn of_issuer(lines: &str) -> Vec<&'static str> {
    codes(&format!(
        "version: 1\nissuers:\n  idp:\n    issuer: https://idp.example\n    access: {{ audiences: [api] }}\n    \
         challenge: {{ single-factor: [a], multi-factor: [b] }}\n{lines}routes:\n{}",
        route("all", "path: \"/**\"", SINGLE)
    ))
}

#[test]
fn proofs_that_are_sound_by_what_their_values_mean_are_left_alone() {
    for proves in [
        // Of the product's own page: what `acr` values mean is the issuer's to order.
        "{ single-factor: { acr: [loa2] }, multi-factor: { any: [ { acr: [loa3] }, { amr: { any: [mfa] } }, { factors: 2 } ] } }",
        "{ single-factor: { factors: 1 }, multi-factor: { any: [ { amr: { any: [mfa] } }, { factors: 2 } ] } }",
        "{ single-factor: { amr: { any: [pwd] } }, multi-factor: { amr: { any: [otp] } } }",
        "{ single-factor: { acr: { at_least: 1 } }, multi-factor: { acr: { at_least: 2 } } }",
        "{ single-factor: { factors: 1 }, multi-factor: { all: [ { factors: 2 }, { amr: { all: [pwd, otp, sms, pin] } } ] } }",
        "{ single-factor: { claims: { a: [x, y] } }, multi-factor: { all: [ { claims: { a: x } }, { claims: { a: y } } ] } }",
        "{ single-factor: { factors: 1 }, multi-factor: { amr: { count: 5 }, factors: 3 } }",
        "{ multi-factor: { factors: 2 }, hardware-protected: { all: [ { factors: 2 }, { hardware: true } ] } }",
    ] {
        assert_eq!(of_issuer(&format!("    proves: {proves}\n")), [""; 0], "{proves}");
    }
}

#[test]
fn proofs_that_are_less_than_a_weaker_one_are_said() {
    for (proves, says) in [
        ("{ single-factor: { factors: 2 }, multi-factor: { hardware: true } }", &["proof_skips_rung"][..]),
        (
            "{ single-factor: { amr: { none: [sms] }, factors: 1 }, multi-factor: { factors: 2 } }",
            &["proof_skips_rung"],
        ),
        (
            "{ single-factor: { not: { amr: { any: [sms] } }, factors: 1 }, multi-factor: { factors: 2 } }",
            &["proof_skips_rung"],
        ),
        ("{ single-factor: { factors: 2 }, multi-factor: { factors: 1 } }", &["rung_unreachable", "proof_skips_rung"]),
        ("{ single-factor: { amr: { any: [pwd] } }, multi-factor: { amr: { any: [pwd] } } }", &["rungs_alike"]),
        ("{ single-factor: { acr: [a] }, multi-factor: { amr: { all: [pwd], none: [pwd] } } }", &["rung_unreachable"]),
    ] {
        assert_eq!(of_issuer(&format!("    proves: {proves}\n")), says, "{proves}");
    }
}

#[test]
fn acr_is_said_beside_ignored_values_where_it_is_enough_by_itself() {
    for (proof, says) in [
        ("{ acr: [a] }", true),
        ("{ any: [ { factors: 1 }, { acr: [a] } ] }", true),
        ("{ acr: [a], factors: 1 }", false),
        ("{ all: [ { acr: [a] }, { not: { amr: { any: [otp] } } } ] }", false),
        ("{ any: [ { factors: 1 }, { claims: { a: b } } ] }", false),
    ] {
        let said = of_issuer(&format!("    ignore_amr: [sms]\n    proves: {{ single-factor: {proof} }}\n"));
        assert_eq!(said.contains(&"acr_beside_ignored"), says, "{proof}");
        assert_eq!(of_issuer(&format!("    proves: {{ single-factor: {proof} }}\n")), [""; 0], "{proof}");
    }
}

#[test]
fn an_issuer_that_is_trusted_less_is_said_where_nothing_holds_it_back() {
    let said = |trust: &str, require: &str| {
        codes(&format!(
            "version: 1\nissuers:\n  own: {{ issuer: \"https://a.example\", profile: okta, access: {{ audiences: [a] }} }}\n  \
             partner: {{ issuer: \"https://b.example\", profile: okta, access: {{ audiences: [a] }}, trust: {{ {trust} }} }}\n\
             routes:\n{}",
            route("all", "path: \"/**\"", require)
        ))
    };
    let cap = "max_level: single-factor";
    for (trust, require, says) in [
        (cap, "authenticated", &["issuer_unnamed"][..]),
        ("amr: false", "authenticated", &["issuer_unnamed"]),
        (cap, "{ scopes: { all: [x] } }", &["issuer_unnamed"]),
        ("max_level: hardware-protected", "authenticated", &[]),
        (cap, "{ issuers: [own], scopes: { all: [x] } }", &[]),
        (cap, SINGLE, &[]),
        (cap, "{ factors: 2 }", &["raw_evidence_uncapped"]),
        (cap, "{ level: single-factor, factors: 2 }", &[]),
        (cap, "{ issuers: [own], factors: 2 }", &[]),
        (
            cap,
            "{ issuers: [own, partner], any: [ { factors: 2 }, { level: multi-factor } ] }",
            &["raw_evidence_uncapped"],
        ),
        (cap, "{ claims: { a: b } }", &[]),
    ] {
        assert_eq!(said(trust, require), says, "{trust} {require}");
    }
}

#[test]
fn a_level_is_said_to_be_unchallengeable_once_and_only_if_nobody_can_be_asked_for_it() {
    let two = route("a", "path: /a", SINGLE) + &route("b", "path: /b", SINGLE);
    let said = |challenge: &str, routes: &str| {
        found(
            &format!(
                "version: 1\nissuers:\n  idp: {{ issuer: \"https://idp.example\", profile: rfc8176, access: {{ audiences: [a] }}{challenge} }}\nroutes:\n{routes}"
            ),
            false,
        )
    };
    let problems = said("", &two);
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message.contains("`a` and one more"), "{}", problems[0].message);
    let levels = two.clone() + &route("c", "path: /c", MULTI);
    let problems = said("", &levels);
    assert_eq!(problems.len(), 1, "an issuer without any `acr` is one thing to mend: {problems:?}");
    assert!(problems[0].message.contains("`a` and 2 more"), "{}", problems[0].message);
    assert!(problems[0].message.ends_with("for `single-factor` or `multi-factor`"), "{}", problems[0].message);
    let gap = said(", challenge: { single-factor: [x] }", &levels);
    assert_eq!(gap.len(), 1, "one level has a name, and the other is a gap");
    assert!(gap[0].message.contains("`c` refuses") && gap[0].message.ends_with("for `multi-factor`"), "{gap:?}");
    assert_eq!(said(", challenge: { single-factor: [x] }", &two), []);
    assert_eq!(said(", challenge: { multi-factor: [x] }", &two), [], "a stronger one will do");
    assert_eq!(said("", &route("a", "path: /a", "{ issuers: [idp], level: single-factor, acr: [x] }")), []);
}

#[test]
fn a_callback_is_said_where_a_weaker_route_takes_its_path_by_get_and_nowhere_else() {
    let head =
        "version: 1\nissuers:\n  idp: { issuer: \"https://idp.example\", profile: okta, id: { audiences: [app] } }\n";
    let callback = |matches: &str| {
        format!(
            "  - {{ name: cb, match: {{ {matches} }}, take: [ {{ form: id_token, kind: id }} ], require: {SINGLE} }}\n"
        )
    };
    let posted = callback("path: /cb, methods: [POST]");
    let said = |callback: &str, other: &str| -> Vec<&str> {
        let codes = codes(&format!("{head}routes:\n{callback}{other}"));
        // That a public route takes what is spelt otherwise is said of itself.
        codes.into_iter().filter(|code| *code != "public_sibling").collect()
    };
    let taking = |matches: &str, require: &str| {
        format!("  - {{ name: o, match: {{ {matches} }}, take: [ {{ header: x, kind: id }} ], require: {require} }}\n")
    };
    let get = "path: \"/**\", methods: [GET]";
    assert_eq!(said(&posted, &route("o", get, "public")), ["callback_by_get"]);
    assert_eq!(said(&posted, &taking(get, "authenticated")), ["callback_by_get"]);
    let by_any = said(&posted, &route("o", "path: \"/**\"", "public"));
    assert_eq!(by_any, ["callback_by_get"], "and not `weaker_method` beside it");
    assert_eq!(said(&posted, &route("o", "path: /cb, methods: [GET, HEAD]", "public")), ["callback_by_get"]);
    assert_eq!(said(&posted, &taking(get, SINGLE)), [""; 0], "as strong");
    assert_eq!(said(&posted, &route("o", "path: /other, methods: [GET]", "public")), [""; 0]);
    assert_eq!(said(&callback("path: /cb"), &route("o", get, "public")), [""; 0], "the callback takes GET itself");
    let between = taking("path: \"/cb/**\", methods: [GET]", SINGLE) + &route("p", get, "public");
    assert_eq!(said(&posted, &between), [""; 0], "a more specific route takes it");
    let floor = format!("floors:\n  - {{ name: f, match: {{ path: \"/**\" }}, require: {SINGLE} }}\nroutes:\n");
    let floored = codes(&format!("{head}{floor}{posted}{}", taking(get, "authenticated")));
    assert_eq!(floored, [""; 0], "a floor holds whatever route is taken");
}
