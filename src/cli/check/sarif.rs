//! Problems as a SARIF 2.1.0 log. Held against the official schema by tests/schema.

use serde_json::{Value, json};

use crate::cli::render::grade;
use crate::config::lints::{self, Level};
use crate::config::{Problem, Severity, Sources, Span};

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// The results, and the rules of errors that they name; lints are rules whether or not they were found.
#[derive(Debug, Default)]
pub(super) struct Results {
    results: Vec<Value>,
    errors: Vec<&'static str>,
}

impl Results {
    pub(super) fn add(&mut self, problem: &Problem, sources: &Sources) {
        let index = self.rule(problem);
        let level = grade(problem).map_or("error", Level::name);
        let help = problem.help.as_ref().map(|help| format!("\n{help}")).unwrap_or_default();
        let related = problem.related.iter().zip(1..).map(|((span, label), id)| {
            json!({ "id": id, "message": { "text": label }, "physicalLocation": location(*span, sources) })
        });
        self.results.push(json!({
            "ruleId": problem.code,
            "ruleIndex": index,
            "level": level,
            "message": { "text": format!("{}{help}", problem.message) },
            "locations": [{ "physicalLocation": location(problem.span, sources) }],
            "relatedLocations": related.collect::<Vec<_>>(),
        }));
    }

    /// The place of a problem's rule: lints come first, in their order.
    fn rule(&mut self, problem: &Problem) -> usize {
        let lint =
            lints::all().position(|lint| lint.name == problem.code).filter(|_| problem.severity == Severity::Lint);
        lint.unwrap_or_else(|| {
            let place = self.errors.iter().position(|code| *code == problem.code).unwrap_or_else(|| {
                self.errors.push(problem.code);
                self.errors.len().saturating_sub(1)
            });
            lints::all().count().saturating_add(place)
        })
    }

    /// The whole log.
    pub(super) fn log(self) -> Value {
        let lints = lints::all().map(|lint| {
            json!({
                "id": lint.name,
                "shortDescription": { "text": lint.meaning },
                "fullDescription": { "text": lint.why },
                "help": { "text": lint.remedy },
                "defaultConfiguration": { "level": lint.level.name() },
            })
        });
        let errors = self.errors.iter().map(|code| json!({ "id": code, "defaultConfiguration": { "level": "error" } }));
        let rules: Vec<Value> = lints.chain(errors).collect();
        json!({
            "$schema": SCHEMA,
            "version": "2.1.0",
            "runs": [{
                "tool": { "driver": { "name": "stepgate", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
                "columnKind": "unicodeCodePoints",
                "results": self.results,
            }],
        })
    }
}

fn location(span: Span, sources: &Sources) -> Value {
    let start = sources.position(span);
    let end = sources.position(Span { start: span.end, ..span });
    let file = sources.file(span.file).map_or("", |file| file.name.as_str());
    json!({
        "artifactLocation": { "uri": uri(file) },
        "region": {
            "startLine": start.line, "startColumn": start.column, "endLine": end.line, "endColumn": end.column,
        },
    })
}

/// A path as a URI reference (RFC 3986 section 4.1): relative ones stay so, without `./`.
fn uri(path: &str) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/!$&'()*+,;=@".contains(&byte);
    let mut text = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.bytes() {
        if plain(byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SourceFile;

    #[test]
    fn a_path_becomes_a_uri_reference() {
        for (path, is) in [
            ("policies/a.yaml", "policies/a.yaml"),
            ("./a b%.yaml", "a%20b%25.yaml"),
            ("/etc/é:1.yaml", "file:///etc/%C3%A9%3A1.yaml"),
        ] {
            assert_eq!(uri(path), is);
        }
    }

    #[test]
    fn every_result_names_its_rule() {
        let mut sources = Sources::default();
        let file = sources.add(SourceFile { name: "a.yaml".into(), folder: ".".into(), text: "a: é1\n".into() });
        let span = Span { file, start: 3, end: 6 };
        let mut results = Results::default();
        let problems = [
            Problem::error("bad_url", span, "one"),
            Problem::lint("idle_level", span, "two").help("help").related(span, "there"),
            Problem::error("bad_url", span, "three"),
            Problem::error("yaml_key", span, "four"),
        ];
        problems.iter().for_each(|problem| results.add(problem, &sources));
        let log = results.log();
        let (run, levels) = (&log["runs"][0], ["error", "note", "error", "error"]);
        for ((result, problem), level) in run["results"].as_array().unwrap().iter().zip(&problems).zip(levels) {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(run["tool"]["driver"]["rules"][index]["id"], problem.code);
            assert_eq!((&result["ruleId"], &result["level"]), (&json!(problem.code), &json!(level)));
            let region = &result["locations"][0]["physicalLocation"]["region"];
            assert_eq!(*region, json!({ "startLine": 1, "startColumn": 4, "endLine": 1, "endColumn": 6 }));
        }
        assert_eq!(run["results"][1]["message"]["text"], "two\nhelp");
        assert_eq!(run["results"][1]["relatedLocations"][0]["message"]["text"], "there");
    }
}
