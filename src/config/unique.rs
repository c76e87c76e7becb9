//! What must stand once in a policy: names, and what an issuer is told by.

use std::collections::HashMap;

use crate::assurance::IssuerId;
use crate::config::issuer::Compiled;
use crate::config::problem::{Problem, Report};
use crate::config::source::Span;
use crate::config::yaml::{self, Node};

/// The names of the issuers, each with its place in the list.
pub(super) fn issuer_names(issuers: &[(&yaml::Key, &Node)], out: &mut Report) -> Vec<(Box<str>, IssuerId)> {
    unique_names(issuers.iter().map(|(key, _)| (&key.text, key.span)), "issuer", out);
    let named = issuers.iter().zip(0u32..).map(|((key, _), id)| {
        if key.text.is_empty() || key.text.chars().any(char::is_control) {
            out.add(Problem::error("empty_text", key.span, "an issuer needs a name"));
        }
        (key.text.clone(), IssuerId(id))
    });
    named.collect()
}

/// No two of a kind have one name.
pub(super) fn unique_names<'n>(names: impl Iterator<Item = (&'n Box<str>, Span)>, what: &str, out: &mut Report) {
    let mut seen: HashMap<&str, Span> = HashMap::new();
    for (name, span) in names {
        match seen.get(&**name) {
            Some(first) => {
                let problem = Problem::error("duplicate_name", span, format!("two {what}s are called `{name}`"));
                out.add(problem.label("again here").related(*first, "first here"));
            }
            None => {
                seen.insert(name, span);
            }
        }
    }
}

/// No two issuers have one `iss`.
pub(super) fn unique_iss(compiled: &[Option<Compiled>], out: &mut Report) {
    let known: Vec<&Compiled> = compiled.iter().flatten().collect();
    for (place, one) in known.iter().enumerate() {
        let iss = &one.issuer.expectation.issuer;
        if let Some(first) = known.iter().take(place).find(|other| other.issuer.expectation.issuer == *iss) {
            let message = format!("two issuers are `{iss}`: a token could not tell which is meant");
            let problem = Problem::error("duplicate_issuer", one.iss_span, message).label("again here");
            out.add(problem.related(first.iss_span, "first here"));
        }
    }
}
