//! What is explained is what is decided, on random policies, requests and tokens; and a sign-in that is called enough is enough.
#![expect(clippy::arithmetic_side_effects, reason = "test code, on constants")]

mod gate;
mod proxied;
mod sent;
mod worlds;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prop_assert_eq;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use serde_json::{Value, json};

use self::worlds::{Made, usual_sign_ins, worlds};
use super::beside::Beside;
use super::setting::Setting;
use super::told::{Explained, Given, Keys, Signature, What};
use super::walk::{How, Question, explain};
use super::{human, json as as_json};
use crate::assurance::{Assurance, Truth, pair};
use crate::config::cases;
use crate::config::{SourceFile, load_policy, load_policy_without_lints};
use crate::policy::{Asking, CanonicalPath, Denial, Policy, Requirement, Target, Tokens, canonical_host, judge};
use crate::reason::Reason;
use crate::token::testing::{API, ISSUER, NOW, Signer, credential, key_set, parsed};
use crate::token::{Algorithm, ClaimPath, Json, KeySet, TokenKind, verify};

fn load(text: &str) -> Option<Policy> {
    load_policy_without_lints(vec![file(text)]).ok().map(|loaded| loaded.policy)
}

fn file(text: &str) -> SourceFile {
    SourceFile { name: "p.yaml".into(), folder: ".".into(), text: text.to_owned() }
}

struct World {
    policy: Policy,
    keys: Arc<KeySet>,
    request: &'static str,
    texts: Vec<String>,
}

fn sign(claims: &Value, genuine: bool) -> String {
    let (header, signer) = (json!({ "alg": "ES256", "kid": "ES256" }), Signer::shared(Algorithm::Es256));
    let text = signer.sign(&header.to_string(), &claims.to_string());
    if genuine {
        return text;
    }
    let (signed, _) = text.rsplit_once('.').unwrap();
    let other = signer.sign(&header.to_string(), "{}");
    format!("{signed}.{}", other.rsplit_once('.').unwrap().1)
}

impl World {
    fn explained(&self) -> Explained {
        let (method, authority, path) = cases::request(self.request).unwrap();
        let given = self
            .texts
            .iter()
            .enumerate()
            .map(|(place, text)| Given { name: format!("token {place}"), what: What::Token(Ok(credential(text))) });
        let given: Vec<Given> = given.collect();
        let keys = [Keys::Read { set: Arc::clone(&self.keys), from: "keys".into() }];
        let (policy, request) = (&self.policy, self.request);
        explain(&Question {
            policy,
            keys: &keys,
            request,
            method,
            authority,
            path,
            given: &given,
            beside: &Beside::default(),
            setting: &Setting::default(),
            metadata: None,
            how: How::Plain,
            supported: &[],
            gate: None,
            now: NOW,
        })
    }

