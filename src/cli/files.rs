//! Finds and reads the files that `check` and `test` look at.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::SourceFile;

/// A file or folder that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read `{path}`: {error}")]
pub struct Unreadable {
    path: PathBuf,
    error: io::Error,
}

/// A folder that holds a policy, or tests for one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyFolder {
    /// The folder.
    pub path: PathBuf,
    /// Its policy files.
    pub policies: Vec<PathBuf>,
    /// Its `*.test.yaml`.
    pub tests: Vec<PathBuf>,
}

/// How deep folders are searched.
const MAX_DEPTH: usize = 16;

/// Every folder at or below `top` with a policy or tests, in the order of their names. Hidden folders are left out, and
/// so is a folder called `profiles`: it holds parts of policies.
///
/// # Errors
/// When a folder cannot be read.
pub fn find(top: &Path) -> Result<Vec<PolicyFolder>, Unreadable> {
    let mut found = Vec::new();
    search(top, 0, &mut found)?;
    Ok(found)
}

fn search(folder: &Path, depth: usize, found: &mut Vec<PolicyFolder>) -> Result<(), Unreadable> {
    let unreadable = |error| Unreadable { path: folder.to_owned(), error };
    let mut here = PolicyFolder { path: folder.to_owned(), ..PolicyFolder::default() };
    let mut below = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            if depth < MAX_DEPTH && name != "profiles" {
                below.push(path);
            }
        } else if name.ends_with(".test.yaml") || name.ends_with(".test.yml") {
            here.tests.push(path);
        } else if name.ends_with(".yaml") || name.ends_with(".yml") {
            here.policies.push(path);
        }
    }
    here.policies.sort();
    here.tests.sort();
    below.sort();
    if !here.policies.is_empty() || !here.tests.is_empty() {
        found.push(here);
    }
    below.iter().try_for_each(|folder| search(folder, depth.saturating_add(1), found))
}

/// Reads one file.
///
/// # Errors
/// When it cannot be read or is not UTF-8.
pub fn read(path: &Path) -> Result<SourceFile, Unreadable> {
    let text = fs::read_to_string(path).map_err(|error| Unreadable { path: path.to_owned(), error })?;
    let folder = path.parent().map(Path::to_owned).unwrap_or_default();
    Ok(SourceFile { name: path.display().to_string(), folder, text })
}

/// Reads several.
///
/// # Errors
/// At the first that cannot be read.
pub fn read_all(paths: &[PathBuf]) -> Result<Vec<SourceFile>, Unreadable> {
    paths.iter().map(|path| read(path)).collect()
}
