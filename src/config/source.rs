//! The texts that a policy was read from, and places in them.

use std::path::PathBuf;
use std::sync::OnceLock;

use crate::config::secrets::veiled;

/// One file, read by whoever may read files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// How messages call it: its path as the operator would write it.
    pub name: String,
    /// The folder that paths inside it are relative to.
    pub folder: PathBuf,
    /// What it says.
    pub text: String,
}

/// The number of a file in its [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(u32);

/// A stretch of one file: bytes from `start` up to, not including, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// Its first byte.
    pub start: usize,
    /// The byte after its last one.
    pub end: usize,
}

/// A place as people count: lines and characters from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

/// A file that a key names. Whoever may open files looks whether it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// Where its path is written.
    pub span: Span,
    /// Its path.
    pub path: PathBuf,
    /// What for.
    pub purpose: Purpose,
}

/// What a file that a key names is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// `jwks_file`: read.
    KeySet,
    /// `ca`: read.
    Authority,
    /// `audit.path`: appended to, and made if it is not there.
    AuditLog,
    /// `tls.cert`: a certificate chain, in PEM.
    Certificate,
    /// `tls.key`: a private key, in PEM.
    PrivateKey {
        /// The file with the chain whose first certificate it belongs to.
        certificate: PathBuf,
    },
    /// `{ file: … }` where a secret is asked for: read.
    Secret,
    /// `{ file: … }` under `seal.keys`: read.
    SealKey,
    /// `identity.assertion.key`: a private key, in PEM.
    AssertionKey,
    /// `keys.cache_dir`: a folder that is written to, made if it is not there.
    KeyCache,
    /// An upstream's Unix socket. The application makes it, in its own time.
    Socket,
}

/// The files that one reading looked at.
#[derive(Clone, Debug, Default)]
pub struct Sources(Vec<Indexed>);

/// A file with what is found out of it once it is asked for: a policy may have thousands of places to show.
#[derive(Clone, Debug)]
struct Indexed {
    file: SourceFile,
    /// Where its lines begin.
    lines: OnceLock<Box<[usize]>>,
    /// Its text without secrets.
    veiled: OnceLock<Box<str>>,
}

/// Whole lines of a file, as they may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excerpt<'s> {
    /// The lines; secrets in them are stars.
    pub text: &'s str,
    /// The number of the first, from 1.
    pub line: usize,
    /// The byte of the file that it begins with.
    pub start: usize,
}

impl Indexed {
    /// Where lines begin; the first always does.
    fn lines(&self) -> &[usize] {
        self.lines.get_or_init(|| {
            let ends = self.file.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
            std::iter::once(0).chain(ends.map(|(end, _)| end.saturating_add(1))).collect()
        })
    }

    /// The line that a byte stands in, from 0, and where that begins.
    fn line_of(&self, byte: usize) -> (usize, usize) {
        let line = self.lines().partition_point(|start| *start <= byte).saturating_sub(1);
        (line, self.lines().get(line).copied().unwrap_or_default())
    }
}

impl Sources {
    /// Takes a file in and gives it a number.
    pub fn add(&mut self, file: SourceFile) -> FileId {
        let id = FileId(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        self.0.push(Indexed { file, lines: OnceLock::new(), veiled: OnceLock::new() });
        id
    }

    fn indexed(&self, id: FileId) -> Option<&Indexed> {
        self.0.get(usize::try_from(id.0).ok()?)
    }

    /// The file with this number.
    #[must_use]
    pub fn file(&self, id: FileId) -> Option<&SourceFile> {
        self.indexed(id).map(|indexed| &indexed.file)
    }

    /// Where a stretch begins.
    #[must_use]
    pub fn position(&self, span: Span) -> Position {
        let found = self.indexed(span.file).and_then(|indexed| {
            let (line, start) = indexed.line_of(span.start);
            let before = indexed.file.text.get(start..span.start)?;
            Some(Position { line: line.saturating_add(1), column: before.chars().count().saturating_add(1) })
        });
        found.unwrap_or(Position { line: 1, column: 1 })
    }

    /// The lines from the first that one of these stretches of the file touches to the last.
    #[must_use]
    pub fn excerpt(&self, file: FileId, spans: impl Iterator<Item = Span>) -> Option<Excerpt<'_>> {
        let indexed = self.indexed(file)?;
        let touched = spans.filter(|span| span.file == file).map(|span| (span.start, span.end));
        let (first, last) = touched.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)))?;
        // The end of a file is shown behind its last line.
        let end = indexed.file.text.len().saturating_sub(1);
        let (line, start) = indexed.line_of(first.min(end));
        let (end_line, _) = indexed.line_of(last.min(end));
        let text: &str = indexed.veiled.get_or_init(|| veiled(&indexed.file.text).into());
        let end = indexed.lines().get(end_line.saturating_add(1)).copied().unwrap_or(text.len());
        Some(Excerpt { text: text.get(start..end)?, line: line.saturating_add(1), start })
    }

    /// All files, in the order in which they were taken in.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &SourceFile)> {
        (0u32..).map(FileId).zip(self.0.iter().map(|indexed| &indexed.file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(text: &str) -> (Sources, FileId) {
        let mut sources = Sources::default();
        let file = sources.add(SourceFile { name: "a.yaml".into(), folder: ".".into(), text: text.into() });
        (sources, file)
    }

    #[test]
    fn places_are_counted_in_lines_and_characters_from_one() {
        let text = "é: 1\r\n\nb: 2\n";
        let (sources, file) = sources(text);
        for at in 0..=text.len() {
            let place = sources.position(Span { file, start: at, end: at });
            let Some(before) = text.get(..at) else { continue };
            let (line, column) =
                (before.matches('\n').count() + 1, before.rsplit('\n').next().unwrap().chars().count() + 1);
            assert_eq!(place, Position { line, column }, "{at}");
        }
        let beyond = Span { file, start: text.len() + 1, end: text.len() + 9 };
        assert_eq!(sources.position(beyond), Position { line: 1, column: 1 });
    }

    #[test]
    fn an_excerpt_has_whole_lines_and_no_secret() {
        let (sources, file) = sources("a: 1\nb: 2\npassword: abc\nd: 4");
        let excerpt = |spans: &[(usize, usize)]| {
            let spans = spans.iter().map(|(start, end)| Span { file, start: *start, end: *end });
            let Excerpt { text, line, start } = sources.excerpt(file, spans)?;
            Some((text, line, start))
        };
        assert_eq!(excerpt(&[(5, 6)]), Some(("b: 2\n", 2, 5)));
        assert_eq!(excerpt(&[(20, 23), (8, 9)]), Some(("b: 2\npassword: ***\n", 2, 5)));
        assert_eq!(excerpt(&[(24, 25)]), Some(("d: 4", 4, 24)));
        assert_eq!(excerpt(&[(28, 28)]), Some(("d: 4", 4, 24)), "the end is shown behind the last line");
        assert_eq!(excerpt(&[(0, 99)]).map(|(_, line, start)| (line, start)), Some((1, 0)));
        assert_eq!(excerpt(&[]), None);
    }
}
