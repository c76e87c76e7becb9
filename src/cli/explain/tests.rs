//! What is explained is what is decided, on random policies, requests and tokens; and a sign-in that is called enough is enough.
#![expect(clippy::arithmetic_side_effects, reason = "test code, on constants")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use super::told::{Explained, Given, Keys, Signature, What};
use super::walk::{Question, explain};
use super::{human, json as as_json};
use crate::assurance::{Assurance, pair};
use crate::config::cases;
use crate::config::{SourceFile, load_policy};
use crate::policy::{Asking, CanonicalPath, Denial, Policy, Requirement, Target, Tokens, canonical_host, decide};
use crate::reason::Reason;
use crate::token::testing::{API, CLIENT, ISSUER, NOW, Signer, credential, key_set};
use crate::token::{Algorithm, ClaimPath, Json, KeySet, TokenKind, Unverified, verify};

/// Entries of one requirement, each there or not; an empty one asks for any valid token.
fn entries() -> impl Strategy<Value = String> {
    let pick = |weight: f64, texts: &'static [&'static str]| {
        prop::option::weighted(weight, prop::sample::select(texts.to_vec()))
    };
    let level =
        pick(0.5, &["level: single-factor", "level: multi-factor", "level: multi-factor", "level: phishing-resistant"]);
    let age = pick(0.2, &["max_age: 2m", "max_age: 30m"]);
    let scopes = pick(0.2, &["scopes: { all: [pay] }", "scopes: { any: [pay, read] }"]);
    let acr = pick(0.1, &["acr: [\"2\", gold]", "acr: { at_least: 2 }"]);
    let amr = pick(
        0.15,
        &[
            "amr: { any: [otp, hwk] }",
            "amr: { all: [pwd, otp] }",
            "amr: { none: [sms] }",
            "amr: { only: [pwd, otp, hwk] }",
            "amr: { count: 2 }",
        ],
    );
    let more = pick(
        0.12,
        &[
            "factors: 2",
            "phishing_resistant: true",
            "not: { amr: { any: [sms] } }",
            "claims: { tier: gold }",
            "caller: user",
            "bind: { id: /account }",
        ],
    );
    let ignored = pick(0.1, &["ignore_amr: [sms]", "ignore_amr: [otp, mfa]"]);
    (level, age, scopes, acr, amr, more, ignored).prop_map(|(level, age, scopes, acr, amr, more, ignored)| {
        let asked: Vec<&str> = [level, age, scopes, acr, amr, more].into_iter().flatten().collect();
        if asked.is_empty() {
            return "{ level: single-factor }".to_owned();
        }
        format!("{{ {} }}", asked.into_iter().chain(ignored).collect::<Vec<_>>().join(", "))
    })
}

fn requirement() -> impl Strategy<Value = String> {
    let nested = (any::<bool>(), prop::collection::vec(entries(), 2..4))
        .prop_map(|(any, parts)| format!("{{ {}: [ {} ] }}", if any { "any" } else { "all" }, parts.join(", ")));
    prop_oneof![6 => entries(), 2 => nested, 1 => Just("authenticated".to_owned())]
}

