//! What came of the cases, for people: what failed, how, and a last line with the counts.

use crate::cli::render;
use crate::cli::test::case::{Outcome, Results};
use crate::cli::test::coverage::Coverage;

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
    for coverage in &results.coverage {
        text.push_str(&covered(coverage));
    }
    text + &summary(results)
}

/// What the cases reach of a policy, counted, and what none does.
fn covered(coverage: &Coverage) -> String {
    let mut text = format!("coverage of {}\n", coverage.folder);
    for (what, count) in coverage.counts() {
        text.push_str(&format!("  {what:9}{} of {}\n", count.reached, count.all));
    }
    for gap in &coverage.gaps {
        text.push_str(&format!("  lacks    {}: {}\n", gap.at, gap.lacks));
    }
    text
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
