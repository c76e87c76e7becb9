//! Silences: `# stepgate: allow LINT because REASON`, at the end of a lint's line or on lines of its own above it.
//!
//! A silence that says no reason, names no lint or is of no use is itself a lint, and nothing silences those. An error is
//! never silenced.

use crate::config::lints::entry::Found;
use crate::config::lints::table;
use crate::config::problem::{Problem, Rejected, Report, Severity};
use crate::config::reader;
use crate::config::source::{FileId, Sources, Span};
use crate::config::yaml::{self, Kind, Node};

const HELP: &str = "write `# stepgate: allow LINT because REASON`";
/// What a comment for us begins with.
const MARK: &str = "# stepgate:";
/// Other tools' words for the same.
const ALIKE: [&str; 6] = ["silence", "ignore", "disable", "suppress", "expect", "nolint"];

/// A silence that was understood.
#[derive(Clone, Debug)]
struct Silence {
    span: Span,
    lint: &'static str,
    /// The bytes of the line that it speaks of.
    line: (usize, usize),
}

/// Problems that were found in files, less the lints that are silenced there, and with what is wrong with the silences.
/// `whole`: every lint was looked for, so that a silence that met none is of no use.
#[must_use]
pub fn settle(problems: Vec<Problem>, sources: &Sources, whole: bool) -> Vec<Problem> {
    let (silences, mut odd) = all(sources);
    if silences.is_empty() && odd.is_empty() {
        return problems;
    }
    if whole {
        let idle = silences.iter().filter(|silence| !problems.iter().any(|problem| silence.meets(problem)));
        let here = |silence: &&Silence| {
            table::find(silence.lint).is_some_and(|lint| matches!(lint.found, Found::Policy | Found::Settings))
        };
        odd.extend(idle.filter(here).map(|silence| {
            let message = format!("this silences nothing: there is no `{}` here", silence.lint);
            let help = "take it out; it stands on the line of the lint or above it";
            Problem::lint("silence_idle", silence.span, message).help(help)
        }));
    }
    let mut left = without(problems, &silences);
    left.extend(odd);
    left.sort_by_key(|problem| (problem.span, problem.severity));
    left
}

/// What is said of files that are not taken. Of what is wrong anyway not everything was looked at.
#[must_use]
pub fn rejected(out: Report, sources: Sources) -> Box<Rejected> {
    let problems = settle(out.into_problems(), &sources, false);
    Box::new(Rejected { problems, sources })
}

/// Problems less the lints that are silenced in their files; of the silences nothing is said.
#[must_use]
pub fn kept(problems: Vec<Problem>, sources: &Sources) -> Vec<Problem> {
    without(problems, &all(sources).0)
}

fn without(mut problems: Vec<Problem>, silences: &[Silence]) -> Vec<Problem> {
    problems.retain(|problem| !silences.iter().any(|silence| silence.meets(problem)));
    problems
}

impl Silence {
    fn meets(&self, problem: &Problem) -> bool {
        problem.severity == Severity::Lint
            && problem.code == self.lint
            && problem.span.file == self.span.file
            && (self.line.0..self.line.1).contains(&problem.span.start)
    }
}

/// The silences of all files, and what is wrong with those that can't be taken.
fn all(sources: &Sources) -> (Vec<Silence>, Vec<Problem>) {
    let (mut silences, mut odd) = (Vec::new(), Vec::new());
    for (id, file) in sources.iter().filter(|(_, file)| file.text.contains(MARK)) {
        // The same words inside a value are no comment.
        let root = yaml::parse(id, &file.text, &mut Report::default());
        for (place, _) in file.text.match_indices(MARK) {
            let Some(comment) = Comment::at(id, &file.text, place) else { continue };
            if root.as_ref().is_some_and(|root| is_inside(root, &comment, &file.text)) {
                continue;
            }
            match comment.read() {
                Some(Ok(lint)) => silences.push(Silence { span: comment.span, lint, line: comment.line(&file.text) }),
                Some(Err(problem)) => odd.push(*problem),
                None => {}
            }
        }
    }
    (silences, odd)
}

/// A comment that is for us.
#[derive(Clone, Copy, Debug)]
struct Comment<'t> {
    span: Span,
    /// What it says after the mark.
    words: &'t str,
    /// Whether the line has nothing else.
    alone: bool,
}

impl<'t> Comment<'t> {
    /// The comment at a place, if one begins there: at the beginning of a line or after a space.
    fn at(file: FileId, text: &'t str, place: usize) -> Option<Self> {
        let before = text.get(..place)?.rsplit('\n').next().unwrap_or_default();
        let whole = text.get(place..)?.split('\n').next().unwrap_or_default().trim_end();
        let alone = before.trim().is_empty();
        // A comment within a comment is a part of its words.
        let begins = alone || before.ends_with([' ', '\t']) && !before.trim_start().starts_with('#');
        let span = Span { file, start: place, end: place.saturating_add(whole.len()) };
        begins.then(|| Self { span, words: whole.get(MARK.len()..).unwrap_or_default().trim(), alone })
    }

