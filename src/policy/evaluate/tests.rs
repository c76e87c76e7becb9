//! The decision, rule by rule, on evidence made by hand.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::assurance::List;
use crate::assurance::mapping::{Accept, Mapping, ValueMapping};
use crate::assurance::{
    Challenge, ClaimTable, Classes, Evidence, FactorClass, IssuerId, Ladders, ListedChallenge, Method, MethodClass,
    MethodTable, Pair, Proof, Reading,
};
use crate::policy::host::HostPattern;
use crate::policy::path::{Allowances, CanonicalPath};
use crate::policy::pattern::{Methods, PathPattern};
use crate::policy::{Floor, PolicyParts, StepUp};
use crate::token::{Expectation, TokenKind};

pub(in crate::policy) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

pub(in crate::policy) fn texts(values: &[&str]) -> Box<[Box<str>]> {
    values.iter().map(|value| (*value).into()).collect()
}

/// An issuer that proves: single-factor by one factor or acr `1`, multi-factor by `mfa`, two factors or acr `2`,
/// phishing-resistant by the method's own trait. The top rung it can't prove.
pub(in crate::policy) fn issuer() -> Issuer {
    let ladders = Ladders::default();
    let proof = |rung: &str, evidence: Expression| {
        let challenge = Challenge::Derived(evidence.acr_values().into());
        Proof { rung: ladders.rung(rung).unwrap(), evidence, challenge }
    };
    let any = |parts: Vec<Expression>| Expression::Any(parts.into());
    let mapping = |name: &str| ValueMapping {
        trusted: true,
        from: [crate::token::ClaimPath::parse(name).unwrap()].into(),
        accept: Accept { string: true, ..Accept::default() },
        absent: None,
        rename: BTreeMap::new(),
    };
    Issuer {
        id: IssuerId(0),
        name: "bank".into(),
        expectation: Expectation { issuer: "https://bank.example".into(), algorithms: None, access: None, id: None },
        mapping: Mapping {
            acr: mapping("acr"),
            amr: mapping("amr"),
            auth_time: Box::default(),
            subject: Box::default(),
            client: Box::default(),
            scopes: Box::default(),
        },
        client_when: None,
        methods: MethodTable::rfc8176(),
        ignore_amr: Box::default(),
        reading: Reading::default(),
        proofs: [
            proof("single-factor", any(vec![Expression::Factors(1), Expression::Acr(texts(&["1"]))])),
            proof(
                "multi-factor",
                any(vec![Expression::Acr(texts(&["2"])), Expression::AmrAny(texts(&["mfa"])), Expression::Factors(2)]),
            ),
            proof("phishing-resistant", Expression::PhishingResistant),
        ]
        .into(),
        challenges: Box::default(),
        dialect: crate::assurance::Dialect::default(),
        pair: Pair::Bound,
        hints: crate::reason::Hints::default(),
        fingerprint: 0,
    }
}

fn method(value: &str) -> Method {
    let mut table = MethodTable::rfc8176();
    let possession = Classes::NONE.with(FactorClass::Possession);
    let webauthn = MethodClass {
        is: possession,
        may: Classes::NONE.with(FactorClass::Inherence),
        phishing_resistant: Some(true),
        hardware: None,
    };
    table.set("webauthn", webauthn);
    Method { value: value.into(), class: table.get(value).unwrap_or_default(), ignored: false }
}

pub(in crate::policy) fn amr(values: &[&str]) -> Fact<List<Method>> {
    Fact::Known(values.iter().map(|value| method(value)).collect())
}

pub(in crate::policy) fn token(acr: Option<&str>, methods: Option<&[&str]>) -> Assurance {
    Assurance {
        evidence: Evidence {
            acr: acr.map_or(Fact::Absent, |acr| Fact::Known(texts(&[acr]).into())),
            amr: methods.map_or(Fact::Absent, amr),
            auth_time: Fact::Known(NOW.plus_seconds(-60)),
            reading: Reading::default(),
        },
        subject: Some("ada".into()),
        client: Some("app".into()),
        scopes: texts(&["accounts"]).into(),
        audiences: texts(&["api"]).into(),
        expires: NOW.plus_seconds(300),
        ..Assurance::bare(TokenKind::Access)
    }
}

pub(in crate::policy) fn level(rung: &str) -> Condition {
    Condition::Level(Ladders::default().rung(rung).unwrap())
}

pub(in crate::policy) fn demand(conditions: Vec<Condition>) -> Demand {
    Demand { conditions: conditions.into(), ignore_amr: Box::default() }
}

pub(in crate::policy) fn matching(path: &str) -> Match {
    Match {
        hosts: [HostPattern::Any].into(),
        path: PathPattern::parse(path).unwrap(),
        path_written: path.into(),
        methods: Methods::Any,
        ignore_case: false,
        allows: Allowances::default(),
    }
}

pub(in crate::policy) fn route(require: Requirement) -> Route {
    Route::new("pay", matching("/payments/{id}"), require)
}

