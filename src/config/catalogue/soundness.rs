//! Of a profile's proofs and challenges: each rung can be reached, what proves one proves those below, and what is asked
//! for counts.

use crate::assurance::{ListedChallenge, Source};
use crate::config::catalogue::models::Models;
use crate::config::catalogue::{Subject, place_of};
use crate::config::problem::{Problem, Report};
use crate::config::source::Span;
use crate::token::{ClaimPath, Json};

/// What the models have shown of one proof.
#[derive(Clone, Debug, Default)]
struct Shown {
    /// It holds of some sign-in.
    holds: bool,
    /// It is the strongest that holds of some sign-in.
    is_level: bool,
    /// Weaker proofs that do not hold where it does, with the claims of such a sign-in.
    gaps: Vec<(usize, Json)>,
}

/// Tries the proofs and challenges of a profile.
pub(super) fn check(subject: &Subject<'_>, out: &mut Report) {
    let issuer = subject.issuer;
    let asked: Vec<&str> =
        issuer.challenges.iter().flat_map(|listed| &listed.acr_values).map(|value| &**value).collect();
    let models = Models::of(issuer, subject.claims, &asked);
    if models.too_many() {
        let message = "the proofs look at so many values that they can't all be tried; say it with fewer";
        out.add(Problem::error("profile_too_large", subject.read.issuer.span, message));
        return;
    }
    let mut shown = vec![Shown::default(); issuer.proofs.len()];
    for claims in models.each(None) {
        for trusted in [issuer.reading.user_verification_trusted, true] {
            note(subject, &models.holding(&claims, trusted), trusted, &claims, &mut shown);
        }
    }
    report(subject, shown, out);
    if issuer.proofs.iter().any(|proof| proof.evidence.consults().contains(&Source::Acr)) {
        for listed in &issuer.challenges {
            challenge(subject, &models, listed, out);
        }
    }
}

fn note(subject: &Subject<'_>, holding: &[bool], trusted: bool, claims: &Json, shown: &mut [Shown]) {
    let proofs = &subject.issuer.proofs;
    let holds = |place: usize| holding.get(place).copied().unwrap_or_default();
    for (_, (proof, shown)) in proofs.iter().zip(shown).enumerate().filter(|(place, _)| holds(*place)) {
        let others = || proofs.iter().enumerate().filter(|(_, other)| other.rung.ladder() == proof.rung.ladder());
        // An operator may trust user verification; what a profile reaches it must reach without.
        if trusted == subject.issuer.reading.user_verification_trusted {
            shown.holds = true;
            shown.is_level |= !others().any(|(other, above)| above.rung.rank() > proof.rung.rank() && holds(other));
        }
        for (other, _) in others().filter(|(other, below)| below.rung.rank() < proof.rung.rank() && !holds(*other)) {
            if !shown.gaps.iter().any(|(known, _)| *known == other) {
                shown.gaps.push((other, claims.clone()));
            }
        }
    }
}

fn report(subject: &Subject<'_>, shown: Vec<Shown>, out: &mut Report) {
    let name = |place: usize| {
        subject.issuer.proofs.get(place).map(|proof| subject.ladders.name(proof.rung)).unwrap_or_default()
    };
    for (place, shown) in shown.into_iter().enumerate() {
        let span = key_in(subject, "proves", name(place));
        if !shown.is_level {
            let why =
                if shown.holds { "whatever proves it proves a stronger one too" } else { "its proof never holds" };
            let message = format!("no sign-in has just the level `{}`: {why}", name(place));
            out.add(Problem::error("profile_unreachable", span, message));
        }
        for (below, claims) in shown.gaps {
            let claims = serde_json::to_string(&claims).unwrap_or_default();
            let message = format!("{claims} proves `{}` and not the weaker `{}`", name(place), name(below));
            let help = "a proof must by itself be enough for every rung below; let the weaker proof take this too";
            out.add(Problem::error("profile_gap", span, message).help(help));
        }
    }
}

/// One of the values asked for must make a difference: some sign-in with it reaches the rung, and would not with a value
/// that nobody has heard of.
fn challenge(subject: &Subject<'_>, models: &Models<'_>, listed: &ListedChallenge, out: &mut Report) {
    let reaches = |claims: &Json| {
        let holding = models.holding(claims, subject.issuer.reading.user_verification_trusted);
        let proofs = subject.issuer.proofs.iter().zip(holding);
        proofs.filter(|(_, holds)| *holds).any(|(proof, _)| proof.rung.reaches(listed.rung))
    };
    let fixed = |value: Option<&str>| -> Option<(&ClaimPath, Json)> { models.acr(value) };
    let counts = |value: &str| {
        let Some(((claim, with), (_, without))) = fixed(Some(value)).zip(fixed(None)) else { return false };
        let (with, without) = (models.each(Some((claim, &with))), models.each(Some((claim, &without))));
        with.zip(without).any(|(with, without)| reaches(&with) && !reaches(&without))
    };
    if listed.acr_values.iter().any(|value| counts(value)) {
        return;
    }
    let name = subject.ladders.name(listed.rung);
    let message = format!("no value that is asked for `{name}` brings a sign-in to it");
    out.add(Problem::error("profile_challenge", key_in(subject, "challenge", name), message));
}

fn key_in(subject: &Subject<'_>, section: &str, name: &str) -> Span {
    let issuer = &subject.read.issuer;
    issuer.member(section).map_or(issuer.span, |node| place_of(node, name))
}
