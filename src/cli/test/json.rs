//! What came of the cases, as one JSON object.

use serde_json::{Value, json};

use crate::cli::render;
use crate::cli::test::case::{Outcome, Results};
use crate::reason::Reason;

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
    let code = |reason: Option<Reason>| reason.map(Reason::code);
    let (expected, judged) = (outcome.expected, &outcome.judged);
    let got = judged.decision;
    json!({
        "file": outcome.file,
        "line": outcome.line,
        "name": outcome.name,
        "request": outcome.request,
        "tokens": outcome.tokens,
        "passed": outcome.holds(),
        "expected": { "decision": expected.decision(), "reason": code(expected.reason()) },
        "got": { "decision": got.name(), "reason": code(got.reason()), "text": judged.text },
        "hint": judged.hint,
        "steps": steps,
    })
}