/// Judges `POST /payments/7` under a route with these demands, and floors.
fn judge(
    issuer: Issuer,
    require: Requirement,
    floors: Vec<Floor>,
    tokens: Option<Tokens<'_>>,
) -> Result<Permit, Denial> {
    let policy = Policy::new(PolicyParts {
        ladders: Ladders::default(),
        issuers: vec![issuer],
        claims: ClaimTable::default(),
        floors,
        routes: vec![route(require)],
        hash: "".into(),
    })
    .unwrap();
    let path = CanonicalPath::parse("/payments/7").unwrap();
    let target = Target { method: "POST", host: "api.example", path: &path };
    decide(&policy, policy.route(&target).unwrap(), &target, tokens, NOW)
}

fn demanded(conditions: Vec<Condition>, token: &Assurance) -> Result<Permit, Denial> {
    judge(issuer(), Requirement::Demands(demand(conditions)), Vec::new(), Some(Tokens::One(token)))
}

fn reason(outcome: Result<Permit, Denial>) -> Option<Reason> {
    outcome.err().map(|denial| denial.reason)
}

#[test]
fn a_level_is_reached_by_any_of_its_proofs_and_by_those_of_the_rungs_above() {
    for (acr, methods, needed, is) in [
        (None, Some(&["pwd"][..]), "single-factor", None),
        (None, Some(&["pwd"][..]), "multi-factor", Some(Reason::LevelTooLow)),
        (None, Some(&["pwd", "otp"][..]), "multi-factor", None),
        (None, Some(&["pwd", "kba"][..]), "multi-factor", Some(Reason::LevelTooLow)),
        (None, Some(&["otp", "otp"][..]), "multi-factor", Some(Reason::LevelTooLow)),
        (None, Some(&["pwd", "pin"][..]), "multi-factor", Some(Reason::LevelTooLow)),
        (None, Some(&["mfa"][..]), "multi-factor", None),
        (None, Some(&["MFA"][..]), "multi-factor", Some(Reason::LevelTooLow)),
        (None, Some(&["webauthn"][..]), "multi-factor", None),
        (None, Some(&["hwk"][..]), "phishing-resistant", Some(Reason::LevelTooLow)),
        (Some("2"), None, "multi-factor", None),
        (Some("1"), None, "multi-factor", Some(Reason::LevelTooLow)),
        (Some("22"), None, "multi-factor", Some(Reason::LevelTooLow)),
        (Some("9"), Some(&["pwd", "otp"][..]), "multi-factor", None),
    ] {
        let outcome = reason(demanded(vec![level(needed)], &token(acr, methods)));
        assert_eq!(outcome, is, "t34/t36: acr {acr:?} amr {methods:?} for {needed}");
    }
}

#[test]
fn absent_malformed_unknown_and_insufficient_are_told_apart() {
    let needs = || vec![level("multi-factor")];
    let with = |change: &dyn Fn(&mut Assurance)| {
        let mut token = token(None, None);
        change(&mut token);
        reason(demanded(needs(), &token))
    };
    assert_eq!(with(&|_| {}), Some(Reason::AcrMissing), "both absent: the first one consulted names it");
    assert_eq!(with(&|t| t.evidence.amr = Fact::Malformed), Some(Reason::AmrMalformed));
    assert_eq!(with(&|t| t.evidence.acr = Fact::Malformed), Some(Reason::AcrMalformed));
    assert_eq!(with(&|t| t.evidence.amr = amr(&[])), Some(Reason::LevelTooLow), "present and empty is not absent");
    let both = with(&|t| {
        t.evidence.acr = Fact::Malformed;
        t.evidence.amr = amr(&["mfa"]);
    });
    assert_eq!(both, None, "a claim that the decision does not depend on refuses nobody");

    let mut by_acr = issuer();
    by_acr.proofs = by_acr.proofs.iter().filter(|p| *p.evidence.consults() != [Source::Amr]).cloned().collect();
    for proof in &mut by_acr.proofs {
        proof.evidence = Expression::Acr(proof.evidence.acr_values().into());
    }
    let judged = |acr| {
        let token = token(Some(acr), None);
        let require = Requirement::Demands(demand(needs()));
        reason(judge(by_acr.clone(), require, Vec::new(), Some(Tokens::One(&token))))
    };
    assert_eq!(judged("3"), Some(Reason::AcrUnknown));
    assert_eq!(judged("1"), Some(Reason::LevelTooLow), "a value that some proof names is known");
    assert_eq!(judged("2"), None);
}

