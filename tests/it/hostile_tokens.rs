//! Tokens that a careless verifier believes.

use serde_json::json;

use crate::support::{Alg, Key, Request, Token, World, base64_url, now};

fn refused(world: &World, token: &str, reason: &str) {
    world.refuses(&Request::get("/any/1").bearer(token), 401, reason);
}

fn hmac(algorithm: aws_lc_rs::hmac::Algorithm, secret: &[u8], signed: &str) -> String {
    let key = aws_lc_rs::hmac::Key::new(algorithm, secret);
    format!("{signed}.{}", base64_url(aws_lc_rs::hmac::sign(&key, signed.as_bytes())))
}

#[test]
fn t21_only_the_issuers_key_with_the_keys_own_algorithm_signs() {
    let world = World::start();
    let token = Token::access();
    for alg in ["none", "None", "NONE", "nOnE", "", "HS256", "HS384", "HS512", "es256", "ES256K", "RSA-OAEP"] {
        let header = json!({ "alg": alg, "kid": world.bank.kid }).to_string();
        let signed = format!("{}.{}", base64_url(&header), base64_url(token.claims_text()));
        refused(&world, &format!("{signed}."), "algorithm_refused");
        refused(&world, &format!("{signed}.{}", base64_url("x")), "algorithm_refused");
    }
    // The public key taken for a secret, an empty secret, and the key set's own text.
    let header = json!({ "alg": "HS256", "kid": world.bank.kid }).to_string();
    let signed = format!("{}.{}", base64_url(header), base64_url(token.claims_text()));
    for secret in [world.bank.public_bytes(), Vec::new(), world.bank.jwk().to_string().into_bytes()] {
        refused(&world, &hmac(aws_lc_rs::hmac::HMAC_SHA256, &secret, &signed), "algorithm_refused");
    }
    // Another algorithm than that of the key.
    refused(&world, &token.clone().header("alg", "ES384").sign(&world.bank), "algorithm_refused");
    refused(&world, &token.clone().header("alg", "RS256").sign(&world.bank), "algorithm_refused");
    // Signatures that some libraries take for true: all zero, in DER, cut short, none.
    let good = token.sign(&world.bank);
    let (signed, _) = good.rsplit_once('.').unwrap();
    for signature in [vec![0; 64], vec![0x30, 6, 2, 1, 1, 2, 1, 1], vec![0; 63], Vec::new()] {
        refused(&world, &format!("{signed}.{}", base64_url(signature)), "signature_invalid");
    }
}

#[test]
fn t21_an_algorithm_that_the_policy_does_not_name_is_refused_though_the_key_could() {
    let (rsa, pss) = (Key::new(Alg::Rs256, "rs"), Key::new(Alg::Ps256, "ps"));
    let policy = World::issuers_and("  - { name: any, match: { path: \"/any/**\" }, require: authenticated }").replace(
        "    keys: { jwks_file: ../bank.json }",
        "    keys: { jwks_file: ../rsa.json }\n    algorithms: [PS256]",
    );
    let world = World::before(crate::support::Upstream::start(), |setup| {
        setup.policy(&policy).file("rsa.json", &crate::support::jwks(&[&rsa, &pss]))
    });
    world.passes(&Request::get("/any/1").bearer(&Token::access().sign(&pss)));
    refused(&world, &Token::access().sign(&rsa), "algorithm_refused");
}

