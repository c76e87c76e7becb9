//! The stage as the proxy meets it: real tokens, a real key file, a policy made by hand.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::runtime::Handle;

use crate::Reason;
use crate::assurance::mapping::{Accept, Mapping, ValueMapping};
use crate::assurance::{Assurance, Caller, ClaimTable, Fact, Issuer, IssuerId, Ladders, MethodTable, Pair, Reading};
use crate::jwks::{IssuerKeysConfig, KeySettings, KeyStore, Pace};
use crate::policy::{Policy, PolicyParts};
use crate::token::testing::{ISSUER, NOW, Signer, claims, claims_with, credential, expectation, jwks};
use crate::token::{Algorithm, ClaimPath, Credential, Expectation, KeyPlace, KeySource, TokenKind};
use crate::verification::{Rejected, Verifier, nearby};

struct Bench {
    verifier: Verifier,
    store: Arc<KeyStore>,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

/// A verifier whose one issuer's keys stand in a file.
fn bench(signers: &[&Signer], cache_bytes: u64) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    if !signers.is_empty() {
        std::fs::write(&file, jwks(signers)).unwrap();
    }
    let pace = Pace { file_poll: Duration::from_secs(3600), first_wait: Duration::from_secs(5), ..Pace::USUAL };
    let settings = KeySettings { pace, ..KeySettings::new(Duration::from_secs(3600), false) };
    let store = Arc::new(KeyStore::new(settings, Handle::current()));
    store.apply(&[keys_config(&file)]);
    Bench { verifier: Verifier::new(Arc::clone(&store), cache_bytes).unwrap(), store, file, _folder: folder }
}

fn keys_config(file: &std::path::Path) -> IssuerKeysConfig {
    let source = KeySource { place: KeyPlace::JwksFile(file.to_owned()), ca: None };
    IssuerKeysConfig { name: "bank".into(), issuer: ISSUER.into(), source }
}

fn policy(fingerprint: u64) -> Policy {
    policy_of(ISSUER, fingerprint)
}

fn policy_of(iss: &str, fingerprint: u64) -> Policy {
    policy_called("sha256:test", iss, fingerprint)
}

fn policy_called(hash: &str, iss: &str, fingerprint: u64) -> Policy {
    let paths = |names: &[&str]| names.iter().map(|name| ClaimPath::parse(name).unwrap()).collect::<Box<[_]>>();
    let values = |name: &str, accept| ValueMapping {
        trusted: true,
        from: paths(&[name]),
        accept,
        absent: None,
        rename: BTreeMap::new(),
    };
    let issuer = Issuer {
        id: IssuerId(0),
        name: "bank".into(),
        expectation: Expectation { issuer: iss.into(), ..expectation() },
        mapping: Mapping {
            acr: values("acr", Accept { string: true, ..Accept::default() }),
            amr: values("amr", Accept { array: true, ..Accept::default() }),
            auth_time: paths(&["auth_time"]),
            subject: paths(&["sub"]),
            client: paths(&["client_id"]),
            scopes: paths(&["scope"]),
        },
        client_when: None,
        methods: MethodTable::rfc8176(),
        ignore_amr: Box::default(),
        reading: Reading::default(),
        proofs: Box::default(),
        challenges: Box::default(),
        dialect: crate::assurance::Dialect::default(),
        pair: Pair::Bound,
        hints: crate::reason::Hints::default(),
        fingerprint,
    };
    let parts = PolicyParts {
        ladders: Ladders::default(),
        issuers: vec![issuer],
        claims: ClaimTable::default(),
        floors: Vec::new(),
        routes: Vec::new(),
        hash: hash.into(),
    };
    Policy::new(parts).unwrap()
}

fn peer(n: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, n])
}

const CACHE: u64 = 1 << 20;

fn es() -> &'static Signer {
    Signer::shared(Algorithm::Es256)
}

impl Bench {
    /// Has this thread meet a token so often that it has it at hand.
    async fn meet(&self, token: &Credential, policy: &Policy) {
        for _ in 0..4 {
            self.verifier.verify(token, policy, peer(1), NOW).await.unwrap();
        }
    }

    async fn rejection(&self, token: &str, from: u8) -> Rejected {
        self.verifier.verify(&credential(token), &policy(1), peer(from), NOW).await.unwrap_err()
    }
}

