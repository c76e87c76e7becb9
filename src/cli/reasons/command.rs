//! The command: which reasons, in which form.

use std::process::ExitCode;

use serde_json::Value;

use crate::cli::output::{Failure, say};
use crate::cli::reasons::entry::Entry;
use crate::cli::reasons::page;
use crate::cli::render::Format;
use crate::config::reader::{one_of, suggest};
use crate::reason::Reason;

/// Arguments of `stepgate reasons`.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct ReasonsArgs {
    /// The reason's code, such as `amr_missing`; without it, all are listed
    code: Option<String>,
    /// How it is shown
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Print docs/reasons.md
    #[arg(long, hide = true, conflicts_with_all = ["code", "format"])]
    docs: bool,
}

/// Runs it: exit code 0, or 2 for a code that is none.
#[must_use]
pub(in crate::cli) fn run(args: &ReasonsArgs) -> ExitCode {
    let said = told(args).and_then(|text| say(text.trim_end()));
    said.map_or_else(|failure| failure.report(), |()| ExitCode::SUCCESS)
}

fn told(args: &ReasonsArgs) -> Result<String, Failure> {
    let entries = || Reason::ALL.iter().copied().map(Entry::of);
    Ok(match (&args.code, args.format) {
        (None, _) if args.docs => page::markdown(&entries().collect::<Vec<_>>()),
        (None, Format::Human) => listing(),
        (None, Format::Json) => Value::from(entries().map(|entry| entry.json()).collect::<Vec<_>>()).to_string(),
        (Some(code), Format::Human) => human(&Entry::of(named(code)?)),
        (Some(code), Format::Json) => Entry::of(named(code)?).json().to_string(),
    })
}

fn named(code: &str) -> Result<Reason, Failure> {
    Reason::from_code(code).ok_or_else(|| {
        let near = suggest(code, Reason::ALL.iter().map(|reason| reason.code()));
        let help = Some(near).filter(|near| near.starts_with("did you mean"));
        let alike = || {
            let codes = Reason::ALL.iter().map(|reason| reason.code()).filter(|known| have_the_same_words(code, known));
            Some(one_of(codes)).filter(|codes| !codes.is_empty()).map(|codes| format!("did you mean {codes}?"))
        };
        let help = help.or_else(alike).unwrap_or_else(|| "`stepgate reasons` lists all".to_owned());
        Failure::could_not_run(format!("unknown reason `{code}`; {help}"))
    })
}

/// Whether all words of one are words of the other.
fn have_the_same_words(one: &str, other: &str) -> bool {
    let words = |text: &str| text.to_ascii_lowercase().split(['_', '-', ' ']).map(str::to_owned).collect::<Vec<_>>();
    let (one, other) = (words(one), words(other));
    one.iter().all(|word| other.contains(word)) || other.iter().all(|word| one.contains(word))
}

/// One line a reason: code, statuses, meaning.
fn listing() -> String {
    let width = Reason::ALL.iter().map(|reason| reason.code().len()).max().unwrap_or_default().saturating_add(2);
    let line = |reason: &Reason| {
        let statuses = Entry::of(*reason).statuses();
        format!("{:width$}{statuses:12}{}\n", reason.code(), reason.meaning())
    };
    Reason::ALL.iter().map(line).collect::<String>() + "\nAll about one of them: stepgate reasons CODE"
}

fn human(entry: &Entry) -> String {
    let guide = entry.guide;
    let mut text = format!("{}: {}\n", entry.reason, entry.reason.meaning());
    let mut section = |title: &str, items: &mut dyn Iterator<Item = String>| {
        text.push_str(&format!("\n{title}\n"));
        for item in items {
            text.push_str(&wrapped(&item));
        }
    };
    section("Usual causes", &mut guide.causes.iter().map(|cause| format!("- {cause}")));
    section("What to do", &mut guide.remedy.iter().zip(1..).map(|(remedy, number)| format!("{number}. {remedy}")));
    section("The client is answered", &mut entry.answered());
    section("A new sign-in of the user", &mut std::iter::once(guide.new_sign_in.words().to_owned()));
    section(
        "The hint beside each such denial, in the log and the audit log",
        &mut std::iter::once(guide.hint.to_owned()),
    );
    if !entry.profiles.is_empty() {
        let hints = entry.profiles.iter().map(|(name, hint)| format!("{name}: {hint}"));
        section("With a shipped profile the hint is", &mut hints.into_iter());
    }
    section("Where the rule is written", &mut guide.sources.iter().map(|source| (*source).to_owned()));
    text
}

