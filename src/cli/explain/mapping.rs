//! How a token's claims were read, in words.

use crate::assurance::mapping::ValueMapping;
use crate::assurance::{Assurance, Caller, Fact, Issuer};
use crate::cli::explain::told::Mapped;
use crate::token::{ClaimPath, Json};

/// How each thing that policies judge was read.
pub(super) fn told(issuer: &Issuer, claims: &Json, assurance: &Assurance) -> Vec<Mapped> {
    let user = assurance.caller == Caller::User;
    let mapping = &issuer.mapping;
    let mut amr = values("amr", &mapping.amr, claims, user);
    if let Fact::Known(methods) = &assurance.evidence.amr {
        let ignored = methods.iter().filter(|method| method.ignored);
        amr.steps.extend(ignored.map(|method| format!("`{}` counts for nothing (ignore_amr)", method.value)));
    }
    let date = match &assurance.evidence.auth_time {
        Fact::Known(at) => Fact::Known(vec![at.seconds().to_string()]),
        Fact::Absent => Fact::Absent,
        Fact::Malformed => Fact::Malformed,
    };
    let text = |fact: Fact<&str>| fact.map(|text| vec![text.to_owned()]);
    let scopes: Vec<String> = assurance.scopes.iter().map(|scope| scope.to_string()).collect();
    let scopes = if scopes.is_empty() { Fact::Absent } else { Fact::Known(scopes) };
    let mut caller = plain("subject", &mapping.subject, claims, text(mapping.subject(claims)));
    caller.steps.push(
        match assurance.caller {
            Caller::User => "so a user calls",
            Caller::Client => "so a client calls for itself, which has no level",
            Caller::Unclear => "so who calls is not certain",
        }
        .to_owned(),
    );
    vec![
        values("acr", &mapping.acr, claims, user),
        amr,
        plain("auth_time", &mapping.auth_time, claims, date),
        caller,
        plain("client", &mapping.client, claims, text(mapping.client(claims))),
        plain("scopes", &mapping.scopes, claims, scopes),
    ]
}

fn values(what: &'static str, mapping: &ValueMapping, claims: &Json, user: bool) -> Mapped {
    let told = mapping.retrace(claims, user);
    let mut steps = Vec::new();
    if !told.trusted {
        steps.push("the policy does not believe this issuer about it (trust), so it counts as absent".to_owned());
    }
    if told.fact.is_malformed() {
        steps.push(format!("taken is {}, so this says nothing and nothing stands in for it", mapping.accept.shapes()));
    }
    if let Some(values) = told.stand_in {
        steps.push(format!("`absent` has {} stand in for it", quoted(values)));
    }
    if mapping.absent.is_some() && !user && told.fact.is_absent() {
        steps.push("`absent` never stands in for a client's token".to_owned());
    }
    steps.extend(told.renamed.iter().map(|(from, to)| format!("`{from}` is renamed to `{to}`")));
    let looked = told.looked.iter().map(|one| (one.path.to_string(), one.found.cloned())).collect();
    let fact = told.fact.map(|values| values.iter().map(ToString::to_string).collect());
    finish(what, looked, steps, fact)
}

fn plain(what: &'static str, from: &[ClaimPath], claims: &Json, fact: Fact<Vec<String>>) -> Mapped {
    let mut looked = Vec::new();
    for path in from {
        let found = path.find(claims);
        looked.push((path.to_string(), found.cloned()));
        if found.is_some_and(|value| !value.is_absent()) {
            break;
        }
    }
    finish(what, looked, Vec::new(), fact)
}

fn finish(
    what: &'static str,
    looked: Vec<(String, Option<Json>)>,
    steps: Vec<String>,
    fact: Fact<Vec<String>>,
) -> Mapped {
    let (state, values) = match fact {
        Fact::Known(values) => ("known", values),
        Fact::Absent => ("absent", Vec::new()),
        Fact::Malformed => ("malformed", Vec::new()),
    };
    Mapped { what, looked, steps, values, state }
}

fn quoted(values: &[Box<str>]) -> String {
    values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(" ")
}
