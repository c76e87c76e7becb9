//! Problems as text: as rustc shows them, or as JSON.

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde_json::{Value, json};

use crate::config::lints::{self, Level as Grade};
use crate::config::{FileId, Problem, Severity, Sources, Span};

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
    let (here, elsewhere): (Vec<_>, Vec<_>) =
        problem.related.iter().partition(|(span, _)| span.file == problem.span.file);
    let here: Vec<_> = here.into_iter().map(|(span, label)| (AnnotationKind::Context, *span, label.as_str())).collect();
    match sources.file(problem.span.file) {
        Some(file) if problem.secret => {
            let at = sources.position(problem.span);
            group = group.element(Origin::path(file.name.as_str()).line(at.line).char_column(at.column));
        }
        Some(_) => {
            let primary = (AnnotationKind::Primary, problem.span, problem.label.as_str());
            let marks: Vec<_> = std::iter::once(primary).chain(here).collect();
            group = group.elements(snippet(sources, problem.span.file, &marks));
        }
        None => {}
    }
    for (span, label) in elsewhere {
        group = group.elements(snippet(sources, span.file, &[(AnnotationKind::Context, *span, label.as_str())]));
    }
    match &problem.help {
        Some(help) => group.element(Level::HELP.message(help.as_str())),
        None => group,
    }
}

/// The lines of a file that have marks, and no others: a file may be long, and have a thousand problems.
fn snippet<'p>(
    sources: &'p Sources,
    file: FileId,
    marks: &[(AnnotationKind, Span, &'p str)],
) -> Option<Snippet<'p, Annotation<'p>>> {
    let name = sources.file(file)?.name.as_str();
    let excerpt = sources.excerpt(file, marks.iter().map(|(_, span, _)| *span))?;
    let within = |byte: usize| byte.saturating_sub(excerpt.start);
    let marks = marks.iter().map(|(kind, span, label)| kind.span(within(span.start)..within(span.end)).label(*label));
    Some(Snippet::source(excerpt.text).line_start(excerpt.line).path(name).annotations(marks))
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
