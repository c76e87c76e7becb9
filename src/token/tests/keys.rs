//! What a key set is made of, and what it is not.

use serde_json::{Value, json};

use crate::token::keys::{KeyLimits, KeySet, KeySetError, NoKey};
use crate::token::testing::{Signer, jwks, key_set};
use crate::token::{Algorithm, KeyId};

fn good() -> Value {
    Signer::shared(Algorithm::Es256).jwk()
}

fn parse(keys: &[Value]) -> Result<KeySet, KeySetError> {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes(), KeyLimits::USUAL)
}

fn with(mut jwk: Value, name: &str, value: Value) -> Value {
    jwk[name] = value;
    jwk
}

#[test]
fn one_unusable_key_never_spoils_its_set() {
    let rsa = Signer::shared(Algorithm::Rs256).jwk();
    let short = "A".repeat(171);
    let off_curve = good()["x"].as_str().unwrap().to_owned();
    for (bad, why) in [
        (json!(null), "no `kty`"),
        (json!("key"), "no `kty`"),
        (json!({ "kty": "oct", "k": "c2VjcmV0" }), "shared secret"),
        (json!({ "kty": "oct", "alg": "HS256", "k": "c2VjcmV0" }), "shared secret"),
        (with(rsa.clone(), "k", json!("c2VjcmV0")), "shared secret"),
        (json!({ "kty": "AKP", "pub": "AAAA" }), "not supported"),
        (json!({ "kty": "OKP", "crv": "Ed448", "x": "AAAA" }), "not supported"),
        (json!({ "kty": "OKP", "crv": "X25519", "x": "AAAA" }), "not supported"),
        (json!({ "kty": "OKP", "crv": "Ed25519", "x": "AAAA" }), "32 bytes"),
        (with(good(), "crv", json!("secp256k1")), "not supported"),
        (with(good(), "crv", json!("P-384")), "wrong length"),
        (with(good(), "y", json!(off_curve)), "not on the curve"),
        (with(good(), "x", json!("AA=")), "base64url"),
        (with(good(), "x", json!(7)), "not a string"),
        (with(good(), "kid", json!(7)), "`kid` is not a string"),
        (with(good(), "kid", json!("k".repeat(257))), "longer than 256"),
        (with(good(), "kty", json!(["EC"])), "not a string"),
        (with(good(), "use", json!("enc")), "`use`"),
        (with(good(), "use", json!(["sig"])), "`use`"),
        (with(good(), "key_ops", json!(["sign"])), "`key_ops`"),
        (with(good(), "key_ops", json!("verify")), "`key_ops`"),
        (with(good(), "alg", json!("ES384")), "`alg`"),
        (with(good(), "alg", json!("HS256")), "`alg`"),
        (with(rsa.clone(), "alg", json!("RSA-OAEP")), "`alg`"),
        (with(rsa.clone(), "n", json!(short)), "shorter than 2048"),
        (with(rsa.clone(), "n", json!("_".repeat(1400))), "longer than 8192"),
        (with(rsa.clone(), "n", json!(format!("{}A", "_".repeat(341)))), "cannot be"),
        (with(rsa.clone(), "e", json!("AQ")), "cannot be"),
        (with(rsa, "e", json!("")), "cannot be"),
        (json!({ "kty": "RSA", "e": "AQAB" }), "no `n`"),
    ] {
        let set = parse(&[bad.clone(), good()]).unwrap();
        assert_eq!(set.len(), 1, "{bad}");
        assert!(set.dropped()[0].why.contains(why), "{bad}: {}", set.dropped()[0].why);
        assert!(matches!(parse(&[bad]), Err(KeySetError::NoUsableKey(_))));
    }
}

#[test]
fn t25_a_key_that_publishes_its_private_half_is_dropped() {
    for part in ["d", "p", "q", "dp", "dq", "qi", "oth"] {
        let set = parse(&[with(Signer::shared(Algorithm::Rs256).jwk(), part, json!("AQAB")), good()]).unwrap();
        assert_eq!(set.len(), 1);
        assert!(set.dropped()[0].why.contains("private"), "{part}");
    }
}

