//! What came of the cases as JUnit XML, which CI systems read: a suite for each file, a failure for each broken promise, an
//! error for each file that could not be taken.

use crate::cli::render;
use crate::cli::test::case::{Outcome, Results};
use crate::cli::test::human;

/// `verbose`: the steps of cases that came out as expected too.
pub(super) fn text(results: &Results, verbose: bool) -> String {
    let (tests, failures, errors) =
        (results.outcomes.len().saturating_add(results.broken.len()), results.failed(), results.broken.len());
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    xml.push_str(&format!(
        "<testsuites name=\"stepgate test\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\">\n"
    ));
    for (path, rejected) in &results.broken {
        let problems = render::human(&rejected.problems, &rejected.sources, false);
        let path = escaped(path);
        xml.push_str(&format!(
            "  <testsuite name=\"{path}\" tests=\"1\" failures=\"0\" errors=\"1\">\n    \
             <testcase name=\"it can be taken\" classname=\"{path}\">\n      \
             <error message=\"it has errors\" type=\"rejected\">{}</error>\n    </testcase>\n  </testsuite>\n",
            escaped(&problems)
        ));
    }
    for cases in results.outcomes.chunk_by(|one, next| one.file == next.file) {
        let failed = cases.iter().filter(|outcome| !outcome.holds()).count();
        let file = escaped(cases.first().map_or("", |outcome| &outcome.file));
        xml.push_str(&format!(
            "  <testsuite name=\"{file}\" tests=\"{}\" failures=\"{failed}\" errors=\"0\">\n",
            cases.len()
        ));
        cases.iter().for_each(|outcome| xml.push_str(&case(outcome, &file, verbose)));
        xml.push_str("  </testsuite>\n");
    }
    xml + "</testsuites>"
}

/// `file` is escaped already.
fn case(outcome: &Outcome, file: &str, verbose: bool) -> String {
    let head = format!("    <testcase name=\"{}\" classname=\"{file}\"", escaped(&outcome.title()));
    let story = escaped(&format!("{}\n{}", outcome.place(), human::story(outcome)));
    match (outcome.holds(), verbose) {
        (true, false) => format!("{head}/>\n"),
        (true, true) => format!("{head}>\n      <system-out>{story}</system-out>\n    </testcase>\n"),
        (false, _) => {
            let message = escaped(&format!("expected {}, got {}", outcome.expected(), outcome.judged.text));
            let failure = format!("<failure message=\"{message}\" type=\"decision\">{story}</failure>");
            format!("{head}>\n      {failure}\n    </testcase>\n")
        }
    }
}

/// Text for content and attributes of XML 1.0. What may not stand in it at all, not even escaped, is replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' => out.push('\n'),
            '\t' => out.push_str("&#9;"),
            '\r' => out.push_str("&#13;"),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push(char::REPLACEMENT_CHARACTER),
            _ => out.push(c),
        }
    }
    out
}