/// A paragraph under a title: two spaces in, two more from its second line on.
fn wrapped(text: &str) -> String {
    const WIDTH: usize = 100;
    let mut lines = String::new();
    let mut line = String::from(" ");
    for word in text.split(' ') {
        let longer = line.chars().count().saturating_add(word.chars().count()).saturating_add(1);
        if longer > WIDTH && line.trim() != "" {
            lines.push_str(line.trim_end());
            lines.push('\n');
            line = String::from("   ");
        }
        line.push(' ');
        line.push_str(word);
    }
    lines + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(code: Option<&str>, format: Format) -> ReasonsArgs {
        ReasonsArgs { code: code.map(str::to_owned), format, docs: false }
    }

    #[test]
    fn every_reason_is_listed_with_its_meaning_in_its_order() {
        let listing = told(&args(None, Format::Human)).unwrap();
        let codes: Vec<&str> = listing.lines().map_while(|line| line.split_whitespace().next()).collect();
        assert_eq!(codes, Reason::ALL.iter().map(|reason| reason.code()).collect::<Vec<_>>());
        for reason in Reason::ALL {
            assert!(listing.contains(reason.meaning()), "{reason}");
        }
    }

    #[test]
    fn one_reason_is_told_whole() {
        for reason in Reason::ALL {
            let text = told(&args(Some(reason.code()), Format::Human)).unwrap();
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let guide = reason.guide();
            for part in guide.causes.iter().chain(guide.remedy).chain(guide.sources).chain([&guide.hint]) {
                assert!(words.contains(part), "{reason}: {part}\n{text}");
            }
            assert!(words.contains(reason.meaning()) && words.contains(guide.new_sign_in.words()), "{text}");
            for (_, told) in &Entry::of(*reason).answers {
                assert!(words.contains(&told.status.to_string()), "{text}");
                assert!(told.error.is_none_or(|error| words.contains(error)), "{text}");
            }
            assert!(text.lines().all(|line| line.chars().count() <= 110 || line.starts_with(reason.code())), "{text}");
        }
    }

    #[test]
    fn as_json_it_is_one_object_and_the_list_an_array_of_all() {
        let one: Value = serde_json::from_str(&told(&args(Some("amr_missing"), Format::Json)).unwrap()).unwrap();
        assert_eq!(one["answers"][0]["status"], 401);
        assert_eq!(one["answers"][0]["error"], "insufficient_user_authentication");
        assert_eq!(one["answers"][1]["status"], 403);
        assert_eq!(one["new_sign_in"], "mends");
        assert!(one["profiles"]["okta"].as_str().unwrap().starts_with("Not challenged"), "{one}");
        let all: Value = serde_json::from_str(&told(&args(None, Format::Json)).unwrap()).unwrap();
        assert_eq!(all.as_array().unwrap().len(), Reason::ALL.len());
        assert!(all.as_array().unwrap().contains(&one));
    }

    #[test]
    fn an_unknown_code_is_told_the_nearest() {
        let told = |code| told(&args(Some(code), Format::Human)).unwrap_err();
        assert_eq!(
            told("amr_mising"),
            Failure::CouldNotRun("unknown reason `amr_mising`; did you mean `amr_missing`?".into())
        );
        for (code, meant) in [
            ("level_low", "`level_too_low`"),
            ("amr-missing", "`amr_missing`"),
            ("token_expired", "`expired`"),
            ("Kind wrong", "`token_kind_wrong`"),
        ] {
            let said = format!("unknown reason `{code}`; did you mean {meant}?");
            assert_eq!(told(code), Failure::CouldNotRun(said));
        }
        assert_eq!(told("zzz"), Failure::CouldNotRun("unknown reason `zzz`; `stepgate reasons` lists all".into()));
    }

    #[test]
    fn the_hints_of_shipped_profiles_stand_where_they_belong() {
        for profile in crate::config::profile::ALL.iter().filter(|profile| profile.is_newest()) {
            for (reason, hint) in profile.head().unwrap().hints.iter() {
                let said =
                    Entry::of(reason).profiles.iter().any(|(name, said)| *name == profile.name() && said == hint);
                assert!(said, "{} {reason}", profile.name());
                assert!(hint.len() > 30 && hint.len() <= 320, "{} {reason}: {} bytes", profile.name(), hint.len());
                assert_ne!(hint, reason.hint(), "{} {reason}", profile.name());
            }
        }
    }
}