    /// The lint that it silences; or what is wrong with it. `None`: it is about something else.
    fn read(&self) -> Option<Result<&'static str, Box<Problem>>> {
        let odd = |problem: Problem| Some(Err(Box::new(problem)));
        let (verb, rest) = self.words.split_once(char::is_whitespace).unwrap_or((self.words, ""));
        if verb != "allow" {
            let meant = strsim::damerau_levenshtein(verb, "allow") <= 2 || ALIKE.contains(&verb);
            let message = format!("`{verb}` silences nothing");
            return odd(Problem::lint("silence_unreadable", self.span, message).help(HELP)).filter(|_| meant);
        }
        let (name, reason) = rest.trim().split_once(char::is_whitespace).unwrap_or((rest.trim(), ""));
        if name.is_empty() {
            return odd(Problem::lint("silence_unreadable", self.span, "this names no lint").help(HELP));
        }
        let Some(lint) = table::find(name) else {
            let near = reader::suggest(name, table::names());
            let near = Some(near).filter(|near| near.starts_with("did you mean"));
            let help = near.unwrap_or_else(|| "`stepgate check --lints` lists them; an error can't be silenced".into());
            let message = format!("there is no lint `{name}`");
            return odd(Problem::lint("silence_unknown", self.span, message).help(help));
        };
        if lint.name.starts_with("silence_") {
            let message = format!("`{name}` is about silences themselves, and can't be silenced");
            return odd(Problem::lint("silence_unknown", self.span, message).help("mend the silence that it is about"));
        }
        let said = reason.trim().strip_prefix("because").filter(|rest| rest.starts_with(char::is_whitespace));
        if said.is_none_or(|said| !said.contains(char::is_alphanumeric)) {
            let message = format!("a silence without a reason: `{name}` is still said");
            let help = format!("say why it is meant: `# stepgate: allow {name} because REASON`");
            return odd(Problem::lint("silence_without_reason", self.span, message).help(help));
        }
        Some(Ok(lint.name))
    }

    /// The line that it speaks of: its own, or where it stands alone the first below with something else than a comment.
    fn line(&self, text: &str) -> (usize, usize) {
        let mut start =
            text.get(..self.span.start).unwrap_or_default().rfind('\n').map_or(0, |end| end.saturating_add(1));
        let rest = text.get(start..).unwrap_or_default();
        for line in rest.split_inclusive('\n') {
            let end = start.saturating_add(line.len());
            if !self.alone || !line.trim_start().starts_with('#') {
                // A lint of the file as a whole may stand at its very end.
                return (start, end);
            }
            start = end;
        }
        (start, start.saturating_add(1))
    }
}

/// Whether a comment's place is inside a key or a scalar.
fn is_inside(node: &Node, comment: &Comment<'_>, text: &str) -> bool {
    let within = |span: Span| (span.start..span.end).contains(&comment.span.start);
    match &node.kind {
        Kind::Scalar { plain: false, .. } => {
            within(node.span) || (node.span.start..block_end(text, node.span.start)).contains(&comment.span.start)
        }
        Kind::Scalar { .. } => within(node.span),
        Kind::List(items) => items.iter().any(|item| is_inside(item, comment, text)),
        Kind::Map(pairs) => pairs.iter().any(|(key, node)| within(key.span) || is_inside(node, comment, text)),
        Kind::Null => false,
    }
}