#[test]
fn a_routes_own_evidence_has_its_own_reasons() {
    let acr = || Condition::Evidence(Expression::Acr(texts(&["2"])));
    let otp = || Condition::Evidence(Expression::AmrAny(texts(&["otp"])));
    let two = || Condition::Evidence(Expression::Factors(2));
    let three = || Condition::Evidence(Expression::Factors(3));
    for (condition, token, is) in [
        (acr(), token(Some("1"), None), Some(Reason::AcrInsufficient)),
        (acr(), token(None, Some(&["otp"])), Some(Reason::AcrMissing)),
        (acr(), token(Some("2"), None), None),
        (otp(), token(None, Some(&["pwd"])), Some(Reason::AmrInsufficient)),
        (otp(), token(None, Some(&["notp"])), Some(Reason::AmrInsufficient)),
        (otp(), token(Some("2"), None), Some(Reason::AmrMissing)),
        (two(), token(None, Some(&["sms", "otp"])), Some(Reason::AmrInsufficient)),
        (two(), token(None, Some(&["fpt", "otp"])), None),
        (three(), token(None, Some(&["fpt", "otp"])), Some(Reason::AmrInsufficient)),
        (three(), token(None, Some(&["fpt", "otp", "kba"])), None),
    ] {
        assert_eq!(reason(demanded(vec![condition], &token)), is, "{token:?}");
    }
    let denial = demanded(vec![acr()], &token(Some("1"), None)).unwrap_err();
    assert_eq!(denial.step_up.unwrap().acr_values, Some(Challenge::Listed(texts(&["2"]))));
}

#[test]
fn not_and_none_of_unknown_evidence_do_not_hold() {
    let not = |inner| Condition::Evidence(Expression::Not(Box::new(inner)));
    let none = || Condition::Evidence(Expression::AmrNone(texts(&["sms"])));
    assert_eq!(reason(demanded(vec![none()], &token(None, None))), Some(Reason::AmrMissing));
    assert_eq!(reason(demanded(vec![none()], &token(None, Some(&["pwd"])))), None);
    let not_two = || not(Expression::Acr(texts(&["2"])));
    assert_eq!(reason(demanded(vec![not_two()], &token(None, None))), Some(Reason::AcrMissing));
    assert_eq!(reason(demanded(vec![not_two()], &token(Some("1"), None))), None);
    let not_strong = || not(Expression::Factors(2));
    assert_eq!(
        reason(demanded(vec![not_strong()], &token(None, Some(&["webauthn"])))),
        Some(Reason::AmrInsufficient),
        "it may have verified the user, so that it did not is not certain"
    );
}

#[test]
fn numbers_in_acr_compare_as_numbers_and_nothing_else_does() {
    let at_least = |acr: &str| {
        let condition = Condition::Evidence(Expression::AcrAtLeast(9));
        reason(demanded(vec![condition], &token(Some(acr), None)))
    };
    for good in ["9", "10", "009", "18446744073709551615", "18446744073709551616", "99999999999999999999999"] {
        assert_eq!(at_least(good), None, "t36: {good}");
    }
    for bad in ["8", "", "9.0", "+9", " 9", "9 ", "1e9", "٩", "0x9", "nine", "-9"] {
        assert_eq!(at_least(bad), Some(Reason::AcrInsufficient), "{bad:?}");
    }
}

#[test]
fn ignored_values_count_for_nothing_and_none_only_and_count_still_see_them() {
    let ignoring = |conditions: Vec<Condition>, methods: &[&str]| {
        let demand = Demand { conditions: conditions.into(), ignore_amr: texts(&["sms"]) };
        reason(judge(
            issuer(),
            Requirement::Demands(demand),
            Vec::new(),
            Some(Tokens::One(&token(None, Some(methods)))),
        ))
    };
    let own = Condition::Evidence;
    assert_eq!(ignoring(vec![level("multi-factor")], &["pwd", "sms"]), Some(Reason::LevelTooLow), "reckoned anew");
    assert_eq!(ignoring(vec![level("multi-factor")], &["pwd", "sms", "otp"]), None);
    assert_eq!(
        ignoring(vec![level("multi-factor")], &["pwd", "sms", "mfa"]),
        Some(Reason::LevelTooLow),
        "mfa is doubted"
    );
    assert_eq!(ignoring(vec![level("multi-factor")], &["pwd", "sms", "mfa", "fpt"]), None, "the rest bears mfa out");
    assert_eq!(ignoring(vec![level("multi-factor")], &["pwd", "mfa"]), None, "nothing was ignored");
    assert_eq!(
        ignoring(vec![own(Expression::AmrNone(texts(&["sms"])))], &["pwd", "sms"]),
        Some(Reason::AmrInsufficient)
    );
    assert_eq!(
        ignoring(vec![own(Expression::AmrOnly(texts(&["pwd"])))], &["pwd", "sms"]),
        Some(Reason::AmrInsufficient)
    );
    assert_eq!(ignoring(vec![own(Expression::AmrCount(2))], &["pwd", "sms"]), None);
    assert_eq!(
        ignoring(vec![own(Expression::AmrAny(texts(&["sms"])))], &["pwd", "sms"]),
        Some(Reason::AmrInsufficient)
    );
    assert_eq!(
        ignoring(vec![level("single-factor")], &["sms"]),
        Some(Reason::LevelTooLow),
        "emptied is present and empty"
    );
}

