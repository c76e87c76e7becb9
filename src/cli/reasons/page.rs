//! docs/reasons.md, from the same data as the command.

use crate::cli::reasons::entry::Entry;

const HEAD: &str = "\
# Reasons

Why a request was refused: a closed list of stable codes. They stand in the log, the audit log, the metrics and in tests of
policies; what a client learns of them is said with each. Of several that hold, the first of this list is given.
What the answer looks like, to programs and to browsers, is told in [refusals](refusals.md).
This page is what `stepgate reasons` prints, one after the other; a test holds it against the program.
";

/// The whole page.
pub(super) fn markdown(entries: &[Entry]) -> String {
    let mut text = String::from(HEAD);
    text.push_str("\n| code | status | meaning |\n| --- | --- | --- |\n");
    for entry in entries {
        let (code, statuses) = (entry.reason.code(), entry.statuses());
        text.push_str(&format!("| [`{code}`](#{code}) | {statuses} | {} |\n", entry.reason.meaning()));
    }
    entries.iter().for_each(|entry| section(entry, &mut text));
    text
}

fn section(entry: &Entry, text: &mut String) {
    let guide = entry.guide;
    text.push_str(&format!("\n## {}\n\n{}.\n", entry.reason, capital(entry.reason.meaning())));
    let mut list = |title: &str, mark: &str, items: &mut dyn Iterator<Item = String>| {
        text.push_str(&format!("\n{title}\n\n"));
        for item in items {
            text.push_str(&format!("{mark} {item}\n"));
        }
    };
    list("Usual causes:", "-", &mut guide.causes.iter().map(|cause| (*cause).to_owned()));
    list("What to do:", "1.", &mut guide.remedy.iter().map(|remedy| (*remedy).to_owned()));
    list("The client is answered:", "-", &mut entry.answered());
    text.push_str(&format!("\nA new sign-in of the user {}.\n", guide.new_sign_in.words()));
    text.push_str(&format!("\nThe hint beside each such denial: {}\n", guide.hint));
    if !entry.profiles.is_empty() {
        text.push_str("\nWith a shipped profile the hint is:\n\n");
        for (name, hint) in &entry.profiles {
            text.push_str(&format!("- `{name}`: {hint}\n"));
        }
    }
    text.push_str(&format!("\nSources: {}.\n", guide.sources.join("; ")));
}

fn capital(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;

    #[test]
    fn the_page_in_docs_is_the_one_that_is_generated() {
        let entries: Vec<Entry> = Reason::ALL.iter().copied().map(Entry::of).collect();
        let (page, path) = (markdown(&entries), concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reasons.md"));
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap();
        assert!(kept == page, "docs/reasons.md is not what the program says: UPDATE=1 cargo test --lib reasons");
    }
}