    /// The way of a request as the gate goes it, in the fewest words. `Ok` holds the levels reached, and by which exception.
    fn judged(&self) -> Result<(usize, Option<String>), Denial> {
        let (method, authority, path) = cases::request(self.request).unwrap();
        if method == "TRACE" {
            return Err(Denial::because(Reason::RequestMalformed));
        }
        let host = canonical_host(authority).unwrap();
        let path = CanonicalPath::parse(path).map_err(|_ambiguous| Denial::because(Reason::PathAmbiguous))?;
        let target = Target { method, host: &host, path: &path };
        let route = self.policy.route(&target)?;
        let mut found: BTreeMap<TokenKind, (Assurance, &str)> = BTreeMap::new();
        let mut first: Option<Reason> = None;
        for text in self.texts.iter().filter(|_| route.require != Requirement::Public) {
            let one = || -> Result<Assurance, Reason> {
                let token = parsed(text).map_err(|rejection| rejection.reason)?;
                let issuer = self.policy.issuer_of(token.issuer().unwrap()).ok_or(Reason::IssuerUnknown)?;
                let (verified, _) = verify(token, &self.keys, &issuer.expectation, NOW).map_err(|r| r.reason)?;
                let assurance = issuer.assess(&verified, self.policy.claims());
                let taken = route.take.iter().any(|source| source.kinds.takes(assurance.kind));
                if taken { Ok(assurance) } else { Err(Reason::TokenKindWrong) }
            };
            match one() {
                Ok(assurance) if found.contains_key(&assurance.kind) => {
                    if found[&assurance.kind].1 != text {
                        first = first.into_iter().chain([Reason::TokenDuplicate]).min();
                    }
                }
                Ok(assurance) => drop(found.insert(assurance.kind, (assurance, text))),
                Err(reason) => first = first.into_iter().chain([reason]).min(),
            }
        }
        if let Some(reason) = first {
            return Err(Denial::because(reason));
        }
        let tokens = match (found.get(&TokenKind::Access), found.get(&TokenKind::Id)) {
            (Some((access, text)), Some((id, _))) => {
                let issuer = self.policy.issuer(access.issuer).unwrap();
                if !pair::belong(issuer, access, text, id) {
                    return Err(Denial::because(Reason::TokensDisagree));
                }
                Some(Tokens::Pair { access, id })
            }
            (Some((one, _)), None) | (None, Some((one, _))) => Some(Tokens::One(one)),
            (None, None) => None,
        };
        let permit = judge(&self.policy, route, &target, tokens, NOW)?;
        Ok((permit.levels().len(), permit.excepted().map(|by| by.name.to_string())))
    }
}

/// A fixed seed: what the tests count is the same in every run.
fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, max_global_rejects: cases * 4, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// Claims after a sign-in that says this, with these scopes too.
fn signed_in(claims: &Value, said: &[(ClaimPath, Json)], scopes: &[Box<str>]) -> Value {
    let mut new = Json::parse(&claims.to_string()).unwrap();
    for (path, value) in said {
        new = path.put(new, value.clone());
    }
    let scope = claims["scope"].as_str().unwrap_or_default();
    let scope = scopes.iter().fold(scope.to_owned(), |all, one| format!("{all} {one}"));
    let new = ClaimPath::parse("scope").unwrap().put(new, scope.trim().into());
    serde_json::to_value(&new).unwrap()
}

/// One policy of so many is looked over too.
const LOOKED_OVER: u32 = 20;