#[test]
fn t34_a_derived_mfa_must_be_borne_out() {
    let judged = |methods: &[&str]| {
        let mut token = token(None, Some(methods));
        token.evidence.reading.mfa_derived = true;
        reason(demanded(vec![level("multi-factor")], &token))
    };
    assert_eq!(judged(&["mfa"]), Some(Reason::LevelTooLow));
    assert_eq!(judged(&["mfa", "pwd"]), Some(Reason::LevelTooLow));
    assert_eq!(judged(&["mfa", "pwd", "otp"]), None);
}

#[test]
fn what_a_value_may_involve_counts_only_where_user_verification_is_trusted() {
    let judged = |trusted| {
        let mut token = token(None, Some(&["webauthn"]));
        token.evidence.reading.user_verification_trusted = trusted;
        reason(demanded(vec![Condition::Evidence(Expression::Factors(2))], &token))
    };
    assert_eq!(judged(false), Some(Reason::AmrInsufficient));
    assert_eq!(judged(true), None);
}

#[test]
fn age_counts_from_the_sign_in_to_the_second() {
    let aged = |auth_time: Fact<Timestamp>| {
        let mut token = token(None, Some(&["mfa"]));
        token.evidence.auth_time = auth_time;
        reason(demanded(vec![Condition::MaxAge(300)], &token))
    };
    assert_eq!(aged(Fact::Known(NOW.plus_seconds(-300))), None);
    assert_eq!(
        aged(Fact::Known(Timestamp::from_micros(NOW.micros() - 300_000_001))),
        Some(Reason::AuthTooOld),
        "no leeway"
    );
    assert_eq!(aged(Fact::Known(NOW.plus_seconds(30))), None);
    assert_eq!(aged(Fact::Known(NOW.plus_seconds(31))), Some(Reason::ClaimsMalformed), "a sign-in in the future");
    assert_eq!(aged(Fact::Absent), Some(Reason::AuthTimeMissing));
    assert_eq!(aged(Fact::Malformed), Some(Reason::ClaimsMalformed));
    let mut token = token(None, Some(&["mfa"]));
    token.evidence.auth_time = Fact::Malformed;
    assert_eq!(reason(demanded(vec![level("multi-factor")], &token)), None, "only where age is asked");
}

#[test]
fn a_client_never_has_what_a_user_must_have() {
    let mut client = token(Some("2"), Some(&["mfa", "webauthn"]));
    client.caller = Caller::Client;
    client.client = Some("job-7".into());
    let batch = || demand(vec![Condition::Caller(WantedCaller::Client), Condition::Clients(texts(&["job-7"]))]);
    for condition in [
        level("single-factor"),
        Condition::MaxAge(3600),
        Condition::Evidence(Expression::AmrAny(texts(&["mfa"]))),
        Condition::Evidence(Expression::Acr(texts(&["2"]))),
        Condition::Caller(WantedCaller::User),
    ] {
        assert_eq!(reason(demanded(vec![condition.clone()], &client)), Some(Reason::CallerWrong), "{condition:?}");
    }
    let either =
        || vec![Condition::Any([demand(vec![level("multi-factor"), Condition::MaxAge(3600)]), batch()].into())];
    assert_eq!(reason(demanded(either(), &client)), None);
    assert_eq!(reason(demanded(either(), &token(Some("2"), None))), None);
    assert_eq!(reason(demanded(either(), &token(Some("1"), None))), Some(Reason::LevelTooLow), "the furthest speaks");
    let mut other = client.clone();
    other.client = Some("job-8".into());
    assert_eq!(reason(demanded(either(), &other)), Some(Reason::CallerWrong));
    let mut unclear = client.clone();
    unclear.caller = Caller::Unclear;
    assert_eq!(reason(demanded(either(), &unclear)), Some(Reason::ClaimsMalformed), "who calls cannot be read");
    assert_eq!(reason(demanded(vec![Condition::Scopes { all: texts(&["accounts"]), any: texts(&[]) }], &client)), None);
}

#[test]
fn scopes_audience_and_issuers_are_exact() {
    let scopes = |all: &[&str], any: &[&str]| Condition::Scopes { all: texts(all), any: texts(any) };
    let user = token(Some("2"), None);
    assert_eq!(reason(demanded(vec![scopes(&["accounts"], &[])], &user)), None);
    assert_eq!(reason(demanded(vec![scopes(&["account"], &[])], &user)), Some(Reason::ScopeMissing));
    assert_eq!(reason(demanded(vec![scopes(&[], &["payments", "accounts"])], &user)), None);
    assert_eq!(reason(demanded(vec![scopes(&["accounts"], &["payments"])], &user)), Some(Reason::ScopeMissing));
    assert_eq!(reason(demanded(vec![Condition::Audience(texts(&["ap"]))], &user)), Some(Reason::AudienceWrong));
    assert_eq!(reason(demanded(vec![Condition::Issuers([IssuerId(1)].into())], &user)), Some(Reason::IssuerRefused));
    let denial = demanded(vec![scopes(&["payments"], &[])], &user).unwrap_err();
    assert_eq!((denial.scope, denial.step_up), (vec!["payments".into()], None));
}

