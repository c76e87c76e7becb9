//! What came of the cases, for people: what failed, how, and a last line with the counts.

use crate::cli::render;
use crate::cli::test::case::{Outcome, Results};

/// `verbose`: the cases that came out as expected too. `colour`: with terminal escapes.
pub(super) fn text(results: &Results, verbose: bool, colour: bool) -> String {
    let mut text = String::new();
    for (_, rejected) in &results.broken {
        text.push_str(&render::human(&rejected.problems, &rejected.sources, colour));
    }
    for outcome in results.outcomes.iter().filter(|outcome| verbose || !outcome.holds()) {
        let mark = if outcome.holds() { "ok    " } else { "FAILED" };
        text.push_str(&format!("{mark} {}: {}\n{}", outcome.place(), outcome.title(), story(outcome)));
    }
    text + &summary(results)
}

/// What was expected, what came, and the steps, a line each.
pub(super) fn story(outcome: &Outcome) -> String {
    let mut text = format!("  expected {}\n  got      {}\n", outcome.expected(), outcome.judged.text);
    for step in outcome.steps() {
        text.push_str(&format!("  {:8} {}\n", step.name, step.text));
    }
    text
}

/// The last line. Where nothing could be judged, a count of what passed would read like a success.
fn summary(results: &Results) -> String {
    let (passed, failed, broken) = (results.passed(), results.failed(), results.broken.len());
    let files = if broken == 1 { "file or policy has" } else { "files or policies have" };
    match (passed, failed, broken) {
        (_, _, 0) => format!("{passed} passed, {failed} failed"),
        (0, 0, _) => format!("no case was judged: {broken} {files} errors"),
        (_, _, _) => format!("{passed} passed, {failed} failed; {broken} {files} errors"),
    }
}