/// A policy with `/healthz` public, `/payments/{id}` by POST, whatever is under `/payments`, and all that is read.
fn policies() -> impl Strategy<Value = String> {
    let one = |texts: &'static [&'static str]| prop::sample::select(texts.to_vec());
    let mapping = one(&[
        "",
        "    mapping: { acr: { rename: { \"1\": \"2\", low: \"1\" } } }\n",
        "    mapping: { acr: { from: [/ext/acr, acr], accept: [string, number] }, amr: { accept: [array, space-separated] } }\n",
        "    mapping: { amr: { absent: [pwd], rename: { push: hwk, pw: pwd } }, auth_time: { from: [/ext/at, auth_time] } }\n",
        "    mapping: { acr: { accept: array } }\n",
    ]);
    let reading = one(&[
        "",
        "    ignore_amr: [sms]\n",
        "    mfa: derived\n",
        "    trust: { acr: false }\n",
        "    trust: { max_level: multi-factor }\n",
        "    factor_classes: { push: possession, badge: { is: possession, phishing_resistant: true } }\n",
    ]);
    let multi = one(&[
        "{ any: [ { acr: [\"2\"] }, { factors: 2 } ] }",
        "{ any: [ { acr: { at_least: 2 } }, { amr: { any: [mfa] } } ] }",
        "{ factors: 2 }",
        "{ all: [ { factors: 2 }, { not: { amr: { any: [sms] } } } ] }",
        "{ any: [ { all: [ { acr: [gold] }, { amr: { any: [otp, hwk] } } ] }, { claims: { tier: gold } } ] }",
    ]);
    let pair = one(&["", "    pair: subject\n"]);
    let floor = prop::option::weighted(0.3, entries());
    let routes = (requirement(), requirement(), requirement());
    (mapping, reading, multi, pair, floor, routes).prop_map(|(mapping, reading, multi, pair, floor, (pay, all, read))| {
        let floors = floor.map_or_else(String::new, |floor| {
            let floor = floor.replace(", bind: { id: /account }", "").replace("bind: { id: /account }", "level: single-factor");
            format!("floors:\n  - {{ name: money, match: {{ path: \"/payments/**\" }}, require: {floor} }}\n")
        });
        let unbound = |text: String| text.replace("bind: { id: /account }", "level: single-factor");
        format!(
            "version: 1\nissuers:\n  idp:\n    issuer: {ISSUER}\n    access: {{ audiences: [\"{API}\"] }}\n    id: {{ audiences: [{CLIENT}] }}\n\
             {mapping}{reading}{pair}    proves:\n      single-factor: {{ any: [ {{ acr: [\"1\", \"2\", gold] }}, {{ factors: 1 }} ] }}\n      \
             multi-factor: {multi}\n      phishing-resistant: {{ any: [ {{ phishing_resistant: true }}, {{ acr: [phr] }} ] }}\n\
             take: [ authorization, {{ header: x-id, kind: any }} ]\n{floors}routes:\n\
             \x20 - {{ name: pay, match: {{ path: \"/payments/{{id}}\", methods: [POST] }}, require: {pay} }}\n\
             \x20 - {{ name: payments, match: {{ path: \"/payments/**\" }}, require: {} }}\n\
             \x20 - {{ name: read, match: {{ hosts: [api.example], path: \"/**\", methods: [GET] }}, require: {} }}\n\
             \x20 - {{ name: health, match: {{ path: /healthz }}, require: public }}\n",
            unbound(all),
            unbound(read),
        )
        .replace("level: single-factor, level: single-factor", "level: single-factor")
    })
}

fn requests() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        12 => Just("POST https://api.example/payments/7"),
        6 => Just("GET https://api.example/accounts/7?x=1"),
        2 => Just("PUT https://API.example:443/payments/7/refund"),
        1 => Just("GET https://api.example/payments"),
        1 => Just("GET https://api.example/healthz"),
        1 => Just("POST https://other.example/accounts"),
        1 => Just("GET https://api.example/a%2fb"),
        1 => Just("TRACE https://api.example/payments/7"),
    ]
}

/// Claims of a token, and whether the right key signs them.
type Made = (Value, bool);