/// Where a block of text (`|` or `>`) ends that begins at a place: before the first line that is indented less than its
/// first. For the parser it begins with its mark, or with what follows on it.
fn block_end(text: &str, start: usize) -> usize {
    let (before, rest) = text.split_at_checked(start).unwrap_or((text, ""));
    if rest.starts_with(['"', '\'']) {
        return start;
    }
    let header = before.trim_end().rsplit('\n').next().unwrap_or_default();
    let is_content = header.contains(['|', '>']) && !rest.starts_with(['|', '>']);
    // The indentation of the first line may stand before the place.
    let begun = before.rsplit('\n').next().unwrap_or_default();
    let rest = if is_content { text.get(start.saturating_sub(begun.len())..).unwrap_or_default() } else { rest };
    let indent = |line: &str| line.len().saturating_sub(line.trim_start_matches(' ').len());
    let (mut end, mut first) = (text.len().saturating_sub(rest.len()), None);
    for (number, line) in rest.split_inclusive('\n').enumerate() {
        let counts = (number > 0 || is_content) && !line.trim().is_empty();
        if counts && indent(line) < *first.get_or_insert(indent(line)) {
            break;
        }
        end = end.saturating_add(line.len());
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::SourceFile;

    fn settled(text: &str, at: &[(&'static str, &str)], whole: bool) -> Vec<(&'static str, usize)> {
        let mut sources = Sources::default();
        let file = sources.add(SourceFile { name: "p".into(), folder: ".".into(), text: text.into() });
        let place = |word: &str| {
            let (start, _) = text.match_indices(word).next().unwrap();
            Span { file, start, end: start.saturating_add(word.len()) }
        };
        let problems = at.iter().map(|(code, word)| match code.strip_prefix("error:") {
            Some(code) => Problem::error(code, place(word), "m"),
            None => Problem::lint(code, place(word), "m"),
        });
        let left = settle(problems.collect(), &sources, whole);
        left.iter().map(|problem| (problem.code, sources.position(problem.span).line)).collect()
    }

    #[test]
    fn a_lint_is_silenced_on_its_line_or_above_it_and_nowhere_else() {
        let because = "# stepgate: allow weaker_method because it is meant";
        let one = [("weaker_method", "HERE")];
        for text in [
            format!("a: HERE {because}\n"),
            format!("{because}\na: HERE\n"),
            format!("x:\n  {because}\n  # and a word more\n  a: HERE\n"),
            format!("é: ä\n{because}\n# stepgate: allow plain_http because both are meant\na: HERE\n"),
        ] {
            assert_eq!(settled(&text, &one, true), [], "{text}");
        }
        for (text, line) in [
            (format!("a: HERE\n{because}\nb: 1\n"), 1),
            (format!("{because}\n\na: HERE\n"), 3),
            (format!("b: 1 {because}\na: HERE\n"), 2),
        ] {
            assert!(settled(&text, &one, true).contains(&("weaker_method", line)), "{text}");
            assert_eq!(settled(&text, &one, true).len(), 2, "{text}");
        }
    }

    #[test]
    fn an_error_or_another_lint_is_not_silenced() {
        let text = "# stepgate: allow plain_http because so\na: HERE\n";
        assert_eq!(settled(text, &[("error:plain_http", "HERE")], false), [("plain_http", 2)]);
        assert_eq!(settled(text, &[("weaker_method", "HERE")], false), [("weaker_method", 2)]);
    }

    #[test]
    fn what_is_wrong_with_a_silence_is_said() {
        for (comment, code) in [
            ("allow weaker_method", "silence_without_reason"),
            ("allow weaker_method because", "silence_without_reason"),
            ("allow weaker_method because ...", "silence_without_reason"),
            ("allow weaker_method becausethis", "silence_without_reason"),
            ("allow weaker_methods because it is meant", "silence_unknown"),
            ("allow unknown_key because it is an error", "silence_unknown"),
            ("allow silence_idle because it is meant", "silence_unknown"),
            ("allow", "silence_unreadable"),
            ("alow weaker_method because it is meant", "silence_unreadable"),
            ("ignore weaker_method because it is meant", "silence_unreadable"),
            ("allow no_routes because there are some", "silence_idle"),
        ] {
            let text = format!("# stepgate: {comment}\na: HERE\n");
            let said = settled(&text, &[("weaker_method", "HERE")], true);
            assert_eq!(said, [(code, 1), ("weaker_method", 2)], "{comment}");
        }
    }

    #[test]
    fn where_not_everything_was_looked_for_no_silence_is_of_no_use() {
        let text = "# stepgate: allow no_routes because there are some\na: HERE\n";
        assert_eq!(settled(text, &[], false), []);
        assert_eq!(settled("# stepgate: allow file_not_usable because it is elsewhere\na: HERE\n", &[], true), []);
    }

    #[test]
    fn a_comment_below_a_block_of_text_is_one() {
        let text = "a: |\n  x\n# stepgate: allow nothing\nb: 1\n";
        assert_eq!(settled(text, &[], true), [("silence_unknown", 3)]);
    }

    #[test]
    fn a_text_that_looks_like_a_silence_is_none() {
        for text in [
            "a: '# stepgate: allow nothing'\n",
            "a: |\n  x\n  # stepgate: allow nothing\nb: 1\n",
            "a: >-\n\n   x\n\n     # stepgate: allow nothing\nb: 1\n",
            "# see # stepgate: allow nothing\na: 1\n",
            "# stepgate: the gate\na: 1\n",
            "a: x# stepgate: allow nothing\n",
        ] {
            assert_eq!(settled(text, &[], true), [], "{text}");
        }
    }
}
