//! Reads a policy folder: the files that together are one policy. Reads texts, understands nothing of them.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::config::SourceFile;

/// Why a file or folder cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be read.
    #[error("failed to read `{path}`: {error}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is a pipe, a socket or a device: reading it might never end.
    #[error("failed to read `{0}`: it is no plain file")]
    NotPlain(PathBuf),
    /// It is no text.
    #[error("failed to read `{0}`: it is not UTF-8 text")]
    NotText(PathBuf),
    /// It is longer than any policy.
    #[error("failed to read `{0}`: it is larger than 4 MiB, which no policy file is")]
    TooLarge(PathBuf),
    /// The folder holds no policy.
    #[error(
        "no policy in `{0}`: it holds no file that ends in .yaml or .yml (*.test.yaml are tests, subfolders are not read)"
    )]
    Empty(PathBuf),
}

const MAX_FILE: u64 = 4 << 20;

/// What a policy folder holds: its files, or why they cannot be had. Two that are equal make the same policy.
pub type Content = Result<Vec<SourceFile>, Vec<String>>;

/// What a policy folder holds now.
pub fn content(folder: &Path) -> Content {
    read_folder(folder).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

/// The policy files of a folder, in the order of their names. Subfolders, tests and hidden files are left out.
///
/// # Errors
/// Everything that cannot be read, and a folder without policy.
pub fn read_folder(folder: &Path) -> Result<Vec<SourceFile>, Vec<ReadError>> {
    let io = |error| vec![ReadError::Io { path: folder.into(), error }];
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        // A mounted ConfigMap holds links to files, and hidden folders that they lead through: links are followed.
        if is_policy(&path) && !path.is_dir() {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(vec![ReadError::Empty(folder.into())]);
    }
    paths.sort();
    let (mut files, mut errors) = (Vec::new(), Vec::new());
    for path in paths {
        match read_plain_file(&path) {
            Ok(file) => files.push(file),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(files) } else { Err(errors) }
}

/// One file of a folder, in which there may be anything.
///
/// # Errors
/// As those of [`read_file`], and when it is no plain file.
pub fn read_plain_file(path: &Path) -> Result<SourceFile, ReadError> {
    // Asked first: opening a pipe would wait for its writer, and no later change would be noticed.
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(ReadError::NotPlain(path.into()));
    }
    read_file(path)
}

/// One file.
///
/// # Errors
/// When it cannot be read, is no text or too large.
pub fn read_file(path: &Path) -> Result<SourceFile, ReadError> {
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(MAX_FILE.saturating_add(1)).read_to_end(&mut bytes));
    match read {
        Err(error) => return Err(ReadError::Io { path: path.into(), error }),
        Ok(length) if u64::try_from(length).is_ok_and(|length| length > MAX_FILE) => {
            return Err(ReadError::TooLarge(path.into()));
        }
        Ok(_) => {}
    }
    let text = String::from_utf8(bytes).map_err(|_not_text| ReadError::NotText(path.into()))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(SourceFile { name: path.display().to_string(), folder: folder.into(), text })
}

/// Whether a file of this name is part of its folder's policy: `*.yaml` or `*.yml`, not hidden, not a test.
#[must_use]
pub fn is_policy(path: &Path) -> bool {
    stem(path).is_some_and(|stem| !stem.ends_with(".test"))
}

/// Whether a file of this name holds tests: `*.test.yaml` or `*.test.yml`, not hidden.
#[must_use]
pub fn is_test(path: &Path) -> bool {
    stem(path).is_some_and(|stem| stem.ends_with(".test"))
}

fn stem(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    let stem = name.strip_suffix(".yaml").or_else(|| name.strip_suffix(".yml"))?;
    (!stem.is_empty() && !stem.starts_with('.')).then_some(stem)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn policy_files_are_read_in_the_order_of_their_names_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str| fs::write(folder.path().join(name), name).unwrap();
        fs::create_dir(folder.path().join("..data")).unwrap();
        fs::create_dir(folder.path().join("examples.yaml")).unwrap();
        for name in ["b.yaml", "a.yml", "b.test.yaml", ".b.yaml.swp", ".c.yaml", "notes.md", ".yaml", "..data/linked"] {
            put(name);
        }
        symlink("..data/linked", folder.path().join("c.yaml")).unwrap();
        let files = read_folder(folder.path()).unwrap();
        let texts: Vec<&str> = files.iter().map(|file| file.text.as_str()).collect();
        assert_eq!(texts, ["a.yml", "b.yaml", "..data/linked"]);
        assert!(files.iter().all(|file| file.folder == folder.path()));
    }

    #[test]
    fn everything_that_cannot_be_read_is_named_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert!(matches!(read_folder(path).unwrap_err().as_slice(), [ReadError::Empty(_)]));
        fs::write(path.join("good.yaml"), "version: 1").unwrap();
        fs::write(path.join("binary.yaml"), b"\xff\xfe").unwrap();
        symlink("nowhere", path.join("dangling.yaml")).unwrap();
        fs::write(path.join("large.yaml"), vec![b'#'; (4 << 20) + 1]).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(path.join("pipe.yaml")).status().unwrap().success());
        let errors: Vec<String> = read_folder(path).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(errors.len(), 4, "{errors:?}");
        assert!(errors[3].ends_with("pipe.yaml`: it is no plain file"), "{errors:?}");
        let missing = read_folder(&path.join("gone")).unwrap_err();
        assert!(matches!(missing.as_slice(), [ReadError::Io { .. }]), "{missing:?}");
    }
}
