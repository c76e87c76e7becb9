//! The texts that a policy was read from, and places in them.

use std::path::PathBuf;

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
pub struct Sources(Vec<SourceFile>);

impl Sources {
    /// Takes a file in and gives it a number.
    pub fn add(&mut self, file: SourceFile) -> FileId {
        let id = FileId(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        self.0.push(file);
        id
    }

    /// The file with this number.
    #[must_use]
    pub fn file(&self, id: FileId) -> Option<&SourceFile> {
        self.0.get(usize::try_from(id.0).ok()?)
    }

    /// Where a stretch begins.
    #[must_use]
    pub fn position(&self, span: Span) -> Position {
        let before = self.file(span.file).and_then(|file| file.text.get(..span.start)).unwrap_or_default();
        let line = before.bytes().filter(|byte| *byte == b'\n').count().saturating_add(1);
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count().saturating_add(1);
        Position { line, column }
    }

    /// All files, in the order in which they were taken in.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &SourceFile)> {
        (0u32..).map(FileId).zip(&self.0)
    }
}
