//! `stepgate profiles`: lists the shipped profiles, prints one, shows what one or an issuer comes to, checks them all.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value;

use crate::cli::catalogue;
use crate::cli::files::{self, NamedBy};
use crate::cli::output::{Failure, PROBLEMS, say};
use crate::cli::render::{self, Format};
use crate::config::profile::{ALL, Profile};
use crate::config::reader::{one_of, suggest};
use crate::config::{Loaded, Report, Sources, expanded, load_policy, write};

/// Arguments of `stepgate profiles`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ProfilesArgs {
    /// The profile to print, with @VERSION for an older one; with --policies an issuer or a profile of that folder [default: all]
    pub name: Option<String>,
    /// Print what it comes to with everything under it, as YAML without comments
    #[arg(long)]
    pub expanded: bool,
    /// The folder of a policy whose issuers and local profiles are meant
    #[arg(long, value_name = "DIR", requires = "expanded")]
    pub policies: Option<PathBuf>,
    /// Look the shipped profiles over: rungs, proofs, classes, challenges and claims
    #[arg(long, conflicts_with_all = ["name", "expanded", "policies"])]
    pub check: bool,
    /// How --check shows what it finds
    #[arg(long, value_enum, default_value_t, requires = "check")]
    pub format: Format,
    /// Print docs/profiles.md
    #[arg(long, hide = true, conflicts_with_all = ["name", "expanded", "policies", "check"])]
    pub docs: bool,
}

/// Runs it: exit code 0, 1 for problems, 2 for a name that is none.
#[must_use]
pub(super) fn run(args: &ProfilesArgs) -> ExitCode {
    let text = match (&args.name, &args.policies) {
        _ if args.check => return checked(args.format).unwrap_or_else(|failure| failure.report()),
        _ if args.docs => catalogue::markdown(),
        (name, Some(dir)) => of_policy(dir, name.as_deref()),
        (Some(name), None) if args.expanded => named(name).and_then(of_profile),
        (Some(name), None) => named(name).map(|profile| profile.text.to_owned()),
        (None, None) if args.expanded => {
            Err(Failure::could_not_run("`--expanded` of what? name a profile, or a policy with --policies"))
        }
        (None, None) => Ok(listing()),
    };
    let written = text.and_then(|text| {
        let written = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
        written.map_err(|error| Failure::could_not_run(format!("failed to write to standard output: {error}")))
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn named(name: &str) -> Result<Profile, Failure> {
    Profile::named(name).ok_or_else(|| {
        let of_name = |profile: &&Profile| name.split_once('@').is_some_and(|(name, _)| profile.name() == name);
        if let Some(newest) = ALL.iter().filter(of_name).find_map(|profile| profile.head().ok()) {
            let message = format!("this version ships `{}@{}`, not `{name}`", newest.name, newest.version);
            return Failure::could_not_run(message);
        }
        let help = suggest(name, ALL.iter().map(|profile| profile.stem));
        Failure::could_not_run(format!("unknown profile `{name}`; {help}"))
    })
}

/// One line a profile: name, version, title.
fn listing() -> String {
    let heads: Vec<(String, Box<str>)> = ALL
        .iter()
        .filter_map(|profile| profile.head().ok())
        .map(|head| (format!("{}@{}", head.name, head.version), head.title))
        .collect();
    let width = heads.iter().map(|(name, _)| name.len()).max().unwrap_or_default().saturating_add(2);
    heads.iter().map(|(name, title)| format!("{name:width$}{title}\n")).collect()
}

/// A shipped profile, in the form of its own file.
fn of_profile(profile: Profile) -> Result<String, Failure> {
    let (mut sources, mut out) = (Sources::default(), Report::default());
    let Some(read) = profile.read(&mut sources, &mut out) else {
        let problems = out.into_problems();
        return Err(Failure::problems(problems.iter().map(|problem| problem.line(&sources)).collect()));
    };
    let ladders = read.root.member("ladders").map(|node| format!("ladders: {}\n", write::line(node)));
    Ok(format!(
        "profile: {}\nversion: {}\n{}issuer:\n{}",
        write::text(&read.head.name),
        read.head.version,
        ladders.unwrap_or_default(),
        indented(&write::yaml(&expanded::full(&read.issuer)), 2)
    ))
}

/// Issuers or local profiles of a policy: a policy by itself, without routes.
fn of_policy(dir: &Path, name: Option<&str>) -> Result<String, Failure> {
    let loaded = load(dir)?;
    let meant: Vec<_> = match name {
        None => loaded.expanded.iter().collect(),
        Some(name) => {
            // An issuer before a local profile of the same name.
            let all = || loaded.expanded.iter().filter(|one| *one.name == *name);
            all().filter(|one| one.section == "issuers").chain(all()).take(1).collect()
        }
    };
    if let (Some(name), []) = (name, meant.as_slice()) {
        let names: Vec<&str> = loaded.expanded.iter().map(|one| &*one.name).collect();
        let message = match names.is_empty() {
            true => format!("the policy in `{}` has no issuer and no profile", dir.display()),
            false => format!(
                "the policy in `{}` has no issuer and no profile `{name}`; {}",
                dir.display(),
                suggest(name, names.into_iter())
            ),
        };
        return Err(Failure::could_not_run(message));
    }
    let mut text = String::from("version: 1\n");
    for (axis, node) in &loaded.axes {
        text.push_str(&format!("{axis}: {}\n", write::line(node)));
    }
    for section in ["profiles", "issuers"] {
        let mut here = meant.iter().filter(|one| one.section == section).peekable();
        if here.peek().is_some() {
            text.push_str(&format!("{section}:\n"));
        }
        for one in here {
            let entry = indented(&write::yaml(&expanded::full(&one.node)), 4);
            text.push_str(&format!("  {}:\n{entry}", write::text(&one.name)));
        }
    }
    Ok(text)
}

fn load(dir: &Path) -> Result<Loaded, Failure> {
    let folders = files::find(dir, &NamedBy::Argument).map_err(Failure::could_not_run)?;
    let here: Vec<_> = folders.into_iter().filter(|folder| !folder.policies.is_empty()).collect();
    let [folder] = here.as_slice() else {
        let message = match here.as_slice() {
            [] => format!("no policy in `{}`", dir.display()),
            several => {
                let names: Vec<String> = several.iter().map(|folder| folder.path.display().to_string()).collect();
                format!(
                    "several policies in `{}`; name one of {}",
                    dir.display(),
                    one_of(names.iter().map(String::as_str))
                )
            }
        };
        return Err(Failure::could_not_run(message));
    };
    let texts = files::read_all(&folder.policies).map_err(Failure::could_not_run)?;
    load_policy(texts).map_err(|rejected| Failure::problems(rejected.lines()))
}

fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{:by$}{line}\n", "")).collect()
}

/// Every finding with its place; 1 when there is one.
fn checked(format: Format) -> Result<ExitCode, Failure> {
    let (problems, sources) = crate::config::catalogue::check(ALL);
    match format {
        Format::Json => say(&Value::from(render::json(&problems, &sources)).to_string())?,
        Format::Human => {
            let found = render::human(&problems, &sources, io::stdout().is_terminal());
            let count = problems.len();
            let word = if count == 1 { "problem" } else { "problems" };
            say(&format!("{found}{} profiles checked: {count} {word}", ALL.len()))?;
        }
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(PROBLEMS) })
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
