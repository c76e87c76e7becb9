//! Challenges that can be met: what they ask for, in whose words, and that whoever brings it is let in.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::{Alg, Answer, Gate, Key, Request, Response, Token, Upstream, World, jwks, now};

/// One issuer for each dialect; the keys are those of the bank, the shop and the club.
const DIALECTS: &str = r#"
version: 1
issuers:
  plain:
    issuer: https://bank.example
    keys: { jwks_file: ../bank.json }
    access: { audiences: ["https://api.example"] }
    proves: { single-factor: { acr: [c1] }, multi-factor: { acr: [c2, c3] } }
  entra:
    issuer: https://shop.example
    keys: { jwks_file: ../shop.json }
    access: { audiences: ["https://api.example"] }
    dialect: entra
    proves: { single-factor: { acr: [c1] }, multi-factor: { acr: [strong, c2, c3] }, phishing-resistant: { acr: [phr] } }
  okta:
    issuer: https://club.example
    keys: { jwks_file: ../club.json }
    access: { audiences: ["https://api.example"] }
    dialect: okta
    proves: { single-factor: { acr: [c1] }, multi-factor: { acr: [c2, c3] } }
routes:
  - { name: two, match: { path: /two }, require: { level: multi-factor, max_age: 5m, scopes: { all: [pay] } } }
  - { name: three, match: { path: /three }, require: { level: phishing-resistant } }
  - { name: fresh, match: { path: /fresh }, require: { max_age: 5m } }
  - { name: scoped, match: { path: /scoped }, require: { scopes: { all: [pay] } } }
  - { name: at-entra, match: { path: /at-entra }, require: { issuers: [entra], level: multi-factor } }
  - { name: at-okta, match: { path: /at-okta }, require: { issuers: [okta], level: multi-factor } }
"#;

/// A token that an issuer of [`DIALECTS`] signed.
fn from(world: &World, issuer: &str, token: &Token) -> String {
    let (iss, key) = match issuer {
        "plain" => ("https://bank.example", &world.bank),
        "entra" => ("https://shop.example", &world.shop),
        _ => ("https://club.example", &world.club),
    };
    token.clone().issuer(iss).sign(key)
}

