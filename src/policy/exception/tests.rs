//! What an exception lets in, and what it never does.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::assurance::ClaimTable;
use crate::policy::evaluate::tests::{NOW, amr, demand, level, texts, token};
use crate::policy::evaluate::worlds::{World, as_tokens, policy, world};
use crate::policy::evaluate::{Step, retell};
use crate::policy::observe::{Mode, judge};
use crate::policy::path::CanonicalPath;
use crate::policy::requirement::WantedCaller;
use crate::reason::Reason;
use crate::token::{ClaimPath, Json, TokenKind};

fn asks(conditions: Vec<Condition>) -> Requirement {
    Requirement::Demands(demand(conditions))
}

/// For `ada` at the bank, on the only route there is, for a day from now: one factor is enough.
fn outage() -> Exception {
    Exception {
        name: "outage".into(),
        who: Who { issuer: IssuerId(0), subjects: texts(&["ada"]), clients: texts(&[]) },
        routes: [0].into(),
        instead: Some(demand(vec![level("single-factor")])),
        until: NOW.plus_seconds(86_400),
        until_written: "tomorrow".into(),
        because: "ticket 4711".into(),
    }
}

/// For the client `app` where it acts for itself.
fn for_client() -> Exception {
    let who = Who { issuer: IssuerId(0), subjects: texts(&[]), clients: texts(&["app"]) };
    Exception { who, instead: None, ..outage() }
}

fn judged(policy: &Policy, tokens: Option<Tokens<'_>>) -> Result<Permit, Denial> {
    let path = CanonicalPath::parse("/payments/7").unwrap();
    let target = Target { method: "POST", host: "api.example", path: &path };
    judge(policy, policy.route(&target).unwrap(), &target, tokens, NOW)
}

fn decided(policy: &Policy, tokens: Option<Tokens<'_>>) -> Result<Permit, Denial> {
    let path = CanonicalPath::parse("/payments/7").unwrap();
    let target = Target { method: "POST", host: "api.example", path: &path };
    decide(policy, policy.route(&target).unwrap(), &target, tokens, NOW)
}

fn with(require: Requirement, exception: Exception) -> Policy {
    policy(require, Mode::Enforce, Vec::new()).with_exceptions(vec![exception])
}

fn lets_in(require: Requirement, exception: Exception, token: &Assurance) -> bool {
    judged(&with(require, exception), Some(Tokens::One(token))).is_ok()
}

fn password() -> Assurance {
    token(None, Some(&["pwd"]))
}

fn strong() -> Requirement {
    asks(vec![level("multi-factor"), Condition::MaxAge(30)])
}

#[test]
fn who_is_named_is_let_in_on_less_and_it_is_told_by_what_and_why() {
    let policy = with(strong(), outage());
    let permit = judged(&policy, Some(Tokens::One(&password()))).unwrap();
    let by = permit.excepted().unwrap();
    assert_eq!((&*by.name, by.until), ("outage", outage().until));
    assert_eq!(by.refusal.reason, Reason::LevelTooLow, "what the route itself says");
    assert_eq!(
        permit.levels(),
        policy.ladders().rung("single-factor").as_slice(),
        "the level is the one that was reached"
    );
    assert!(permit.would_deny().is_none() && permit.by() == Some(TokenKind::Access));
    let enough = Assurance { evidence: token(None, Some(&["mfa"])).evidence, ..password() };
    let permit = judged(&with(asks(vec![level("multi-factor")]), outage()), Some(Tokens::One(&enough))).unwrap();
    assert!(permit.excepted().is_none(), "who needs no exception is not let in by one");
}

#[test]
fn nobody_else_is_let_in() {
    assert!(lets_in(strong(), outage(), &password()));
    let others = [
        Assurance { subject: Some("bob".into()), ..password() },
        Assurance { subject: Some("Ada".into()), ..password() },
        Assurance { subject: None, ..password() },
        // A client may be called like a person.
        Assurance { caller: Caller::Client, ..password() },
        Assurance { caller: Caller::Unclear, ..password() },
        // What is asked instead is not met.
        token(None, None),
    ];
    for other in others {
        assert!(!lets_in(strong(), outage(), &other), "{other:?}");
    }
    // Whatever is asked instead.
    let anything = Exception { instead: None, ..outage() };
    for caller in [Caller::Client, Caller::Unclear] {
        assert!(!lets_in(strong(), anything.clone(), &Assurance { caller, ..password() }));
    }
    let elsewhere = Who { issuer: IssuerId(7), ..outage().who };
    assert!(!lets_in(strong(), Exception { who: elsewhere, ..outage() }, &password()));
    let through_another = Who { clients: texts(&["other"]), ..outage().who };
    assert!(!lets_in(strong(), Exception { who: through_another, ..outage() }, &password()));
    let through_app = Who { clients: texts(&["app"]), ..outage().who };
    assert!(lets_in(strong(), Exception { who: through_app, ..outage() }, &password()));
    assert!(!lets_in(strong(), Exception { routes: [].into(), ..outage() }, &password()), "on another route");
    assert_eq!(judged(&with(strong(), outage()), None).unwrap_err().reason, Reason::TokenMissing);
}

