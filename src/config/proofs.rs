//! `proves`, `challenge` and `trust.max_level`: which evidence reaches which rung at one issuer.

use crate::assurance::{Challenge, ClaimTable, Dialect, ListedChallenge, Proof, Rung};
use crate::config::expression;
use crate::config::ladders::Scale;
use crate::config::problem::{Problem, Report};
use crate::config::reader;
use crate::config::yaml::{Key, Kind, Node};

/// What an issuer, its profiles under it, says of proofs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written<'n> {
    /// `proves`.
    pub proves: Option<&'n Node>,
    /// `challenge`.
    pub challenge: Option<&'n Node>,
    /// `dialect`, as far as it could be read.
    pub dialect: Dialect,
    /// `trust.max_level`.
    pub max_level: Option<&'n Node>,
}

/// The compiled proofs.
#[derive(Debug, Default)]
pub struct Proofs {
    /// Weakest first.
    pub proofs: Box<[Proof]>,
    /// The `acr_values` listed for rungs.
    pub challenges: Box<[ListedChallenge]>,
}

/// Compiles the proofs of one issuer, weakest first.
pub fn read(written: Written<'_>, scale: &Scale, claims: &mut ClaimTable, out: &mut Report) -> Proofs {
    let mut placed: Vec<(Rung, &Node)> = Vec::new();
    for (key, node) in pairs(written.proves, "`proves`", out) {
        placed.extend(scale.named(&key.text, key.span, out).map(|rung| (rung, node)));
    }
    placed.sort_by_key(|(rung, _)| (rung.ladder(), rung.rank()));
    let mut listed: Vec<ListedChallenge> = Vec::new();
    for (key, node) in pairs(written.challenge, "`challenge`", out) {
        let rung = scale.named(&key.text, key.span, out);
        let values = reader::texts(node, "a list of `acr_values`", out);
        lint_unwritable(node, written.dialect, out);
        listed.extend(rung.zip(values).map(|(rung, acr_values)| ListedChallenge { rung, acr_values }));
    }
    let caps = written.max_level.and_then(|node| scale.rungs(node, out)).unwrap_or_default();
    let mut proofs = Vec::new();
    for (rung, node) in placed {
        let Some(evidence) = expression::read(node, claims, out) else { continue };
        let challenge = match listed.iter().find(|listed| listed.rung == rung) {
            Some(listed) => Challenge::Listed(listed.acr_values.clone()),
            None => Challenge::Derived(unique(evidence.acr_values())),
        };
        let rung = caps.iter().find(|cap| rung.reaches(**cap)).copied().unwrap_or(rung);
        proofs.push(Proof { rung, evidence, challenge });
    }
    Proofs { proofs: proofs.into(), challenges: listed.into() }
}

/// Values that no challenge in the issuer's dialect can name.
fn lint_unwritable(node: &Node, dialect: Dialect, out: &mut Report) {
    let Kind::List(items) = &node.kind else { return };
    for (item, value) in items.iter().filter_map(|item| Some((item, reader::word_or_text(item)?))) {
        let shown = value.escape_debug();
        let (message, help) = match (dialect.can_name(value), Dialect::Rfc9470.can_name(value)) {
            (true, _) => continue,
            (false, true) => (
                format!("`{shown}` is never asked for: Entra is asked for authentication contexts"),
                "name contexts, `c1` to `c99`, or write `dialect: rfc9470`",
            ),
            (false, false) => (
                format!("`{shown}` is never asked for: `acr_values` can't name it"),
                "name values without spaces, quotes, backslashes and letters beyond ASCII",
            ),
        };
        out.add(Problem::lint("challenge_unwritable", item.span, message).help(help));
    }
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
