//! What a reload touches goes, what it does not touch survives: keys, remembered tokens, requests under way.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Alg, Answer, Gate, Idp, Key, Mood, Request, Token, Upstream, World, eventually, jwks};

fn get(path: &str, token: &str) -> Request {
    Request::get(path).bearer(token)
}

/// Two issuers of which the first is changed; the second keeps every level provable.
const BASE: &str = r#"
version: 1
issuers:
  bank:
    issuer: https://bank.example
    keys: { jwks_file: ../bank.json }
    access: { audiences: ["https://api.example"] }
    proves: { single-factor: { factors: 1 }, multi-factor: { factors: 2 } }
  shop:
    issuer: https://shop.example
    keys: { jwks_file: ../shop.json }
    access: { audiences: ["https://api.example"] }
    proves: { single-factor: { acr: [low] }, multi-factor: { acr: [high] } }
routes:
  - { name: any, match: { path: "/any/**" }, require: authenticated }
  - { name: strong, match: { path: "/strong/**" }, require: { level: multi-factor } }
"#;

#[test]
fn a_remembered_token_is_read_anew_whatever_of_its_issuer_changed() {
    let world = World::with_policy(BASE);
    let token = Token::access().without("acr").sign(&world.bank);
    let bank = |with: &str| BASE.replacen("    proves:", &format!("    {with}\n    proves:"), 1);
    let instead = |old: &str, new: &str| {
        assert!(BASE.contains(old), "{old}");
        BASE.replacen(old, new, 1)
    };
    let audiences = r#"audiences: ["https://api.example"]"#;
    for (what, policy, status, reason) in [
        ("ignored values", bank("ignore_amr: [otp]"), 401, "level_too_low"),
        ("renamed values", bank("mapping: { amr: { rename: { otp: pin } } }"), 401, "level_too_low"),
        ("another source", bank("mapping: { amr: { from: [methods] } }"), 401, "amr_missing"),
        ("another subject", bank("mapping: { subject: { from: [nobody] } }"), 403, "caller_wrong"),
        ("factor classes", bank("factor_classes: { otp: knowledge }"), 401, "level_too_low"),
        ("trust", bank("trust: { amr: false }"), 403, "amr_missing"),
        ("the highest level", bank("trust: { max_level: single-factor }"), 403, "level_too_low"),
        ("algorithms", bank("algorithms: [RS256]"), 401, "algorithm_refused"),
        ("audiences", instead(audiences, r#"audiences: ["https://other.example"]"#), 401, "audience_wrong"),
        ("the type", instead(audiences, &format!("{audiences}, typ: [at+jwt]")), 401, "token_kind_wrong"),
        ("proofs", instead("multi-factor: { factors: 2 }", "multi-factor: { factors: 3 }"), 401, "level_too_low"),
        ("the place of keys", instead("../bank.json", "../shop.json"), 401, "signature_invalid"),
        ("the issuer's URL", instead("https://bank.example", "https://bank.example/"), 401, "issuer_unknown"),
    ] {
        world.passes(&get("/strong/1", &token));
        world.passes(&get("/strong/1", &token));
        world.gate.reload(&policy);
        let (refused, decision) = world.gate.decision(&get("/strong/1", &token));
        assert_eq!((refused.status, &decision["reason"]), (status, &json!(reason)), "{what}: {decision}");
        world.gate.reload(BASE);
    }
}

#[test]
fn a_claim_that_a_new_route_asks_for_is_found_in_a_remembered_token() {
    let world = World::with_policy(BASE);
    let token = Token::access().claim("tier", "gold").sign(&world.bank);
    world.passes(&get("/any/1", &token));
    let tier = "  - { name: tier, match: { path: /tier }, require: { claims: { tier: gold } } }\n";
    world.gate.reload(&format!("{BASE}{tier}"));
    world.passes(&get("/tier", &token));
}

#[test]
fn an_issuer_that_is_taken_out_is_believed_no_more_and_comes_back_as_it_was() {
    let world = World::start();
    let (banks, shops) = (Token::access().sign(&world.bank), Token::access().issuer("https://shop.example"));
    let shops = shops.sign(&world.shop);
    let policy = |issuers: &str| {
        format!(
            "version: 1\nissuers:\n{issuers}routes:\n  - {{ name: any, match: {{ path: \"/any/**\" }}, require: authenticated }}\n"
        )
    };
    let issuer = |name: &str| {
        format!(
            "  {name}:\n    issuer: https://{name}.example\n    keys: {{ jwks_file: ../{name}.json }}\n    \
             access: {{ audiences: [\"https://api.example\"] }}\n"
        )
    };
    world.gate.reload(&policy(&(issuer("bank") + &issuer("shop"))));
    for _ in 0..3 {
        world.passes(&get("/any/1", &banks));
        world.passes(&get("/any/1", &shops));
        world.gate.reload(&policy(&issuer("bank")));
        world.passes(&get("/any/1", &banks));
        world.refuses(&get("/any/1", &shops), 401, "issuer_unknown");
        assert_eq!(world.gate.admin("/readyz/shop").status, 404);
        world.gate.reload(&policy(&(issuer("bank") + &issuer("shop"))));
    }
    // And when its keys have long been forgotten.
    world.gate.reload(&policy(&issuer("bank")));
    std::thread::sleep(Duration::from_millis(500));
    world.refuses(&get("/any/1", &shops), 401, "issuer_unknown");
    world.gate.reload(&policy(&(issuer("bank") + &issuer("shop"))));
    world.passes(&get("/any/1", &shops));
}

#[test]
fn two_issuers_that_change_names_do_not_change_keys() {
    let world = World::with_policy(BASE);
    let swapped = BASE.replace("  bank:", "  x:").replace("  shop:", "  bank:").replace("  x:", "  shop:");
    let banks = Token::access().sign(&world.bank);
    let forged = Token::access().sign(&world.shop);
    for policy in [&swapped, BASE, &swapped, BASE] {
        world.gate.reload(policy);
        for _ in 0..3 {
            world.refuses(&get("/any/1", &forged), 401, "signature_invalid");
            world.passes(&get("/any/1", &banks));
        }
    }
}

/// A policy that trusts each of these servers, with so many routes.
fn policy(idps: &[(&str, &Idp)], routes: usize) -> String {
    let issuers: String = idps
        .iter()
        .map(|(name, idp)| {
            let issuer = idp.issuer();
            format!("  {name}: {{ issuer: \"{issuer}\", access: {{ audiences: [\"https://api.example\"] }} }}\n")
        })
        .collect();
    let routes: String = (0..routes)
        .map(|n| format!("  - {{ name: r{n}, match: {{ path: \"/r{n}/**\" }}, require: authenticated }}\n"))
        .collect();
    format!("version: 1\nissuers:\n{issuers}routes:\n{routes}")
}

#[test]
fn an_issuer_that_a_reload_does_not_touch_keeps_its_keys_and_its_remembered_tokens() {
    let key = Key::new(Alg::Es256, "k");
    let (idp, other, upstream) = (Idp::with(&[&key]), Idp::with(&[&key]), Upstream::start());
    let gate = Gate::setup(&upstream).policy(&policy(&[("idp", &idp)], 1)).start();
    gate.wait_until_ready(Duration::from_secs(10));
    let token = Token::access().issuer(&idp.issuer()).sign(&key);
    assert_eq!(gate.send(&get("/r0/", &token)).status, 200);
    let (fetched, misses) = (idp.fetches(), gate.metric("stepgate_token_cache_misses_total"));
    idp.is_now(Mood::Down);
    // More routes; another issuer before it; and after it.
    for issuers in [&[("idp", &idp)][..], &[("before", &other), ("idp", &idp)], &[("idp", &idp), ("after", &other)]] {
        gate.reload(&policy(issuers, 2 + issuers.len()));
        for _ in 0..3 {
            assert_eq!(gate.send(&get("/r1/", &token)).status, 200);
        }
    }
    assert_eq!(idp.fetches(), fetched, "an issuer that did not change is not asked again");
    assert_eq!(gate.metric("stepgate_token_cache_misses_total"), misses, "its tokens are not verified again");
    let told = gate.logged("another policy is in force", |line| line["issuers_added"] == "after");
    assert_eq!((&told["issuers_removed"], &told["issuers_changed"]), (&json!("before"), &json!("")), "{told}");
}

#[test]
fn an_issuer_that_is_added_fetches_its_keys_without_holding_up_the_policy() {
    let key = Key::new(Alg::Es256, "k");
    let (idp, upstream) = (Idp::with(&[&key]), Upstream::start());
    let slow = Idp::that(Mood::Slow(jwks(&[&key]), Duration::from_millis(3500)));
    let gate = Gate::setup(&upstream).policy(&policy(&[("idp", &idp)], 1)).start();
    gate.wait_until_ready(Duration::from_secs(10));
    let asked = Instant::now();
    gate.reload(&policy(&[("idp", &idp), ("slow", &slow)], 2));
    let known = Token::access().issuer(&idp.issuer()).sign(&key);
    let new = Token::access().issuer(&slow.issuer()).sign(&key);
    assert_eq!(gate.send(&get("/r1/", &known)).status, 200);
    assert!(asked.elapsed() < Duration::from_millis(3000), "held up: {:?}", asked.elapsed());
    let (early, decision) = gate.decision(&get("/r1/", &new));
    assert_eq!((early.status, &decision["reason"]), (503, &json!("keys_unavailable")), "not yet");
    eventually("its tokens pass", Duration::from_secs(10), || gate.send(&get("/r1/", &new)).status == 200);

    // One that is quick is waited for: the first request after the reload passes.
    let quick = Idp::that(Mood::Slow(jwks(&[&key]), Duration::from_millis(300)));
    gate.reload(&policy(&[("idp", &idp), ("slow", &slow), ("quick", &quick)], 3));
    assert_eq!(gate.send(&get("/r2/", &Token::access().issuer(&quick.issuer()).sign(&key))).status, 200);
}

#[test]
fn a_request_under_way_ends_under_the_policy_that_it_began_with() {
    let upstream = Upstream::that(|_| Answer::ok().after(Duration::from_millis(1500)));
    let world = World::before(upstream, |setup| setup.policy(BASE));
    let token = Token::access().sign(&world.bank);
    let old = world.gate.in_force();
    std::thread::scope(|threads| {
        let under_way = threads.spawn(|| world.gate.decision(&get("/any/1", &token)));
        eventually("it is at the upstream", Duration::from_secs(5), || world.upstream.begun() == 1);
        world.gate.reload("version: 1\nroutes: []\n");
        let (refused, decision) = world.gate.decision(&get("/any/1", &token));
        assert_eq!((refused.status, &decision["reason"]), (403, &json!("route_none")));
        let (passed, decision) = under_way.join().unwrap();
        assert_eq!((passed.status, decision["policy"].as_str()), (200, Some(&*old)));
    });
}
