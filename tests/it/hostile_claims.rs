//! Claims of the wrong shape: never taken for absent, never made to fit.

use serde_json::{Value, json};

use crate::support::{Request, Token, World, now};

fn any(token: &str) -> Request {
    Request::get("/any/1").bearer(token)
}

#[test]
fn t18_a_time_of_the_wrong_type_is_malformed_and_not_absent() {
    let world = World::start();
    let odd = [
        json!("1767268740"),
        json!(""),
        json!(true),
        json!([now() + 300]),
        json!({}),
        json!(-1),
        json!(1e300),
        Value::Null,
        json!(9_999_999_999_999_i64),
    ];
    for name in ["exp", "nbf", "iat"] {
        for value in &odd {
            let token = Token::access().claim(name, value.clone()).sign(&world.bank);
            let (refused, decision) = world.gate.decision(&any(&token));
            assert_eq!((refused.status, &decision["reason"]), (401, &"claims_malformed".into()), "{name}: {value}");
        }
    }
    assert_eq!(world.upstream.begun(), 0);
    let fraction = Token::access().sign_edited(&world.bank, |claims| {
        claims.replace(&format!("\"exp\":{}", now() + 300), &format!("\"exp\":{}.5", now() + 300))
    });
    world.passes(&any(&fraction));
}

#[test]
fn t18_evidence_of_the_wrong_type_is_malformed_and_nothing_stands_in_for_it() {
    let world = World::start();
    let strong = |token: Token, key| Request::get("/strong/1").bearer(&token.sign(key));
    let shop = || Token::access().issuer("https://shop.example").without("amr");
    let club = || Token::access().issuer("https://club.example").without("acr");
    for acr in
        [json!({}), json!(true), json!([["high"]]), json!([1]), json!({ "value": "high" }), json!(-1), json!(1e300)]
    {
        world.refuses(&strong(shop().claim("acr", acr), &world.shop), 401, "acr_malformed");
    }
    for amr in [
        json!({}),
        json!(true),
        json!(7),
        json!([1, 2]),
        json!([["pwd"], ["otp"]]),
        json!(["pwd", 1]),
        json!(["pwd", null]),
    ] {
        world.refuses(&strong(club().claim("amr", amr), &world.club), 401, "amr_malformed");
    }
    for absent in [Value::Null, json!([])] {
        world.refuses(&strong(shop().claim("acr", absent.clone()), &world.shop), 401, "acr_missing");
        world.refuses(&strong(club().claim("amr", absent), &world.club), 401, "amr_missing");
    }
    let fresh = |at: Value| Request::get("/fresh").bearer(&Token::access().claim("auth_time", at).sign(&world.bank));
    for at in [json!(now().to_string()), json!({}), json!([now()]), json!(true), json!(-1), json!(1e300)] {
        world.refuses(&fresh(at), 401, "claims_malformed");
    }
    world.refuses(&fresh(Value::Null), 401, "auth_time_missing");
    // Where nothing depends on them they refuse nobody.
    world.passes(&any(&Token::access()
        .claim("acr", json!({}))
        .claim("amr", 7)
        .claim("auth_time", "x")
        .sign(&world.bank)));
}

#[test]
fn t19_a_member_that_stands_twice_spoils_the_token_and_another_case_is_another_name() {
    let world = World::start();
    let strong = |token: &str| Request::get("/strong/1").bearer(token);
    let weak = Token::access().weak();
    for extra in [
        r#""acr":"2","#,
        r#""\u0061cr":"2","#,
        r#""sub":"eve","#,
        r#""exp":99999999999,"#,
        r#""x":{"y":1,"y":2},"#,
        r#""x":[{"y":1,"y":1}],"#,
    ] {
        let twice = weak.sign_edited(&world.bank, |claims| claims.replacen('{', &format!("{{{extra}"), 1));
        world.refuses(&strong(&twice), 401, "token_malformed");
        let twice = weak.sign_edited(&world.bank, |claims| {
            format!("{},{}}}", &claims[..claims.len() - 1], &extra[..extra.len() - 1])
        });
        world.refuses(&strong(&twice), 401, "token_malformed");
    }
    let header = format!(r#"{{"alg":"ES256","kid":"{}","kid":"other"}}"#, world.bank.kid);
    world.refuses(&strong(&world.bank.sign(&header, &weak.claims_text())), 401, "token_malformed");
    for (name, value) in
        [("ACR", json!("2")), ("Acr", json!("2")), ("AMR", json!(["pwd", "otp"])), ("acr ", json!("2"))]
    {
        world.refuses(&strong(&weak.clone().claim(name, value).sign(&world.bank)), 401, "level_too_low");
    }
}

#[test]
fn t20_a_list_where_a_string_belongs_is_not_its_first_value() {
    let world = World::start();
    for iss in [json!(["https://bank.example"]), json!({ "https://bank.example": 1 }), Value::Null, json!(1)] {
        let token = Token::access().claim("iss", iss).sign(&world.bank);
        world.refuses(&any(&token), 401, "issuer_unknown");
    }
    world.refuses(&any(&Token::access().without("iss").sign(&world.bank)), 401, "issuer_unknown");
    for aud in
        [json!([]), json!([["https://api.example"]]), json!({ "https://api.example": true }), json!([1]), json!(true)]
    {
        let (refused, decision) =
            world.gate.decision(&any(&Token::access().claim("aud", aud.clone()).sign(&world.bank)));
        assert_eq!(refused.status, 401);
        let reason = decision["reason"].as_str().unwrap();
        assert!(matches!(reason, "claims_malformed" | "audience_wrong"), "{aud}: {reason}");
    }
    let listed = Token::access().claim("sub", json!(["ada"])).sign(&world.bank);
    world.refuses(&any(&listed), 401, "claims_malformed");
    for header in [json!(["ES256"]), json!({ "ES256": 1 }), Value::Null, json!(1)] {
        world.refuses(&any(&Token::access().header("alg", header).sign(&world.bank)), 401, "token_malformed");
    }
    world.refuses(&any(&Token::access().header("kid", json!(["key-1"])).sign(&world.bank)), 401, "token_malformed");
    assert_eq!(world.upstream.begun(), 0);
}

#[test]
fn t23_a_token_without_an_end_is_refused() {
    let world = World::start();
    world.refuses(&any(&Token::access().without("exp").sign(&world.bank)), 401, "claims_malformed");
    world.refuses(&any(&Token::access().claim("exp", Value::Null).sign(&world.bank)), 401, "claims_malformed");
    world.refuses(&any(&Token::access().claim("exp", 0).sign(&world.bank)), 401, "expired");
}

#[test]
fn t38_claims_that_are_no_object_are_no_claims() {
    let world = World::start();
    let header = Token::access().header_text(&world.bank);
    let claims = Token::access().claims_text();
    for odd in
        ["[]", &format!("[{claims}]"), "\"x\"", "null", "7", "", &format!("{claims}{claims}"), &format!("{claims}x")]
    {
        world.refuses(&any(&world.bank.sign(&header, odd)), 401, "token_malformed");
    }
    world.refuses(&any(&world.bank.sign("[]", &claims)), 401, "token_malformed");
    world.refuses(&any(&world.bank.sign("", &claims)), 401, "token_malformed");
    let deep = format!("{{\"x\":{}1{},{}", "[".repeat(500), "]".repeat(500), &claims[1..]);
    world.refuses(&any(&world.bank.sign(&header, &deep)), 401, "token_malformed");
}