#[test]
fn it_holds_for_seven_days_before_its_end_and_at_no_other_moment() {
    for (left, holds) in [(-1, false), (0, false), (1, true), (LONGEST, true), (LONGEST + 1, false), (i64::MAX, false)]
    {
        let exception = Exception { until: NOW.plus_seconds(left), ..outage() };
        assert_eq!(exception.standing(NOW) == Standing::InForce, holds, "{left}");
        assert_eq!(lets_in(strong(), exception, &password()), holds, "{left}");
    }
}

#[test]
fn no_floor_is_passed_by_it() {
    for (floor, passes) in [("single-factor", true), ("multi-factor", false)] {
        let floors = vec![Some(demand(vec![level(floor)]))];
        let policy = policy(strong(), Mode::Enforce, floors).with_exceptions(vec![outage()]);
        assert_eq!(judged(&policy, Some(Tokens::One(&password()))).is_ok(), passes, "{floor}");
    }
}

#[test]
fn what_the_route_asks_besides_the_sign_in_holds_on() {
    let rest = [
        Condition::Scopes { all: texts(&["pay"]), any: texts(&[]) },
        Condition::Audience(texts(&["other"])),
        Condition::Clients(texts(&["other"])),
        Condition::Caller(WantedCaller::Client),
        Condition::Issuers([IssuerId(7)].into()),
    ];
    for condition in rest {
        let flat = asks(vec![level("multi-factor"), condition.clone()]);
        let deep =
            asks(vec![Condition::All([demand(vec![level("multi-factor")]), demand(vec![condition.clone()])].into())]);
        let both = asks(vec![Condition::Any(
            [
                demand(vec![level("multi-factor"), condition.clone()]),
                demand(vec![Condition::MaxAge(1), condition.clone()]),
            ]
            .into(),
        )]);
        for require in [flat, deep, both] {
            assert!(!lets_in(require.clone(), outage(), &password()), "{require:?}");
        }
    }
    let own = asks(vec![
        Condition::Evidence(Expression::AmrAny(texts(&["otp"]))),
        Condition::Evidence(Expression::Factors(2)),
        Condition::Evidence(Expression::Acr(texts(&["2"]))),
        Condition::Evidence(Expression::Not(Box::new(Expression::AmrAny(texts(&["pwd"]))))),
        Condition::Scopes { all: texts(&["accounts"]), any: texts(&[]) },
    ]);
    assert!(lets_in(own, outage(), &password()), "raw evidence is set aside as a level is");
}

#[test]
fn evidence_that_reads_any_other_claim_is_not_set_aside() {
    let mut table = ClaimTable::default();
    let slot = table.slot(ClaimPath::parse("country").unwrap()).unwrap();
    let country = Expression::Claim(slot, [Json::String("BR".into())].into());
    let mixed =
        Expression::Not(Box::new(Expression::All([country.clone(), Expression::AmrAny(texts(&["pwd"]))].into())));
    for (evidence, set_aside) in [
        (country, false),
        (mixed, false),
        (Expression::Present(slot), false),
        (Expression::AmrAny(texts(&["otp"])), true),
    ] {
        let require = asks(vec![Condition::Evidence(evidence)]);
        assert_eq!(outage().sets_aside(&require), set_aside, "{require:?}");
        assert_eq!(lets_in(require.clone(), outage(), &password()), set_aside, "{require:?}");
    }
    for nothing in [Requirement::Public, Requirement::Authenticated, asks(vec![Condition::Audience(texts(&["api"]))])] {
        assert!(!outage().sets_aside(&nothing), "{nothing:?}");
    }
}

