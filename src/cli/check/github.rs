//! Problems as GitHub's workflow commands, one a line (GitHub documentation: workflow commands for GitHub Actions).

use crate::cli::render::grade;
use crate::config::lints::Level;
use crate::config::{Problem, Sources, Span};

/// One problem.
pub(super) fn command(problem: &Problem, sources: &Sources) -> String {
    let word = match grade(problem) {
        None => "error",
        Some(Level::Warning) => "warning",
        Some(Level::Note) => "notice",
    };
    let file = sources.file(problem.span.file).map_or("", |file| file.name.as_str());
    let start = sources.position(problem.span);
    let end = sources.position(Span { start: problem.span.end, ..problem.span });
    let mut properties = format!("file={},line={},endLine={}", property(file), start.line, end.line);
    // Columns are taken only within one line.
    if start.line == end.line {
        properties.push_str(&format!(",col={},endColumn={}", start.column, end.column));
    }
    let help = problem.help.as_ref().map(|help| format!("\nhelp: {help}")).unwrap_or_default();
    format!("::{word} {properties},title={}::{}", property(problem.code), data(&format!("{}{help}", problem.message)))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SourceFile;

    #[test]
    fn a_command_is_one_line_whatever_the_problem_says() {
        let mut sources = Sources::default();
        let file = SourceFile { name: "a,b:100%.yaml".into(), folder: ".".into(), text: "é: 1\nb: 2\n".into() };
        let file = sources.add(file);
        let span = Span { file, start: 6, end: 7 };
        let problem = Problem::error("bad_url", span, "50%\r\nof: it, all").help("mend it");
        let said = "::error file=a%2Cb%3A100%25.yaml,line=2,endLine=2,col=1,endColumn=2,title=bad_url::50%25%0D%0Aof: it, all%0Ahelp: mend it";
        assert_eq!(command(&problem, &sources), said);
        let lint = |code| command(&Problem::lint(code, Span { start: 0, ..span }, "m"), &sources);
        assert_eq!(lint("weaker_method"), "::warning file=a%2Cb%3A100%25.yaml,line=1,endLine=2,title=weaker_method::m");
        assert!(lint("idle_level").starts_with("::notice "), "{}", lint("idle_level"));
    }
}
