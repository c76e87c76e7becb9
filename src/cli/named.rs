//! Looks whether the files that policies and settings name are there and can be opened.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use crate::config::{NamedFile, Problem, Purpose};

/// An error for each file that the gate could not open.
pub(super) fn problems(files: &[NamedFile]) -> Vec<Problem> {
    let problem = |file: &NamedFile| {
        let what = match file.purpose {
            Purpose::KeySet => "the key set",
            Purpose::Authority => "the certificate authority's file",
            Purpose::AuditLog => "the audit log",
        };
        let found = match file.purpose {
            Purpose::KeySet | Purpose::Authority => readable(&file.path),
            Purpose::AuditLog => appendable(&file.path),
        };
        let reason = found.err()?;
        let message = format!("failed to open {what} `{}`: {reason}", file.path.display());
        let help = "a relative path begins at the folder of the file that names it";
        // On the machine that runs the gate it may well be there.
        Some(Problem::lint("file_not_usable", file.span, message).help(help))
    };
    files.iter().filter_map(problem).collect()
}

fn readable(path: &Path) -> io::Result<()> {
    // Asked first: opening a pipe would wait for its writer.
    if fs::metadata(path)?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if fs::metadata(path)?.is_file() {
        File::open(path)?;
    }
    Ok(())
}

/// Nothing is made or changed.
fn appendable(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(found) if found.is_file() => OpenOptions::new().append(true).open(path).map(drop),
        Ok(_pipe_or_device) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let is_folder = fs::metadata(folder)
                .map_err(|error| io::Error::other(format!("its folder `{}`: {error}", folder.display())))?
                .is_dir();
            if is_folder { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) }
        }
        Err(error) => Err(error),
    }
}