#[test]
fn of_alternatives_the_one_that_asks_for_the_sign_in_alone_is_met_by_what_is_asked_instead() {
    let batch = || demand(vec![Condition::Caller(WantedCaller::Client), Condition::Clients(texts(&["job-7"]))]);
    let require = || asks(vec![Condition::Any([demand(vec![level("multi-factor")]), batch()].into())]);
    assert!(lets_in(require(), outage(), &password()));
    assert!(!lets_in(require(), outage(), &token(None, None)), "what is asked instead is still asked");
    let scoped = demand(vec![level("multi-factor"), Condition::Scopes { all: texts(&["pay"]), any: texts(&[]) }]);
    let require = asks(vec![Condition::Any([scoped, batch()].into())]);
    assert!(!lets_in(require, outage(), &password()));
}

#[test]
fn what_counts_for_nothing_on_the_route_counts_for_nothing_here() {
    let ignoring = Demand { ignore_amr: texts(&["pwd"]), ..demand(vec![level("multi-factor")]) };
    assert!(!lets_in(Requirement::Demands(ignoring.clone()), outage(), &password()));
    let nested = asks(vec![Condition::All([ignoring.clone()].into())]);
    assert!(!lets_in(nested, outage(), &password()));
    // Where nothing is asked instead, the level that is told is reckoned as the route reckons it.
    let anything = Exception { instead: None, ..outage() };
    let permit = judged(&with(Requirement::Demands(ignoring), anything), Some(Tokens::One(&password()))).unwrap();
    assert!(permit.levels().is_empty() && permit.ignores("pwd"), "{permit:?}");
}

#[test]
fn a_client_is_let_in_where_it_acts_for_itself_and_no_user_of_it_is() {
    let of_client = Assurance { caller: Caller::Client, subject: None, ..password() };
    assert!(lets_in(strong(), for_client(), &of_client));
    assert!(!lets_in(strong(), for_client(), &password()), "a user of that client");
    assert!(!lets_in(strong(), for_client(), &Assurance { client: Some("other".into()), ..of_client.clone() }));
    assert!(!lets_in(strong(), for_client(), &Assurance { client: None, ..of_client.clone() }));
    let for_users = asks(vec![level("multi-factor"), Condition::Caller(WantedCaller::User)]);
    assert!(!lets_in(for_users, for_client(), &of_client), "the route says itself that users alone may call");
    let id = Assurance { kind: TokenKind::Id, ..password() };
    let pair = Tokens::Pair { access: &of_client, id: &id };
    assert!(judged(&with(strong(), for_client()), Some(pair)).is_err(), "an id_token is a person's");
}

#[test]
fn of_two_tokens_both_are_of_the_person_who_is_named() {
    let id = |subject: Option<&str>| Assurance { kind: TokenKind::Id, subject: subject.map(Into::into), ..password() };
    let both = Who { subjects: texts(&["ada", "bob"]), ..outage().who };
    let policy = with(strong(), Exception { who: both, ..outage() });
    for (subject, holds) in [(Some("ada"), true), (Some("bob"), false), (None, false)] {
        let (access, id) = (password(), id(subject));
        let judged = judged(&policy, Some(Tokens::Pair { access: &access, id: &id }));
        assert_eq!(judged.is_ok(), holds, "{subject:?}");
    }
}

#[test]
fn the_first_that_lets_it_in_is_the_one_and_goes_before_the_routes_mode() {
    let over = Exception { name: "over".into(), until: NOW, ..outage() };
    let second = Exception { name: "second".into(), ..outage() };
    for mode in [Mode::Enforce, Mode::Observe, Mode::ObserveAll] {
        let policy = policy(strong(), mode, Vec::new());
        let policy = policy.with_exceptions(vec![over.clone(), outage(), second.clone()]);
        let permit = judged(&policy, Some(Tokens::One(&password()))).unwrap();
        assert_eq!(permit.excepted().map(|by| &*by.name), Some("outage"), "{mode:?}");
        assert!(permit.would_deny().is_none());
    }
}