fn run(cases: u32, test: impl Fn(World, Vec<Made>) -> Result<(), String>) {
    let mut runner = runner(cases);
    let keys = Arc::new(key_set(&[Signer::shared(Algorithm::Es256)]));
    let loaded = Cell::new(0_u32);
    let result = runner.run(&worlds(), |(text, request, made)| {
        let Some(policy) = load(&text) else { return Err(TestCaseError::reject("no policy")) };
        // Lints take many times as long as all the rest: of these policies some are looked over, and are the same then.
        loaded.set(loaded.get() + 1);
        if loaded.get().is_multiple_of(LOOKED_OVER) {
            let looked_over = load_policy(vec![file(&text)]).ok().map(|loaded| loaded.policy);
            prop_assert_eq!(looked_over.as_ref().map(Policy::hash), Some(policy.hash()), "{}", text);
        }
        let texts = made.iter().map(|(claims, genuine)| sign(claims, *genuine)).collect();
        let world = World { policy, keys: Arc::clone(&keys), request, texts };
        test(world, made).map_err(|why| TestCaseError::fail(format!("{why}\n{text}")))
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn what_is_explained_is_what_is_decided_and_no_token_is_shown() {
    let counts = RefCell::new((0_u32, 0_u32, 0_u32, BTreeMap::<Reason, u32>::new()));
    let excepted = RefCell::new(0_u32);
    run(600, |world, _| {
        let (told, judged) = (world.explained(), world.judged());
        let mut counts = counts.borrow_mut();
        counts.0 += 1;
        counts.1 += u32::from(told.denial.is_none());
        counts.2 += u32::from(told.route.is_some());
        *excepted.borrow_mut() += u32::from(told.exception.is_some());
        if let Some(denial) = &told.denial {
            *counts.3.entry(denial.reason).or_default() += 1;
        }
        match (&told.denial, &judged) {
            (None, Ok((levels, by))) if told.levels.len() == *levels && told.exception == *by => {}
            (Some(denial), Err(judged)) if denial.reason == judged.reason && denial.step_up == judged.step_up => {}
            _ => return Err(format!("explained {:?}, decided {judged:?}", told.denial)),
        }
        // What is asked, part by part, comes to the same.
        let by_one = told.reckoned.iter().any(|one| one.reckoned.asks.iter().all(Asking::holds));
        let by_route = told.denial.is_none() && told.exception.is_none();
        if !told.reckoned.is_empty() && by_one != by_route {
            return Err(format!("the tree says otherwise: {:#?}", told.reckoned));
        }
        if told.response.is_none() != told.denial.is_none() {
            return Err("an answer is told where none is sent, or none where one is".into());
        }
        let shown = human::text(&told) + &as_json::value(&told).to_string();
        for text in &world.texts {
            for part in [text.rsplit('.').next().unwrap(), text.split('.').nth(1).unwrap()] {
                if shown.contains(part) {
                    return Err(format!("a part of the token is shown: {part}"));
                }
            }
        }
        Ok(())
    });
    let (all, allowed, routed, reasons) = counts.into_inner();
    assert!(allowed * 10 >= all * 3 && routed * 10 >= all * 3, "{allowed} allowed, {routed} with a route, of {all}");
    assert!(excepted.into_inner() >= 10, "too few exceptions to mean anything");
    assert!(reasons.len() >= 15, "too few reasons to mean anything: {reasons:?}");
}

#[test]
fn a_refusal_that_a_sign_in_is_said_to_mend_is_mended_by_one_with_the_claims_that_are_named() {
    let counts = RefCell::new((0_u32, 0_u32));
    run(600, |world, made| {
        let told = world.explained();
        let Some(client) = &told.client else { return Ok(()) };
        counts.borrow_mut().1 += u32::from(told.denial.as_ref().is_some_and(|denial| denial.step_up.is_some()));
        let again = |said: &[(ClaimPath, Json)], scopes: &[Box<str>]| {
            let texts = made.iter().map(|(claims, genuine)| sign(&signed_in(claims, said, scopes), *genuine)).collect();
            World { policy: world.policy.clone(), keys: Arc::clone(&world.keys), texts, ..world }.judged().map(drop)
        };
        let denial = told.denial.as_ref().unwrap();
        if let Some(mend) = &client.mend {
            counts.borrow_mut().0 += 1;
            return again(&mend.claims, &mend.scopes).map_err(|denial| format!("{mend:?} does not mend: {denial:?}"));
        }
        // Where none is named, none of the usual ones would do.
        for said in usual_sign_ins().iter().filter(|_| denial.step_up.is_some()) {
            if again(said, &denial.scope).is_ok() {
                return Err(format!("{said:?} would mend {denial:?}, and no sign-in is named"));
            }
        }
        Ok(())
    });
    let (mended, asked) = counts.into_inner();
    assert!(mended >= 60, "too few to mean anything: {mended}");
    assert!(mended * 2 >= asked, "{mended} mended of {asked} that are asked for a sign-in");
}

const POLICY: &str = "version: 1\nissuers:\n  idp:\n    issuer: https://idp.example\n    access: { audiences: [\"https://api.example\"] }\n\
    \x20   proves: { multi-factor: { factors: 2 } }\nroutes:\n  - { name: pay, match: { path: /pay }, require: { level: multi-factor } }\n";

fn told_of(what: What, keys: Keys) -> Explained {
    let policy = load(POLICY).unwrap();
    let given = [Given { name: "t".into(), what }];
    let request = "POST https://api.example/pay";
    let (method, authority, path) = cases::request(request).unwrap();
    let (policy, keys) = (&policy, &[keys]);
    explain(&Question {
        policy,
        keys,
        request,
        method,
        authority,
        path,
        given: &given,
        beside: &Beside::default(),
        setting: &Setting::default(),
        metadata: None,
        how: How::Plain,
        supported: &[],
        gate: None,
        now: NOW,
    })
}

#[test]
fn without_keys_the_rest_is_explained_and_it_is_said_loudly_that_the_signature_was_not_checked() {
    let claims = json!({ "iss": ISSUER, "aud": API, "sub": "u", "exp": NOW.seconds() + 60, "amr": ["pwd", "otp"] });
    let forged = || What::Token(Ok(credential(&sign(&claims, false))));
    let told = told_of(forged(), Keys::None("nobody was asked".into()));
    assert_eq!(told.denial, None, "as if the signature were good");
    assert_eq!(told.tokens[0].signature, Signature::NotChecked("nobody was asked".into()));
    assert!(human::text(&told).matches("!! THE SIGNATURE WAS NOT CHECKED").count() == 1, "beside the decision");
    assert!(human::text(&told).contains("!!      THE SIGNATURE WAS NOT CHECKED: nobody was asked"), "and at the token");
    assert_eq!(as_json::value(&told)["signatures_checked"], json!(false));
    let set = Arc::new(key_set(&[Signer::shared(Algorithm::Es256)]));
    let told = told_of(forged(), Keys::Read { set, from: "k".into() });
    assert_eq!(told.denial.as_ref().map(|denial| denial.reason), Some(Reason::SignatureInvalid));
    assert_eq!(as_json::value(&told)["signatures_checked"], json!(true));
}

#[test]
fn what_stands_in_claims_cannot_move_a_terminal() {
    let claims = json!({ "iss": ISSUER, "aud": API, "sub": "\u{1b}[2J\u{9b}\u{202e}x", "exp": NOW.seconds() + 60 });
    let claims = Json::parse(&claims.to_string()).unwrap();
    let text = human::text(&told_of(What::Claims { claims, typ: None }, Keys::None(String::new())));
    assert!(text.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'), "{text}");
}

/// What [`POLICY`] makes of claims.
fn told_of_claims(more: &Value) -> Explained {
    let mut claims = json!({ "iss": ISSUER, "aud": API, "sub": "u", "exp": NOW.seconds() + 60 });
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let claims = Json::parse(&claims.to_string()).unwrap();
    told_of(What::Claims { claims, typ: None }, Keys::None(String::new()))
}

#[test]
fn what_hangs_on_an_absent_or_malformed_claim_is_unknown_and_what_is_missed_says_so() {
    for (amr, mark, lacks) in [
        (json!({}), Truth::Unknown, "factors 2 (absent)"),
        (json!({ "amr": 7 }), Truth::Unknown, "factors 2 (malformed)"),
        (json!({ "amr": ["pwd"] }), Truth::False, "factors 2"),
    ] {
        let told = told_of_claims(&amr);
        let level = &told.reckoned[0].reckoned.asks[0].parts[0];
        assert_eq!((level.holds, level.parts[0].holds), (mark, mark), "{lacks}");
        // The single-factor rung has no proof of its own, so that the one above it stands for both.
        assert_eq!(told.reckoned[0].reckoned.missed[0].lacks, [lacks]);
        assert!(told.asks.is_empty());
    }
    let client = told_of_claims(&json!({ "sub": "app", "client_id": "app", "amr": 7 }));
    let level = &client.reckoned[0].reckoned.asks[0].parts[0];
    assert_eq!((level.holds, client.denial.map(|denial| denial.reason)), (Truth::False, Some(Reason::CallerWrong)));
}

#[test]
fn where_no_token_came_to_be_judged_all_that_is_asked_is_told_as_unknown() {
    let told = told_of_claims(&json!({ "exp": 0 }));
    assert_eq!(told.denial.as_ref().map(|denial| denial.reason), Some(Reason::Expired));
    let parts: Vec<(&str, Truth)> = told.asks[0].parts.iter().map(|part| (&*part.what, part.holds)).collect();
    assert_eq!(parts, [("level multi-factor", Truth::Unknown)]);
    assert!(told.reckoned.is_empty() && human::text(&told).contains("unknown  level multi-factor"));
}

#[test]
fn what_a_route_only_observes_is_forwarded_and_told_with_what_it_would_be_refused_for() {
    let observing = POLICY.replace("match: { path: /pay },", "match: { path: /pay }, mode: observe-all,");
    let policy = load(&observing).unwrap();
    for exp in [0, NOW.seconds() + 60] {
        let claims = json!({ "iss": ISSUER, "aud": API, "sub": "u", "exp": exp, "amr": ["pwd"] });
        let claims = Json::parse(&claims.to_string()).unwrap();
        let given = [Given { name: "t".into(), what: What::Claims { claims, typ: None } }];
        let (policy, keys) = (&policy, &[Keys::None(String::new())]);
        let (request, method, authority, path) = ("POST https://api.example/pay", "POST", "api.example", "/pay");
        let told = explain(&Question {
            policy,
            keys,
            request,
            method,
            authority,
            path,
            given: &given,
            beside: &Beside::default(),
            setting: &Setting::default(),
            metadata: None,
            how: How::Plain,
            supported: &[],
            gate: None,
            now: NOW,
        });
        assert!(told.denial.is_none() && told.response.is_none() && told.operator.is_some());
        let json = as_json::value(&told);
        let reason = if exp == 0 { Reason::Expired } else { Reason::LevelTooLow };
        assert_eq!((&json["decision"], &json["reason"]), (&json!("would_deny"), &json!(reason.code())));
    }
}

#[test]
fn what_an_exception_lets_in_is_told_with_what_the_route_says_and_one_that_does_not_is_told_too() {
    let exceptions = "exceptions:\n  - { name: outage, who: { issuer: idp, subjects: [u] }, routes: [pay], instead: authenticated, \
        until: \"2026-01-03T00:00:00Z\", because: a test }\n";
    let policy = load(&format!("{POLICY}{exceptions}")).unwrap();
    for (subject, exception) in [("u", json!("outage")), ("v", Value::Null)] {
        let claims = json!({ "iss": ISSUER, "aud": API, "sub": subject, "exp": NOW.seconds() + 60, "amr": ["pwd"] });
        let claims = Json::parse(&claims.to_string()).unwrap();
        let given = [Given { name: "t".into(), what: What::Claims { claims, typ: None } }];
        let (policy, keys, given) = (&policy, &[Keys::None(String::new())], &given);
        let (request, method, authority, path) = ("POST https://api.example/pay", "POST", "api.example", "/pay");
        let (metadata, now) = (None, NOW);
        let (supported, gate, how) = (&[][..], None, How::Plain);
        let (beside, setting) = (&Beside::default(), &Setting::default());
        let told = explain(&Question {
            policy,
            keys,
            request,
            method,
            authority,
            path,
            given,
            beside,
            setting,
            metadata,
            how,
            supported,
            gate,
            now,
        });
        let json = as_json::value(&told);
        assert_eq!((&json["exception"], json["decision"] == "allow"), (&exception, exception.is_string()), "{json}");
        assert_eq!(json["exceptions"][0]["name"], "outage");
        let text = human::text(&told);
        let says = if subject == "u" {
            "exception outage lets it in until 2026-01-03"
        } else {
            "exception outage is for others"
        };
        assert!(text.contains(says), "{text}");
        let decided = "by the exception outage; the route itself says level_too_low";
        assert_eq!(text.contains(decided), subject == "u", "{text}");
    }
}
