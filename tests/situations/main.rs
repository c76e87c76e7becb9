//! The pages in docs/situations keep what they show: each command is run as it stands there and its output compared, and
//! each policy is the shipped example, byte for byte.
//!
//! In an output `…` stands for what differs from run to run: within a line for any text, alone on a line for any number of
//! lines. Ports are compared as the page has them (8080 the gate, 8081 the provider, 8082 the application, 9901 the admin
//! listener), wherever the demo listens in truth.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "in a test a panic is how a promise is seen to be broken"
)]

mod client;
mod page;
mod terminal;

use std::io::Write;
use std::path::{Path, PathBuf};

use page::{Command, Page};
use terminal::{Shell, Terminal};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<Page> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(root().join("docs/situations")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| Page::read(path)).collect()
}

/// Runs every command of every page, each page in a terminal of its own.
fn run_all(shell: Shell) {
    let mut wrong = Vec::new();
    for page in pages() {
        let mut terminal = Terminal::new(shell);
        for Command { line, text, shown } in &page.commands {
            if let Err(said) = terminal.run(text, shown) {
                wrong.push(format!("{}:{line}: $ {text}\n--- shown\n{shown}\n--- said\n{said}\n", page.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} commands do not say what the page shows\n\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn each_command_on_the_pages_says_what_they_show() {
    run_all(Shell::Ours);
}

/// The same, as a reader would run them. `make tools` installs curl; without it this is said and left out.
#[test]
fn they_say_the_same_in_a_real_shell_with_curl() {
    if terminal::has_curl() {
        run_all(Shell::Posix);
    } else {
        let left_out = b"LEFT OUT: there is no curl here; the commands were run by the client of this test alone\n";
        std::io::stderr().write_all(left_out).unwrap();
    }
}

#[test]
fn each_page_has_its_five_parts_in_their_order() {
    let parts = ["## Symptom", "## Cause", "## Policy", "## Commands", "## Outcome"];
    let pages = pages();
    assert_eq!(pages.len(), 5);
    for page in &pages {
        let found: Vec<&str> = page.text.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(found, parts, "{}", page.name);
        assert!(page.commands.len() >= 5, "{} shows hardly anything", page.name);
        assert!(page.commands.iter().any(|command| command.shown.contains(" 200 OK")), "{}: what passes", page.name);
        assert!(page.commands.iter().any(|command| command.shown.contains(" 401 ")), "{}: what is refused", page.name);
    }
}

#[test]
fn each_policy_on_the_pages_is_the_shipped_one() {
    for page in pages() {
        assert!(!page.policies.is_empty(), "{} shows no policy", page.name);
        for (path, shown) in &page.policies {
            let shipped = std::fs::read_to_string(root().join("docs/situations").join(path)).unwrap();
            // The first line is for editors.
            let (_, shipped) = shipped.split_once('\n').unwrap();
            assert_eq!(shown, shipped, "{} and {path} differ", page.name);
        }
    }
}

#[test]
fn what_differs_from_run_to_run_may_differ_and_nothing_else() {
    for (shown, said, same) in [
        ("a\nb", "a\nb", true),
        ("a\nb", "a\nc", false),
        ("a\nb", "a\nb\nc", false),
        ("a\n…", "a\nb\nc", true),
        ("…\nc", "a\nb\nc", true),
        ("…\nd", "a\nb\nc", false),
        ("x-id: …", "x-id: 7", true),
        ("{…\"a\":1…}", "{\"b\":2,\"a\":1}", true),
        ("{…\"a\":1…}", "{\"b\":2,\"a\":2}", false),
        ("a…", "ba", false),
        ("…a", "ab", false),
        ("…", "", true),
        ("", "a", false),
    ] {
        assert_eq!(page::fits(shown, said), same, "{shown:?} {said:?}");
    }
}
