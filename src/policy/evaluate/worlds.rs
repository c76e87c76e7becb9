//! Policies, floors and tokens of all kinds, for what must hold of any.

use proptest::prelude::*;

use crate::assurance::{Assurance, Caller, ClaimTable, Expression, Fact, IssuerId, Ladders};
use crate::policy::evaluate::Tokens;
use crate::policy::evaluate::tests::{NOW, amr, demand, issuer, level, matching, route, texts, token};
use crate::policy::observe::Mode;
use crate::policy::requirement::{Condition, Demand, Requirement, WantedCaller};
use crate::policy::route::{Floor, Route};
use crate::policy::{Policy, PolicyParts};
use crate::token::TokenKind;

fn single() -> impl Strategy<Value = Condition> {
    let rungs = ["single-factor", "multi-factor", "phishing-resistant", "hardware-protected"];
    prop_oneof![
        4 => prop::sample::select(rungs.to_vec()).prop_map(level),
        1 => Just(Condition::Issuers([IssuerId(0)].into())),
        1 => Just(Condition::Issuers([IssuerId(7)].into())),
        1 => Just(Condition::Audience(texts(&["other"]))),
        1 => Just(Condition::Caller(WantedCaller::User)),
        1 => Just(Condition::Caller(WantedCaller::Client)),
        1 => Just(Condition::Clients(texts(&["app"]))),
        2 => prop_oneof![Just(30_u32), Just(300)].prop_map(Condition::MaxAge),
        1 => Just(Condition::Evidence(Expression::Acr(texts(&["1", "2"])))),
        1 => Just(Condition::Evidence(Expression::AmrAny(texts(&["otp"])))),
        1 => Just(Condition::Evidence(Expression::Not(Box::new(Expression::AmrAny(texts(&["sms"])))))),
        1 => (1..=3_u32).prop_map(|needed| Condition::Evidence(Expression::Factors(needed))),
        1 => Just(Condition::Scopes { all: texts(&["accounts"]), any: Box::default() }),
        1 => Just(Condition::Scopes { all: Box::default(), any: texts(&["pay"]) }),
    ]
}

pub(in crate::policy) fn demands() -> impl Strategy<Value = Demand> {
    let ignored = || prop_oneof![3 => Just(texts(&[])), 1 => Just(texts(&["sms", "otp"]))];
    let of = move |conditions| {
        (conditions, ignored()).prop_map(|(conditions, ignore_amr)| Demand { ignore_amr, ..demand(conditions) })
    };
    of(prop::collection::vec(single(), 1..3).boxed()).prop_recursive(2, 10, 3, move |inner| {
        let parts = prop::collection::vec(inner, 1..3);
        let nested = prop_oneof![
            parts.clone().prop_map(|parts| Condition::All(parts.into())),
            parts.prop_map(|parts| Condition::Any(parts.into()))
        ];
        of(prop::collection::vec(prop_oneof![single(), nested], 1..3).boxed())
    })
}

pub(in crate::policy) fn tokens() -> impl Strategy<Value = Assurance> {
    let acr = prop::sample::select(vec![None, Some("1"), Some("2"), Some("odd")]);
    let values = prop::sample::subsequence(vec!["pwd", "otp", "sms", "mfa", "webauthn", "odd"], 0..5);
    let caller = prop_oneof![6 => Just(Caller::User), 1 => Just(Caller::Client), 1 => Just(Caller::Unclear)];
    let age = prop_oneof![
        Just(Fact::Absent),
        Just(Fact::Malformed),
        (-100..500_i64).prop_map(|ago| { Fact::Known(NOW.plus_seconds(ago.wrapping_neg())) })
    ];
    let said = prop_oneof![1 => Just(Fact::Absent), 1 => Just(Fact::Malformed), 6 => values.prop_map(|v| amr(&v))];
    (acr, said, caller, age).prop_map(|(acr, said, caller, auth_time)| {
        let mut token = token(acr, None);
        token.evidence.amr = said;
        token.evidence.auth_time = auth_time;
        Assurance { caller, ..token }
    })
}

pub(in crate::policy) fn requirement() -> impl Strategy<Value = Requirement> {
    prop_oneof![8 => demands().prop_map(Requirement::Demands), 1 => Just(Requirement::Authenticated)]
}

/// A policy of one route, for `POST /payments/7`, with floors under it.
pub(in crate::policy) fn policy(require: Requirement, mode: Mode, floors: Vec<Option<Demand>>) -> Policy {
    let floors = floors.into_iter().map(|demand| Floor {
        name: "floor".into(),
        matches: matching("/payments/**"),
        demand,
        cors: false,
    });
    Policy::new(PolicyParts {
        ladders: Ladders::default(),
        issuers: vec![issuer()],
        claims: ClaimTable::default(),
        floors: floors.collect(),
        routes: vec![Route { mode, ..route(require) }],
        hash: "".into(),
    })
    .unwrap()
}

/// As many tokens as were found, two of them as a pair.
pub(in crate::policy) fn as_tokens(found: &[Assurance]) -> Option<Tokens<'_>> {
    match found {
        [] => None,
        [one] => Some(Tokens::One(one)),
        [access, id, ..] => Some(Tokens::Pair { access, id }),
    }
}

pub(in crate::policy) type World = (Requirement, Vec<Option<Demand>>, Vec<Assurance>);

pub(in crate::policy) fn world() -> impl Strategy<Value = World> {
    let found = prop::collection::vec(tokens(), 0..=2).prop_map(|mut found| {
        if let [_, second] = &mut *found {
            second.kind = TokenKind::Id;
        }
        found
    });
    (requirement(), prop::collection::vec(prop::option::of(demands()), 0..2), found)
}
