//! An operator's own policy in the demo: read as `run` reads it, its issuers answered for by the demo's provider.

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::cli::output::Failure;
use crate::cli::parts::Compiled;
use crate::cli::render;
use crate::config::cases::Tests;
use crate::config::settings::Upstream;
use crate::config::{Rejected, SourceFile, load_policy, load_tests};
use crate::live::folder::{is_test, read_file, read_folder};
use crate::policy::Policy;
use crate::token::{KeyPlace, KeySource};

/// What was found in the folder.
#[derive(Debug)]
pub(super) struct Pasted {
    /// The folder.
    pub(super) folder: PathBuf,
    /// The policy's files.
    pub(super) files: Vec<SourceFile>,
    /// The files of tests beside it.
    tests: Vec<PathBuf>,
}

impl Pasted {
    /// Reads a folder: the policy in it, and which tests stand beside it.
    ///
    /// # Errors
    /// When there is no policy in it, or a file cannot be read.
    pub(super) fn read(folder: &Path) -> Result<Self, Failure> {
        if folder.is_file() {
            let way_out = "name the folder that holds it: `--policies DIR`";
            return Err(Failure::could_not_run(format!("`{}` is a file; {way_out}", folder.display())));
        }
        let files = read_folder(folder).map_err(|errors| {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            Failure::could_not_run(format!("cannot read the policy (`--policies`)\n{}", lines.join("\n")))
        })?;
        let entries = std::fs::read_dir(folder).map_err(Failure::could_not_run)?;
        let mut tests: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
        tests.retain(|path| is_test(path) && path.is_file());
        tests.sort();
        Ok(Self { folder: folder.to_owned(), files, tests })
    }

    /// The upstreams that its routes name, all at the demo's application; one of another name where none is named.
    ///
    /// # Errors
    /// Every problem of the policy.
    pub(super) fn upstreams(&self, application: SocketAddr) -> Result<Vec<Upstream>, Failure> {
        let loaded = load_policy(self.files.clone()).map_err(|rejected| problems(&rejected))?;
        let mut names: Vec<&str> =
            loaded.policy.routes().iter().filter_map(|route| route.upstream.as_deref()).collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            names.push("app");
        }
        let upstream = |name: &str| Upstream::plain(name.into(), application.ip().to_string(), application.port());
        Ok(names.into_iter().map(upstream).collect())
    }

    /// The tests beside it.
    ///
    /// # Errors
    /// Every problem of one that cannot be taken.
    pub(super) fn tests(&self, policy: &Policy) -> Result<Vec<Tests>, Failure> {
        let load = |path: &PathBuf| {
            let file = read_file(path).map_err(Failure::could_not_run)?;
            load_tests(file, policy).map_err(|rejected| problems(&rejected))
        };
        self.tests.iter().map(load).collect()
    }
}

fn problems(rejected: &Rejected) -> Failure {
    Failure::Problems(render::human(&rejected.problems, &rejected.sources, io::stderr().is_terminal()))
}

/// Has the demo's provider answer for every issuer: nothing is fetched from anywhere else, and no file of keys is read.
pub(super) fn answer_for_all(compiled: &mut Compiled, idp: SocketAddr) {
    for keys in &mut compiled.keys {
        keys.source = KeySource { place: KeyPlace::JwksUrl(format!("http://{idp}/jwks").into()), ca: None };
    }
}
