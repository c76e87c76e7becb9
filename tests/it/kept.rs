//! What was proved at sign-in is kept in a sealed cookie, and later requests are judged by it as by the token.

use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::kept_support::{
    KEY, NAME, OTHER_KEY, ROUTES, callback, flipped, is_deleted, kept, sealed_with, set, sign_in, with, world,
};
use crate::support::{Gate, Request, Token, Upstream, World, now};

#[test]
fn a_sign_in_is_kept_in_a_cookie_that_tells_nothing_and_later_requests_are_judged_by_it() {
    let world = world(|setup| setup);
    let response = world.passes(&callback(&world, &Token::id()));
    let value = kept(&response, NAME).unwrap();
    let expected = format!("{NAME}={value}; Path=/; Max-Age=28800; Secure; HttpOnly; SameSite=Lax");
    assert!(set(&response).contains(&expected.as_str()), "{}", response.head);
    assert!(set(&response).contains(&"own=1; Path=/"), "the application's own cookies stay");
    assert_eq!(response.header("cache-control"), Some("no-store"), "an answer with a session is nobody else's");
    assert!(value.len() <= 4_000 && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    let again = sign_in(&world, &Token::id());
    let alike = value.bytes().zip(again.bytes()).skip(2).filter(|(a, b)| a == b).count();
    assert!(alike < value.len() / 8, "two sign-ins of one user look alike in {alike} places");

    world.passes(&with(Request::get("/app/1"), &value));
    let seen = world.upstream.last();
    assert_eq!(seen.header("cookie"), Some("theme=dark; own=1"), "the application never sees it");
    assert_eq!(seen.header("x-stepgate-subject"), Some("ada"));
    assert_eq!(seen.header("x-stepgate-level"), Some("multi-factor"));
    let (_, line) = world.gate.decision(&with(Request::get("/app/1"), &value));
    for (name, value) in
        [("kept", json!(true)), ("kind", json!("id")), ("subject", json!("ada")), ("amr", json!(["pwd", "otp"]))]
    {
        assert_eq!(line[name], value, "{name}: {line}");
    }
    let (_, line) = world.gate.decision(&callback(&world, &Token::id()));
    assert_eq!(line["kept"], false, "there a token spoke: {line}");
    let (_, line) = world.gate.decision(&with(Request::get("/public/1"), &value));
    assert_eq!(line["kept"], false, "there nothing was asked: {line}");
    for (event, count) in [("set", 3.0), ("opened", 2.0), ("refused", 0.0), ("ended", 0.0)] {
        assert_eq!(world.gate.metric(&format!("stepgate_kept_total{{event=\"{event}\"}}")), count, "{event}");
    }
}

#[test]
fn what_was_kept_proves_no_more_than_the_token_did() {
    let world = world(|setup| setup);
    let weak = sign_in(&world, &Token::id().weak());
    let refused = world.refuses(&with(Request::get("/app/1"), &weak), 401, "level_too_low");
    assert!(!is_deleted(&refused, NAME), "it is good for other routes");
    assert!(refused.challenge().get("acr_values").is_some(), "{}", refused.head);
    world.passes(&with(Request::get("/partner"), &weak));
    let strong = sign_in(&world, &Token::id());
    world.refuses(&with(Request::get("/app/strongest"), &strong), 401, "level_too_low");
    world.refuses(&with(Request::get("/app/tier"), &strong), 403, "claim_mismatch");
    world.passes(&with(Request::get("/app/tier"), &sign_in(&world, &Token::id().claim("tier", "gold"))));
    world.refuses(&Request::get("/app/1").host("app.example"), 401, "token_missing");
    // Nothing but what was kept is taken there, and it is no token elsewhere.
    world.refuses(&Request::get("/app/1").bearer(&Token::access().sign(&world.bank)), 401, "token_missing");
    world.refuses(&Request::get("/any/1").bearer(&strong), 401, "token_malformed");
    world.refuses(&with(Request::get("/app/1"), &Token::id().sign(&world.bank)), 401, "token_malformed");
}

#[test]
fn tampered_with_cut_short_or_moved_it_is_refused_and_deleted() {
    let world = world(|setup| setup);
    let value = sign_in(&world, &Token::id());
    let refused = |request: &Request, reason: &str| {
        let response = world.refuses(request, 401, reason);
        assert!(is_deleted(&response, NAME), "{}", response.head);
        assert_eq!(response.header("cache-control"), Some("no-store"));
    };
    refused(&with(Request::get("/app/1"), &flipped(&value)), "signature_invalid");
    for length in [4, 16, 40, value.len() / 4 * 2, value.len() - 4] {
        refused(&with(Request::get("/app/1"), &value[..length / 4 * 4]), "signature_invalid");
    }
    refused(&with(Request::get("/app/1"), &format!("{value}=")), "token_malformed");
    refused(&with(Request::get("/app/1"), &format!("{value}.")), "token_malformed");
    refused(&with(Request::get("/app/1"), &format!("{value}\"")), "token_malformed");
    refused(&with(Request::get("/app/1"), &format!("B{}", &value[1..])), "token_malformed");
    refused(&with(Request::get("/app/1"), &value).host("other.example"), "signature_invalid");
    // Under another name: what one route keeps is not what another takes.
    let moved = Request::get("/short/app").host("app.example").header("Cookie", &format!("__Host-short={value}"));
    let response = world.refuses(&moved, 401, "signature_invalid");
    assert!(is_deleted(&response, "__Host-short") && !is_deleted(&response, NAME));
    let twice = Request::get("/app/1").host("app.example").header("Cookie", &format!("{NAME}={value}; {NAME}={value}"));
    world.refuses(&twice, 400, "token_duplicate");
    world.passes(&with(Request::get("/app/1"), &value).host("APP.example:8443"));
    let (_, line) = world.gate.decision(&with(Request::get("/app/1"), &flipped(&value)));
    assert_eq!([&line["kept"], &line["subject"], &line["kind"]], [&json!(true), &json!(null), &json!(null)], "{line}");
    assert!(line["hint"].as_str().unwrap().contains("`seal.keys`"), "no issuer's key is at fault: {line}");
    let (_, line) = world.gate.decision(&with(Request::get("/app/1"), "made-up"));
    assert!(line["hint"].as_str().unwrap().contains("not sealed by a gate"), "{line}");
}

#[test]
fn it_ends_when_it_was_said_to_and_not_with_the_token() {
    let world = world(|setup| setup);
    let token = Token::id().claim("exp", now() - 28).sign(&world.bank);
    let response = world.passes(&Request::post("/short", "x").host("app.example").header("X-Id-Token", &token));
    let value = kept(&response, "__Host-short").unwrap();
    let request = Request::get("/short/app").host("app.example").header("Cookie", &format!("__Host-short={value}"));
    world.passes(&request);
    std::thread::sleep(Duration::from_millis(2_100));
    let refused = world.refuses(&request, 401, "expired");
    assert!(is_deleted(&refused, "__Host-short"));
    let long = sign_in(&world, &Token::id().claim("exp", now() - 28));
    std::thread::sleep(Duration::from_millis(2_100));
    let (_, line) = world.gate.decision(&request);
    assert!(line["hint"].as_str().unwrap().contains("`keep: { for }`"), "{line}");
    world.refuses(&callback(&world, &Token::id().claim("exp", now() - 30)), 401, "expired");
    world.passes(&with(Request::get("/app/1"), &long));
}

#[test]
fn age_counts_from_the_sign_in_at_the_issuer() {
    let world = world(|setup| setup);
    let value = sign_in(&world, &Token::id().claim("auth_time", now() - 297));
    world.passes(&with(Request::get("/app/fresh"), &value));
    std::thread::sleep(Duration::from_millis(4_100));
    let refused = world.refuses(&with(Request::get("/app/fresh"), &value), 401, "auth_too_old");
    assert_eq!(refused.challenge().get("max_age"), Some("300"));
    world.passes(&with(Request::get("/app/1"), &value));
}

#[test]
fn what_a_route_only_observes_is_not_kept() {
    let watched = "version: 1\nroutes:\n  - name: watched\n    match: { path: /watched }\n    mode: observe\n    \
        take: [ { header: x-id-token, kind: id } ]\n    require: { level: multi-factor }\n    \
        keep: { cookie: __Host-short, for: 2s }\n";
    let world = world(|setup| setup.policy(watched));
    let signed_in = |token: &Token| {
        let token = token.sign(&world.bank);
        world.gate.send(&Request::post("/watched", "x").host("app.example").header("X-Id-Token", &token))
    };
    let lifted = signed_in(&Token::id().weak());
    assert_eq!((lifted.status, kept(&lifted, "__Host-short")), (200, None), "{}", lifted.head);
    assert!(kept(&signed_in(&Token::id()), "__Host-short").is_some(), "what would pass anyway is kept");
}

#[test]
fn only_a_sign_in_that_the_application_took_is_kept() {
    let world = world(|setup| setup);
    let answered = |status: &str| world.gate.send(&callback(&world, &Token::id()).header("X-Answer", status));
    for status in ["200", "204", "302", "303", "399"] {
        let response = answered(status);
        assert_eq!(response.status.to_string(), status);
        assert!(kept(&response, NAME).is_some(), "{status}");
    }
    for status in ["400", "401", "403", "404", "500", "503", "0"] {
        let response = answered(status);
        assert_eq!(set(&response).iter().filter(|cookie| cookie.starts_with(NAME)).count(), 0, "{}", response.head);
    }
    // Nor is one that the gate itself refused.
    let weak = Token::id().weak().claim("amr", json!([])).claim("acr", "0");
    let refused = world.gate.send(&callback(&world, &weak));
    assert_eq!((refused.status, set(&refused).len()), (401, 0));
}

#[test]
fn what_was_kept_is_not_kept_anew() {
    let world = world(|setup| setup);
    let value = sign_in(&world, &Token::id());
    let response = world.passes(&with(Request::get("/signin"), &value));
    assert_eq!(set(&response), ["own=1; Path=/"]);
    // Nor when it is what was enough beside a token that was not.
    let weak = Token::access().weak().claim("acr", "0").claim("amr", json!([])).sign(&world.bank);
    let response = world.passes(&with(Request::get("/signin"), &value).header("X-Access-Token", &weak));
    assert_eq!(set(&response), ["own=1; Path=/"]);
    // An access token that is enough is kept as such.
    let strong = Token::access().sign(&world.bank);
    let response = world.passes(&with(Request::get("/signin"), &value).header("X-Access-Token", &strong));
    let access = kept(&response, NAME).unwrap();
    let (_, line) = world.gate.decision(&with(Request::get("/app/1"), &access));
    assert_eq!((&line["kind"], &line["client"]), (&json!("access"), &json!("app")), "{line}");
}

#[test]
fn nobody_but_the_gate_sets_the_cookie() {
    let world = world(|setup| setup);
    for path in ["/public/1", "/signin"] {
        for sets in [format!("{NAME}=theirs; Path=/; Secure"), format!("={NAME}=theirs"), format!(" {NAME} = theirs")] {
            let request = callback(&world, &Token::id()).header("X-Sets", &sets);
            let request = if path == "/signin" { request } else { Request::get(path).header("X-Sets", &sets) };
            let response = world.passes(&request);
            assert!(!response.head.contains("theirs"), "{}", response.head);
            assert!(set(&response).contains(&"own=1; Path=/"), "{}", response.head);
            assert_eq!(kept(&response, NAME).is_some(), path == "/signin");
        }
        let response = world.passes(&Request::get("/public/1").header("X-Sets", "__Host-other=theirs"));
        assert!(response.head.contains("__Host-other=theirs"), "{}", response.head);
    }
    for path in ["/public/1", "/any/1"] {
        let token = Token::access().sign(&world.bank);
        world.passes(&with(Request::get(path), "whatever").bearer(&token));
        assert_eq!(
            world.upstream.last().header("cookie"),
            Some("theme=dark; own=1"),
            "on {path} it is not seen either"
        );
    }
    world.passes(&Request::get("/public/1").header("Cookie", &format!("{NAME}=x")));
    assert_eq!(world.upstream.last().header("cookie"), None);
}

#[test]
fn with_an_unsafe_method_a_page_of_the_same_origin_must_have_asked() {
    let world = world(|setup| setup);
    let value = sign_in(&world, &Token::id());
    let post = |path: &str| with(Request::post(path, "x"), &value);
    let (ours, partner) = ("http://app.example", "https://partner.example");
    world.passes(&post("/app/1").header("Origin", ours));
    world.passes(&post("/app/1").header("Sec-Fetch-Site", "same-origin"));
    world.passes(&post("/partner").header("Origin", partner));
    for request in [post("/app/1"), post("/app/1").header("Origin", partner), post("/app/1").header("Origin", "null")] {
        let refused = world.refuses(&request, 403, "origin_refused");
        assert!(!is_deleted(&refused, NAME), "another site must not sign the user out");
    }
    let upgrade = with(Request::get("/app/1"), &value)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    world.refuses(&upgrade, 403, "origin_refused");
}

#[test]
fn beside_a_token_of_another_user_it_is_refused() {
    let world = world(|setup| setup);
    let value = sign_in(&world, &Token::id());
    let both = |token: Token| with(Request::get("/both"), &value).bearer(&token.sign(&world.bank));
    world.passes(&both(Token::access().weak()));
    assert_eq!(world.upstream.last().header("x-stepgate-level"), Some("multi-factor"), "the sign-in proves it");
    for other in [
        Token::access().claim("sub", "eve"),
        Token::access().claim("sub", "eve").claim("sid", "s"),
        Token::access().without("sub"),
    ] {
        let refused = world.refuses(&both(other), 401, "tokens_disagree");
        assert!(!is_deleted(&refused, NAME));
    }
    let shop = Token::access().issuer("https://shop.example").claim("acr", "high").sign(&world.shop);
    world.refuses(&with(Request::get("/both"), &value).bearer(&shop), 401, "tokens_disagree");
    // The scopes are the access token's.
    world.refuses(&both(Token::access().weak().claim("scope", "accounts")), 403, "scope_missing");
    let of_another_client = sign_in(&world, &Token::id().claim("azp", "app"));
    let request = with(Request::get("/both"), &of_another_client);
    world.passes(&request.clone().bearer(&Token::access().sign(&world.bank)));
    world.refuses(
        &request.bearer(&Token::access().claim("client_id", "spa").sign(&world.bank)),
        401,
        "tokens_disagree",
    );
}

#[test]
fn keys_are_rotated_by_a_new_one_before_the_old_and_a_retired_one_opens_nothing() {
    let old = sign_in(&world(|setup| setup), &Token::id());
    let rotated = sealed_with(&[OTHER_KEY, KEY], |setup| setup);
    rotated.passes(&with(Request::get("/app/1"), &old));
    let new = sign_in(&rotated, &Token::id());
    drop(rotated);
    let retired = sealed_with(&[OTHER_KEY], |setup| setup);
    let refused = retired.refuses(&with(Request::get("/app/1"), &old), 401, "signature_invalid");
    assert!(is_deleted(&refused, NAME));
    retired.passes(&with(Request::get("/app/1"), &new));
}

#[test]
fn the_policy_in_force_judges_what_was_kept_under_another() {
    let world = world(|setup| setup);
    let value = sign_in(&world, &Token::id().claim("tier", "gold").claim("amr", json!(["pwd", "otp"])));
    let policy = World::issuers_and(ROUTES);
    let with_bank = |more: &str| {
        let id = "    id: { audiences: [app] }\n";
        let other = policy.replacen(id, more, 1);
        assert_ne!(other, policy);
        world.gate.reload(&other);
    };
    let app = || with(Request::get("/app/1"), &value);
    world.passes(&app());
    with_bank(
        "    id: { audiences: [app] }\n    mapping: { acr: { rename: { \"2\": \"0\" } } }\n    ignore_amr: [otp]\n",
    );
    world.refuses(&app(), 401, "level_too_low");
    with_bank("    id: { audiences: [other] }\n");
    world.refuses(&app(), 401, "audience_wrong");
    world.gate.reload(&policy.replacen("  bank:\n", "  banque:\n", 1).replace("issuers: [bank]", "issuers: [banque]"));
    let refused = world.refuses(&app(), 401, "issuer_unknown");
    assert!(is_deleted(&refused, NAME));
    world.gate.reload(&format!("{policy}# as before\n"));
    world.passes(&app());
}

#[test]
fn what_is_too_large_for_a_cookie_is_not_kept_and_the_log_names_its_claims() {
    let world = world(|setup| setup.settings("telemetry: { format: json }"));
    let scopes = "a-very-private-scope ".repeat(200);
    let response = world.passes(&callback(&world, &Token::id().claim("scope", scopes)));
    assert_eq!(set(&response), ["own=1; Path=/"], "the answer itself is not held up");
    let line = world.gate.logged("could not be kept", |_| true).to_string();
    assert!(
        line.contains("`scope` 42") && line.contains("a cookie can have 4000") && !line.contains("private"),
        "{line}"
    );
    assert_eq!(world.gate.metric("stepgate_kept_total{event=\"too_large\"}"), 1.0);
}

#[test]
fn a_policy_that_keeps_needs_keys_and_each_of_them_must_be_one() {
    let start = |seal: &str, content: &str| {
        let upstream = Upstream::start();
        let setup = Gate::setup(&upstream).policy(&World::issuers_and(ROUTES)).file("seal.key", content);
        setup.settings(seal).fails()
    };
    let (code, said) = start("", "");
    assert!(code == Some(1) && said.contains("no_seal") && said.contains("`__Host-stepgate` is kept"), "{said}");
    let named = "seal: { keys: [ { file: seal.key } ] }";
    let (code, said) = start(named, "c2hvcnQ=");
    assert!(code == Some(2) && said.contains("`seal.keys[0]`") && said.contains("base64 of 5 bytes"), "{said}");
    assert!(!said.contains("c2hvcnQ"), "{said}");
    let (_, said) = start("seal: { keys: [ { env: STEPGATE_NO_SUCH_KEY } ] }", "");
    assert!(said.contains("`seal.keys[0]`: the environment variable `STEPGATE_NO_SUCH_KEY` is not set"), "{said}");

    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("policies")).unwrap();
    std::fs::write(at("policies/a.yaml"), World::issuers_and(ROUTES)).unwrap();
    let settings = "version: 1\nlisteners: [{ address: \"127.0.0.1:8080\" }]\nupstreams: { app: { url: \"http://127.0.0.1:8081\" } }\n";
    let check = |more: &str| {
        std::fs::write(at("stepgate.yaml"), format!("{settings}{more}")).unwrap();
        let checked =
            Command::new(env!("CARGO_BIN_EXE_stepgate")).arg("check").arg("--config").arg(at("stepgate.yaml")).output();
        String::from_utf8(checked.unwrap().stdout).unwrap()
    };
    assert!(check("").contains("error[no_seal]"), "{}", check(""));
    std::fs::write(at("seal.key"), "c2hvcnQ=").unwrap();
    let said = check(named);
    assert!(!said.contains("no_seal") && said.contains("will not do: it is base64 of 5 bytes"), "{said}");
    std::fs::write(at("seal.key"), KEY).unwrap();
    assert!(check(named).contains("0 errors"), "{}", check(named));
}

#[test]
fn a_reload_cannot_bring_a_policy_that_keeps_to_a_gate_without_keys() {
    let world = World::start();
    let before = world.gate.in_force();
    world.gate.replace("policies/0.yaml", &World::issuers_and(ROUTES));
    world.gate.hang_up();
    crate::support::eventually("the reload is refused", Duration::from_secs(10), || {
        world.gate.metric("stepgate_policy_current") == 0.0
    });
    assert_eq!(world.gate.in_force(), before);
}