#[test]
fn what_came_of_each_is_told_before_what_is_decided() {
    let named = |name: &str, exception: Exception| Exception { name: name.into(), ..exception };
    let strict = Exception { instead: Some(demand(vec![level("phishing-resistant")])), ..outage() };
    let all = vec![
        named("over", Exception { until: NOW, until_written: "today".into(), ..outage() }),
        named("ahead", Exception { until: NOW.plus_seconds(LONGEST + 1), ..outage() }),
        named("others", Exception { who: Who { subjects: texts(&["bob"]), ..outage().who }, ..outage() }),
        named("strict", strict),
        outage(),
    ];
    let policy = policy(asks(vec![level("multi-factor")]), Mode::Enforce, Vec::new()).with_exceptions(all);
    let path = CanonicalPath::parse("/payments/7").unwrap();
    let target = Target { method: "POST", host: "api.example", path: &path };
    let route = policy.route(&target).unwrap();
    let password = password();
    let told = |token: &Assurance| -> Vec<String> {
        let steps = retell(&policy, route, &target, Some(Tokens::One(token)), NOW);
        let steps = steps.iter().filter(|step| matches!(step, Step::Exception(..) | Step::Decided(_)));
        steps.map(|step| format!("{}: {}", step.name(), step.text(&policy))).collect()
    };
    let lacks = "level_too_low (reached single-factor, needs";
    assert_eq!(
        told(&password),
        [
            "exception: over ended at today".to_owned(),
            "exception: ahead has not begun: it holds for the last 7 days before tomorrow".to_owned(),
            "exception: others is for others".to_owned(),
            format!(
                "exception: strict does not let it in either: {lacks} phishing-resistant; acr is absent, amr is `pwd`)"
            ),
            "exception: outage lets it in until tomorrow: asked instead is level single-factor".to_owned(),
            format!(
                "decided: allow, at single-factor, by the exception outage; the route itself says {lacks} multi-factor; acr is absent, amr is `pwd`)"
            ),
        ]
    );
    let enough = token(None, Some(&["mfa"]));
    assert_eq!(told(&enough).len(), 1, "where nothing is refused none is looked at");
}

/// The same demand with what it asks of the sign-in always met: the oracle for what holds on.
fn met(demand: &Demand) -> Demand {
    let of = |condition: &Condition| match condition {
        Condition::Level(_) | Condition::MaxAge(_) | Condition::Evidence(_) => Condition::Issuers([IssuerId(0)].into()),
        Condition::All(parts) => Condition::All(parts.iter().map(met).collect()),
        Condition::Any(parts) => Condition::Any(parts.iter().map(met).collect()),
        Condition::Issuers(_)
        | Condition::Audience(_)
        | Condition::Caller(_)
        | Condition::Clients(_)
        | Condition::Scopes { .. }
        | Condition::Bind { .. } => condition.clone(),
    };
    Demand { conditions: demand.conditions.iter().map(of).collect(), ignore_amr: demand.ignore_amr.clone() }
}

fn exceptions() -> impl Strategy<Value = Exception> {
    let one_of = |all: &[&[&str]]| prop::sample::select(all.iter().map(|names| texts(names)).collect::<Vec<_>>());
    let subjects = one_of(&[&["ada"], &["ada"], &["ada", "bob"], &["bob"], &[]]);
    let clients = one_of(&[&[], &[], &["app"], &["other"]]);
    let issuer = prop_oneof![8 => Just(0_u32), 1 => Just(7)].prop_map(IssuerId);
    let left = prop::sample::select(vec![-60, 0, 1, 3_600, 86_400, LONGEST, LONGEST + 1]);
    let instead = prop_oneof![
        2 => Just(None),
        2 => Just(Some(vec![level("single-factor")])),
        1 => Just(Some(vec![level("single-factor"), Condition::MaxAge(300)])),
        1 => Just(Some(vec![Condition::Evidence(Expression::AmrAny(texts(&["pwd", "otp"])))])),
    ];
    let all = (issuer, subjects, clients, left, instead, prop::bool::weighted(0.9));
    all.prop_map(|(issuer, subjects, clients, left, instead, here)| Exception {
        who: Who { issuer, subjects, clients },
        routes: if here { [0].into() } else { [].into() },
        instead: instead.map(demand),
        until: NOW.plus_seconds(left),
        ..outage()
    })
}

/// Worlds of which an exception may lift something more often than of any.
fn worlds() -> impl Strategy<Value = World> {
    let of_sign_in = vec![
        level("multi-factor"),
        level("phishing-resistant"),
        Condition::MaxAge(30),
        Condition::Evidence(Expression::AmrAny(texts(&["otp"]))),
        Condition::Any([demand(vec![level("hardware-protected")]), demand(vec![Condition::MaxAge(30)])].into()),
        Condition::Scopes { all: texts(&["accounts"]), any: texts(&[]) },
    ];
    let strong = prop::sample::subsequence(of_sign_in, 1..4).prop_map(asks);
    (world(), prop::option::weighted(0.6, strong)).prop_map(|((require, floors, found), strong)| match strong {
        Some(strong) if found.len() == 1 => (strong, Vec::new(), found),
        Some(strong) => (strong, floors, found),
        None => (require, floors, found),
    })
}