#[tokio::test]
async fn a_good_token_becomes_an_assurance_and_is_remembered() {
    let bench = bench(&[es()], CACHE);
    let (policy, token) = (policy(1), credential(&es().token(&claims())));
    assert!(bench.verifier.cached(&token, &policy, NOW).is_none());
    let assurance = bench.verifier.verify(&token, &policy, peer(1), NOW).await.unwrap();
    assert_eq!((assurance.kind, assurance.caller), (TokenKind::Access, Caller::User));
    assert_eq!(assurance.subject.as_deref(), Some("u1"));
    assert_eq!(assurance.evidence.acr, Fact::Known(["2".into()].into()));
    let hit = bench.verifier.cached(&token, &policy, NOW).unwrap();
    assert!(Arc::ptr_eq(&hit, &assurance));
    let again = bench.verifier.verify(&token, &policy, peer(1), NOW).await.unwrap();
    assert!(Arc::ptr_eq(&again, &assurance));
}

#[tokio::test]
async fn t30_a_remembered_token_is_not_believed_past_its_expiry() {
    let bench = bench(&[es()], CACHE);
    let (policy, token) = (policy(1), credential(&es().token(&claims())));
    bench.verifier.verify(&token, &policy, peer(1), NOW).await.unwrap();
    assert!(bench.verifier.cached(&token, &policy, NOW.plus_seconds(329)).is_some());
    assert!(bench.verifier.cached(&token, &policy, NOW.plus_seconds(330)).is_none());
    let late = bench.verifier.verify(&token, &policy, peer(1), NOW.plus_seconds(330)).await.unwrap_err();
    assert_eq!(late.rejection.reason, Reason::Expired);
}

#[tokio::test]
async fn a_changed_issuer_is_read_anew() {
    let bench = bench(&[es()], CACHE);
    let token = credential(&es().token(&claims()));
    bench.verifier.verify(&token, &policy(1), peer(1), NOW).await.unwrap();
    assert!(bench.verifier.cached(&token, &policy(2), NOW).is_none());
    bench.verifier.verify(&token, &policy(2), peer(1), NOW).await.unwrap();
    assert!(bench.verifier.cached(&token, &policy(2), NOW).is_some());
}

#[tokio::test]
async fn t29_another_issuer_in_the_same_place_does_not_inherit_tokens() {
    let bench = bench(&[es()], CACHE);
    let token = credential(&es().token(&claims()));
    bench.verifier.verify(&token, &policy(1), peer(1), NOW).await.unwrap();
    assert!(bench.verifier.cached(&token, &policy_of("https://other.example", 1), NOW).is_none());
}

#[tokio::test]
async fn a_token_under_a_key_that_left_the_set_is_believed_no_more() {
    let other = Signer::new(Algorithm::Es256, "other");
    let bench = bench(&[es()], CACHE);
    let (policy, token) = (policy(1), credential(&es().token(&claims())));
    bench.verifier.verify(&token, &policy, peer(1), NOW).await.unwrap();
    std::fs::write(&bench.file, jwks(&[&other])).unwrap();
    // A token of the new key makes the set be read again; the old key is then gone.
    bench.verifier.verify(&credential(&other.token(&claims())), &policy, peer(2), NOW).await.unwrap();
    assert!(bench.verifier.cached(&token, &policy, NOW).is_none());
    let gone = bench.verifier.verify(&token, &policy, peer(3), NOW).await.unwrap_err();
    assert_eq!(gone.rejection.reason, Reason::KeyUnknown);
}

#[tokio::test]
async fn a_token_of_an_issuer_that_left_the_policy_is_believed_no_more() {
    let bench = bench(&[es()], CACHE);
    let (policy, token) = (policy(1), credential(&es().token(&claims())));
    bench.verifier.verify(&token, &policy, peer(1), NOW).await.unwrap();
    bench.store.apply(&[]);
    assert!(bench.verifier.cached(&token, &policy, NOW).is_none());
    let gone = bench.verifier.verify(&token, &policy, peer(1), NOW).await.unwrap_err();
    assert_eq!((gone.rejection.reason, gone.retry_after), (Reason::KeysUnavailable, Some(Duration::from_secs(1))));
    // Its return starts from nothing: the old entry stays dead.
    bench.store.apply(&[keys_config(&bench.file)]);
    assert!(bench.verifier.cached(&token, &policy, NOW).is_none());
    bench.verifier.verify(&token, &policy, peer(1), NOW).await.unwrap();
}