#[test]
fn the_challenge_asks_for_all_that_the_route_wants() {
    let wants = || {
        vec![
            level("multi-factor"),
            Condition::MaxAge(300),
            Condition::Scopes { all: texts(&["payments"]), any: texts(&[]) },
        ]
    };
    let weak = demanded(wants(), &token(None, Some(&["pwd"]))).unwrap_err();
    let step_up = weak.step_up.unwrap();
    assert_eq!(weak.reason, Reason::LevelTooLow);
    assert_eq!(step_up.acr_values, Some(Challenge::Derived(texts(&["2"]))));
    assert_eq!((step_up.max_age, weak.scope), (Some(300), vec!["payments".into()]));

    let mut old = token(Some("2"), None);
    old.evidence.auth_time = Fact::Known(NOW.plus_seconds(-301));
    let denial = demanded(vec![level("multi-factor"), Condition::MaxAge(300)], &old).unwrap_err();
    assert_eq!(denial.reason, Reason::AuthTooOld);
    let step_up = denial.step_up.unwrap();
    assert_eq!(step_up.acr_values, Some(Challenge::Derived(texts(&["2"]))), "or the new sign-in might be too weak");
    assert_eq!(step_up.max_age, Some(300));

    let never = demanded(vec![level("hardware-protected")], &token(Some("2"), None)).unwrap_err();
    assert_eq!((never.reason, never.step_up), (Reason::LevelTooLow, None), "this issuer can never prove it");
}

#[test]
fn floors_hold_on_top_of_the_route() {
    let floor = |path: &str, ignore: &[&str]| Floor {
        name: "admin".into(),
        matches: matching(path),
        demand: Some(Demand { conditions: [level("multi-factor")].into(), ignore_amr: texts(ignore) }),
        cors: false,
    };
    let judged = |floors, methods: &[&str]| {
        reason(judge(issuer(), Requirement::Authenticated, floors, Some(Tokens::One(&token(None, Some(methods))))))
    };
    assert_eq!(judged(vec![], &["pwd"]), None);
    assert_eq!(judged(vec![floor("/payments/**", &[])], &["pwd"]), Some(Reason::LevelTooLow));
    assert_eq!(judged(vec![floor("/payments/8", &[])], &["pwd"]), None, "the route is touched, this request is not");
    assert_eq!(judged(vec![floor("/**", &["sms"])], &["pwd", "sms"]), Some(Reason::LevelTooLow));
    assert_eq!(judged(vec![floor("/**", &["sms"])], &["pwd", "otp"]), None);
}

#[test]
fn of_two_tokens_one_alone_must_have_level_and_age_and_the_access_token_the_scopes() {
    let mut access = token(None, Some(&["pwd"]));
    access.evidence.auth_time = Fact::Known(NOW.plus_seconds(-10));
    let mut id = token(Some("2"), None);
    id.kind = TokenKind::Id;
    id.scopes = List::default();
    id.evidence.auth_time = Fact::Known(NOW.plus_seconds(-4000));
    let judged = |conditions: Vec<Condition>, access: &Assurance, id: &Assurance| {
        judge(issuer(), Requirement::Demands(demand(conditions)), Vec::new(), Some(Tokens::Pair { access, id }))
    };
    let scopes = || Condition::Scopes { all: texts(&["accounts"]), any: texts(&[]) };
    assert_eq!(judged(vec![level("multi-factor"), scopes()], &access, &id).unwrap().by(), Some(TokenKind::Id));
    assert_eq!(
        reason(judged(vec![level("multi-factor"), Condition::MaxAge(300)], &access, &id)),
        Some(Reason::AuthTooOld),
        "the level of one and the age of the other are nobody's sign-in"
    );
    let mut broad = id.clone();
    broad.scopes = texts(&["accounts"]).into();
    access.scopes = List::default();
    assert_eq!(reason(judged(vec![scopes()], &access, &broad)), Some(Reason::ScopeMissing));
    let mut foreign = id;
    foreign.issuer = IssuerId(1);
    assert_eq!(reason(judged(vec![scopes()], &access, &foreign)), Some(Reason::TokensDisagree));
}

#[test]
fn without_a_token_only_a_public_route_lets_through() {
    assert_eq!(reason(judge(issuer(), Requirement::Public, vec![], None)), None);
    assert_eq!(reason(judge(issuer(), Requirement::Authenticated, vec![], None)), Some(Reason::TokenMissing));
    let need = Requirement::Demands(demand(vec![level("single-factor")]));
    assert_eq!(reason(judge(issuer(), need, vec![], None)), Some(Reason::TokenMissing));
}

#[test]
fn a_bound_path_parameter_equals_the_claim() {
    let json = |text: &str| Json::parse(text).unwrap();
    for (claim, is) in [
        ("\"7\"", true),
        ("7", true),
        ("[\"6\",\"7\"]", true),
        ("\"07\"", false),
        ("7.0", false),
        ("[[\"7\"]]", false),
        ("true", false),
        ("{}", false),
    ] {
        assert_eq!(names(&json(claim), "7"), is, "{claim}");
    }
}

