//! docs/lints.md, from the same data as the command.

use crate::cli::check::lints::found_in;
use crate::cli::render;
use crate::config::lints::{Found, Lint, all};
use crate::config::{SourceFile, load_policy, load_settings};

const HEAD: &str = "\
# Lints

What `stepgate check` says of a file that is taken and hardly means what it says. An error refuses the file; a lint does not,
and is no reason for `check` to fail. A `warning` may let in, or refuse, who was not meant; a `note` is of something that is
there for nothing or could be said better. `stepgate check --lints` lists them, `stepgate check --lints NAME` tells one.
A lint is only said where it certainly holds: of what can't be compared nothing is said.

## What issuers say of themselves

`stepgate check --online` also asks each issuer, as a gate would: for its discovery document and its keys, all issuers at once and for 15
seconds at the most. With `--config` by the settings' proxy, limits and `allow_http`; an issuer's `ca` is its policy's. What only shows there is marked
`--online` below. An issuer that answers what no gate can use (the document of another issuer, no usable key, 404) is an error, `issuer_unusable`.
Issuers with a `jwks_file` are not asked.

## Silencing one

In place, and with a reason: a comment at the end of the line that the lint names, or on lines of its own above it.

```text
  # stepgate: allow weaker_method because the application answers other methods with 405
  - { name: pay, match: { path: /payments, methods: [POST] }, require: { level: multi-factor } }
```

A silence without a reason, of a lint that there is not, or that silences nothing is itself said. Errors can't be silenced.
";

/// The whole page.
pub(super) fn markdown() -> String {
    let mut text = String::from(HEAD);
    text.push_str("\n## All of them\n\n| lint | level | meaning |\n| --- | --- | --- |\n");
    for Lint { name, level, meaning, .. } in all() {
        text.push_str(&format!("| [`{name}`](#{name}) | {} | {meaning} |\n", level.name()));
    }
    all().for_each(|lint| section(lint, &mut text));
    text
}

fn section(lint: &Lint, text: &mut String) {
    let Lint { name, level, why, remedy, example, meaning, .. } = lint;
    let level = level.name();
    let in_what = found_in(lint);
    text.push_str(&format!("\n## {name}\n\n{}. A {level}, found in {in_what}.\n\n{why}\n\n", capital(meaning)));
    text.push_str(&format!("```text\n{}```\n\n", example));
    if let Some(said) = said(lint) {
        text.push_str(&format!("is said to be:\n\n```text\n{}\n```\n\n", said.trim_end()));
    }
    text.push_str(&format!("What to do: {remedy}\n"));
}

/// What is said of its example; nothing where that depends on more than the example.
fn said(lint: &Lint) -> Option<String> {
    let name = if lint.found == Found::Settings { "stepgate.yaml" } else { "policy.yaml" };
    let file = SourceFile { name: name.to_owned(), folder: ".".into(), text: lint.example.to_owned() };
    let (lints, sources) = match lint.found {
        Found::Policy => load_policy(vec![file]).ok().map(|loaded| (loaded.lints, loaded.sources))?,
        Found::Settings => load_settings(file).ok().map(|loaded| (loaded.lints, loaded.sources))?,
        Found::Surroundings | Found::Online => return None,
    };
    Some(render::human(&lints, &sources, false))
}

fn capital(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_docs_is_the_one_that_is_generated() {
        let (page, path) = (markdown(), concat!(env!("CARGO_MANIFEST_DIR"), "/docs/lints.md"));
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap();
        assert!(kept == page, "docs/lints.md is not what the program says: UPDATE=1 cargo test --lib check::page");
    }
}