#[test]
fn t22_an_encrypted_token_is_refused_whatever_it_wraps() {
    let world = World::start();
    let inner = base64_url(Token::access().sign(&world.bank));
    for header in [
        r#"{"alg":"dir","enc":"A256GCM"}"#,
        r#"{"alg":"PBES2-HS256+A128KW","p2c":2147483647,"enc":"A128GCM"}"#,
        r#"{"alg":"RSA-OAEP","enc":"A256GCM","zip":"DEF","cty":"JWT"}"#,
    ] {
        refused(&world, &format!("{}.{inner}.{inner}.{inner}.{inner}", base64_url(header)), "token_encrypted");
        refused(&world, &format!("{}.{inner}.", base64_url(header)), "token_malformed");
    }
    let claims = Token::access().claims_text();
    let wrapped = world.bank.sign(r#"{"alg":"ES256","kid":"key-1","cty":"JWT"}"#, &claims);
    refused(&world, &wrapped, "header_refused");
    refused(&world, &world.bank.sign(r#"{"alg":"ES256","kid":"key-1","zip":"DEF"}"#, &claims), "header_refused");
}

#[test]
fn t26_what_only_looks_like_a_token_is_none() {
    let world = World::start();
    for bearer in ["x", "true", "null", "eyJ", "a.b.c", "..", "Bearer", "undefined", "AAAA.AAAA.AAAA", "e30.e30."] {
        refused(&world, bearer, "token_malformed");
    }
    let good = Token::access().sign(&world.bank);
    let (head, rest) = good.split_once('.').unwrap();
    for spoiled in [
        format!("{good}="),
        format!("{good}."),
        format!(".{good}"),
        format!("{head}=.{rest}"),
        format!("{head}..{rest}"),
        format!("{head}!.{rest}"),
        good.replace('.', ":"),
    ] {
        refused(&world, &spoiled, "token_malformed");
    }
    // The scheme is `Bearer`, in any case, and the token all that follows it.
    for value in [format!("Basic {good}"), format!("Token {good}"), good.clone(), format!("Bearer{good}")] {
        let request = Request::get("/any/1").header("Authorization", &value);
        let response = world.gate.send(&request);
        assert!(matches!(response.status, 400 | 401), "{}", response.status);
    }
    // A client that speaks of a proof of possession is not let in without one.
    let with_proof = Request::get("/any/1").header("Authorization", &format!("DPoP {good}")).header("DPoP", &good);
    world.refuses(&with_proof, 401, "binding_missing");
    assert_eq!(world.upstream.begun(), 0);
    world.passes(&Request::get("/any/1").header("Authorization", &format!("bearer {good}")));
}

#[test]
fn t27_a_token_for_somebody_else_is_refused() {
    let world = World::start();
    for aud in [
        json!("https://elsewhere.example"),
        json!(["https://elsewhere.example", "https://api.example.evil.example"]),
        json!("https://api.example/"),
        json!("HTTPS://API.EXAMPLE"),
        json!("https://api.example https://elsewhere.example"),
        json!("*"),
        json!(""),
    ] {
        refused(&world, &Token::access().claim("aud", aud).sign(&world.bank), "audience_wrong");
    }
    refused(&world, &Token::access().without("aud").sign(&world.bank), "audience_wrong");
    let several = json!(["https://elsewhere.example", "https://api.example"]);
    world.passes(&Request::get("/any/1").bearer(&Token::access().claim("aud", several).sign(&world.bank)));
    // An audience of one issuer is none of another's.
    let shops = Token::access().issuer("https://shop.example").claim("aud", "https://other-api.example");
    refused(&world, &shops.sign(&world.shop), "audience_wrong");
}

#[test]
fn a_token_of_the_wrong_kind_is_refused_by_its_type_too() {
    let world = World::start();
    for typ in ["logout+jwt", "secevent+jwt", "dpop+jwt", "made-up"] {
        refused(&world, &Token::access().header("typ", typ).sign(&world.bank), "token_kind_wrong");
    }
    let portal = |token: &str| Request::get("/portal/1").header("X-Id-Token", token);
    world.refuses(&portal(&Token::id().header("typ", "at+jwt").sign(&world.bank)), 401, "token_kind_wrong");
    world.refuses(&portal(&Token::access().sign(&world.bank)), 401, "token_kind_wrong");
    for typ in ["at+jwt", "application/at+jwt", "AT+JWT", "JWT"] {
        world.passes(&Request::get("/any/1").bearer(&Token::access().header("typ", typ).sign(&world.bank)));
    }
}

#[test]
fn times_are_held_to_within_thirty_seconds() {
    let world = World::start();
    let with = |name: &str, at: i64| Token::access().claim(name, at).sign(&world.bank);
    for (name, at, reason) in [
        ("exp", now() - 31, "expired"),
        ("exp", now() - 100_000, "expired"),
        ("nbf", now() + 35, "not_yet_valid"),
        ("iat", now() + 35, "not_yet_valid"),
    ] {
        refused(&world, &with(name, at), reason);
    }
    for (name, at) in [("exp", now() - 20), ("nbf", now() + 20), ("iat", now() + 20)] {
        world.passes(&Request::get("/any/1").bearer(&with(name, at)));
    }
}
