//! Problems as text: as rustc shows them, or as JSON.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde_json::{Value, json};

use crate::config::lints::{self, Level as Grade};
use crate::config::secrets::veiled;
use crate::config::{Problem, Severity, Sources, Span};

/// How problems are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// With a snippet, for people
    #[default]
    Human,
    /// One JSON array
    Json,
}

/// Problems with their snippets. `colour`: with terminal escapes.
#[must_use]
pub fn human(problems: &[Problem], sources: &Sources, colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let mut text = String::new();
    for problem in problems {
        text.push_str(&renderer.render(&[group(problem, sources)]));
        text.push_str("\n\n");
    }
    text
}

/// How much a lint matters; `None`: it is an error.
#[must_use]
pub fn grade(problem: &Problem) -> Option<Grade> {
    match problem.severity {
        Severity::Error => None,
        Severity::Lint => Some(lints::find(problem.code).map_or(Grade::Warning, |lint| lint.level)),
    }
}

fn group<'p>(problem: &'p Problem, sources: &'p Sources) -> Group<'p> {
    let level = match grade(problem) {
        None => Level::ERROR,
        Some(Grade::Warning) => Level::WARNING,
        Some(Grade::Note) => Level::NOTE,
    };
    let mut group = Group::with_title(level.primary_title(problem.message.as_str()).id(problem.code));
    let mut here = vec![AnnotationKind::Primary.span(range(problem.span)).label(problem.label.as_str())];
    let mut elsewhere = Vec::new();
    for (span, label) in &problem.related {
        if span.file == problem.span.file {
            here.push(AnnotationKind::Context.span(range(*span)).label(label.as_str()));
        } else {
            elsewhere.push((span, label));
        }
    }
    match sources.file(problem.span.file) {
        Some(file) if problem.secret => {
            let at = sources.position(problem.span);
            group = group.element(Origin::path(file.name.as_str()).line(at.line).char_column(at.column));
        }
        Some(file) => {
            group = group.element(Snippet::source(veiled(&file.text)).path(file.name.as_str()).annotations(here));
        }
        None => {}
    }
    for (span, label) in elsewhere {
        if let Some(file) = sources.file(span.file) {
            let note = AnnotationKind::Context.span(range(*span)).label(label.as_str());
            group = group.element(Snippet::source(veiled(&file.text)).path(file.name.as_str()).annotation(note));
        }
    }
    match &problem.help {
        Some(help) => group.element(Level::HELP.message(help.as_str())),
        None => group,
    }
}

fn range(span: Span) -> std::ops::Range<usize> {
    span.start..span.end
}

/// Problems as JSON values: severity, level, code, file, line, column, message, help, related.
#[must_use]
pub fn json(problems: &[Problem], sources: &Sources) -> Vec<Value> {
    problems.iter().map(|problem| one(problem, sources)).collect()
}

fn one(problem: &Problem, sources: &Sources) -> Value {
    let severity = match problem.severity {
        Severity::Error => "error",
        Severity::Lint => "lint",
    };
    let related: Vec<Value> = problem
        .related
        .iter()
        .map(|(span, label)| {
            let mut place = place(*span, sources);
            if let Value::Object(members) = &mut place {
                members.insert("message".to_owned(), label.as_str().into());
            }
            place
        })
        .collect();
    let mut value = place(problem.span, sources);
    if let Value::Object(members) = &mut value {
        members.insert("severity".to_owned(), severity.into());
        members.insert("level".to_owned(), grade(problem).map_or("error", Grade::name).into());
        members.insert("code".to_owned(), problem.code.into());
        members.insert("message".to_owned(), problem.message.as_str().into());
        members.insert("help".to_owned(), problem.help.clone().into());
        members.insert("related".to_owned(), related.into());
    }
    value
}

fn place(span: Span, sources: &Sources) -> Value {
    let start = sources.position(span);
    let end = sources.position(Span { start: span.end, ..span });
    let file = sources.file(span.file).map(|file| file.name.as_str());
    json!({ "file": file, "line": start.line, "column": start.column, "end_line": end.line, "end_column": end.column })
}
