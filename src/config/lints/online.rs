//! Lints of a policy held against what its issuers say of themselves. Whoever may ask them hands the answers over.

use crate::assurance::Issuer;
use crate::config::lints::issuers::texts;
use crate::config::lints::look::pairs;
use crate::config::policy::Loaded;
use crate::config::problem::{Problem, Report};
use crate::config::reader;
use crate::config::source::Span;
use crate::config::yaml::{Kind, Node};
use crate::token::{Algorithm, KeySet};

/// What one issuer answered, or why not.
#[derive(Clone, Debug)]
pub enum Said<'a> {
    /// Its keys, and what it says of `acr`, where it does.
    Keys(&'a KeySet, Option<&'a [Box<str>]>),
    /// It could not be asked from here.
    Unreachable(&'a str),
    /// What it said is of no use to a gate.
    Unusable(&'a str),
}

/// What is odd about the issuer in this place of the policy.
pub fn check_online(loaded: &Loaded, place: usize, said: &Said<'_>, out: &mut Report) {
    let Some(issuer) = loaded.policy.issuers().get(place) else { return };
    let entry = loaded.expanded.iter().find(|one| one.section == "issuers" && one.name == issuer.name);
    let Some(entry) = entry.map(|one| &one.node) else { return };
    let at = entry.member("issuer").map_or(entry.span, |node| node.span);
    let name = &issuer.name;
    match said {
        Said::Unreachable(why) => {
            let message = format!("`{name}` cannot be asked from here: {why}");
            let help = "where the gate runs it may answer; without its keys its tokens are refused with 503";
            out.add(Problem::lint("issuer_unreachable", at, message).help(help));
        }
        Said::Unusable(why) => {
            let message = format!("no gate can have the keys of `{name}`: {why}");
            let help = "all its tokens are refused with 503: correct `issuer` or `keys`, or have the issuer mended";
            out.add(Problem::error("issuer_unusable", at, message).help(help));
        }
        Said::Keys(keys, supported) => {
            algorithms(loaded, issuer, entry, keys, at, out);
            if let Some(supported) = supported {
                acr_values(loaded, issuer, entry, supported, out);
            }
        }
    }
}

/// Algorithms that tokens may have, and no key of the issuer can check.
fn algorithms(loaded: &Loaded, issuer: &Issuer, entry: &Node, keys: &KeySet, at: Span, out: &mut Report) {
    let Some(taken) = &issuer.expectation.algorithms else { return };
    let name = &issuer.name;
    if !taken.iter().any(|algorithm| keys.has_for(*algorithm)) {
        let message = format!("`{name}` has no key for any algorithm that is taken: all its tokens are refused");
        let span = entry.member("algorithms").filter(|node| loaded.is_own(node.span)).map_or(at, |node| node.span);
        out.add(Problem::lint("algorithm_without_key", span, message).help("take those that its keys are for"));
        return;
    }
    let mut written = Vec::new();
    entry.member("algorithms").into_iter().for_each(|node| texts(node, &mut written));
    for (text, span) in written.into_iter().filter(|(_, span)| loaded.is_own(*span)) {
        if Algorithm::named(text).is_some_and(|algorithm| !keys.has_for(algorithm)) {
            let message = format!("`{name}` has no key for `{text}`");
            let help = "a token that is signed so is refused; take it out, unless such a key is to come";
            out.add(Problem::lint("algorithm_without_key", span, message).help(help));
        }
    }
}

/// Values of `acr` that the policy's own proofs and challenges name, and the issuer does not say that it supports.
fn acr_values(loaded: &Loaded, issuer: &Issuer, entry: &Node, supported: &[Box<str>], out: &mut Report) {
    let mapping = &issuer.mapping.acr;
    let has = |value: &str| supported.iter().any(|one| **one == *value);
    let mut odd: Vec<(&str, Span)> = Vec::new();
    let mut asked = Vec::new();
    for (_, values) in pairs(entry.member("challenge")) {
        texts(values, &mut asked);
    }
    odd.extend(asked.into_iter().filter(|(value, _)| !has(value)));
    // What is read from another claim, or not believed, is nothing that the document speaks of.
    if mapping.trusted && mapping.from.iter().any(|claim| claim.to_string() == "acr") {
        let mut proved = Vec::new();
        entry.member("proves").into_iter().for_each(|node| of_evidence(node, &mut proved));
        odd.extend(proved.into_iter().filter(|(value, _)| !mapping.theirs(value).iter().any(|theirs| has(theirs))));
    }
    for (value, span) in odd.into_iter().filter(|(_, span)| loaded.is_own(*span)) {
        let shown = value.escape_debug();
        let message = format!("`{}` does not say that it supports the `acr` `{shown}`", issuer.name);
        let help = match supported {
            [] => "its `acr_values_supported` is empty".to_owned(),
            _ => reader::suggest(value, supported.iter().map(|value| &**value)),
        };
        out.add(Problem::lint("acr_unsupported", span, message).help(help));
    }
}

/// The values that stand under `acr` in expressions; of what must not hold nothing need be supported.
fn of_evidence<'n>(node: &'n Node, found: &mut Vec<(&'n str, Span)>) {
    if let Kind::List(items) = &node.kind {
        items.iter().for_each(|item| of_evidence(item, found));
    }
    for (key, node) in pairs(Some(node)) {
        match &*key.text {
            // Under `at_least` stands a number that no list has.
            "acr" if pairs(Some(node)).is_empty() => texts(node, found),
            "acr" | "not" => {}
            _ => of_evidence(node, found),
        }
    }
}
