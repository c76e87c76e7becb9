//! What is kept of tokens, and what it proves when it is opened: under the same policy, and under others.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::assurance::{Caller, Fact};
use crate::config::{SourceFile, load_policy};
use crate::policy::{CanonicalPath, Target, Tokens, decide};
use crate::token::danger_assume_signed;

const NOW: Timestamp = Timestamp::from_micros(1_767_268_800_900_000);
const ISS: &str = "https://bank.example";

const POLICY: &str = r#"
version: 1
issuers:
  bank:
    issuer: https://bank.example
    access: { audiences: [api], has: { use: access } }
    id: { audiences: [app] }
    mapping:
      acr: { from: [/ext/assurance, acr], rename: { gold: "2" } }
    proves: { single-factor: { factors: 1 }, multi-factor: { acr: ["2"] } }
routes:
  - { name: strong, match: { path: "/strong/**" }, require: { level: multi-factor, max_age: 10m } }
  - { name: tier, match: { path: /tier }, require: { claims: { /org/tier: gold } } }
"#;

fn policy(text: &str) -> Policy {
    let file = SourceFile { name: "p.yaml".into(), folder: ".".into(), text: text.into() };
    load_policy(vec![file]).unwrap_or_else(|rejected| panic!("{}", rejected.lines().join("\n"))).policy
}

fn claims() -> Value {
    json!({
        "iss": ISS, "aud": "app", "sub": "ada", "iat": NOW.seconds(), "exp": NOW.plus_seconds(300).seconds(), "sid": "s-1",
        "auth_time": NOW.plus_seconds(-300).seconds(), "acr": "1", "amr": ["pwd", "otp"], "ext": { "assurance": "gold", "more": "x" },
        "org": { "tier": "gold", "staff": 7 }, "email": "ada@example", "nonce": "n", "at_hash": "h", "jti": "j",
    })
}

