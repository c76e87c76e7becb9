//! What is explained is what the running proxy does: random policies, requests and tokens, kept sign-ins and posted forms, over
//! real sockets.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use proptest::test_runner::TestCaseError;
use serde_json::Value;

use super::gate::{Ask, Came, Gate, UPSTREAM_S};
use super::sent::{Form, Kept, Sent, older, today};
use super::worlds::{Made, busy_worlds};
use super::{runner, signed_in};
use crate::cli::explain::beside::Beside;
use crate::clock;
use crate::policy::Policy;
use crate::reason::Reason;

/// What is sent, with other claims in each of its tokens.
fn with_claims(sent: &Sent, new: impl Fn(&Value) -> Value) -> Sent {
    let made = |(claims, good): &Made| (new(claims), *good);
    Sent {
        tokens: sent.tokens.iter().map(made).collect(),
        kept: sent.kept.as_ref().map(|kept| Kept { claims: new(&kept.claims), ..kept.clone() }),
        in_cookie: sent.in_cookie.as_ref().map(made),
        form: sent.form.as_ref().map(|form| match form {
            Form::Token(one, name, before, after) => Form::Token(made(one), name, before, after),
            Form::Text(_) | Form::Long(_) => form.clone(),
        }),
        ..sent.clone()
    }
}

#[derive(Default)]
struct Counts {
    all: u32,
    allowed: u32,
    routed: u32,
    mended: u32,
    reasons: BTreeMap<Reason, u32>,
    /// Of requests with what was kept of a sign-in, and of those that post a form: each and those let in.
    kept: (u32, u32),
    posted: (u32, u32),
    by_claims: u32,
    errors: u32,
    set: u32,
    deleted: u32,
}

/// One request: explained, done, and mended where a sign-in is named that would be let in.
fn one(gate: &Gate, counts: &RefCell<Counts>, policy: &Policy, sent: &Sent) -> Result<(), String> {
    let now = clock::now().seconds();
    // Each sign-in is its own, or a logout would end others, which nobody can explain.
    let number = Cell::new(counts.borrow().all * 8);
    let unique = |mut claims: Value| {
        number.set(number.get() + 1);
        claims["jti"] = number.get().into();
        claims
    };
    let mut sent = with_claims(sent, |claims| unique(today(claims, now)));
    if let Some(kept) = &mut sent.kept {
        kept.claims = older(&kept.claims, kept.ago);
    }
    let Some((ask, by_claims)) = gate.ask(policy, &sent) else { return Ok(()) };
    let told = gate.explained(policy, &ask);
    let came = gate.asked(&ask);
    if came != Came::explained(&told) {
        return Err(format!("explained {:?}\nthe proxy did {came:?}\n{sent:?}", Came::explained(&told)));
    }
    let mut counts = counts.borrow_mut();
    let allowed = u32::from(came.status == UPSTREAM_S);
    counts.all += 1;
    counts.allowed += allowed;
    counts.routed += u32::from(told.route.is_some());
    came.reason.into_iter().for_each(|reason| *counts.reasons.entry(reason).or_default() += 1);
    if told.tokens.iter().any(|token| token.kept.is_some()) {
        counts.kept = (counts.kept.0 + 1, counts.kept.1 + allowed);
    }
    if told.form.is_some() {
        counts.posted = (counts.posted.0 + 1, counts.posted.1 + allowed);
    }
    counts.errors += u32::from(told.decided.contains("error response"));
    counts.set += u32::from(came.cookies.iter().any(|cookie| cookie.starts_with('+')));
    counts.deleted += u32::from(came.cookies.iter().any(|cookie| cookie.starts_with('-')));
    // The claims of a sign-in say the same as the cookie in which it was kept.
    if let Some(ask) = by_claims {
        counts.by_claims += 1;
        let told = Came::explained(&gate.explained(policy, &ask));
        if came != told {
            return Err(format!("explained by claims {told:?}\nthe proxy did {came:?}\n{sent:?}"));
        }
    }
    // What was kept just now is good for the next request.
    if let Some(cookie) = gate.kept.borrow_mut().take() {
        let beside = Beside { cookies: Some(("c".into(), cookie)), ..Beside::default() };
        let next = Ask { request: "GET https://app.example/app/1", texts: Vec::new(), beside };
        let (told, came) = (gate.explained(policy, &next), gate.asked(&next));
        if came != Came::explained(&told) {
            return Err(format!(
                "after a sign-in explained {:?}\nthe proxy did {came:?}\n{sent:?}",
                Came::explained(&told)
            ));
        }
    }
    let Some(mend) = told.client.as_ref().and_then(|client| client.mend.as_ref()) else { return Ok(()) };
    counts.mended += 1;
    let again = with_claims(&sent, |claims| signed_in(claims, &mend.claims, &mend.scopes));
    let came = gate.asked(&gate.ask(policy, &again).unwrap().0);
    if came.status != UPSTREAM_S {
        return Err(format!("{mend:?} does not mend: {came:?}\n{again:?}"));
    }
    Ok(())
}

#[test]
fn the_running_proxy_does_what_is_explained_and_lets_in_the_sign_in_that_it_names() {
    let (gate, counts) = (Gate::start(), RefCell::new(Counts::default()));
    let result = runner(60).run(&busy_worlds(), |(text, requests)| {
        let Some(policy) = gate.enforces(&text) else { return Err(TestCaseError::reject("no policy")) };
        let failed = requests.iter().try_for_each(|sent| one(&gate, &counts, &policy, sent));
        failed.map_err(|why| TestCaseError::fail(format!("{why}\n{text}")))
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
    gate.end();
    let counts = counts.into_inner();
    let Counts { all, allowed, routed, mended, ref reasons, .. } = counts;
    assert!(all >= 1_600, "too few to mean anything: {all}");
    assert!(allowed * 10 >= all * 3 && routed * 10 >= all * 3, "{allowed} allowed, {routed} with a route, of {all}");
    assert!(mended >= 60 && reasons.len() >= 20, "too few to mean anything: {mended} mended, {reasons:?}");
    let Counts { kept, posted, by_claims, errors, set, deleted, .. } = counts;
    assert!(kept.0 >= 150 && kept.1 * 10 >= kept.0 * 3, "{kept:?} with what was kept, and let in by it");
    assert!(posted.0 >= 100 && posted.1 * 10 >= posted.0 * 2, "{posted:?} with a form, and let in by it");
    let rest = (by_claims, errors, set, deleted);
    assert!(by_claims >= 200 && errors >= 5 && set >= 15 && deleted >= 80, "too few to mean anything: {rest:?}");
}
