//! Finds and reads the files that `check` and `test` look at.

use std::fs;
use std::path::{Path, PathBuf};

use crate::config::SourceFile;
use crate::live::folder::{ReadError, is_policy, is_test, read_file};

/// A folder that holds a policy, or tests for one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PolicyFolder {
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
pub(super) fn find(top: &Path) -> Result<Vec<PolicyFolder>, ReadError> {
    let mut found = Vec::new();
    search(top, 0, &mut found)?;
    Ok(found)
}

fn search(folder: &Path, depth: usize, found: &mut Vec<PolicyFolder>) -> Result<(), ReadError> {
    let unreadable = |error| ReadError::Io { path: folder.to_owned(), error };
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
        } else if is_test(&path) {
            here.tests.push(path);
        } else if is_policy(&path) {
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

/// Reads several.
///
/// # Errors
/// At the first that cannot be read.
pub(super) fn read_all(paths: &[PathBuf]) -> Result<Vec<SourceFile>, ReadError> {
    paths.iter().map(|path| read_file(path)).collect()
}
