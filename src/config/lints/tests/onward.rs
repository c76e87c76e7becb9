//! Where lints are said of what an upstream makes of a path, or a rewrite before it.

use super::found;

const MULTI: &str = "{ level: multi-factor }";
const SINGLE: &str = "{ level: single-factor }";
const REWRITE: &[&str] = &["weaker_by_rewrite"];
const SLASH: &[&str] = &["weaker_by_encoded_slash"];

fn said(rules: &str) -> Vec<&'static str> {
    let head = "version: 1\nissuers:\n  idp: { issuer: \"https://idp.example\", profile: okta, access: { audiences: [api] } }\n";
    found(&format!("{head}{rules}"), false).iter().map(|problem| problem.code).collect()
}

/// A route with these keys under `match`, and these beside it.
fn route(name: &str, matches: &str, require: &str, more: &str) -> String {
    format!("  - {{ name: {name}, match: {{ {matches} }}, require: {require}{more} }}\n")
}

fn of_routes(routes: &[String]) -> Vec<&'static str> {
    said(&format!("routes:\n{}", routes.concat()))
}

/// What is said of a strict route and a weaker one, whose path is rewritten.
fn rewritten(strict: &str, weak: &str, prefix: &str) -> Vec<&'static str> {
    let rewrite = format!(", rewrite: {{ prefix: {prefix} }}");
    of_routes(&[route("strict", strict, MULTI, ""), route("weak", weak, SINGLE, &rewrite)])
}

#[test]
fn a_rewrite_is_said_where_it_leads_to_paths_of_a_stricter_route() {
    for (strict, weak, prefix) in [
        ("path: \"/admin/**\"", "path: \"/files/**\"", "/admin"),
        ("path: \"/admin/**\"", "path: \"/files/**\"", "/admin/files"),
        ("path: \"/admin/**\"", "path: \"/files/**\"", "/"),
        ("path: \"/admin/users/{id}\"", "path: \"/files/{name}/**\"", "/admin"),
        ("path: \"/v1/{tenant}/admin\"", "path: \"/files/**\"", "/v1/t1"),
        ("path: /admin", "path: /files", "/admin"),
        ("path: \"/**\"", "path: \"/files/**\"", "/"),
        ("path: \"/admin/**\", methods: [PUT, LOCK]", "path: \"/files/**\", methods: [GET, LOCK]", "/admin"),
        ("path: \"/admin/**\", hosts: [\"*.example\"]", "path: \"/files/**\", hosts: [a.example]", "/admin"),
        ("path: \"/admin/**\", hosts: [a.example]", "path: \"/files/**\", hosts: [\"*.example\"]", "/admin"),
        ("path: \"/admin/**\", hosts: [a.example]", "path: \"/files/**\"", "/admin"),
        ("path: \"/admin/**\", ignore_case: true", "path: \"/files/**\"", "/Admin"),
        ("path: \"/admin/**\"", "path: \"/files/**\", ignore_case: true", "/Admin"),
    ] {
        assert_eq!(rewritten(strict, weak, prefix), REWRITE, "{strict} {weak} {prefix}");
    }
}

#[test]
fn a_rewrite_to_what_no_stricter_route_has_is_left_alone() {
    for (strict, weak, prefix) in [
        ("path: \"/admin/**\"", "path: \"/files/**\"", "/data"),
        ("path: \"/admin/users/all\"", "path: \"/files/{name}/{page}\"", "/"),
        ("path: \"/admin/**\", methods: [PUT]", "path: \"/files/**\", methods: [GET]", "/admin"),
        ("path: \"/admin/**\", hosts: [a.example]", "path: \"/files/**\", hosts: [b.example]", "/admin"),
        ("path: \"/admin/**\", hosts: [\"*.b.example\"]", "path: \"/files/**\", hosts: [\"*.a.example\"]", "/admin"),
        ("path: \"/admin/**\"", "path: \"/files/**\"", "/Admin"),
        // One path, or what no other route names: it is meant to go before.
        ("path: \"/admin/**\"", "path: /health", "/admin/health"),
        ("path: \"/**\"", "path: \"/files/**\"", "/assets"),
        ("path: \"/{tenant}/**\"", "path: \"/files/**\"", "/assets"),
    ] {
        assert_eq!(rewritten(strict, weak, prefix), [""; 0], "{strict} {weak} {prefix}");
    }
}