#[test]
fn the_challenge_names_what_is_enough_for_the_floor_too() {
    let floor = |rung: &str| Floor {
        name: "f".into(),
        matches: matching("/**"),
        demand: Some(demand(vec![level(rung)])),
        cors: false,
    };
    let weak = token(Some("0"), None);
    let own = Requirement::Demands(demand(vec![level("single-factor")]));
    let denial = judge(issuer(), own, vec![floor("multi-factor")], Some(Tokens::One(&weak))).unwrap_err();
    assert_eq!(denial.step_up.unwrap().acr_values, Some(Challenge::Derived(texts(&["2"]))));

    let rung = |name: &str| Ladders::default().rung(name).unwrap();
    let mut listed = issuer();
    let ask = |name: &str, value: &str| ListedChallenge { rung: rung(name), acr_values: texts(&[value]) };
    listed.challenges = [ask("single-factor", "urn:one"), ask("multi-factor", "urn:two")].into();
    let own = Requirement::Demands(demand(vec![level("single-factor")]));
    let denial = judge(listed, own, vec![floor("multi-factor")], Some(Tokens::One(&weak))).unwrap_err();
    assert_eq!(denial.step_up.unwrap().acr_values, Some(Challenge::Listed(texts(&["urn:two"]))));
}

#[test]
fn the_challenge_speaks_the_issuers_own_words_where_the_policy_renames_them() {
    let named = |conditions: Vec<Condition>| {
        let mut renamed = issuer();
        renamed.mapping.acr.rename = [("strong".into(), "2".into()), ("2".into(), "1".into())].into();
        let rung = Ladders::default().rung("multi-factor").unwrap();
        renamed.challenges = [ListedChallenge { rung, acr_values: texts(&["strong"]) }].into();
        let weak = token(Some("1"), None);
        let denial = judge(renamed, Requirement::Demands(demand(conditions)), vec![], Some(Tokens::One(&weak)));
        denial.unwrap_err().step_up.unwrap().acr_values
    };
    let own = || Condition::Evidence(Expression::Acr(texts(&["2"])));
    let theirs = Some(Challenge::Listed(texts(&["strong"])));
    assert_eq!(named(vec![own()]), theirs, "its `2` is another");
    assert_eq!(named(vec![level("multi-factor"), own()]), theirs, "what is listed is judged as it would be read");
}

#[test]
fn the_challenge_never_names_what_the_client_has_already_and_is_not_enough() {
    let own = |values: &[&str]| Condition::Evidence(Expression::Acr(texts(values)));
    let named = |conditions: Vec<Condition>, token: &Assurance| {
        demanded(conditions, token).unwrap_err().step_up.unwrap().acr_values
    };
    let one = token(Some("1"), None);
    assert_eq!(named(vec![own(&["1", "2"]), level("multi-factor")], &one), Some(Challenge::Derived(texts(&["2"]))));
    let password = token(None, Some(&["pwd"]));
    let two = || Condition::Evidence(Expression::Factors(2));
    assert_eq!(named(vec![level("single-factor"), two()], &password), None, "the level it has already");
    assert_eq!(named(vec![own(&["1"]), level("phishing-resistant")], &one), None, "its own acr holds already");
    let either = || Condition::Any([demand(vec![own(&["1"])]), demand(vec![own(&["2"])])].into());
    let wanted = Some(Challenge::Derived(texts(&["2"])));
    assert_eq!(named(vec![either(), level("multi-factor")], &one), wanted, "another alternative may hold next time");
    let never = || demand(vec![level("hardware-protected")]);
    let mendable = Condition::Any([never(), demand(vec![own(&["2"])])].into());
    assert_eq!(named(vec![mendable], &one), Some(Challenge::Listed(texts(&["2"]))), "one of two can be met");
    let mut old = token(Some("2"), None);
    old.evidence.auth_time = Fact::Absent;
    let age = || Condition::MaxAge(60);
    assert_eq!(named(vec![own(&["2"]), age()], &old), Some(Challenge::Listed(texts(&["2"]))), "not weaker than it was");
}

#[test]
fn a_list_for_a_rung_is_asked_for_whether_or_not_the_rung_has_a_proof_of_its_own() {
    let mut listed = issuer();
    let rung = |name: &str| Ladders::default().rung(name).unwrap();
    listed.proofs = listed.proofs.iter().filter(|proof| proof.rung != rung("multi-factor")).cloned().collect();
    listed.challenges = [ListedChallenge { rung: rung("multi-factor"), acr_values: texts(&["urn:ask"]) }].into();
    let need = Requirement::Demands(demand(vec![level("multi-factor")]));
    let denial = judge(listed, need, vec![], Some(Tokens::One(&token(Some("1"), None)))).unwrap_err();
    assert_eq!(denial.step_up.unwrap().acr_values, Some(Challenge::Listed(texts(&["urn:ask"]))));
}

