//! What came of the cases, as one JSON object.

use serde_json::{Value, json};

use crate::cli::render;
use crate::cli::test::case::{Outcome, Results, decision};
use crate::config::cases::Expected;

pub(super) fn text(results: &Results) -> String {
    let problems = results.broken.iter().flat_map(|(_, rejected)| render::json(&rejected.problems, &rejected.sources));
    json!({
        "passed": results.passed(),
        "failed": results.failed(),
        "broken": results.broken.len(),
        "cases": results.outcomes.iter().map(case).collect::<Vec<_>>(),
        "problems": problems.collect::<Vec<Value>>(),
    })
    .to_string()
}

fn case(outcome: &Outcome) -> Value {
    let steps: Vec<Value> =
        outcome.judged.steps.iter().map(|step| json!({ "step": step.name, "text": step.text })).collect();
    let (expected, reason) = match outcome.expected {
        Expected::Allow => ("allow", None),
        Expected::Deny(reason) => ("deny", reason),
    };
    let judged = &outcome.judged;
    json!({
        "file": outcome.file,
        "line": outcome.line,
        "name": outcome.name,
        "request": outcome.request,
        "tokens": outcome.tokens,
        "passed": outcome.holds(),
        "expected": { "decision": expected, "reason": reason.map(|reason| reason.code()) },
        "got": { "decision": decision(judged.reason), "reason": judged.reason.map(|reason| reason.code()), "text": judged.text },
        "hint": judged.hint,
        "steps": steps,
    })
}
