//! Finds and reads the files that `check` and `test` look at.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::{SourceFile, is_settings};
use crate::live::folder::{ReadError, is_policy, is_test, read_file, read_plain_file};

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

/// Who said where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NamedBy {
    /// The command line.
    Argument,
    /// `policies` in this settings file.
    Setting(PathBuf),
    /// This option of the command line.
    Option(&'static str),
    /// Nobody: it is where policies mostly are.
    Default,
    /// Nobody, and it is this option that would.
    NoOption(&'static str),
}

/// Why nothing can be looked at.
#[derive(Debug, thiserror::Error)]
pub(super) enum CannotLook {
    /// A file or folder cannot be read.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    /// It is not there.
    #[error("there is no `{}`, which {}", .0.display(), way_out(.1))]
    Missing(PathBuf, NamedBy),
    /// It is a file, and none that could be part of a policy.
    #[error("`{0}` is no folder, and no file that ends in `.yaml`")]
    NotYaml(PathBuf),
}

fn way_out(by: &NamedBy) -> String {
    match by {
        NamedBy::Argument => "the argument DIR names; name the folder of a policy, or one of its files".to_owned(),
        NamedBy::Option(option) => {
            format!("the option `{option}` names; name the folder of a policy, or one of its files")
        }
        NamedBy::NoOption(option) => format!("is where policies are looked for; name their folder with `{option} DIR`"),
        NamedBy::Setting(file) => format!(
            "`policies` in `{}` names; correct it there, or name the folder on the command line",
            file.display()
        ),
        NamedBy::Default => "is where policies are looked for; name their folder as the argument DIR".to_owned(),
    }
}

/// Every folder at or below `top` with a policy or tests, in the order of their names; for a file, the folder that it is
/// in, alone. Hidden folders are left out, and so is a folder called `profiles`: it holds parts of policies.
///
/// # Errors
/// When there is nothing at `top`, or a folder cannot be read.
pub(super) fn find(top: &Path, by: &NamedBy) -> Result<Vec<PolicyFolder>, CannotLook> {
    let found = fs::metadata(top).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            return CannotLook::Missing(top.to_owned(), by.clone());
        }
        ReadError::Io { path: top.to_owned(), error }.into()
    })?;
    if found.is_dir() {
        let mut folders = Vec::new();
        search(top, 0, MAX_DEPTH, &mut folders)?;
        return Ok(folders);
    }
    if !is_policy(top) && !is_test(top) {
        return Err(CannotLook::NotYaml(top.to_owned()));
    }
    let folder = top.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A settings file has no part in the policy that may stand beside it.
    if is_policy(top) && is_settings(&read_file(top)?) {
        let policies = vec![top.to_owned()];
        return Ok(vec![PolicyFolder { path: folder.to_owned(), policies, tests: Vec::new() }]);
    }
    let mut folders = Vec::new();
    search(folder, 0, 0, &mut folders)?;
    if is_test(top) {
        folders.iter_mut().for_each(|folder| folder.tests = vec![top.to_owned()]);
    }
    Ok(folders)
}

fn search(folder: &Path, depth: usize, deepest: usize, found: &mut Vec<PolicyFolder>) -> Result<(), ReadError> {
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
            if depth < deepest && name != "profiles" {
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
    below.iter().try_for_each(|folder| search(folder, depth.saturating_add(1), deepest, found))
}

/// Reads several.
///
/// # Errors
/// At the first that cannot be read.
pub(super) fn read_all(paths: &[PathBuf]) -> Result<Vec<SourceFile>, ReadError> {
    paths.iter().map(|path| read_plain_file(path)).collect()
}
