//! `stepgate run`: the gate, from its files.

use std::io;
use std::path::{Path, PathBuf};

use crate::cli::gate::{self, Watched};
use crate::cli::output::Failure;
use crate::cli::parts;
use crate::cli::signals;
use crate::config::{Settings, SourceFile};
use crate::live::folder::{ReadError, read_file, read_folder};

/// What `run` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
SIGHUP has the policy folder read again at once (it is looked at each second anyway) and the audit log opened anew.
SIGTERM or SIGINT ends it: requests under way may finish within `limits.drain`; a second signal ends it at once.
Nothing is served before all files have been read and found good.")]
pub(super) struct Arguments {
    /// The settings: listeners, upstreams, the policy folder, the audit log
    #[arg(long, short, value_name = "FILE", default_value = "stepgate.yaml")]
    config: PathBuf,
}

/// Reads everything, says every problem, and only then starts.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let control = gate::control_runtime()?;
    let hangups = signals::hangups(&control)?;
    let (settings, lints) = parts::settings(read_settings(&arguments.config)?)?;
    let files = read_policies(&settings)?;
    let compiled = parts::policy(files.clone(), &settings)?;
    let result = gate::run(&settings, compiled, Some(Watched { files, hangups }), &control, |_addresses| {
        for lint in &lints {
            tracing::warn!(lint, "the settings are taken, but hardly mean what they say");
        }
        Ok(())
    });
    // A disk or a name server that does not answer is not waited for.
    control.shutdown_background();
    result
}

fn read_settings(path: &Path) -> Result<SourceFile, Failure> {
    read_file(path).map_err(|error| match &error {
        ReadError::Io { error: cause, .. } if cause.kind() == io::ErrorKind::NotFound => {
            Failure::could_not_run(format!(
                "there is no `{}`; name the settings with `--config FILE`, or see `stepgate demo`, which needs none",
                path.display()
            ))
        }
        ReadError::Io { .. }
        | ReadError::NotPlain(_)
        | ReadError::NotText(_)
        | ReadError::TooLarge(_)
        | ReadError::Empty(_) => Failure::could_not_run(error),
    })
}

fn read_policies(settings: &Settings) -> Result<Vec<SourceFile>, Failure> {
    read_folder(&settings.policies).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Failure::could_not_run(format!("cannot read the policy (`policies` in the settings)\n{}", lines.join("\n")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_said_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("stepgate.yaml");
        let Err(Failure::CouldNotRun(reason)) = run(&Arguments { config }) else { panic!("nothing can run") };
        assert!(reason.contains("--config FILE") && reason.contains("stepgate demo"), "{reason}");
    }
}
