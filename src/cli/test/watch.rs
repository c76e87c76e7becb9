//! `--watch`: the tests are run again whenever a file of them, or of a policy beside them, changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tokio::runtime::Builder;

use crate::cli::files::{self, NamedBy};
use crate::cli::output::{Failure, complain};
use crate::live::watch::{Nudges, watch};

/// All that the tests depend on; what cannot be read is a content too.
type Content = Vec<(PathBuf, Option<Vec<u8>>)>;

/// Runs `again` at once, and whenever something changed. Ends with the process alone.
pub(super) fn run(dir: &Path, again: impl Fn() -> ExitCode) -> ExitCode {
    let dir = dir.to_owned();
    let read = move || content(&dir);
    let runtime = match Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::could_not_run(format!("nothing can be watched: {error}")).report(),
    };
    // Read before the tests run: a change while they do is seen.
    let taken = read();
    let show = || {
        again();
        complain("watching for changes; Ctrl-C ends it");
    };
    show();
    runtime.block_on(watch(taken, read, Nudges::new().subscribe(), |_, _| show()));
    ExitCode::SUCCESS
}

fn content(dir: &Path) -> Content {
    let folders = files::find(dir, &NamedBy::Argument).unwrap_or_default();
    let paths = folders.into_iter().flat_map(|folder| folder.policies.into_iter().chain(folder.tests));
    paths.map(|path| (path.clone(), fs::read(path).ok())).collect()
}