#[test]
fn of_a_rewrite_it_counts_what_the_upstream_sees_and_which_upstream_that_is() {
    let (admin, files) = ("path: \"/admin/**\"", "path: \"/files/**\"");
    let both = |strict: &str, weak: &str| {
        of_routes(&[route("strict", admin, MULTI, strict), route("weak", files, SINGLE, weak)])
    };
    assert_eq!(both(", upstream: a", ", upstream: a, rewrite: { prefix: /admin }"), REWRITE);
    assert_eq!(both(", upstream: b", ", upstream: a, rewrite: { prefix: /admin }"), [""; 0]);
    assert_eq!(both(", upstream: a", ", rewrite: { prefix: /admin }"), REWRITE, "there is one alone");
    assert_eq!(both(", rewrite: { prefix: /v1 }", ", rewrite: { prefix: /admin }"), [""; 0]);
    assert_eq!(both(", rewrite: { prefix: /v1 }", ", rewrite: { prefix: /v1 }"), REWRITE, "said once");
    assert_eq!(both(", rewrite: { prefix: /files/admin }", ""), REWRITE, "the weaker one takes it as it comes");
    assert_eq!(both(", rewrite: { prefix: / }", ""), [""; 0], "and it is meant to, before one that names no place");
    assert_eq!(both(", rewrite: { prefix: /v1 }", ""), [""; 0]);
    let stricter = |more: &str| of_routes(&[route("a", admin, SINGLE, ""), route("b", files, MULTI, more)]);
    assert_eq!(stricter(", rewrite: { prefix: /admin }"), REWRITE, "what it guards is served for less");
    let exception = |weak: &str, path: &str| {
        of_routes(&[
            route("strict", "path: \"/v1/**\"", MULTI, ""),
            route("open", &format!("path: \"{weak}\""), "public", ""),
            route("app", path, MULTI, ", rewrite: { prefix: /v1 }"),
        ])
    };
    assert_eq!(exception("/v1/public/**", "path: \"/app/**\""), [""; 0], "a narrower one is meant, as it is without");
    assert_eq!(exception("/v1/{x}/y/**", "path: \"/app/{x}/**\""), [""; 0]);
    assert_eq!(exception("/v1/{x}/**", "path: \"/app/{x}/{y}/**\""), REWRITE, "it takes all that the other leads to");
    let narrower = [
        route("strict", admin, MULTI, ""),
        route("between", "path: \"/admin/{x}/**\"", SINGLE, ""),
        route("weak", files, SINGLE, ", rewrite: { prefix: /admin }"),
    ];
    assert_eq!(of_routes(&narrower), REWRITE, "`/admin` itself is the stricter one's");
    let all = [&narrower[..], &[route("root", "path: /admin", SINGLE, "")]].concat();
    assert_eq!(of_routes(&all), ["route_shadowed"], "and here nothing is");
}

#[test]
fn a_rewrite_is_said_where_it_leads_past_a_floor() {
    let floor =
        "floors:\n  - { name: guard, match: { path: \"/admin/**\" }, require: { level: multi-factor } }\nroutes:\n";
    let over = |weak: &str, require: &str, more: &str, others: &str| {
        said(&format!("{floor}{}{others}", route("weak", weak, require, more)))
    };
    let to = |prefix: &str| format!(", upstream: a, rewrite: {{ prefix: {prefix} }}");
    let app = route("app", "path: \"/**\"", MULTI, ", upstream: a");
    let files = "path: \"/files/**\"";
    assert_eq!(over(files, SINGLE, &to("/admin"), &app), REWRITE);
    assert_eq!(over(files, "public", &to("/admin/files"), &app), REWRITE);
    assert_eq!(over("path: /health", "public", &to("/admin/health"), &app), REWRITE, "no path goes before a floor");
    assert_eq!(over(files, SINGLE, &to("/"), &app), REWRITE);
    assert_eq!(over(files, MULTI, &to("/admin"), &app), [""; 0]);
    assert_eq!(over(files, SINGLE, &to("/data"), &app), [""; 0]);
    assert_eq!(over("path: \"/admin/files/**\"", SINGLE, &to("/admin"), &app), [""; 0], "it holds there too");
    assert_eq!(over(files, SINGLE, &to("/admin"), &app.replace("upstream: a", "upstream: b")), [""; 0]);
    let elsewhere = app.replace("upstream: a", "upstream: a, rewrite: { prefix: /v1 }");
    assert_eq!(over(files, SINGLE, &to("/admin"), &elsewhere), [""; 0], "the floor is not for what the upstream sees");
    let idle = ["floor_covers_nothing", "weaker_by_rewrite"];
    assert_eq!(over(files, SINGLE, &to("/admin"), ""), idle, "it was meant for what the upstream sees");
    let own = ("path: \"/admin/**\"", ", upstream: admin");
    let guarded = route("guarded", own.0, MULTI, own.1);
    assert_eq!(
        over(files, SINGLE, &to("/admin"), &format!("{app}{guarded}")),
        [""; 0],
        "here nobody serves what it guards"
    );
    let some = route("guarded", "path: \"/admin/users/**\"", MULTI, own.1);
    assert_eq!(over(files, SINGLE, &to("/admin"), &format!("{app}{some}")), REWRITE, "the rest of it is served here");
    let away = route("guarded", own.0, MULTI, ", upstream: a, rewrite: { prefix: /v2 }");
    assert_eq!(over(files, SINGLE, &to("/admin"), &format!("{app}{away}")), [""; 0]);
    let of_put = floor.replace("/admin/**\"", "/admin/**\", methods: [PUT]");
    let read = |methods: &str| {
        let weak = route("weak", &format!("{files}, methods: [{methods}]"), SINGLE, &to("/admin"));
        said(&format!("{of_put}{}{weak}", app.replace(MULTI, SINGLE)))
    };
    assert_eq!((read("GET"), read("PUT")), (vec![], REWRITE.to_vec()));
}

