//! For each check a token that fails that check only.

use serde_json::{Value, json};

use crate::Reason;
use crate::token::testing::*;
use crate::token::{
    Algorithm, ClaimPath, Expectation, Json, KeyLimits, KeySet, Rejection, Required, Timestamp, TokenKind,
    VerifiedToken, danger_assume_signed, verify,
};

fn signer() -> &'static Signer {
    Signer::shared(Algorithm::Es256)
}

fn judge(token: &str, expectation: &Expectation, now: Timestamp) -> Result<VerifiedToken<'static>, Rejection> {
    let token = parsed(token)?;
    verify(token, &key_set(&[signer()]), expectation, now).map(|(token, _)| token)
}

fn kind_or_reason(token: &str, expectation: &Expectation) -> Result<TokenKind, Reason> {
    judge(token, expectation, NOW).map(|token| token.kind()).map_err(|rejection| rejection.reason)
}

fn reason(claims: &Value) -> Option<Reason> {
    kind_or_reason(&signer().token(claims), &expectation()).err()
}

fn id_claims() -> Value {
    claims_with("aud", Some(json!(CLIENT)))
}

#[test]
fn a_good_token_is_believed_and_told_by_its_audience() {
    let token = judge(&signer().token(&claims()), &expectation(), NOW).unwrap();
    assert_eq!(token.kind(), TokenKind::Access);
    assert_eq!(**token.audiences(), [API.into()]);
    assert_eq!(token.expires(), NOW.plus_seconds(300));
    assert_eq!(token.issued(), Some(NOW.plus_seconds(-60)));
    assert_eq!(token.claims().member("acr").and_then(Json::as_str), Some("2"));
    assert_eq!(kind_or_reason(&signer().token(&id_claims()), &expectation()), Ok(TokenKind::Id));
}

#[test]
fn every_algorithm_signs_tokens_that_are_believed() {
    for algorithm in Algorithm::ALL {
        let signer = Signer::shared(algorithm);
        let keys = key_set(&[signer]);
        let token = parsed(&signer.token(&claims())).unwrap();
        let (_, key) = verify(token, &keys, &expectation(), NOW).unwrap_or_else(|why| panic!("{algorithm}: {why}"));
        assert!(keys.has(key));
    }
}

#[test]
fn t21_an_rsa_key_that_was_used_for_one_algorithm_is_read_anew_for_another() {
    let signer = Signer::shared(Algorithm::Rs256);
    let keys = key_set(&[signer]);
    let rsa = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
    // Each signature under each name, on one key set: what was kept for one name must not answer for another.
    for _ in 0..2 {
        for signed_with in rsa {
            for named in rsa {
                let header = json!({ "alg": named, "kid": "RS256" }).to_string();
                let token = signer.sign_with(Algorithm::named(signed_with).unwrap(), &header, &claims().to_string());
                let token = parsed(&token).unwrap();
                let believed = verify(token, &keys, &expectation(), NOW).map_err(|why| why.reason);
                let expected = if named == signed_with { Ok(()) } else { Err(Reason::SignatureInvalid) };
                assert_eq!(believed.map(drop), expected, "signed with {signed_with}, named {named}");
            }
        }
    }
}

#[test]
fn eddsa_is_ed25519_by_its_older_name() {
    let signer = Signer::shared(Algorithm::Ed25519);
    let token = signer.sign(r#"{"alg":"EdDSA","kid":"Ed25519"}"#, &claims().to_string());
    let token = parsed(&token).unwrap();
    let pinned = |alg: &str| {
        let mut jwk = signer.jwk();
        jwk["alg"] = json!(alg);
        KeySet::parse(json!({ "keys": [jwk] }).to_string().as_bytes(), KeyLimits::USUAL).unwrap()
    };
    assert!(verify(token, &pinned("EdDSA"), &expectation(), NOW).is_ok());
    let token = parsed(&signer.token(&claims())).unwrap();
    assert!(verify(token, &pinned("EdDSA"), &expectation(), NOW).is_ok());
}

#[test]
fn t21_no_algorithm_verifies_with_the_key_of_another() {
    for signs in Algorithm::ALL {
        for named in Algorithm::ALL.into_iter().filter(|named| *named != signs) {
            let signer = Signer::shared(signs);
            let header = json!({ "alg": named.name(), "kid": signer.kid }).to_string();
            let token = parsed(&signer.sign(&header, &claims().to_string())).unwrap();
            let refused = verify(token, &key_set(&[signer]), &expectation(), NOW).unwrap_err().reason;
            assert!(
                matches!(refused, Reason::AlgorithmRefused | Reason::SignatureInvalid),
                "{signs} as {named}: {refused}"
            );
        }
    }
}

#[test]
fn t21_hmac_with_the_public_key_as_secret_is_refused() {
    let signer = Signer::shared(Algorithm::Rs256);
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &signer.public_der());
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
    let header = json!({ "alg": "HS256", "kid": signer.kid }).to_string();
    let signed = format!("{}.{}", B64.encode(header), B64.encode(claims().to_string()));
    let token = format!("{signed}.{}", B64.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes())));
    assert_eq!(parsed(&token).unwrap_err().reason, Reason::AlgorithmRefused);
}

