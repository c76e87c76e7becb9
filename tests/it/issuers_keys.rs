//! Issuers whose keys come from a server: away, broken, slow, changed; and that none hurts another.

use std::time::{Duration, Instant};

use crate::support::{Alg, Gate, Idp, Key, Mood, Request, Token, Upstream, eventually, jwks};

/// A policy that trusts each of these servers under its own URL.
fn policy(idps: &[(&str, &Idp)]) -> String {
    let issuers: String = idps
        .iter()
        .map(|(name, idp)| {
            let issuer = idp.issuer();
            format!(
                "  {name}:\n    issuer: {issuer}\n    access: {{ audiences: [\"https://api.example\"] }}\n    \
                 proves: {{ single-factor: {{ factors: 1 }}, multi-factor: {{ factors: 2 }} }}\n"
            )
        })
        .collect();
    format!(
        "version: 1\nissuers:\n{issuers}routes:\n  - {{ name: health, match: {{ path: /healthz }}, require: public }}\n  \
         - {{ name: any, match: {{ path: \"/any/**\" }}, require: authenticated }}\n"
    )
}

fn ask(idp: &Idp, key: &Key) -> Request {
    Request::get("/any/1").bearer(&Token::access().issuer(&idp.issuer()).sign(key))
}

fn start(upstream: &Upstream, idps: &[(&str, &Idp)]) -> Gate {
    Gate::setup(upstream).policy(&policy(idps)).start()
}

#[test]
fn keys_come_from_the_discovery_document_by_themselves() {
    for alg in Alg::ALL {
        let key = Key::new(alg, "k");
        let (idp, upstream) = (Idp::with(&[&key]), Upstream::start());
        let gate = start(&upstream, &[("idp", &idp)]);
        gate.wait_until_ready(Duration::from_secs(10));
        assert_eq!(gate.send(&ask(&idp, &key)).status, 200, "{alg:?}");
    }
}

