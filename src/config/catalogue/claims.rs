//! Of a profile's claims and values: every `amr` value has a class, and every claim that is read is one that is sent.

use crate::assurance::{Expression, Source};
use crate::config::catalogue::{Subject, place_of};
use crate::config::problem::{Problem, Report};
use crate::config::source::Span;
use crate::config::yaml::{Kind, Node};
use crate::token::ClaimPath;

/// An `amr` value that is named and has no class is misspelt, or counts for less than was meant.
pub(super) fn classes(subject: &Subject<'_>, out: &mut Report) {
    let issuer = subject.issuer;
    let mut named: Vec<&str> = issuer.ignore_amr.iter().map(|value| &**value).collect();
    named.extend(issuer.mapping.amr.rename.values().map(|value| &**value));
    named.extend(issuer.mapping.amr.absent.iter().flatten().map(|value| &**value));
    for proof in &issuer.proofs {
        proof.evidence.walk(&mut |part| {
            if let Expression::AmrAny(values)
            | Expression::AmrAll(values)
            | Expression::AmrNone(values)
            | Expression::AmrOnly(values) = part
            {
                named.extend(values.iter().map(|value| &**value));
            }
        });
    }
    for value in named.into_iter().filter(|value| issuer.methods.get(value).is_none()) {
        let message = format!("the `amr` value `{value}` has no class");
        let help = "give it one under `factor_classes`; `none` is one";
        out.add(Problem::error("profile_class", place_of(&subject.read.issuer, value), message).help(help));
    }
}

/// A claim that the vendor does not send is read in vain.
pub(super) fn sources(subject: &Subject<'_>, out: &mut Report) {
    let (read, mapping) = (subject.read, &subject.issuer.mapping);
    let mut claims: Vec<(Box<str>, Span)> = Vec::new();
    written(&read.issuer, &mut claims);
    let consulted = |source| subject.issuer.proofs.iter().any(|proof| proof.evidence.consults().contains(&source));
    let sends = read.root.member("sends").unwrap_or(&read.root).span;
    let mut effective = |from: &[ClaimPath]| claims.extend(from.iter().map(|claim| (claim.as_written().into(), sends)));
    if consulted(Source::Acr) {
        effective(&mapping.acr.from);
    }
    if consulted(Source::Amr) {
        effective(&mapping.amr.from);
    }
    claims.retain(|(claim, _)| !read.head.sends.contains(claim));
    // Of what is written and what is meant by default the written place says more.
    claims.dedup_by(|later, earlier| later.0 == earlier.0);
    for (claim, span) in claims {
        let message = format!("the claim `{claim}` is read, and is not among those that the vendor `sends`");
        out.add(Problem::error("profile_source", span, message));
    }
}

/// The claims that a profile's text names, and where.
fn written(issuer: &Node, claims: &mut Vec<(Box<str>, Span)>) {
    let Kind::Map(pairs) = &issuer.kind else { return };
    for (key, node) in pairs {
        match &*key.text {
            "mapping" => {
                if let Kind::Map(inner) = &node.kind {
                    inner.iter().filter_map(|(_, node)| node.member("from")).for_each(|from| texts(from, claims));
                }
            }
            "access" | "id" => {
                if let Some(has) = node.member("has") {
                    keys(has, claims);
                    texts(has, claims);
                }
                if let Some(from) = node.member("audience_from") {
                    texts(from, claims);
                }
            }
            "proves" | "client_when" => expressions(node, claims),
            _ => {}
        }
    }
}

/// The claims that expressions below a node ask for.
fn expressions(node: &Node, claims: &mut Vec<(Box<str>, Span)>) {
    match &node.kind {
        Kind::Map(pairs) => {
            for (key, node) in pairs {
                if *key.text == *"claims" { keys(node, claims) } else { expressions(node, claims) }
            }
        }
        Kind::List(items) => items.iter().for_each(|item| expressions(item, claims)),
        Kind::Null | Kind::Scalar { .. } => {}
    }
}

fn keys(node: &Node, claims: &mut Vec<(Box<str>, Span)>) {
    if let Kind::Map(pairs) = &node.kind {
        claims.extend(pairs.iter().map(|(key, _)| (key.text.clone(), key.span)));
    }
}

fn texts(node: &Node, claims: &mut Vec<(Box<str>, Span)>) {
    match &node.kind {
        Kind::Scalar { text, .. } => claims.push((text.clone(), node.span)),
        Kind::List(items) => items.iter().for_each(|item| texts(item, claims)),
        Kind::Null | Kind::Map(_) => {}
    }
}
