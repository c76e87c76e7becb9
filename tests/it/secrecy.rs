//! No part of a token is ever written down or sent back.

use crate::kept_support;
use crate::support::{POLICY, Request, Token, Upstream, World, now};

#[test]
fn no_token_is_in_any_log_line_metric_or_answer() {
    let settings = "telemetry: { log: debug, format: json }\nidentity: { headers: true, strip_token: true }";
    let world = World::before(Upstream::start(), |setup| setup.policy(POLICY).settings(settings));
    let tokens = [
        Token::access().sign(&world.bank),
        Token::access().weak().sign(&world.bank),
        Token::access().claim("exp", now() - 400).sign(&world.bank),
        Token::access().claim("exp", "secret-looking").sign(&world.bank),
        Token::access().sign(&world.shop),
        Token::access().issuer("https://nobody.example").sign(&world.bank),
        Token::access().header("kid", "nobody's").sign(&world.bank),
        Token::access().header("alg", "HS256").sign(&world.bank),
        Token::access().claim("filler", "y".repeat(17 << 10)).sign(&world.bank),
        Token::id().sign(&world.bank),
        "opaque-token-0123456789-abcdefghijklmnopqrstuvwxyz.second-part-of-it.third-part-of-it".to_owned(),
    ];
    let mut answers = String::new();
    for token in &tokens {
        for request in [
            Request::get("/any/1").bearer(token),
            Request::get("/strong/1").bearer(token),
            Request::get("/portal/1").header("X-Id-Token", token),
            Request::get("/portal/1").header("Cookie", &format!("portal_id={token}")),
            Request::post("/portal/1", "x").header("Cookie", &format!("portal_id={token}")),
            Request::get("/orders").bearer(token).header("X-Id-Token", token),
            Request::get("/any/1").bearer(token).bearer(token),
            Request::get(&format!("/any/1?access_token={token}")),
            Request::get(&format!("/nowhere?token={token}")),
            Request::get("/any/1").header("Authorization", &format!("Basic {token}")),
            Request::get("/any/a%2Fb").bearer(token),
            Request::new("TRACE", "/any/1").bearer(token),
        ] {
            let response = world.gate.send(&request);
            answers.push_str(&response.head);
            answers.push_str(&response.body);
        }
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    let written = world.gate.everything_written();
    assert!(written.contains("\"reason\":\"expired\""), "the audit log was read");
    for token in &tokens {
        for part in token.split('.') {
            // A header says nothing of a person, and short ones are alike; claims and signatures are secret.
            for piece in [part, &part[..part.len().min(40)], &part[part.len().saturating_sub(24)..]] {
                let is_header = token.starts_with(part) && token != part;
                if piece.len() < 16 || is_header {
                    continue;
                }
                assert!(!written.contains(piece), "the gate wrote down {piece}");
                assert!(!answers.contains(piece), "the gate sent back {piece}");
            }
        }
    }
    // What the upstream got instead of the token holds none either.
    for seen in world.upstream.seen() {
        for name in seen.names() {
            assert!(
                !tokens.iter().any(|token| seen.header(name).unwrap_or_default().contains(token.as_str())),
                "{name}"
            );
        }
    }
}

#[test]
fn no_part_of_a_kept_cookie_and_no_key_is_in_any_log_line_metric_or_answer() {
    let settings = "telemetry: { log: debug, format: json }\nidentity: { headers: true, strip_token: false }";
    let world = kept_support::world(|setup| setup.settings(settings));
    let cookie = kept_support::sign_in(&world, &Token::id());
    let flipped = kept_support::flipped(&cookie);
    let mut answers = String::new();
    for value in
        [&*cookie, &*flipped, &cookie[..cookie.len() / 2], &format!("{cookie}="), &format!("{cookie}.{cookie}")]
    {
        for request in [
            Request::get("/app/1"),
            Request::post("/app/1", "x"),
            Request::get("/app/1").host("other.example"),
            Request::get("/app/strongest"),
            Request::get("/any/1").bearer(value),
            Request::get("/public/1"),
            Request::get(&format!("/app/1?kept={value}")),
            Request::get("/app/a%2Fb"),
            Request::get("/logout"),
        ] {
            let response = world.gate.send(&kept_support::with(request, value));
            answers.push_str(&response.head);
            answers.push_str(&response.body);
        }
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    let written = world.gate.everything_written();
    assert!(written.contains("\"reason\":\"signature_invalid\"") && written.contains("\"kept\":true"), "it was read");
    let secrets = [&*cookie, &*flipped, kept_support::KEY, kept_support::OTHER_KEY];
    for piece in secrets.iter().flat_map(|secret| secret.as_bytes().chunks(16)).filter(|piece| piece.len() == 16) {
        let piece = std::str::from_utf8(piece).unwrap();
        assert!(!written.contains(piece), "the gate wrote down {piece}");
        assert!(!answers.contains(piece), "the gate sent back {piece}");
    }
    for seen in world.upstream.seen() {
        assert!(!seen.header("cookie").unwrap_or_default().contains("__Host-stepgate"), "{}", seen.line);
    }
}

#[test]
fn no_key_and_no_cookie_is_written_down() {
    let settings = "telemetry: { log: debug, format: json }";
    let world = World::before(Upstream::start(), |setup| setup.policy(POLICY).settings(settings));
    let request =
        Request::get("/healthz").header("Cookie", "session=very-secret-session").header("X-Api-Key", "very-secret-key");
    world.passes(&request);
    world.refuses(&request.method("TRACE"), 400, "request_malformed");
    let written = world.gate.everything_written();
    for secret in ["very-secret-session", "very-secret-key"] {
        assert!(!written.contains(secret), "{secret}");
    }
}

#[test]
fn the_log_of_a_refusal_says_what_was_asked_and_nothing_of_the_query() {
    let world = World::before(Upstream::start(), |setup| setup.policy(POLICY).settings("telemetry: { format: json }"));
    world.refuses(&Request::post("/any/a%2Fb?code=private", "x").host("API.example:8443"), 400, "path_ambiguous");
    world.refuses(&Request::get("/any/9?code=private"), 401, "token_missing");
    std::thread::sleep(std::time::Duration::from_millis(300));
    let written = world.gate.everything_written();
    let denied: Vec<&str> = written.lines().filter(|line| line.contains("\"denied\"")).collect();
    for (line, reason) in denied.iter().zip([stepgate::Reason::PathAmbiguous, stepgate::Reason::TokenMissing]) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let said = line.get("hint").or_else(|| line["fields"].get("hint")).unwrap_or_else(|| panic!("{line}"));
        assert_eq!(said, reason.hint());
    }
    for (line, words) in
        denied.iter().zip([["\"POST\"", "\"api.example\"", "\"/any/a%2Fb\""], ["\"GET\"", "\"host\"", "\"/any/9\""]])
    {
        for word in words {
            assert!(line.contains(word), "{word}: {line}");
        }
    }
    assert_eq!(denied.len(), 2, "{written}");
    assert!(!written.contains("private"));
}

#[test]
fn the_audit_line_says_what_was_judged_and_nothing_of_the_query() {
    let world = World::start();
    let token = Token::access().weak().sign(&world.bank);
    let request = Request::post("/payments/7?amount=private", "x").host("API.example:8443").bearer(&token);
    let (_, line) = world.gate.decision(&request);
    for (name, value) in [
        ("v", serde_json::json!(1)),
        ("via", "proxy".into()),
        ("method", "POST".into()),
        ("host", "api.example".into()),
        ("path", "/payments/7".into()),
        ("route", "pay".into()),
        ("mode", "enforce".into()),
        ("decision", "deny".into()),
        ("reason", "level_too_low".into()),
        ("status", 401.into()),
        ("issuer", "bank".into()),
        ("kind", "access".into()),
        ("subject", "ada".into()),
        ("client", "app".into()),
        ("acr", serde_json::json!(["1"])),
        ("amr", serde_json::json!(["pwd"])),
        ("level", "single-factor".into()),
        ("required", serde_json::json!(["multi-factor"])),
    ] {
        assert_eq!(line[name], value, "{name}: {line}");
    }
    for name in ["ts", "id", "policy", "micros", "auth_time"] {
        assert!(!line[name].is_null(), "{name}: {line}");
    }
    assert!(line["policy"].as_str().unwrap().starts_with("sha256:"));
    let (_, allowed) = world.gate.decision(&Request::get("/any/1").bearer(&token));
    assert_eq!((&allowed["decision"], &allowed["reason"]), (&"allow".into(), &serde_json::Value::Null));
    assert_eq!(allowed["hint"], serde_json::Value::Null);
}
