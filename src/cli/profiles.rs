//! `stepgate profiles`: lists the shipped profiles, or prints one.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::cli::output::Failure;
use crate::config::profile::{ALL, Profile};
use crate::config::reader::suggest;

/// Arguments of `stepgate profiles`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ProfilesArgs {
    /// The profile to print; without it, all are listed
    pub name: Option<String>,
}

/// Runs it: exit code 0, or 2 for a name that is none.
#[must_use]
pub(super) fn run(args: &ProfilesArgs) -> ExitCode {
    let written = match &args.name {
        None => write!(io::stdout(), "{}", listing()),
        Some(name) => match Profile::named(name) {
            Some(profile) => write!(io::stdout(), "{}", profile.text),
            None => {
                let help = suggest(name, ALL.iter().map(|profile| profile.name()));
                return Failure::could_not_run(format!("unknown profile `{name}`; {help}")).report();
            }
        },
    };
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(2) }
}

/// One line a profile: name, version, title.
fn listing() -> String {
    let width = ALL.iter().map(|profile| profile.name().len()).max().unwrap_or_default().saturating_add(4);
    let line = |profile: &Profile| match profile.head() {
        Ok(head) => {
            let name = format!("{}@{}", head.name, head.version);
            format!("{name:width$}{}\n", head.title)
        }
        Err(_broken) => format!("{}\n", profile.name()),
    };
    ALL.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_profile_is_listed_with_its_version_and_title() {
        let listing = listing();
        for profile in ALL {
            let head = profile.head().unwrap();
            assert_eq!(&*head.name, profile.name());
            assert!(listing.contains(&format!("{}@{}", head.name, head.version)), "{listing}");
            assert!(listing.contains(&*head.title));
        }
    }
}