#[test]
fn an_alternative_that_this_issuer_can_meet_speaks_before_one_that_it_never_can() {
    let parts =
        [demand(vec![level("hardware-protected")]), demand(vec![level("single-factor"), Condition::MaxAge(300)])];
    let denial = demanded(vec![Condition::Any(parts.into())], &token(Some("0"), None)).unwrap_err();
    assert_eq!(denial.step_up.unwrap().max_age, Some(300));
    let mut untrusted = issuer();
    untrusted.mapping.amr.trusted = false;
    let need = Requirement::Demands(demand(vec![level("phishing-resistant")]));
    let denial = judge(untrusted, need, vec![], Some(Tokens::One(&token(Some("1"), None)))).unwrap_err();
    assert_eq!(denial.step_up, None, "a proof by what is not trusted is none");
}

#[test]
fn the_levels_told_are_those_under_all_that_is_ignored_here() {
    let floor = Floor {
        name: "f".into(),
        matches: matching("/**"),
        demand: Some(Demand { conditions: [level("single-factor")].into(), ignore_amr: texts(&["sms"]) }),
        cors: false,
    };
    let token = token(None, Some(&["pwd", "sms"]));
    let permit = judge(issuer(), Requirement::Authenticated, vec![floor], Some(Tokens::One(&token))).unwrap();
    assert_eq!(permit.levels(), [Ladders::default().rung("single-factor").unwrap()]);
    assert!(permit.ignores("sms") && !permit.ignores("pwd"));
}

#[test]
fn t5_parameters_in_a_path_do_not_lead_to_a_looser_route() {
    let policy = Policy::new(PolicyParts {
        ladders: Ladders::default(),
        issuers: vec![issuer()],
        claims: ClaimTable::default(),
        floors: vec![],
        routes: vec![
            Route { name: "admin".into(), matches: matching("/admin/**"), ..route(Requirement::Authenticated) },
            Route { name: "rest".into(), matches: matching("/**"), ..route(Requirement::Public) },
            Route { name: "sap".into(), matches: matching("/sap/SVC;v=2/**"), ..route(Requirement::Authenticated) },
        ],
        hash: "".into(),
    })
    .unwrap();
    let found = |path: &str| {
        let path = CanonicalPath::parse(path).unwrap();
        let target = Target { method: "GET", host: "h", path: &path };
        policy.route(&target).map(|route| route.name.to_string()).map_err(|denial| denial.reason)
    };
    assert_eq!(found("/admin;x=1/users"), Err(Reason::PathAmbiguous));
    assert_eq!(found("/admin%3bx/users"), Err(Reason::PathAmbiguous));
    assert_eq!(found("/admin/users;x=1"), Ok("admin".into()), "the same route either way");
    assert_eq!(found("/a;b/c"), Ok("rest".into()));
    assert_eq!(found("/sap/SVC;v=2/x"), Ok("sap".into()), "the operator names the parameter");
}

#[test]
fn t5_parameters_in_a_path_do_not_lead_off_a_floor() {
    let floor = |name: &str, path| Floor { name: name.into(), matches: matching(path), demand: None, cors: false };
    let named = "/all/{kind}/SVC;v=2/**";
    let policy = Policy::new(PolicyParts {
        ladders: Ladders::default(),
        issuers: vec![issuer()],
        claims: ClaimTable::default(),
        floors: vec![floor("admin", "/all/admin/**"), floor("elsewhere", "/elsewhere/**")],
        routes: vec![
            Route { name: "all".into(), matches: matching("/all/**"), ..route(Requirement::Authenticated) },
            Route { name: "svc".into(), matches: matching(named), ..route(Requirement::Authenticated) },
        ],
        hash: "".into(),
    })
    .unwrap();
    let found = |path: &str| {
        let path = CanonicalPath::parse(path).unwrap();
        let target = Target { method: "GET", host: "h", path: &path };
        policy.route(&target).map(|route| route.name.to_string()).map_err(|denial| denial.reason)
    };
    assert_eq!(found("/all/admin;x=1/users"), Err(Reason::PathAmbiguous), "the same route, and the floor of one alone");
    assert_eq!(found("/all/admin/users;x=1"), Ok("all".into()), "the same floor either way");
    assert_eq!(found("/all/users;x=1"), Ok("all".into()), "no floor either way");
    assert_eq!(found("/all/admin;x=1/SVC;v=2/y"), Err(Reason::PathAmbiguous), "a route that names other parameters");
    assert_eq!(found("/all/admin/SVC;v=2/y"), Ok("svc".into()));
    assert_eq!(found("/elsewhere;x=1"), Err(Reason::PathAmbiguous), "no route, and a floor of one alone");
    assert_eq!(found("/nowhere;x=1"), Err(Reason::RouteNone));
}