#[test]
fn t21_the_policy_narrows_the_algorithms_of_an_issuer() {
    let narrowed = Expectation { algorithms: Some([Algorithm::Ps256].into()), ..expectation() };
    let token = signer().token(&claims());
    assert_eq!(kind_or_reason(&token, &narrowed), Err(Reason::AlgorithmRefused));
    let allowed = Expectation { algorithms: Some([Algorithm::Es256].into()), ..expectation() };
    assert_eq!(kind_or_reason(&token, &allowed), Ok(TokenKind::Access));
}

#[test]
fn an_ecdsa_signature_in_der_is_refused() {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    };
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
    let random = aws_lc_rs::rand::SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let public = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
    let (x, y) = public.public_key().as_ref()[1..].split_at(32);
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": B64.encode(x), "y": B64.encode(y) });
    let keys = KeySet::parse(json!({ "keys": [jwk] }).to_string().as_bytes(), KeyLimits::USUAL).unwrap();
    let signed = format!("{}.{}", B64.encode(r#"{"alg":"ES256"}"#), B64.encode(claims().to_string()));
    for (form, believed) in [(&ECDSA_P256_SHA256_FIXED_SIGNING, true), (&ECDSA_P256_SHA256_ASN1_SIGNING, false)] {
        let pair = EcdsaKeyPair::from_pkcs8(form, pkcs8.as_ref()).unwrap();
        let signature = pair.sign(&random, signed.as_bytes()).unwrap();
        let token = parsed(&format!("{signed}.{}", B64.encode(signature))).unwrap();
        let result = verify(token, &keys, &expectation(), NOW).map(|_| ()).map_err(|why| why.reason);
        assert_eq!(result, if believed { Ok(()) } else { Err(Reason::SignatureInvalid) });
    }
}

#[test]
fn t24_a_token_of_another_issuer_is_refused_even_when_the_key_is_ours() {
    for issuer in ["https://idp.example/", "https://IDP.example", "https://other.example", ""] {
        assert_eq!(reason(&claims_with("iss", Some(json!(issuer)))), Some(Reason::IssuerUnknown), "{issuer}");
    }
}

#[test]
fn t20_an_array_where_a_string_belongs_is_refused() {
    assert_eq!(reason(&claims_with("iss", Some(json!([ISSUER])))), Some(Reason::IssuerUnknown));
    assert_eq!(reason(&claims_with("sub", Some(json!(["u1"])))), Some(Reason::ClaimsMalformed));
    assert_eq!(reason(&claims_with("sub", Some(json!(null)))), Some(Reason::ClaimsMalformed));
    for aud in [json!([]), json!([[API]]), json!([API, 7]), json!({ API: 1 }), json!(7), json!(null)] {
        assert_eq!(reason(&claims_with("aud", Some(aud.clone()))), Some(Reason::ClaimsMalformed), "{aud}");
    }
    let mut azp = id_claims();
    azp["azp"] = json!([CLIENT]);
    assert_eq!(reason(&azp), Some(Reason::ClaimsMalformed));
}

#[test]
fn t25_a_kid_is_only_ever_compared() {
    for kid in ["../../etc/passwd", "' OR 1=1 --", "https://evil.example/jwks", "ES256\u{0}", "ES256 "] {
        let header = json!({ "alg": "ES256", "kid": kid }).to_string();
        let token = signer().sign(&header, &claims().to_string());
        assert_eq!(kind_or_reason(&token, &expectation()), Err(Reason::KeyUnknown), "{kid}");
    }
}

#[test]
fn t25_keys_that_the_token_brings_itself_are_never_used() {
    let attacker = Signer::new(Algorithm::Es256, "ES256");
    for (name, value) in [
        ("jwk", attacker.jwk()),
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example/cert")),
        ("x5c", json!(["AAAA"])),
    ] {
        let mut header = attacker.header();
        header[name] = value;
        let token = attacker.sign(&header.to_string(), &claims().to_string());
        assert_eq!(kind_or_reason(&token, &expectation()), Err(Reason::SignatureInvalid), "{name}");
    }
}

#[test]
fn a_token_without_kid_is_tried_on_the_keys_that_fit() {
    let token = signer().sign(r#"{"alg":"ES256"}"#, &claims().to_string());
    assert_eq!(kind_or_reason(&token, &expectation()), Ok(TokenKind::Access));
    let other = Signer::new(Algorithm::Es256, "x").sign(r#"{"alg":"ES256"}"#, &claims().to_string());
    assert_eq!(kind_or_reason(&other, &expectation()), Err(Reason::SignatureInvalid));
}

#[test]
fn t18_a_date_of_the_wrong_type_is_malformed_and_never_absent() {
    let in_time = (NOW.seconds() + 300).to_string();
    for name in ["exp", "nbf", "iat"] {
        for bad in [json!(in_time), json!(null), json!([1]), json!({}), json!(true), json!(-1), json!(1e300), json!("")]
        {
            assert_eq!(reason(&claims_with(name, Some(bad.clone()))), Some(Reason::ClaimsMalformed), "{name}: {bad}");
        }
    }
}

#[test]
fn t23_a_token_without_exp_is_refused() {
    assert_eq!(reason(&claims_with("exp", None)), Some(Reason::ClaimsMalformed));
}

#[test]
fn dates_hold_to_the_second_with_thirty_seconds_of_leeway() {
    let now = NOW.seconds();
    for (name, value, expected) in [
        ("exp", json!(now - 29), None),
        ("exp", json!(now as f64 - 29.5), None),
        ("exp", json!(now - 30), Some(Reason::Expired)),
        ("exp", json!(0), Some(Reason::Expired)),
        ("nbf", json!(now + 30), None),
        ("nbf", json!(now + 31), Some(Reason::NotYetValid)),
        ("nbf", json!(now as f64 + 30.5), Some(Reason::NotYetValid)),
        ("iat", json!(now + 30), None),
        ("iat", json!(now + 31), Some(Reason::NotYetValid)),
    ] {
        assert_eq!(reason(&claims_with(name, Some(value.clone()))), expected, "{name} {value}");
    }
    assert_eq!(reason(&claims_with("iat", None)), None, "`iat` need not be there");
}

#[test]
fn t27_the_audience_is_never_skipped() {
    assert_eq!(reason(&claims_with("aud", None)), Some(Reason::AudienceWrong));
    for aud in [json!("https://other.example"), json!(["x", "y"]), json!(""), json!(format!("{API}/"))] {
        assert_eq!(reason(&claims_with("aud", Some(aud.clone()))), Some(Reason::AudienceWrong), "{aud}");
    }
    assert_eq!(reason(&claims_with("aud", Some(json!(["x", API])))), None);
    let neither = Expectation { access: None, id: None, ..expectation() };
    assert_eq!(kind_or_reason(&signer().token(&claims()), &neither), Err(Reason::AudienceWrong));
}

#[test]
fn a_wrong_audience_is_named_beside_those_that_are_expected() {
    let told = |aud: Option<Value>, expectation: &Expectation| {
        judge(&signer().token(&claims_with("aud", aud)), expectation, NOW).unwrap_err().detail.into_owned()
    };
    let both = expectation();
    let ours: Vec<&str> = [&both.access, &both.id].iter().map(|rule| &*rule.as_ref().unwrap().audiences[0]).collect();
    let wrong = told(Some(json!(["https://other.example\n", "x"])), &both);
    for word in ["`https://other.example\\n`", "`x`", &format!("`{}`", ours[0]), &format!("`{}`", ours[1])] {
        assert!(wrong.contains(word), "{word}: {wrong}");
    }
    assert!(told(None, &both).contains("names no audience"));
    let many: Vec<String> = (0..500).map(|n| format!("{n:0>100}")).collect();
    let many = told(Some(json!(many)), &both);
    assert!(many.len() < 2000 && many.contains("and 4"), "{many}");
    let neither = Expectation { access: None, id: None, ..expectation() };
    assert!(told(None, &neither).contains("neither `access` nor `id`"));
}

#[test]
fn the_audience_can_stand_in_another_claim() {
    let mut elsewhere = expectation();
    let rule = elsewhere.access.as_mut().unwrap();
    rule.audience_from = ClaimPath::parse("client_id").unwrap();
    rule.audiences = ["app".into()].into();
    let token = signer().token(&claims_with("aud", None));
    assert_eq!(**judge(&token, &elsewhere, NOW).unwrap().audiences(), ["app".into()]);
    let token = signer().token(&claims_with("client_id", Some(json!(1))));
    assert_eq!(kind_or_reason(&token, &elsewhere), Err(Reason::ClaimsMalformed));
}

#[test]
fn a_kind_without_a_rule_is_refused() {
    let only_access = Expectation { id: None, ..expectation() };
    assert_eq!(kind_or_reason(&signer().token(&id_claims()), &only_access), Err(Reason::AudienceWrong));
}

#[test]
fn the_type_in_the_header_must_suit_the_kind() {
    let judge = |typ: &str, claims: &Value| {
        let header = json!({ "alg": "ES256", "typ": typ }).to_string();
        kind_or_reason(&signer().sign(&header, &claims.to_string()), &expectation())
    };
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "JWT", "jwt"] {
        assert_eq!(judge(typ, &claims()), Ok(TokenKind::Access), "{typ}");
    }
    assert_eq!(judge("at+jwt", &id_claims()), Err(Reason::TokenKindWrong), "at+jwt is never an id_token");
    for typ in ["logout+jwt", "secevent+jwt", "dpop+jwt", "x", ""] {
        assert_eq!(judge(typ, &claims()), Err(Reason::TokenKindWrong), "{typ}");
    }
}

#[test]
fn types_of_other_jwts_are_refused_even_where_the_policy_lists_them() {
    let mut lax = expectation();
    let types: Box<[_]> = ["logout+jwt", "secevent+jwt", "dpop+jwt", "at+jwt"].map(|typ| Some(typ.into())).into();
    lax.access.as_mut().unwrap().types = types.clone();
    lax.id.as_mut().unwrap().types = types;
    for typ in ["logout+jwt", "secevent+jwt", "dpop+jwt"] {
        let token = signer().sign(&json!({ "alg": "ES256", "typ": typ }).to_string(), &claims().to_string());
        assert_eq!(kind_or_reason(&token, &lax), Err(Reason::TokenKindWrong), "{typ}");
    }
    let id = signer().sign(r#"{"alg":"ES256","typ":"at+jwt"}"#, &id_claims().to_string());
    assert_eq!(kind_or_reason(&id, &lax), Err(Reason::TokenKindWrong));
}

#[test]
fn a_strict_type_refuses_what_has_none() {
    let mut strict = expectation();
    strict.access.as_mut().unwrap().types = [Some("at+jwt".into())].into();
    assert_eq!(kind_or_reason(&signer().token(&claims()), &strict), Err(Reason::TokenKindWrong));
    let untyped = signer().sign(r#"{"alg":"ES256"}"#, &claims().to_string());
    assert_eq!(kind_or_reason(&untyped, &strict), Err(Reason::TokenKindWrong));
}

#[test]
fn a_token_with_events_is_of_no_kind() {
    for events in [json!({ "http://schemas.openid.net/event/backchannel-logout": {} }), json!(null)] {
        assert_eq!(reason(&claims_with("events", Some(events))), Some(Reason::TokenKindWrong));
    }
}

#[test]
fn claims_that_must_be_there_tell_kinds_of_one_audience_apart() {
    let mut shared = expectation();
    shared.id.as_mut().unwrap().audiences = [API.into()].into();
    let there = |claim: &str| Required { claim: ClaimPath::parse(claim).unwrap(), values: None };
    shared.access.as_mut().unwrap().has = [there("scope")].into();
    shared.id.as_mut().unwrap().has = [there("nonce")].into();
    let judge = |name: &str, value: Value| kind_or_reason(&signer().token(&claims_with(name, Some(value))), &shared);
    assert_eq!(judge("scope", json!("a")), Ok(TokenKind::Access));
    assert_eq!(judge("nonce", json!("n")), Ok(TokenKind::Id));
    assert_eq!(judge("nonce", json!(null)), Err(Reason::TokenKindWrong), "null is absent");
    assert_eq!(judge("scope", json!([])), Err(Reason::TokenKindWrong), "an empty list is absent");
    let mut both = claims_with("scope", Some(json!("a")));
    both["nonce"] = json!("n");
    assert_eq!(kind_or_reason(&signer().token(&both), &shared), Err(Reason::TokenKindWrong), "both kinds are none");
}

#[test]
fn the_value_of_a_claim_tells_kinds_of_one_audience_apart() {
    let mut shared = expectation();
    shared.id.as_mut().unwrap().audiences = [API.into()].into();
    let says = |value: &str| Required {
        claim: ClaimPath::parse("token_use").unwrap(),
        values: Some([Json::from(value), Json::from("other")].into()),
    };
    shared.access.as_mut().unwrap().has = [says("access")].into();
    shared.id.as_mut().unwrap().has = [says("id")].into();
    let judge = |value: Value| kind_or_reason(&signer().token(&claims_with("token_use", Some(value))), &shared);
    assert_eq!(judge(json!("access")), Ok(TokenKind::Access));
    assert_eq!(judge(json!("id")), Ok(TokenKind::Id));
    for neither in [json!("Access"), json!(["access"]), json!({ "access": true }), json!(null), json!("other")] {
        assert_eq!(judge(neither.clone()), Err(Reason::TokenKindWrong), "{neither}");
    }
    assert_eq!(kind_or_reason(&signer().token(&claims()), &shared), Err(Reason::TokenKindWrong), "absent");
}

#[test]
fn an_id_token_for_several_says_for_whom_it_is() {
    let judge = |aud: Value, azp: Option<&str>| {
        let mut claims = claims_with("aud", Some(aud));
        if let Some(azp) = azp {
            claims["azp"] = json!(azp);
        }
        reason(&claims)
    };
    assert_eq!(judge(json!(CLIENT), Some(CLIENT)), None);
    assert_eq!(judge(json!([CLIENT, "other"]), Some(CLIENT)), None);
    assert_eq!(judge(json!([CLIENT, "other"]), None), Some(Reason::AzpWrong));
    assert_eq!(judge(json!([CLIENT, "other"]), Some("other")), Some(Reason::AzpWrong));
    assert_eq!(judge(json!(CLIENT), Some("other")), Some(Reason::AzpWrong));
    assert_eq!(judge(json!(API), Some("other")), None, "`azp` of an access token is not ours to judge");
}

#[test]
fn a_bound_token_without_its_proof_is_refused() {
    for cnf in [json!({ "jkt": "x" }), json!({}), json!("x"), json!([])] {
        assert_eq!(reason(&claims_with("cnf", Some(cnf))), Some(Reason::BindingMissing));
    }
    assert_eq!(reason(&claims_with("cnf", Some(json!(null)))), None);
}

#[test]
fn of_several_faults_the_first_by_precedence_is_said() {
    let mut claims = claims_with("cnf", Some(json!({})));
    let mut faults = vec![(Reason::BindingMissing, signer().token(&claims))];
    claims["events"] = json!({});
    faults.push((Reason::TokenKindWrong, signer().token(&claims)));
    claims["aud"] = json!("x");
    faults.push((Reason::AudienceWrong, signer().token(&claims)));
    claims["nbf"] = json!(NOW.seconds() + 100);
    faults.push((Reason::NotYetValid, signer().token(&claims)));
    claims["exp"] = json!(1);
    faults.push((Reason::Expired, signer().token(&claims)));
    claims["sub"] = json!(1);
    faults.push((Reason::ClaimsMalformed, signer().token(&claims)));
    let forged = Signer::new(Algorithm::Es256, "ES256");
    faults.push((Reason::SignatureInvalid, forged.token(&claims)));
    let unknown = Signer::new(Algorithm::Es256, "other");
    faults.push((Reason::KeyUnknown, unknown.token(&claims)));
    claims["iss"] = json!("x");
    faults.push((Reason::IssuerUnknown, unknown.token(&claims)));
    for (expected, token) in faults {
        assert_eq!(kind_or_reason(&token, &expectation()), Err(expected));
    }
}

#[test]
fn what_a_person_claims_is_judged_by_the_same_rules() {
    let assume = |claims: &Value, typ| {
        let claims = Json::parse(&claims.to_string()).unwrap();
        danger_assume_signed(claims, typ, &expectation(), NOW).map(|token| token.kind()).map_err(|why| why.reason)
    };
    assert_eq!(assume(&claims(), Some("application/AT+JWT")), Ok(TokenKind::Access));
    assert_eq!(assume(&id_claims(), None), Ok(TokenKind::Id));
    assert_eq!(assume(&id_claims(), Some("at+jwt")), Err(Reason::TokenKindWrong));
    assert_eq!(assume(&claims_with("exp", Some(json!(1))), None), Err(Reason::Expired));
    assert_eq!(assume(&json!([claims()]), None), Err(Reason::TokenMalformed));
}

#[test]
fn an_explanation_never_holds_a_claim_s_value() {
    let secret = "s3cr3t-value";
    // But for whom the token is, which is no secret to whoever runs the gate.
    for name in ["iss", "sub", "exp", "nbf", "iat", "azp", "cnf", "events"] {
        for value in [json!(secret), json!([secret]), json!({ secret: secret })] {
            let Err(why) = judge(&signer().token(&claims_with(name, Some(value))), &expectation(), NOW) else {
                continue;
            };
            assert!(!why.to_string().contains(secret), "{why}");
        }
    }
}
