//! `proves`, `challenge` and `trust.max_level`: which evidence reaches which rung at one issuer.

use crate::assurance::{Challenge, ClaimTable, Ladders, ListedChallenge, Proof, Rung};
use crate::config::expression;
use crate::config::ladders::{self, Scale};
use crate::config::problem::{Problem, Report};
use crate::config::reader;
use crate::config::source::Span;
use crate::config::yaml::{Key, Node};

/// What an issuer, and the profile under it, say of proofs. Profiles speak of the default rungs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written<'n> {
    /// `proves`.
    pub proves: Option<&'n Node>,
    /// `challenge`.
    pub challenge: Option<&'n Node>,
    /// `trust.max_level`.
    pub max_level: Option<&'n Node>,
}

/// A proof, its rung before any cap, and how strong it was meant to be.
struct Placed<'n> {
    rung: Rung,
    /// Among proofs of one rung, those that a profile meant for a stronger one come later.
    strength: usize,
    node: &'n Node,
}

/// The compiled proofs, and whether some of the profile's found no rung.
#[derive(Debug, Default)]
pub struct Proofs {
    /// Weakest first.
    pub proofs: Box<[Proof]>,
    /// The `acr_values` listed for rungs; of two lists for one rung the first counts.
    pub challenges: Box<[ListedChallenge]>,
    /// The default rungs whose proofs found no rung of this policy.
    pub dropped: Vec<Box<str>>,
}

/// Compiles the proofs of one issuer, weakest first.
pub fn read(
    own: Written<'_>,
    profile: Written<'_>,
    scale: &Scale,
    claims: &mut ClaimTable,
    out: &mut Report,
) -> Proofs {
    let mut dropped = Vec::new();
    let mut placed = place_all(own, profile, scale, &mut dropped, out);
    placed.sort_by_key(|proof| (proof.rung.ladder(), proof.rung.rank(), proof.strength));
    let listed = challenges(own.challenge, profile.challenge, scale, out);
    let caps = match own.max_level {
        Some(node) => scale.rungs(node, out).unwrap_or_default(),
        None => profile.max_level.map(|node| profile_caps(node, scale, out)).unwrap_or_default(),
    };
    let mut proofs = Vec::new();
    for Placed { rung, node, .. } in placed {
        let Some(evidence) = expression::read(node, claims, out) else { continue };
        let challenge = match listed.iter().find(|listed| listed.rung == rung) {
            Some(listed) => Challenge::Listed(listed.acr_values.clone()),
            None => Challenge::Derived(unique(evidence.acr_values())),
        };
        let rung = caps.iter().find(|cap| rung.reaches(**cap)).copied().unwrap_or(rung);
        proofs.push(Proof { rung, evidence, challenge });
    }
    Proofs { proofs: proofs.into(), challenges: listed.into(), dropped }
}

fn place_all<'n>(
    own: Written<'n>,
    profile: Written<'n>,
    scale: &Scale,
    dropped: &mut Vec<Box<str>>,
    out: &mut Report,
) -> Vec<Placed<'n>> {
    let mut placed: Vec<Placed<'n>> = Vec::new();
    let mut replaced: Vec<Rung> = Vec::new();
    for (key, node) in pairs(own.proves, "`proves`", out) {
        if let Some(rung) = scale.named(&key.text, key.span, out) {
            replaced.push(rung);
            placed.push(Placed { rung, strength: 0, node });
        }
    }
    for (key, node) in pairs(profile.proves, "`proves`", out) {
        let Some(strength) = default_rung(&key.text, key.span, out) else { continue };
        match (scale.like(&key.text), scale.at_most_like(&key.text)) {
            (Some(rung), _) if replaced.contains(&rung) => {}
            (Some(rung), _) | (None, Some(rung)) => placed.push(Placed { rung, strength, node }),
            (None, None) => dropped.push(key.text.clone()),
        }
    }
    placed
}

fn challenges(own: Option<&Node>, profile: Option<&Node>, scale: &Scale, out: &mut Report) -> Vec<ListedChallenge> {
    let what = "a list of `acr_values`";
    let mut listed = Vec::new();
    for (key, node) in pairs(own, "`challenge`", out) {
        let rung = scale.named(&key.text, key.span, out);
        let values = reader::texts(node, what, out);
        listed.extend(rung.zip(values).map(|(rung, acr_values)| ListedChallenge { rung, acr_values }));
    }
    for (key, node) in pairs(profile, "`challenge`", out) {
        let known = default_rung(&key.text, key.span, out);
        let values = reader::texts(node, what, out);
        // The operator's list was put before the profile's, and the first one found counts.
        let rung = known.and_then(|_| scale.like(&key.text));
        listed.extend(rung.zip(values).map(|(rung, acr_values)| ListedChallenge { rung, acr_values }));
    }
    listed
}

fn profile_caps(node: &Node, scale: &Scale, out: &mut Report) -> Vec<Rung> {
    let Some(name) = reader::text(node, "the name of a default level", out) else { return Vec::new() };
    if default_rung(name, node.span, out).is_none() {
        return Vec::new();
    }
    let cap = scale.at_most_like(name);
    if cap.is_none() {
        let message = format!("the profile vouches for nothing above `{name}`, and no level of this policy is like it");
        out.add(
            Problem::error("profile_cap", node.span, message).help("give a level `like`, or set `trust.max_level`"),
        );
    }
    cap.into_iter().collect()
}

fn default_rung(name: &str, span: Span, out: &mut Report) -> Option<usize> {
    let place = ladders::place(name);
    if place.is_none() {
        let help = reader::suggest(name, Ladders::DEFAULT.into_iter());
        out.add(
            Problem::error("unknown_level", span, format!("a profile speaks of default levels, and `{name}` is none"))
                .help(help),
        );
    }
    place
}

fn pairs<'n>(node: Option<&'n Node>, what: &str, out: &mut Report) -> &'n [(Key, Node)] {
    node.and_then(|node| reader::mapping(node, what, out)).unwrap_or_default()
}

fn unique(values: Vec<Box<str>>) -> Box<[Box<str>]> {
    let mut once: Vec<Box<str>> = Vec::new();
    for value in values {
        if !once.contains(&value) {
            once.push(value);
        }
    }
    once.into()
}