fn tokens() -> impl Strategy<Value = Vec<Made>> {
    let acr = prop::sample::select(vec![
        Value::Null,
        Value::Null,
        json!("1"),
        json!("2"),
        json!("2"),
        json!("gold"),
        json!("low"),
        json!("odd"),
        json!(2),
        json!(["2"]),
    ]);
    let values = prop::sample::subsequence(vec!["pwd", "otp", "sms", "mfa", "hwk", "push", "odd"], 0..4);
    let amr = prop_oneof![1 => Just(Value::Null), 1 => Just(json!("pwd otp")), 6 => values.prop_map(|v| json!(v))];
    let age = prop::sample::select(vec![Some(30_i64), Some(30), Some(30), Some(60), Some(600), Some(-300), None]);
    let scope = prop::sample::select(vec!["pay read", "pay read", "pay", "read", ""]);
    let kind = prop::sample::select(vec![API, API, API, CLIENT, "other"]);
    let odd = prop_oneof![
        12 => Just(json!({})),
        1 => Just(json!({ "exp": NOW.seconds() - 60 })),
        1 => Just(json!({ "sub": "app" })),
        1 => Just(json!({ "iss": "https://evil.example" })),
        1 => Just(json!({ "sid": "s2" })),
        2 => Just(json!({ "tier": "gold", "account": "7" })),
    ];
    let signed = prop::bool::weighted(0.95);
    let one = (acr, amr, age, scope, kind, odd, signed).prop_map(|(acr, amr, age, scope, kind, odd, signed)| {
        let now = NOW.seconds();
        let mut claims = json!({
            "iss": ISSUER, "aud": kind, "sub": "u1", "client_id": "app", "azp": CLIENT, "sid": "s1", "iat": now - 5, "exp": now + 300,
            "scope": scope, "acr": acr, "amr": amr,
        });
        if kind == API {
            claims.as_object_mut().unwrap().remove("azp");
        }
        if let Some(age) = age {
            claims["auth_time"] = json!(now - age);
        }
        for (name, value) in odd.as_object().unwrap() {
            claims[name] = value.clone();
        }
        (claims, signed)
    });
    let now = NOW.seconds();
    let strong = json!({
        "iss": ISSUER, "aud": API, "sub": "u1", "client_id": "app", "sid": "s1", "iat": now - 5, "exp": now + 300, "auth_time": now - 30,
        "scope": "pay read", "acr": "2", "amr": ["pwd", "otp", "hwk"], "tier": "gold", "account": "7",
    });
    prop_oneof![
        1 => Just(Vec::new()),
        14 => Just(vec![(strong, true)]),
        10 => one.clone().prop_map(|one| vec![one]),
        3 => (one.clone(), one).prop_map(|(access, mut id)| {
            id.0["aud"] = json!(CLIENT);
            vec![access, id]
        }),
    ]
}

fn load(text: &str) -> Option<Policy> {
    let file = SourceFile { name: "p.yaml".into(), folder: ".".into(), text: text.to_owned() };
    load_policy(vec![file]).ok().map(|loaded| loaded.policy)
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
        explain(&Question { policy, keys: &keys, request, method, authority, path, given: &given, now: NOW })
    }

    /// The way of a request as the gate goes it, in the fewest words. `Ok` holds the levels reached.
    fn judged(&self) -> Result<usize, Denial> {
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
                let token = Unverified::parse(&credential(text)).map_err(|rejection| rejection.reason)?;
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
        decide(&self.policy, route, &target, tokens, NOW).map(|permit| permit.levels().len())
    }
}

fn worlds() -> impl Strategy<Value = (String, &'static str, Vec<Made>)> {
    (policies(), requests(), tokens())
}

