//! What every shipped profile must keep to: `stepgate profiles --check`, and a test, so that none is shipped that does
//! not. The proofs are tried on small models of sign-ins (`models`); the rest is read off the file.

mod claims;
pub(super) mod models;
mod soundness;

use crate::assurance::{ClaimTable, Issuer, Ladders};
use crate::config::policy::load_policy_over;
use crate::config::problem::{Problem, Report};
use crate::config::profile::{Profile, Read};
use crate::config::source::{SourceFile, Sources, Span};
use crate::config::write;
use crate::config::yaml::{Kind, Node};

/// A profile under a policy that says nothing but whose tokens these are.
#[derive(Debug)]
struct Subject<'s> {
    read: &'s Read,
    issuer: &'s Issuer,
    claims: &'s ClaimTable,
    ladders: &'s Ladders,
}

/// Everything that is wrong with these profiles, and their texts.
#[must_use]
pub fn check(shipped: &'static [Profile]) -> (Vec<Problem>, Sources) {
    let (mut sources, mut out) = (Sources::default(), Report::default());
    let read: Vec<(Profile, Read)> =
        shipped.iter().filter_map(|profile| Some((*profile, profile.read(&mut sources, &mut out)?))).collect();
    for (profile, read) in &read {
        named(*profile, read, shipped, &mut out);
        widening(&read.issuer, &mut out);
        one(*profile, read, shipped, &mut out);
    }
    shared_ladders(&read, &mut out);
    (out.into_problems(), sources)
}

fn one(profile: Profile, read: &Read, shipped: &'static [Profile], out: &mut Report) {
    let ladders: Vec<String> = read
        .head
        .ladders
        .iter()
        .map(|ladder| {
            let rungs: Vec<String> = ladder.rungs.iter().map(|rung| write::text(rung)).collect();
            format!("{}: [{}]", write::text(&ladder.name), rungs.join(", "))
        })
        .collect();
    let text = format!(
        "version: 1\nladders: {{ {} }}\nissuers:\n  idp:\n    issuer: https://issuer.invalid\n    profile: {}\n    access: {{ audiences: [access] }}\n    id: {{ audiences: [id] }}\n",
        ladders.join(", "),
        write::text(&format!("{}@{}", profile.name(), read.head.version)),
    );
    let file = SourceFile { name: "policy.yaml".to_owned(), folder: std::path::PathBuf::new(), text };
    let loaded = match load_policy_over(vec![file], shipped) {
        Ok(loaded) => loaded,
        Err(rejected) => {
            for line in rejected.lines() {
                out.add(Problem::error(
                    "profile_refused",
                    read.root.span,
                    format!("the profile does not load: {line}"),
                ));
            }
            return;
        }
    };
    for issuer in loaded.policy.issuers() {
        let (claims, ladders) = (loaded.policy.claims(), loaded.policy.ladders());
        let subject = Subject { read, issuer, claims, ladders };
        claims::classes(&subject, out);
        claims::sources(&subject, out);
        soundness::check(&subject, out);
    }
}

/// A file says who it is: `NAME.yaml` is the newest version, `NAME@VERSION.yaml` an older one.
fn named(profile: Profile, read: &Read, shipped: &[Profile], out: &mut Report) {
    let Read { head, root, .. } = read;
    let span = root.member("profile").unwrap_or(root).span;
    if *head.name != *profile.name() {
        let message = format!("`{}.yaml` calls itself `{}`", profile.stem, head.name);
        out.add(Problem::error("profile_name", span, message));
    }
    let Some((name, version)) = profile.stem.split_once('@') else { return };
    let newest = shipped.iter().find(|other| other.stem == name).and_then(|newest| newest.head().ok());
    if version != head.version.to_string() || newest.is_none_or(|newest| newest.version <= head.version) {
        let message = format!("`{}.yaml` is not version {version}, or not older than `{name}.yaml`", profile.stem);
        out.add(Problem::error("profile_name", span, message));
    }
}

/// Whom to believe, and how far, is the operator's alone.
fn widening(issuer: &Node, out: &mut Report) {
    let mut refuse = |span: Span, key: &str| {
        let message = format!("a shipped profile says `{key}`, which is the operator's");
        out.add(Problem::error("profile_widens", span, message));
    };
    let Kind::Map(pairs) = &issuer.kind else { return };
    for (key, node) in pairs {
        match &*key.text {
            "issuer" | "profile" | "keys" | "trust" | "user_verification" | "pair" => refuse(key.span, &key.text),
            // What absence stands for is a sign-in that nobody has seen.
            "mapping" => {
                let Kind::Map(claims) = &node.kind else { continue };
                claims
                    .iter()
                    .filter_map(|(_, claim)| claim.member("absent"))
                    .for_each(|node| refuse(node.span, "absent"));
            }
            "access" | "id" => {
                if let Some(audiences) = node.member("audiences") {
                    refuse(audiences.span, "audiences");
                }
            }
            _ => {}
        }
    }
}

/// Ladders of one name in several profiles are one ladder to the policy that has it.
fn shared_ladders(read: &[(Profile, Read)], out: &mut Report) {
    let all = || read.iter().flat_map(|(_, read)| read.head.ladders.iter().map(move |ladder| (read, ladder)));
    for (place, (read, ladder)) in all().enumerate() {
        for (other, known) in all().take(place) {
            let same_name = known.name == ladder.name;
            let shared = known.rungs.iter().find(|rung| ladder.rungs.contains(rung));
            if same_name && known.rungs == ladder.rungs || !same_name && shared.is_none() {
                continue;
            }
            let span = read.root.member("ladders").unwrap_or(&read.root).span;
            let message = format!(
                "the ladder `{}` has other rungs than `{}` of the profile `{}`; rungs are shared only by the same ladder",
                ladder.name, known.name, other.head.name
            );
            out.add(Problem::error("profile_ladders", span, message));
        }
    }
}

/// Where a text stands in a tree, else the tree's own place.
fn place_of(node: &Node, text: &str) -> Span {
    fn found(node: &Node, wanted: &str) -> Option<Span> {
        match &node.kind {
            Kind::Scalar { text, .. } => (**text == *wanted).then_some(node.span),
            Kind::List(items) => items.iter().find_map(|item| found(item, wanted)),
            Kind::Map(pairs) => pairs
                .iter()
                .find_map(|(key, node)| if *key.text == *wanted { Some(key.span) } else { found(node, wanted) }),
            Kind::Null => None,
        }
    }
    found(node, text).unwrap_or(node.span)
}

#[cfg(test)]
mod tests;