#[test]
fn without_keys_nothing_is_guessed_and_a_client_is_told_when_to_come_again() {
    let key = Key::new(Alg::Es256, "k");
    for mood in [Mood::Down, Mood::Broken("{\"keys\":[]}"), Mood::Broken("<html>"), Mood::Broken("{\"keys\":{}}")] {
        let (idp, upstream) = (Idp::that(mood), Upstream::start());
        let gate = start(&upstream, &[("idp", &idp)]);
        let (refused, decision) = gate.decision(&ask(&idp, &key));
        assert_eq!((refused.status, &decision["reason"]), (503, &"keys_unavailable".into()));
        assert!(refused.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
        assert_eq!(refused.header("www-authenticate"), None);
        assert_eq!(upstream.begun(), 0);
        assert!(!gate.is_ready());
        assert!(gate.metrics().contains("reason=\"keys_unavailable\""));
        assert_eq!(gate.send(&Request::get("/healthz")).status, 200, "what needs no token works");

        idp.is_now(Mood::Serves(jwks(&[&key])));
        eventually("it heals by itself", Duration::from_secs(20), || gate.send(&ask(&idp, &key)).status == 200);
    }
}

#[test]
fn one_issuers_trouble_does_not_hurt_or_delay_another() {
    let key = Key::new(Alg::Es256, "k");
    let upstream = Upstream::start();
    let (well, down) = (Idp::with(&[&key]), Idp::that(Mood::Down));
    let slow = Idp::that(Mood::Slow(jwks(&[&key]), Duration::from_secs(60)));
    let gate = start(&upstream, &[("down", &down), ("slow", &slow), ("well", &well)]);
    eventually("the one that is well is served", Duration::from_secs(3), || gate.send(&ask(&well, &key)).status == 200);
    for idp in [&down, &slow] {
        assert_eq!(gate.send(&ask(idp, &key)).status, 503);
        let started = Instant::now();
        assert_eq!(gate.send(&ask(&well, &key)).status, 200);
        assert!(started.elapsed() < Duration::from_millis(900), "{:?}", started.elapsed());
    }
}

#[test]
fn a_rotation_is_noticed_at_the_first_token_of_the_new_key() {
    let (old, new) = (Key::new(Alg::Es256, "old"), Key::new(Alg::Es256, "new"));
    let (idp, upstream) = (Idp::with(&[&old]), Upstream::start());
    let gate = start(&upstream, &[("idp", &idp)]);
    gate.wait_until_ready(Duration::from_secs(10));
    assert_eq!(gate.send(&ask(&idp, &old)).status, 200);

    idp.is_now(Mood::Serves(jwks(&[&new])));
    assert_eq!(gate.send(&ask(&idp, &new)).status, 200);
    let (refused, decision) = gate.decision(&ask(&idp, &old));
    assert!(matches!(refused.status, 401 | 503), "the old key left the set, so it is honoured no more: {decision}");
    assert_eq!(upstream.begun(), 2);
}

#[test]
fn a_broken_key_set_does_not_replace_a_good_one() {
    let key = Key::new(Alg::Es256, "k");
    let (idp, upstream) = (Idp::with(&[&key]), Upstream::start());
    let gate = start(&upstream, &[("idp", &idp)]);
    gate.wait_until_ready(Duration::from_secs(10));
    idp.is_now(Mood::Broken("{\"keys\":[]}"));
    let unknown = Request::get("/any/1").bearer(&Token::access().issuer(&idp.issuer()).header("kid", "x").sign(&key));
    let (refused, decision) = gate.decision(&unknown);
    assert_eq!((refused.status, &decision["reason"]), (503, &"keys_unavailable".into()), "it could not be asked");
    assert_eq!(upstream.begun(), 0);
    assert_eq!(gate.send(&ask(&idp, &key)).status, 200, "the last good set is kept");
}

#[test]
fn t25_a_key_id_is_a_name_and_never_a_place() {
    let key = Key::new(Alg::Es256, "k");
    let (idp, upstream) = (Idp::with(&[&key]), Upstream::start());
    let other = Idp::with(&[&Key::new(Alg::Es256, "x")]);
    let gate = start(&upstream, &[("idp", &idp)]);
    gate.wait_until_ready(Duration::from_secs(10));
    let elsewhere = other.issuer();
    let evil = Key::new(Alg::Es256, "x");
    for kid in ["../../jwks", "/dev/null", &format!("{elsewhere}/jwks"), "k\0", "' OR 1=1 --", "k?x=1#"] {
        let token = Token::access().issuer(&idp.issuer()).header("kid", kid).sign(&key);
        let (refused, decision) = gate.decision(&Request::get("/any/1").bearer(&token));
        assert!(matches!(refused.status, 401 | 503), "{kid}: {decision}");
    }
    for (name, value) in [
        ("jku", serde_json::json!(format!("{elsewhere}/jwks"))),
        ("x5u", serde_json::json!(format!("{elsewhere}/jwks"))),
        ("jwk", evil.jwk()),
    ] {
        let token = Token::access().issuer(&idp.issuer()).header(name, value).header("kid", "k").sign(&evil);
        let (refused, decision) = gate.decision(&Request::get("/any/1").bearer(&token));
        assert_eq!((refused.status, &decision["reason"]), (401, &"signature_invalid".into()), "{name}");
    }
    assert_eq!(upstream.begun(), 0);
    assert_eq!(other.paths(), Vec::<String>::new(), "no place that a token names is asked");
    let usual = ["/jwks", "/.well-known/openid-configuration"];
    assert!(idp.paths().iter().all(|path| usual.contains(&path.as_str())), "{:?}", idp.paths());
}

#[test]
fn t31_made_up_key_ids_do_not_make_the_gate_ask_each_time() {
    let (key, next) = (Key::new(Alg::Es256, "k"), Key::new(Alg::Es256, "next"));
    let (idp, upstream) = (Idp::with(&[&key]), Upstream::start());
    let gate = start(&upstream, &[("idp", &idp)]);
    gate.wait_until_ready(Duration::from_secs(10));
    let before = idp.fetches();
    for number in 0..40 {
        let token = Token::access().issuer(&idp.issuer()).header("kid", format!("made-up-{number}")).sign(&next);
        let refused = gate.send(&Request::get("/any/1").bearer(&token));
        assert!(matches!(refused.status, 401 | 503), "{}", refused.status);
    }
    assert!(idp.fetches() - before <= 2, "asked {} times", idp.fetches() - before);
    assert_eq!(upstream.begun(), 0);
    assert_eq!(gate.send(&ask(&idp, &key)).status, 200);
}