fn run(cases: u32, test: impl Fn(World, Vec<Made>) -> Result<(), String>) {
    let config = Config { cases, failure_persistence: None, max_global_rejects: cases * 4, ..Config::default() };
    // A fixed seed: what is counted below is the same in every run.
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let keys = Arc::new(key_set(&[Signer::shared(Algorithm::Es256)]));
    let result = runner.run(&worlds(), |(text, request, made)| {
        let Some(policy) = load(&text) else { return Err(TestCaseError::reject("no policy")) };
        let texts = made.iter().map(|(claims, genuine)| sign(claims, *genuine)).collect();
        let world = World { policy, keys: Arc::clone(&keys), request, texts };
        test(world, made).map_err(|why| TestCaseError::fail(format!("{why}\n{text}")))
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn what_is_explained_is_what_is_decided_and_no_token_is_shown() {
    let counts = RefCell::new((0_u32, 0_u32, 0_u32, BTreeMap::<Reason, u32>::new()));
    run(600, |world, _| {
        let (told, judged) = (world.explained(), world.judged());
        let mut counts = counts.borrow_mut();
        counts.0 += 1;
        counts.1 += u32::from(told.denial.is_none());
        counts.2 += u32::from(told.route.is_some());
        if let Some(denial) = &told.denial {
            *counts.3.entry(denial.reason).or_default() += 1;
        }
        match (&told.denial, &judged) {
            (None, Ok(levels)) if told.levels.len() == *levels => {}
            (Some(denial), Err(judged)) if denial.reason == judged.reason && denial.step_up == judged.step_up => {}
            _ => return Err(format!("explained {:?}, decided {judged:?}", told.denial)),
        }
        // What is asked, part by part, comes to the same.
        let by_one = told.reckoned.iter().any(|one| one.reckoned.asks.iter().all(Asking::holds));
        if !told.reckoned.is_empty() && by_one != told.denial.is_none() {
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
    assert!(reasons.len() >= 15, "too few reasons to mean anything: {reasons:?}");
}

#[test]
fn a_refusal_that_a_sign_in_is_said_to_mend_is_mended_by_one_with_the_claims_that_are_named() {
    let counts = RefCell::new((0_u32, 0_u32));
    run(600, |world, made| {
        let told = world.explained();
        let Some(client) = &told.client else { return Ok(()) };
        counts.borrow_mut().1 += u32::from(told.denial.as_ref().is_some_and(|denial| denial.step_up.is_some()));
        let Some(mend) = &client.mend else { return Ok(()) };
        counts.borrow_mut().0 += 1;
        let anew = |claims: &Value| {
            let mut said = Json::parse(claims.to_string().as_bytes()).unwrap();
            for (path, value) in &mend.claims {
                said = path.put(said, value.clone());
            }
            let scope = claims["scope"].as_str().unwrap_or_default();
            let scope = mend.scopes.iter().fold(scope.to_owned(), |all, one| format!("{all} {one}"));
            let said = ClaimPath::parse("scope").unwrap().put(said, Json::String(scope.trim().into()));
            serde_json::to_value(&said).unwrap()
        };
        let texts = made.iter().map(|(claims, genuine)| sign(&anew(claims), *genuine)).collect();
        let again = World { texts, ..world };
        again.judged().map(drop).map_err(|denial| format!("{mend:?} does not mend {:?}: {denial:?}", told.denial))
    });
    let (mended, asked) = counts.into_inner();
    assert!(mended >= 60, "too few to mean anything: {mended}");
    // Where the gate asks for another sign-in there nearly always is one.
    assert!(mended * 10 >= asked * 8, "{mended} mended of {asked} that are asked for a sign-in");
}

const POLICY: &str = "version: 1\nissuers:\n  idp:\n    issuer: https://idp.example\n    access: { audiences: [\"https://api.example\"] }\n\
    \x20   proves: { multi-factor: { factors: 2 } }\nroutes:\n  - { name: pay, match: { path: /pay }, require: { level: multi-factor } }\n";

fn told_of(what: What, keys: Keys) -> Explained {
    let policy = load(POLICY).unwrap();
    let given = [Given { name: "t".into(), what }];
    let request = "POST https://api.example/pay";
    let (method, authority, path) = cases::request(request).unwrap();
    explain(&Question { policy: &policy, keys: &[keys], request, method, authority, path, given: &given, now: NOW })
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
    let claims = Json::parse(claims.to_string().as_bytes()).unwrap();
    let text = human::text(&told_of(What::Claims { claims, typ: None }, Keys::None(String::new())));
    assert!(text.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'), "{text}");
}