/// What a refusal's challenge says besides the realm.
fn told(refused: &Response) -> Vec<(String, String)> {
    let mut parameters = refused.challenge().parameters;
    let realm = parameters.remove(0);
    assert_eq!(realm.0, "realm");
    parameters
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_better_sign_in_is_asked_for_in_the_dialect_of_the_tokens_issuer() {
    let world = World::with_policy(DIALECTS);
    let weak = Token::access().claim("acr", "c1").claim("scope", "read");
    let refused = |issuer: &str, status| {
        world.refuses(&Request::get("/two").bearer(&from(&world, issuer, &weak)), status, "level_too_low")
    };
    let plain = refused("plain", 401);
    let rest = [("acr_values", "c2 c3"), ("max_age", "300"), ("scope", "pay")];
    assert_eq!(told(&plain), pairs(&[&[("error", "insufficient_user_authentication")], &rest[..]].concat()));

    // Base64 of a request for the first context that is enough; what is no context can't be asked for.
    let claims = BASE64_STANDARD.encode(r#"{"access_token":{"acrs":{"essential":true,"value":"c2"}}}"#);
    let entra = refused("entra", 401);
    let asked = [("error", "insufficient_claims"), ("claims", &*claims), ("cc_type", "authcontext")];
    assert_eq!(told(&entra), pairs(&[&asked[..], &rest[1..]].concat()));
    let body: Value = serde_json::from_str(&entra.body).unwrap();
    assert_eq!(
        (&body["error"], &body["claims"], &body["acr_values"]),
        (&json!("insufficient_claims"), &json!(claims), &json!(["c2"])),
        "the body says what the challenge says"
    );

    let okta = refused("okta", 403);
    assert_eq!(told(&okta), pairs(&[&[("error", "insufficient_authentication_context")], &rest[..]].concat()));
    assert!(okta.header("www-authenticate").unwrap().contains(", max_age=300, "), "as a bare number: {}", okta.head);

    for issuer in ["plain", "entra", "okta"] {
        let strong = from(&world, issuer, &Token::access().claim("acr", "c2").claim("scope", "pay"));
        world.passes(&Request::get("/two").bearer(&strong));
    }
}

#[test]
fn where_entra_has_no_word_for_it_the_challenge_is_that_of_rfc_9470() {
    let world = World::with_policy(DIALECTS);
    let refused = |path: &str, reason: &str| {
        let old = Token::access().claim("acr", "c3").claim("auth_time", now() - 4000);
        told(&world.refuses(&Request::get(path).bearer(&from(&world, "entra", &old)), 401, reason))
    };
    let error = ("error", "insufficient_user_authentication");
    assert_eq!(refused("/fresh", "auth_too_old"), pairs(&[error, ("max_age", "300")]));
    assert_eq!(refused("/three", "level_too_low"), pairs(&[error]), "`phr` is no context");
}

#[test]
fn what_is_not_about_the_sign_in_reads_the_same_in_every_dialect() {
    let world = World::with_policy(DIALECTS);
    for path in ["/at-entra", "/at-okta", "/two"] {
        let refused = world.refuses(&Request::get(path), 401, "token_missing");
        assert_eq!(told(&refused), pairs(&[]), "no token: nothing to say but that one is needed");
    }
    for issuer in ["plain", "entra", "okta"] {
        let poor = from(&world, issuer, &Token::access().claim("acr", "c2").claim("scope", "read"));
        let refused = world.refuses(&Request::get("/scoped").bearer(&poor), 403, "scope_missing");
        assert_eq!(told(&refused), pairs(&[("error", "insufficient_scope"), ("scope", "pay")]));
        let bad = from(&world, issuer, &Token::access().claim("exp", 1));
        let refused = world.refuses(&Request::get("/two").bearer(&bad), 401, "expired");
        assert_eq!(told(&refused), pairs(&[("error", "invalid_token")]));
    }
}

#[test]
fn what_is_asked_for_is_what_the_operator_lists_else_what_the_proofs_name_and_it_is_enough() {
    let world = World::with_policy(
        r#"
version: 1
issuers:
  listed:
    issuer: https://bank.example
    keys: { jwks_file: ../bank.json }
    access: { audiences: ["https://api.example"] }
    mapping: { acr: { rename: { their-two: "2", their-gold: gold } } }
    proves: { single-factor: { acr: ["1"] }, multi-factor: { acr: ["2", gold] } }
    challenge: { multi-factor: [their-gold, their-two] }
  proven:
    issuer: https://shop.example
    keys: { jwks_file: ../shop.json }
    access: { audiences: ["https://api.example"] }
    proves: { single-factor: { acr: [low] }, multi-factor: { acr: [high] }, phishing-resistant: { acr: [top] } }
routes:
  - { name: two, match: { path: /two }, require: { level: multi-factor } }
"#,
    );
    let (bank, shop) = (Token::access().claim("acr", "1"), shopper().claim("acr", "low"));
    for (token, key, expected) in [(bank, &world.bank, "their-gold their-two"), (shop, &world.shop, "high top")] {
        let refused = world.refuses(&Request::get("/two").bearer(&token.sign(key)), 401, "level_too_low");
        let challenge = refused.challenge();
        assert_eq!(challenge.get("acr_values"), Some(expected));
        for value in expected.split(' ') {
            world.passes(&Request::get("/two").bearer(&token.clone().claim("acr", value).sign(key)));
        }
    }
}

#[test]
fn of_what_the_proofs_name_only_what_the_provider_says_it_supports_is_asked_for() {
    let key = Key::new(Alg::Es256, "key-1");
    let keys = jwks(&[&key]);
    for (supported, expected) in
        [(r#"["1","3","urn:x"]"#, Some("3")), (r#"["1"]"#, None), ("[]", None), (r#"["3","2"]"#, Some("2 3"))]
    {
        let keys = keys.clone();
        let idp = Upstream::on(0, move |seen| {
            let issuer = format!("http://{}", seen.header("host").unwrap());
            let document =
                format!(r#"{{"issuer":"{issuer}","jwks_uri":"{issuer}/jwks","acr_values_supported":{supported}}}"#);
            let text = if seen.path() == "/jwks" { &keys } else { &document };
            Answer::status(200, "Content-Type: application/json\r\n", text)
        });
        let upstream = Upstream::start();
        let issuer = format!("http://127.0.0.1:{}", idp.port);
        let policy = format!(
            "version: 1\nissuers:\n  idp:\n    issuer: {issuer}\n    access: {{ audiences: [\"https://api.example\"] }}\n    \
             proves: {{ single-factor: {{ acr: [\"1\"] }}, multi-factor: {{ acr: [\"2\", \"3\"] }} }}\n\
             routes:\n  - {{ name: two, match: {{ path: /two }}, require: {{ level: multi-factor }} }}\n"
        );
        let gate = Gate::setup(&upstream).policy(&policy).start();
        gate.wait_until_ready(std::time::Duration::from_secs(20));
        let weak = Token::access().issuer(&issuer).claim("acr", "1");
        let refused = gate.send(&Request::get("/two").bearer(&weak.sign(&key)));
        assert_eq!(refused.status, 401);
        assert_eq!(refused.challenge().get("acr_values"), expected, "{supported}");
        assert_eq!(refused.challenge().get("error"), Some("insufficient_user_authentication"));
    }
}

#[test]
fn where_no_sign_in_could_ever_do_nothing_is_asked_for() {
    let world = World::with_policy(
        r#"
version: 1
issuers:
  bank:
    issuer: https://bank.example
    keys: { jwks_file: ../bank.json }
    access: { audiences: ["https://api.example"] }
    proves: { single-factor: { acr: ["1"] }, multi-factor: { acr: ["2"] }, phishing-resistant: { acr: ["3"] } }
  capped:
    issuer: https://shop.example
    keys: { jwks_file: ../shop.json }
    access: { audiences: ["https://api.example"] }
    trust: { max_level: multi-factor }
    dialect: okta
    proves: { single-factor: { acr: [low] }, multi-factor: { acr: [high] }, phishing-resistant: { acr: [top] } }
    challenge: { phishing-resistant: [top] }
  poor:
    issuer: https://club.example
    keys: { jwks_file: ../club.json }
    access: { audiences: ["https://api.example"] }
    dialect: entra
    proves: { single-factor: { acr: [c1] } }
routes:
  - { name: two, match: { path: /two }, require: { level: multi-factor } }
  - { name: three, match: { path: /three }, require: { level: phishing-resistant } }
"#,
    );
    let capped = Request::get("/three").bearer(&shopper().claim("acr", "top").sign(&world.shop));
    let poor = Token::access().issuer("https://club.example").claim("acr", "c1").sign(&world.club);
    for request in [capped, Request::get("/two").bearer(&poor), Request::get("/three").bearer(&poor)] {
        let refused = world.refuses(&request, 403, "level_too_low");
        assert_eq!(refused.header("www-authenticate"), None, "{}", refused.head);
        assert!(!refused.body.contains("acr_values") && !refused.body.contains("claims"), "{}", refused.body);
    }
    // What is capped is still enough below the cap.
    let weak = shopper().claim("acr", "low");
    let refused = world.refuses(&Request::get("/two").bearer(&weak.sign(&world.shop)), 403, "level_too_low");
    for value in refused.challenge().get("acr_values").unwrap().split(' ') {
        world.passes(&Request::get("/two").bearer(&weak.clone().claim("acr", value).sign(&world.shop)));
    }
}

fn shopper() -> Token {
    Token::access().issuer("https://shop.example")
}
