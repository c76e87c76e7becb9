//! What holds for every input.

use proptest::prelude::*;

use crate::token::testing::*;
use crate::token::{Algorithm, KeyLimits, KeySet, verify};

fn believed(text: &str, keys: &KeySet) -> bool {
    parsed(text).and_then(|token| verify(token, keys, &expectation(), NOW)).is_ok()
}

#[test]
fn every_changed_byte_of_a_good_token_is_refused() {
    for algorithm in [Algorithm::Es256, Algorithm::Ed25519, Algorithm::Ps256] {
        let signer = Signer::shared(algorithm);
        let keys = key_set(&[signer]);
        let good = signer.token(&claims());
        assert!(believed(&good, &keys));
        for at in 0..good.len() {
            for other in ['A', 'B', '_', '.', '=', ' '] {
                let mut bad = good.clone();
                bad.replace_range(at..=at, other.encode_utf8(&mut [0; 4]));
                assert!(bad == good || !believed(&bad, &keys), "{algorithm} byte {at} as {other:?}");
            }
        }
        for longer in
            [format!("{good}A"), format!("{good}="), format!("A{good}"), format!("{good}."), format!("{good}\n")]
        {
            assert!(!believed(&longer, &keys));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_flipped_bit_is_refused(at in any::<prop::sample::Index>(), bit in 0..7_u8) {
        let signer = Signer::shared(Algorithm::Es384);
        let mut bytes = signer.token(&claims()).into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let bad = String::from_utf8(bytes).unwrap();
        prop_assert!(!believed(&bad, &key_set(&[signer])));
    }

    #[test]
    fn nothing_that_is_sent_makes_us_panic(text in "\\PC{0,200}|[A-Za-z0-9_.-]{0,300}") {
        prop_assert!(!believed(&text, &key_set(&[Signer::shared(Algorithm::Es256)])));
    }

    #[test]
    fn no_header_or_claims_make_us_panic(header in json(), claims in json()) {
        let signer = Signer::shared(Algorithm::Es256);
        prop_assert!(!believed(&signer.sign(&header, &claims), &key_set(&[signer])));
    }

    #[test]
    fn claims_of_any_type_are_judged_without_panic(
        name in "iss|aud|sub|exp|nbf|iat|azp|events|cnf|typ", value in json(),
    ) {
        let signer = Signer::shared(Algorithm::Es256);
        let value = serde_json::from_str(&value).unwrap_or_default();
        let _either = believed(&signer.token(&claims_with(&name, Some(value))), &key_set(&[signer]));
    }

    #[test]
    fn no_document_makes_the_key_set_reader_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300), key in json(), member in "n|e|x|y|kid|alg|use|crv|kty|key_ops",
    ) {
        let _either = KeySet::parse(&bytes, KeyLimits::USUAL);
        let mut jwk = Signer::shared(Algorithm::Rs256).jwk();
        jwk[member] = serde_json::from_str(&key).unwrap_or_default();
        let _either = KeySet::parse(serde_json::json!({ "keys": [jwk] }).to_string().as_bytes(), KeyLimits::USUAL);
    }
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<f64>().prop_map(|value| serde_json::json!(value).to_string()),
        "[ -~]{0,20}".prop_map(|value| serde_json::json!(value).to_string()),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(("alg|kid|typ|iss|aud|exp|[a-z]{1,3}", inner), 0..4).prop_map(|members| {
                let members: Vec<_> = members.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}