/// Judges `POST /payments/7`, and says what is wrong with the outcome; else whether an exception let it in.
fn hold((require, floors, mut found): World, exception: &Exception, other_person: bool) -> Result<bool, String> {
    if let (true, [_, second]) = (other_person, &mut *found) {
        second.subject = Some("bob".into());
    }
    let tokens = as_tokens(&found);
    let of = |require: &Requirement| policy(require.clone(), Mode::Enforce, floors.clone());
    let policy = of(&require).with_exceptions(vec![exception.clone()]);
    let (judged, own) = (judged(&policy, tokens), decided(&policy, tokens));
    let says = |right: bool, what: &str| if right { Ok(()) } else { Err(format!("{what}: {judged:#?} {own:#?}")) };
    let Err(refusal) = &own else {
        says(judged == own, "what the route lets in is let in by an exception")?;
        return Ok(false);
    };
    let Who { issuer, subjects, clients } = &exception.who;
    let named = |list: &[Box<str>], name: Option<&str>| name.is_some_and(|name| list.iter().any(|one| **one == *name));
    let is_meant = match (found.as_slice(), subjects.is_empty()) {
        ([], _) => false,
        ([one], true) => one.caller == Caller::Client && named(clients, one.client.as_deref()),
        (_, true) => false,
        (all @ [main, ..], false) => {
            let persons = all.iter().all(|one| one.caller == Caller::User && named(subjects, one.subject.as_deref()));
            let one = all.iter().all(|one| one.subject == main.subject);
            persons && one && (clients.is_empty() || named(clients, main.client.as_deref()))
        }
    };
    let own_demand = require.demand();
    let rest = own_demand.map_or(Requirement::Authenticated, |own| Requirement::Demands(met(own)));
    let rest_holds = decided(&crate::policy::evaluate::worlds::policy(rest, Mode::Enforce, Vec::new()), tokens).is_ok();
    // With the floors, since one token alone has to meet both.
    let mut ignored = Vec::new();
    own_demand.iter().for_each(|own| own.always_ignored(&mut ignored));
    let asked = exception.instead.clone().map_or_else(Vec::new, |instead| vec![Condition::All([instead].into())]);
    let instead = Requirement::Demands(Demand { conditions: asked.into(), ignore_amr: ignored.into() });
    let instead_holds = decided(&of(&instead), tokens).is_ok();
    let in_time = exception.until > NOW && exception.until <= NOW.plus_seconds(7 * 86_400);
    let here = !exception.routes.is_empty() && *issuer == IssuerId(0);
    let lets = here && in_time && is_meant && rest_holds && instead_holds;
    says(judged.is_ok() == lets, "it is not what whoever wrote it meant")?;
    match &judged {
        Ok(permit) => {
            let by = permit.excepted();
            says(by.is_some_and(|by| by.refusal == *refusal && *by.name == *exception.name), "it is not said by what")?;
            let floors_alone = decided(&of(&Requirement::Authenticated), tokens);
            says(floors_alone.is_ok(), "a floor fails")?;
        }
        Err(denial) => says(denial == refusal, "what is refused is refused for another reason")?,
    }
    Ok(lets)
}

#[test]
fn an_exception_lets_in_whoever_it_names_and_nobody_without_a_token_below_a_floor_or_after_its_end() {
    let config = Config { cases: 3_000, failure_persistence: None, ..Config::default() };
    let lifted = std::cell::Cell::new(0_u32);
    TestRunner::new(config)
        .run(&(worlds(), exceptions(), prop::bool::weighted(0.3)), |(world, exception, other)| {
            let is_lifted = hold(world, &exception, other).map_err(TestCaseError::fail)?;
            lifted.set(lifted.get() + u32::from(is_lifted));
            Ok(())
        })
        .unwrap();
    assert!(lifted.get() >= 40, "too few to mean anything: {}", lifted.get());
}

#[test]
fn a_sign_in_that_is_too_old_is_let_in_only_as_old_as_is_asked_instead() {
    let young = Exception { instead: Some(demand(vec![level("single-factor"), Condition::MaxAge(300)])), ..outage() };
    for (ago, holds) in [(60, true), (300, true), (301, false)] {
        let mut password = password();
        password.evidence.auth_time = crate::assurance::Fact::Known(NOW.plus_seconds(-ago));
        password.evidence.amr = amr(&["pwd"]);
        assert_eq!(lets_in(strong(), young.clone(), &password), holds, "{ago}");
    }
}