#[test]
fn very_many_routes_to_one_place_do_not_hide_the_one_that_is_weaker() {
    let tenants = (0..2000)
        .map(|n| route(&format!("t{n}"), &format!("path: \"/t{n}/**\""), MULTI, ", rewrite: { prefix: /app }"));
    let weak = route("weak", "path: \"/weak/**\"", SINGLE, ", rewrite: { prefix: /app }");
    assert_eq!(of_routes(&tenants.chain([weak]).collect::<Vec<_>>()), REWRITE);
}

/// What is said of a route that takes an escaped slash, over a stricter one.
fn escaped(weak: &str, strict: &str, others: &[String]) -> Vec<&'static str> {
    let weak = route("weak", &format!("{weak}, encoded_slash: true"), SINGLE, "");
    of_routes(&[&[weak, route("strict", strict, MULTI, "")], others].concat())
}

#[test]
fn an_escaped_slash_is_said_where_a_stricter_route_has_what_it_decodes_to() {
    for (weak, strict) in [
        ("path: \"/p/{name}\"", "path: \"/p/**\""),
        ("path: \"/p/{name}\"", "path: \"/**\""),
        ("path: \"/p/{name}/x/**\"", "path: \"/p/**\""),
        ("path: \"/p/{a}/{b}\"", "path: \"/p/{a}/**\""),
        ("path: \"/group%2Fproject\"", "path: \"/**\""),
        ("path: \"/p/{name}\", hosts: [a.example]", "path: \"/p/**\", hosts: [\"*.example\"]"),
    ] {
        assert_eq!(escaped(weak, strict, &[]), SLASH, "{weak} {strict}");
    }
    assert_eq!(escaped("path: \"/p/{name}\"", "path: \"/p/**\", methods: [POST]", &[]), SLASH);
}

#[test]
fn an_escaped_slash_that_no_stricter_route_takes_for_one_is_left_alone() {
    let name = "path: \"/p/{name}\"";
    for (weak, strict) in [
        (name, "path: \"/q/**\""),
        ("path: \"/p/{name}/**\"", "path: \"/p/**\""),
        // The gate itself refuses what has another route than a wider one.
        (name, "path: \"/p/{name}/{page}\""),
        ("path: \"/group%2Fproject\"", "path: \"/group/**\""),
        ("path: \"/p/{name}\", methods: [GET]", "path: \"/p/**\", methods: [POST]"),
        ("path: \"/p/{name}\", hosts: [a.example]", "path: \"/p/**\", hosts: [b.example]"),
    ] {
        assert_eq!(escaped(weak, strict, &[]), [""; 0], "{weak} {strict}");
    }
    let between = route("between", "path: \"/p/**\"", SINGLE, "");
    assert_eq!(escaped(name, "path: \"/**\"", &[between]), [""; 0]);
    let floor = format!("floors:\n{}routes:\n", route("floor", "path: \"/p/**\"", MULTI, ""));
    let weak = route("weak", &format!("{name}, encoded_slash: true"), SINGLE, "");
    let strict = route("strict", "path: \"/p/**\"", MULTI, "");
    assert_eq!(said(&format!("{floor}{weak}{strict}")), [""; 0], "a floor holds in either reading");
    let plain = route("weak", name, SINGLE, "");
    assert_eq!(of_routes(&[plain, strict]), [""; 0], "without the key the gate refuses it");
}

#[test]
fn allowing_empty_segments_is_said_where_no_path_may_have_one() {
    let said = |path: &str| of_routes(&[route("r", &format!("path: \"{path}\", empty_segments: true"), MULTI, "")]);
    assert_eq!(said("/objects/{key}"), ["empty_segments_idle"]);
    assert_eq!(said("/"), ["empty_segments_idle"]);
    assert_eq!(said("/objects/**"), [""; 0]);
    assert_eq!(said("/**"), [""; 0]);
}
