//! What came of the cases, as one JSON object.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::cli::render;
use crate::cli::test::case::{Outcome, Results};
use crate::cli::test::coverage::Coverage;
use crate::reason::Reason;

pub(super) fn text(results: &Results) -> String {
    let problems = results.broken.iter().flat_map(|(_, rejected)| render::json(&rejected.problems, &rejected.sources));
    json!({
        "passed": results.passed(),
        "failed": results.failed(),
        "broken": results.broken.len(),
        "cases": results.outcomes.iter().map(case).collect::<Vec<_>>(),
        "problems": problems.collect::<Vec<Value>>(),
        "coverage": results.coverage.iter().map(covered).collect::<Vec<_>>(),
    })
    .to_string()
}

fn covered(coverage: &Coverage) -> Value {
    let counts = coverage.counts().map(|(what, count)| (what, json!({ "reached": count.reached, "all": count.all })));
    json!({
        "folder": coverage.folder,
        "counts": counts.into_iter().collect::<BTreeMap<_, _>>(),
        "gaps": coverage.gaps.iter().map(|gap| json!({ "at": gap.at, "lacks": gap.lacks })).collect::<Vec<_>>(),
    })
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