#[tokio::test]
async fn a_key_asked_for_in_vain_is_unknown_and_one_that_cannot_be_asked_for_undecided() {
    let bench = bench(&[es()], CACHE);
    let forger = |kid: &str| Signer::new(Algorithm::Es256, kid).token(&claims());
    let unknown = bench.rejection(&forger("a"), 1).await;
    assert_eq!((unknown.rejection.reason, unknown.retry_after), (Reason::KeyUnknown, None));
    assert_eq!(unknown.issuer, Some(IssuerId(0)));
    let undecided = bench.rejection(&forger("b"), 1).await;
    assert_eq!(undecided.rejection.reason, Reason::KeysUnavailable);
    assert!(undecided.retry_after.unwrap() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_rotation_of_keys_without_kid_is_seen_by_the_failing_signature() {
    let (mut old, mut new) = (Signer::new(Algorithm::Es256, ""), Signer::new(Algorithm::Es256, ""));
    (old.kid, new.kid) = (None, None);
    let bench = bench(&[&old], CACHE);
    let policy = policy(1);
    bench.verifier.verify(&credential(&old.token(&claims())), &policy, peer(1), NOW).await.unwrap();
    std::fs::write(&bench.file, jwks(&[&new])).unwrap();
    bench.verifier.verify(&credential(&new.token(&claims())), &policy, peer(1), NOW).await.unwrap();
    let mut forger = Signer::new(Algorithm::Es256, "");
    forger.kid = None;
    assert_eq!(bench.rejection(&forger.token(&claims()), 1).await.rejection.reason, Reason::SignatureInvalid);
    assert_eq!(bench.rejection(&forger.token(&claims()), 2).await.rejection.reason, Reason::SignatureInvalid);
}

#[tokio::test]
async fn without_keys_nothing_is_said_of_a_token_but_what_needs_none() {
    let bench = bench(&[], CACHE);
    let undecided = bench.rejection(&es().token(&claims()), 1).await;
    assert_eq!(undecided.rejection.reason, Reason::KeysUnavailable);
    assert!(undecided.retry_after.is_some());
    assert_eq!(bench.rejection("a.b", 1).await.rejection.reason, Reason::TokenMalformed);
    let other = es().token(&claims_with("iss", Some(json!("https://other.example"))));
    let unknown = bench.rejection(&other, 1).await;
    assert_eq!((unknown.rejection.reason, unknown.issuer), (Reason::IssuerUnknown, None));
}

#[tokio::test]
async fn an_unknown_issuer_is_named_and_one_that_lacks_a_slash_is_pointed_out() {
    let bench = bench(&[es()], CACHE);
    let told = async |iss: &str| {
        let token = es().token(&claims_with("iss", Some(json!(iss))));
        bench.rejection(&token, 1).await.rejection.detail.into_owned()
    };
    let other = told("https://other.example\n").await;
    assert!(other.contains("`https://other.example\\n`") && !other.contains("slash"), "{other}");
    let near = told(&format!("{ISSUER}/")).await;
    assert!(
        near.contains(&format!("`{ISSUER}/`")) && near.contains("`bank`") && near.contains("final slash"),
        "{near}"
    );
    assert!(!told(&format!("{ISSUER}//")).await.contains("final slash"));
    assert!(told(&"x".repeat(5000)).await.len() < 400);
}

#[tokio::test]
async fn a_rejected_token_is_not_remembered() {
    let bench = bench(&[es()], CACHE);
    assert_eq!(
        bench.rejection(&es().token(&claims_with("exp", Some(json!(1)))), 1).await.rejection.reason,
        Reason::Expired
    );
    bench.verifier.cache().settle();
    assert_eq!(bench.verifier.cache().size(), (0, 0));
}

#[tokio::test]
async fn the_cache_holds_no_more_than_its_bytes() {
    let limit = 64 << 10;
    let bench = bench(&[es()], limit);
    let policy = policy(1);
    for n in 0..300 {
        let token = credential(&es().token(&claims_with("jti", Some(json!(n)))));
        bench.verifier.verify(&token, &policy, peer(1), NOW).await.unwrap();
    }
    bench.verifier.cache().settle();
    let (entries, bytes) = bench.verifier.cache().size();
    assert!((10..200).contains(&entries), "{entries}");
    assert!(bytes <= limit, "{bytes}");
}

#[tokio::test]
async fn t29_a_token_that_differs_in_one_byte_is_another_token() {
    let bench = bench(&[es()], CACHE);
    let (policy, text) = (policy(1), es().token(&claims()));
    bench.verifier.verify(&credential(&text), &policy, peer(1), NOW).await.unwrap();
    for at in 0..text.len() {
        let mut other = text.clone();
        let byte = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
        other.replace_range(at..=at, byte);
        assert!(bench.verifier.cached(&credential(&other), &policy, NOW).is_none());
    }
}

#[tokio::test]
async fn what_is_let_go_on_one_thread_is_found_on_none() {
    let bench = bench(&[es()], CACHE);
    let (policy, token) = (policy(1), credential(&es().token(&claims())));
    bench.meet(&token, &policy).await;
    // On another thread the token is found to be no longer good; this one had it at hand.
    std::thread::scope(|scope| {
        let other = scope.spawn(|| bench.verifier.cached(&token, &policy, NOW.plus_seconds(330)).is_none());
        assert!(other.join().unwrap());
    });
    assert!(bench.verifier.cached(&token, &policy, NOW).is_none());
}

#[tokio::test]
async fn what_a_thread_has_nearby_is_found_until_the_cache_is_told_or_finds_to_let_it_go() {
    let bench = bench(&[es()], CACHE);
    let (policy, token) = (policy(1), credential(&es().token(&claims())));
    let verify = async || drop(bench.verifier.verify(&token, &policy, peer(1), NOW).await.unwrap());
    verify().await;
    let entry = bench.verifier.cache().find(&token).ok().unwrap();
    let digest = entry.digest();
    // The cache itself is asked now and then.
    let near = |digest| (0..10).find_map(|_| nearby::find(digest));
    assert!(near(digest).is_some_and(|nearby| Arc::ptr_eq(&nearby, &entry)));
    assert!(near(digest.with_the_same_tag()).is_none());
    bench.verifier.cache().remove(&entry);
    assert!(near(digest).is_none(), "it is held here still");
    drop(entry);
    verify().await;
    // On a thread that has it nearby and not yet at hand, which holds it.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert!(bench.verifier.cached(&token, &policy, NOW).is_some());
            assert!(near(digest).is_some());
            bench.verifier.cache().empty_for_tests();
            // The cache frees what it let go a little later.
            let started = std::time::Instant::now();
            while near(digest).is_some() {
                assert!(started.elapsed() < Duration::from_secs(30));
                bench.verifier.cache().settle();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
    });
}

#[tokio::test]
async fn a_token_that_a_thread_has_at_hand_is_checked_like_any_other() {
    let bench = bench(&[es()], CACHE);
    let (policy, token) = (policy(1), credential(&es().token(&claims())));
    let other = Verifier::new(Arc::clone(&bench.store), CACHE).unwrap();
    let at_hand = async || bench.meet(&token, &policy).await;
    at_hand().await;
    assert!(other.cached(&token, &policy, NOW).is_none(), "another verifier's");
    assert!(bench.verifier.cached(&token, &self::policy(2), NOW).is_none(), "another fingerprint");
    at_hand().await;
    assert!(bench.verifier.cached(&token, &policy, NOW.plus_seconds(330)).is_none(), "expired");
    at_hand().await;
    for _ in 0..1000 {
        assert!(bench.verifier.cached(&token, &policy, NOW).is_some());
    }
    bench.store.apply(&[]);
    assert!(bench.verifier.cached(&token, &policy, NOW).is_none(), "its issuer has left the policy");
}

#[tokio::test]
async fn tokens_that_end_alike_are_not_taken_for_each_other() {
    let bench = bench(&[es()], CACHE);
    let (policy, text) = (policy(1), es().token(&claims()));
    let token = credential(&text);
    bench.meet(&token, &policy).await;
    // Its place is told by its end alone.
    let other = credential(&text.replacen('e', "x", 1));
    assert!(bench.verifier.cached(&other, &policy, NOW).is_none());
    assert!(bench.verifier.cached(&token, &policy, NOW).is_some());
    let long = credential(&format!("{}{text}", "x".repeat(8 << 10)));
    assert!(bench.verifier.cached(&long, &policy, NOW).is_none());
}

#[tokio::test]
async fn a_token_that_is_at_hand_on_a_thread_stays_in_use_in_the_cache() {
    let bench = bench(&[es()], CACHE);
    let (policy, token) = (policy(1), credential(&es().token(&claims())));
    bench.meet(&token, &policy).await;
    bench.verifier.cache().empty_for_tests();
    let found = (0..100).filter(|_| bench.verifier.cached(&token, &policy, NOW).is_some()).count();
    assert!((1..100).contains(&found), "the cache is asked now and then: {found}");
}

#[tokio::test]
async fn what_tokens_have_in_common_is_held_once() {
    let bench = bench(&[es()], CACHE);
    let policy = policy(1);
    let verify = async |jti: &str, acr: &str| {
        let mut claims = claims_with("acr", Some(json!(acr)));
        claims["jti"] = json!(jti);
        let token = credential(&es().token(&claims));
        bench.verifier.verify(&token, &policy, peer(1), NOW).await.unwrap()
    };
    let (one, same, other) = (verify("1", "2").await, verify("2", "2").await, verify("3", "3").await);
    let amr = |assurance: &Assurance| assurance.evidence.amr.known().unwrap().as_ptr();
    let acr = |assurance: &Assurance| assurance.evidence.acr.known().unwrap().as_ptr();
    assert_eq!((amr(&one), acr(&one)), (amr(&same), acr(&same)));
    assert_eq!(amr(&one), amr(&other));
    assert_eq!(*other.evidence.acr.known().unwrap(), ["3".into()].into());
    bench.verifier.cache().settle();
    let (entries, bytes) = bench.verifier.cache().size();
    assert!(entries == 3 && bytes < 3 * 1024, "{bytes}");
}

#[tokio::test]
async fn what_is_large_is_counted_though_it_was_seen_before() {
    let bench = bench(&[es()], CACHE);
    let policy = policy(1);
    let scopes = (0..500).map(|n| format!("scope-{n}")).collect::<Vec<_>>().join(" ");
    let verify = async |jti: &str| {
        let mut claims = claims_with("scope", Some(json!(scopes)));
        claims["jti"] = json!(jti);
        bench.verifier.verify(&credential(&es().token(&claims)), &policy, peer(1), NOW).await.unwrap();
        bench.verifier.cache().settle();
        bench.verifier.cache().size()
    };
    let (entries, once) = verify("1").await;
    assert!(entries == 1 && once > 20_000, "{once}");
    // Nobody else holds what it is made of any more.
    bench.verifier.cache().empty_for_tests();
    let (entries, again) = verify("1").await;
    assert!(entries == 1 && again > 20_000, "{again} and {once}");
}

#[tokio::test]
async fn what_is_printed_of_a_verifier_shows_no_secret() {
    let bench = bench(&[es()], CACHE);
    let token = es().token(&claims());
    bench.verifier.verify(&credential(&token), &policy(1), peer(1), NOW).await.unwrap();
    let printed = format!("{:?}", bench.verifier);
    assert!(!printed.contains("u1") && !printed.contains(token.rsplit('.').next().unwrap()), "{printed}");
}

#[tokio::test]
async fn keys_are_those_of_the_policy_that_judges_while_two_are_in_use() {
    let bench = bench(&[es()], CACHE);
    let other = Signer::new(Algorithm::Es256, "other");
    let theirs = bench.file.with_file_name("theirs.json");
    std::fs::write(&theirs, jwks(&[&other])).unwrap();
    // The same name for another issuer, in a policy that is about to come into force.
    let new = policy_called("sha256:next", "https://other.example", 2);
    let foreign = IssuerKeysConfig { issuer: "https://other.example".into(), ..keys_config(&theirs) };
    bench.store.take_up("sha256:next", &[foreign]);
    let old = policy(1);
    let judge = async |signer: &Signer, iss: &str, policy: &Policy| {
        let token = signer.token(&claims_with("iss", Some(json!(iss))));
        let verified = bench.verifier.verify(&credential(&token), policy, peer(1), NOW).await;
        verified.map_err(|rejected| rejected.rejection.reason).map(drop)
    };
    let refused = |verdict: Result<(), Reason>| {
        assert!(matches!(verdict, Err(Reason::KeyUnknown | Reason::KeysUnavailable)), "{verdict:?}");
    };
    for _ in 0..2 {
        assert_eq!(judge(es(), ISSUER, &old).await, Ok(()));
        assert_eq!(judge(&other, "https://other.example", &new).await, Ok(()));
        refused(judge(&other, ISSUER, &old).await);
        refused(judge(es(), "https://other.example", &new).await);
        bench.store.let_go(&["sha256:test"]);
    }
    let token = credential(&es().token(&claims()));
    bench.verifier.verify(&token, &old, peer(1), NOW).await.unwrap();
    assert!(bench.verifier.cached(&token, &old, NOW).is_some());
    bench.store.let_go(&[]);
    assert!(bench.verifier.cached(&token, &old, NOW).is_none(), "nothing is believed on keys that were let go");
    assert_eq!(judge(es(), ISSUER, &old).await, Err(Reason::KeysUnavailable));
    assert_eq!(judge(&other, "https://other.example", &new).await, Ok(()));
}