#[test]
fn t19_a_key_with_a_duplicate_member_is_dropped() {
    let good = good().to_string();
    let twice = good.replacen('{', r#"{"kty":"oct","#, 1);
    let set = KeySet::parse(format!(r#"{{"keys":[{twice},{good}]}}"#).as_bytes(), KeyLimits::USUAL).unwrap();
    assert_eq!((set.len(), set.dropped().len()), (1, 1));
    let deep = format!(r#"{{"keys":[{{"kty":{}1{}}},{good}]}}"#, "[".repeat(60), "]".repeat(60));
    assert_eq!(KeySet::parse(deep.as_bytes(), KeyLimits::USUAL).unwrap().len(), 1);
}

#[test]
fn what_is_no_key_set_is_an_error() {
    let key = good().to_string();
    for text in [
        String::new(),
        "<html>".into(),
        "{}".into(),
        "[]".into(),
        "null".into(),
        r#"{"keys":{}}"#.into(),
        r#"{"keys":null}"#.into(),
        format!(r#"{{"keys":[{key}],"keys":[{key}]}}"#),
        format!(r#"{{"keys":[{key}]}}x"#),
    ] {
        assert!(matches!(KeySet::parse(text.as_bytes(), KeyLimits::USUAL), Err(KeySetError::NotAKeySet(_))), "{text}");
    }
    assert!(matches!(KeySet::parse(br#"{"keys":[]}"#, KeyLimits::USUAL), Err(KeySetError::NoUsableKey(_))));
}

#[test]
fn a_set_is_as_large_as_its_limits_allow_and_no_larger() {
    let of = |keys: usize| {
        let many: Vec<_> = (0..keys).map(|n| with(good(), "kid", json!(n.to_string()))).collect();
        json!({ "keys": many }).to_string()
    };
    for limits in [KeyLimits::USUAL, KeyLimits { keys: 3, ..KeyLimits::USUAL }] {
        assert_eq!(KeySet::parse(of(limits.keys).as_bytes(), limits).unwrap().len(), limits.keys);
        let error = KeySet::parse(of(limits.keys + 1).as_bytes(), limits).unwrap_err();
        assert_eq!(error, KeySetError::TooManyKeys { has: limits.keys + 1, limit: limits.keys });
    }
    let text = of(1);
    let exact = KeyLimits { bytes: text.len(), ..KeyLimits::USUAL };
    assert!(KeySet::parse(text.as_bytes(), exact).is_ok());
    let error = KeySet::parse(format!("{text} ").as_bytes(), exact).unwrap_err();
    assert_eq!(error, KeySetError::TooLarge { has: text.len() + 1, limit: text.len() });
    assert!(error.to_string().contains("`limits.jwks`"));
}

#[test]
fn what_may_be_kept_of_a_document_holds_no_secret() {
    let private = with(with(good(), "kid", json!("leaked")), "d", json!("AAAA"));
    let document = json!({ "keys": [good(), { "kty": "oct", "k": "c2VjcmV0" }, private, 7] }).to_string();
    let kept = KeySet::usable(document.as_bytes(), KeyLimits::USUAL).unwrap();
    assert_eq!(kept.iter().map(|raw| serde_json::from_str(raw.get()).unwrap()).collect::<Vec<Value>>(), [good()]);
}

#[test]
fn members_that_say_nothing_to_us_are_ignored() {
    let jwk = with(with(good(), "x5c", json!(["AAAA"])), "x5t", json!(1));
    let jwk = with(with(jwk, "key_ops", json!(["sign", "verify"])), "use", json!("sig"));
    let set = KeySet::parse(json!({ "keys": [jwk], "issuer": 1 }).to_string().as_bytes(), KeyLimits::USUAL).unwrap();
    assert_eq!((set.len(), set.dropped().len()), (1, 0));
}

#[test]
fn keys_are_chosen_by_exact_kid_and_fitting_algorithm() {
    let (es, rs) = (Signer::shared(Algorithm::Es256), Signer::shared(Algorithm::Rs256));
    let pinned = with(with(rs.jwk(), "kid", json!("pinned")), "alg", json!("PS256"));
    let set = parse(&[es.jwk(), rs.jwk(), pinned]).unwrap();
    let count = |kid: Option<&str>, algorithm| set.select(kid, algorithm).map(|keys| keys.len());
    assert_eq!(count(Some("ES256"), Algorithm::Es256), Ok(1));
    assert_eq!(count(Some("es256"), Algorithm::Es256), Err(NoKey::Unknown));
    assert_eq!(count(Some("ES256"), Algorithm::Rs256), Err(NoKey::Unfit));
    assert_eq!(count(Some("RS256"), Algorithm::Ps512), Ok(1), "an RSA key that is not pinned serves its whole family");
    assert_eq!(count(Some("pinned"), Algorithm::Rs256), Err(NoKey::Unfit), "a pinned key serves one algorithm");
    assert_eq!(count(None, Algorithm::Rs256), Ok(1), "without a kid, all that fit");
    assert_eq!(count(None, Algorithm::Ps256), Ok(2));
    assert_eq!(count(None, Algorithm::Es384), Err(NoKey::Unknown));
}

#[test]
fn all_keys_that_fit_are_tried_up_to_sixteen() {
    let same = |algorithm| with(Signer::shared(algorithm).jwk(), "kid", json!("k"));
    let set = parse(&[same(Algorithm::Es256), same(Algorithm::Rs256)]).unwrap();
    assert_eq!(set.select(Some("k"), Algorithm::Rs256).unwrap().len(), 1);
    let many: Vec<_> = (0..18).map(|_| with(Signer::new(Algorithm::Es256, "k").jwk(), "kid", json!("k"))).collect();
    for (has, tries) in [(5, 5), (16, 16), (17, 16), (18, 16)] {
        let set = parse(&many[..has]).unwrap();
        assert_eq!(set.select(Some("k"), Algorithm::Es256).unwrap().len(), tries, "{has}");
        assert_eq!(set.select(None, Algorithm::Es256).unwrap().len(), tries, "{has}");
        let crowded = if has > tries { vec![(Algorithm::Es256, has)] } else { vec![] };
        assert_eq!(set.crowded(), crowded, "what is left out is told");
    }
}

#[test]
fn a_key_keeps_its_identity_from_set_to_set() {
    let (old, new) = (Signer::new(Algorithm::Es256, "a"), Signer::new(Algorithm::Es256, "a"));
    let id = |set: &KeySet| -> KeyId { set.select(Some("a"), Algorithm::Es256).unwrap()[0].id };
    let first = key_set(&[&old, Signer::shared(Algorithm::Rs256)]);
    assert!(key_set(&[Signer::shared(Algorithm::Ed25519), &old]).has(id(&first)));
    assert!(!key_set(&[&new]).has(id(&first)), "another key under the same kid is another key");
    let renamed = parse(&[with(old.jwk(), "kid", json!("b"))]).unwrap();
    assert!(!renamed.has(id(&first)), "the same key under another kid is another key");
    let pinned = parse(&[with(old.jwk(), "alg", json!("ES256"))]).unwrap();
    assert!(!pinned.has(id(&first)));
    assert_eq!(key_set(&[&old, &new]), key_set(&[&new, &old]));
    assert_ne!(key_set(&[&old]), key_set(&[&new]));
    assert_eq!(
        KeySet::parse(&jwks(&[&old, &old]), KeyLimits::USUAL).unwrap().len(),
        1,
        "a key listed twice is one key"
    );
}

#[test]
fn a_leading_zero_in_a_modulus_does_no_harm() {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let signer = Signer::shared(Algorithm::Rs256);
    let n = URL_SAFE_NO_PAD.decode(signer.jwk()["n"].as_str().unwrap()).unwrap();
    let signed_integer = URL_SAFE_NO_PAD.encode([&[0], n.as_slice()].concat());
    assert_eq!(parse(&[with(signer.jwk(), "n", json!(signed_integer))]).unwrap(), key_set(&[signer]));
}