/// Conditions that a sign-in with the best `acr`, made now, meets.
fn by_acr() -> impl Strategy<Value = Demand> {
    let own = || {
        prop_oneof![
            prop::sample::select(vec![&["1", "2"][..], &["2"]]).prop_map(|values| Expression::Acr(texts(values))),
            (1u64..3).prop_map(Expression::AcrAtLeast),
        ]
    };
    let leaf = prop_oneof![
        Just(level("single-factor")),
        Just(level("multi-factor")),
        (60u32..600).prop_map(Condition::MaxAge),
        own().prop_map(Condition::Evidence),
    ];
    let leaf = prop::collection::vec(leaf, 1..3).prop_map(demand);
    leaf.prop_recursive(2, 8, 3, |inner| {
        let parts = || prop::collection::vec(inner.clone(), 1..3).prop_map(Vec::into_boxed_slice);
        prop_oneof![
            parts().prop_map(|parts| demand(vec![Condition::Any(parts)])),
            parts().prop_map(|parts| demand(vec![Condition::All(parts)])),
        ]
    })
}

proptest! {
    #[test]
    fn a_sign_in_with_any_value_that_the_challenge_names_is_let_through(
        own in by_acr(),
        floor in by_acr(),
        acr in prop::sample::select(vec!["0", "1", "2"]),
        signed_in in -900i64..0,
    ) {
        let floor = || Floor { name: "f".into(), matches: matching("/**"), demand: Some(floor.clone()), cors: false };
        let judged = |token: &Assurance| {
            judge(issuer(), Requirement::Demands(own.clone()), vec![floor()], Some(Tokens::One(token)))
        };
        let mut weak = token(Some(acr), None);
        weak.evidence.auth_time = Fact::Known(NOW.plus_seconds(signed_in));
        if let Err(Denial { step_up, .. }) = judged(&weak) {
            let Some(StepUp { acr_values: Some(Challenge::Listed(values) | Challenge::Derived(values)), .. }) = step_up else {
                // Nothing is named only where nothing but the age is asked of the sign-in.
                let mut fresh = weak.clone();
                fresh.evidence.auth_time = Fact::Known(NOW);
                prop_assert!(judged(&fresh).is_ok(), "a value would do, and none was named");
                return Ok(());
            };
            let outcome = |value: &str| {
                let mut strong = token(Some(value), None);
                strong.evidence.auth_time = Fact::Known(NOW);
                judged(&strong)
            };
            prop_assert!(!values.is_empty());
            for value in &values {
                prop_assert!(outcome(value).is_ok(), "{value} was named and is not enough: {:?}", outcome(value));
            }
        }
    }
}

fn any_methods() -> impl Strategy<Value = Vec<&'static str>> {
    let values = vec!["pwd", "otp", "sms", "mfa", "fpt", "hwk", "webauthn", "kba", "user", "unknown", "swk"];
    proptest::sample::subsequence(values.clone(), 0..values.len())
}

/// Expressions without `none`, `not`, `only` and `count`.
fn growing() -> impl Strategy<Value = Expression> {
    let values = || any_methods().prop_filter("a list names something", |v| !v.is_empty()).prop_map(|v| texts(&v));
    let leaf = prop_oneof![
        values().prop_map(Expression::AmrAny),
        values().prop_map(Expression::AmrAll),
        (1u32..4).prop_map(Expression::Factors),
        Just(Expression::PhishingResistant),
        Just(Expression::Hardware),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let parts = || prop::collection::vec(inner.clone(), 1..4).prop_map(Vec::into_boxed_slice);
        prop_oneof![parts().prop_map(Expression::All), parts().prop_map(Expression::Any)]
    })
}

proptest! {
    #[test]
    fn more_evidence_never_turns_allow_into_deny(
        expression in growing(),
        some in any_methods(),
        more in any_methods(),
        ignored in any_methods(),
        derived in any::<bool>(),
        trusted in any::<bool>(),
    ) {
        let reading = Reading { user_verification_trusted: trusted, mfa_derived: derived };
        let holds = |methods: &[&str]| {
            let mut token = token(None, Some(methods));
            token.evidence.reading = reading;
            // What is ignored counts for nothing, so adding it is not adding evidence (and it puts `mfa` in doubt).
            let demand = Demand { conditions: [Condition::Evidence(expression.clone())].into(), ignore_amr: texts(&ignored) };
            judge(issuer(), Requirement::Demands(demand), Vec::new(), Some(Tokens::One(&token))).is_ok()
        };
        let added: Vec<&str> = more.iter().copied().filter(|value| !ignored.contains(value)).collect();
        let all: Vec<&str> = some.iter().chain(&added).copied().collect();
        prop_assert!(!holds(&some) || holds(&all), "{some:?} was enough and {all:?} was not");
    }
}

#[test]
fn what_is_written_of_a_reason_says_what_the_decision_holds_a_sign_in_can_mend() {
    for reason in Reason::ALL {
        let written = reason.guide().new_sign_in == crate::reason::NewSignIn::Mends;
        assert_eq!(written, shortfall::by_sign_in(*reason), "{reason}");
    }
}