/// The text of a token with these claims, and what it proved.
fn believed(policy: &Policy, claims: &Value) -> (Credential, Assurance) {
    let text = |value: &str| URL_SAFE_NO_PAD.encode(value);
    let token = format!("{}.{}.{}", text(r#"{"alg":"ES256"}"#), text(&claims.to_string()), text("signature"));
    let issuer = policy.issuer_of(ISS).unwrap();
    let claims = Json::parse(&claims.to_string()).unwrap();
    let verified = danger_assume_signed(claims, None, &issuer.expectation, NOW).unwrap();
    (Credential::new(&token, 64 << 10).unwrap(), issuer.assess(&verified, policy.claims()))
}

fn kept(policy: &Policy, claims: &Value) -> Kept {
    let (credential, assurance) = believed(policy, claims);
    Kept::of(&credential, &assurance, policy, 3_600, NOW).unwrap()
}

/// Through bytes and back, as a cookie goes.
fn again(kept: &Kept) -> Kept {
    let bytes = kept.to_bytes().unwrap();
    assert_eq!(bytes.len() % STEP, 0);
    Kept::from_bytes(&bytes).unwrap()
}

fn refused(kept: &Kept, policy: &Policy, now: Timestamp) -> Reason {
    kept.recall(policy, now).unwrap_err().0.reason
}

#[test]
fn what_was_kept_proves_what_the_token_proved() {
    let policy = policy(POLICY);
    let (_, token) = believed(&policy, &claims());
    let kept = again(&kept(&policy, &claims()));
    let recalled = kept.recall(&policy, NOW).unwrap();
    assert_eq!(recalled.expires, kept.until(), "its own end, not the token's");
    // All else is the same, but for the hash of an access token that is no matter any more.
    assert_eq!(Assurance { expires: token.expires, at_hash: token.at_hash.clone(), ..recalled.clone() }, token);
    assert_eq!((recalled.caller, recalled.kind, recalled.at_hash), (Caller::User, TokenKind::Id, None));
}

#[test]
fn an_access_token_stays_one() {
    let policy = policy(POLICY);
    let mut access = claims();
    (access["aud"], access["use"], access["scope"]) = (json!(["api", "other"]), json!("access"), json!("read write"));
    let recalled = again(&kept(&policy, &access)).recall(&policy, NOW).unwrap();
    assert_eq!((recalled.kind, recalled.scopes.len(), recalled.audiences.len()), (TokenKind::Access, 2, 2));
}

#[test]
fn nothing_is_kept_that_the_policy_does_not_read_and_never_the_token() {
    let policy = policy(POLICY);
    let kept = kept(&policy, &claims());
    let names: Vec<String> = kept.sizes().into_iter().map(|(name, _)| name).collect();
    for name in ["acr", "amr", "auth_time", "ext", "org", "sub", "aud", "sid", "iat"] {
        assert!(names.iter().any(|have| have == name), "{name}: {names:?}");
    }
    let text = String::from_utf8_lossy(&kept.to_bytes().unwrap()).into_owned();
    for other in ["email", "ada@example", "nonce", "at_hash", "jti", "staff", "more", "signature"] {
        assert!(!text.contains(other), "{other}: {text}");
    }
    assert!(!format!("{kept:?}").contains("ada"));
}

#[test]
fn it_ends_when_it_was_said_to_whatever_the_token_said_and_not_before() {
    let policy = policy(POLICY);
    let kept = again(&kept(&policy, &claims()));
    let end = Timestamp::from_seconds(NOW.seconds()).plus_seconds(3_600);
    assert_eq!(kept.until(), end);
    assert!(kept.recall(&policy, NOW.plus_seconds(301)).is_ok(), "the token ended, the sign-in did not");
    assert!(kept.recall(&policy, Timestamp::from_micros(end.micros() - 1)).is_ok());
    assert_eq!(refused(&kept, &policy, end), Reason::Expired);
    assert_eq!(refused(&kept, &policy, end.plus_seconds(29)), Reason::Expired, "no leeway: one clock set and reads it");
}

#[test]
fn the_mapping_in_force_is_obeyed_and_not_that_of_the_sign_in() {
    let old = policy(POLICY);
    let kept = again(&kept(&old, &claims()));
    let acr = |text: &str| match kept.recall(&policy(text), NOW).unwrap().evidence.acr {
        Fact::Known(values) => values.first().cloned(),
        Fact::Absent | Fact::Malformed => None,
    };
    assert_eq!(acr(POLICY).as_deref(), Some("2"));
    assert_eq!(acr(&POLICY.replace("gold: \"2\"", "gold: \"3\"")).as_deref(), Some("3"));
    assert_eq!(acr(&POLICY.replace("[/ext/assurance, acr]", "[acr]")).as_deref(), Some("1"));
    assert_eq!(
        acr(&POLICY
            .replace("    mapping:", "    trust: { acr: false }\n    mapping:")
            .replace("multi-factor: { acr: [\"2\"] }", "multi-factor: { factors: 2 }")),
        None
    );
}

#[test]
fn what_nobody_looked_at_when_it_was_kept_is_not_taken_for_absent() {
    // The token says otherwise in each of these: a weaker `acr`, no such factors, another subject, a client.
    let mut claims = claims();
    (claims["weak"], claims["methods"], claims["uid"], claims["idtyp"]) =
        (json!("0"), json!(["fax"]), json!("eve"), json!("app"));
    let client_when = "    client_when: { claims: { idtyp: app } }\n    mapping:";
    let kept = again(&kept(&policy(POLICY), &claims));
    for (from, to) in [
        ("[/ext/assurance, acr]", "[weak, /ext/assurance, acr]"),
        ("[/ext/assurance, acr]", "[/ext/more]"),
        ("    mapping:", "    mapping:\n      amr: { from: [methods], absent: [pwd, otp] }"),
        ("    mapping:", "    mapping:\n      subject: { from: [uid, sub] }"),
        ("    mapping:", "    mapping:\n      auth_time: { from: [/ext/at, auth_time] }"),
        ("    mapping:", client_when),
    ] {
        let other = POLICY.replace(from, to);
        assert_ne!(other, POLICY);
        assert_eq!(refused(&kept, &policy(&other), NOW), Reason::Expired, "{to}");
    }
    // What lies in a claim that was kept whole was kept, and so is what is kept under every policy.
    let whole = self::kept(&policy(&POLICY.replace("/ext/assurance", "ext")), &claims);
    assert!(again(&whole).recall(&policy(POLICY), NOW).is_ok());
    let by_session = POLICY.replace("    mapping:", "    mapping:\n      subject: { from: [sid, sub] }");
    assert!(kept.recall(&policy(&by_session), NOW).is_ok());
}

#[test]
fn an_issuer_that_left_was_renamed_or_is_another_is_unknown() {
    let kept = again(&kept(&policy(POLICY), &claims()));
    for other in
        [POLICY.replace("  bank:\n", "  banque:\n"), POLICY.replace("https://bank.example", "https://bank.example/2")]
    {
        assert_eq!(refused(&kept, &policy(&other), NOW), Reason::IssuerUnknown, "{other}");
    }
    let moved = POLICY
        .replace("issuers:\n", "issuers:\n  first: { issuer: https://first.example, id: { audiences: [app] } }\n");
    let moved = policy(&moved);
    assert_eq!(
        kept.recall(&moved, NOW).unwrap().issuer,
        moved.issuer_of(ISS).unwrap().id,
        "another place is no matter"
    );
}

#[test]
fn tokens_that_would_not_be_taken_today_are_not_taken_from_a_cookie() {
    let id = again(&kept(&policy(POLICY), &claims()));
    let mut claims = claims();
    (claims["aud"], claims["use"]) = (json!("api"), json!("access"));
    let access = again(&kept(&policy(POLICY), &claims));
    for (kept, from, to, expected) in [
        (&id, "    id: { audiences: [app] }\n", "", Reason::AudienceWrong),
        (&id, "audiences: [app]", "audiences: [other]", Reason::AudienceWrong),
        (&id, "audiences: [app]", "audiences: [app], has: { use: id }", Reason::TokenKindWrong),
        (&access, "audiences: [api]", "audiences: [other]", Reason::AudienceWrong),
        (&access, "use: access", "use: other", Reason::TokenKindWrong),
        (&access, "{ audiences: [api], ", "{ audiences: [api], audience_from: client_id, ", Reason::AudienceWrong),
    ] {
        let other = POLICY.replace(from, to);
        assert_ne!(other, POLICY);
        let policy = policy(&other);
        let (rejection, issuer) = kept.recall(&policy, NOW).unwrap_err();
        assert_eq!((rejection.reason, issuer), (expected, policy.issuer_of(ISS).map(|issuer| issuer.id)), "{to}");
    }
}

#[test]
fn age_counts_from_the_sign_in_and_not_from_the_keeping() {
    let policy = policy(POLICY);
    let kept = again(&kept(&policy, &claims()));
    let decided = |path: &str, now: Timestamp| {
        let path = CanonicalPath::parse(path).unwrap();
        let target = Target { method: "GET", host: "app.example", path: &path };
        let assurance = kept.recall(&policy, now).unwrap();
        let route = policy.route(&target).unwrap();
        decide(&policy, route, &target, Some(Tokens::One(&assurance)), now).map(drop).map_err(|denial| denial.reason)
    };
    // Signed in 300 s before it was kept.
    assert_eq!(decided("/strong/1", NOW.plus_seconds(299)), Ok(()));
    assert_eq!(decided("/strong/1", NOW.plus_seconds(301)), Err(Reason::AuthTooOld));
    assert_eq!(decided("/tier", NOW.plus_seconds(3_000)), Ok(()));
}

#[test]
fn a_token_that_is_bound_to_a_key_is_not_kept() {
    let policy = policy(POLICY);
    let (_, assurance) = believed(&policy, &claims());
    let mut bound = claims();
    bound["cnf"] = json!({ "jkt": "x" });
    let text = |value: String| URL_SAFE_NO_PAD.encode(value);
    let token = format!("{}.{}.{}", text(r#"{"alg":"ES256"}"#.into()), text(bound.to_string()), text("s".into()));
    let credential = Credential::new(&token, 16 << 10).unwrap();
    let kept = Kept::of(&credential, &assurance, &policy, 60, NOW);
    assert_eq!(kept.unwrap_err(), NotKept::Bound);
}

#[test]
fn what_was_never_sealed_is_malformed() {
    let good = kept(&policy(POLICY), &claims()).to_bytes().unwrap();
    let head = &good[..SESSION + 8];
    let with = |kind: u8, json: &str| [head, &[kind, 0, 0], json.as_bytes()].concat();
    assert!(Kept::from_bytes(&with(KIND_ID, r#"["bank","iss",{}]"#)).is_ok());
    for odd in [
        Vec::new(),
        head.to_vec(),
        [head, &[KIND_ID, 0]].concat(),
        [head, &[KIND_ID, 0, 200], br#"["bank","iss",{}]"#].concat(),
        with(b'x', r#"["bank","iss",{}]"#),
        with(KIND_ID, ""),
        with(KIND_ID, "[]"),
        with(KIND_ID, r#"["bank","iss"]"#),
        with(KIND_ID, r#"["bank","iss",[]]"#),
        with(KIND_ID, r#"["bank",1,{}]"#),
        with(KIND_ID, r#"["bank","iss",{},1]"#),
        with(KIND_ID, r#"["bank","iss",{"a":1,"a":2}]"#),
        with(KIND_ID, r#"["bank","iss",{}] x"#),
    ] {
        assert_eq!(Kept::from_bytes(&odd).unwrap_err().reason, Reason::TokenMalformed, "{odd:?}");
    }
}

#[test]
fn the_length_tells_next_to_nothing() {
    let policy = policy(POLICY);
    let length = |subject: &str| {
        let mut claims = claims();
        claims["sub"] = json!(subject);
        kept(&policy, &claims).to_bytes().unwrap().len()
    };
    let lengths: std::collections::BTreeSet<usize> = (1..=48).map(|n| length(&"x".repeat(n))).collect();
    assert!(lengths.len() <= 2, "{lengths:?}");
}
