//! The walk through `docs/first-policy.md`, line by line.
//!
//! `UPDATE=1 cargo test --test first_policy` writes the outputs in the document anew; read the difference before committing it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "test code")]

use std::path::Path;
use std::process::Command;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/first-policy.md");

/// What a command says, on both streams, with its failure if it fails.
fn said(folder: &Path, command: &str) -> String {
    let script = format!("stepgate() {{ \"$STEPGATE\" \"$@\"; }}\nexec 2>&1\n{command}");
    let mut shell = Command::new("sh");
    let shell = shell.args(["-ec", &script]).current_dir(folder).env("STEPGATE", env!("CARGO_BIN_EXE_stepgate"));
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap()
}

/// A block of commands, each with what it says now.
fn run(folder: &Path, block: &str) -> String {
    let commands = block.lines().filter_map(|line| line.strip_prefix("$ "));
    commands.map(|command| format!("$ {command}\n{}", said(folder, command))).collect()
}

#[test]
fn what_the_walk_through_shows_is_what_happens() {
    let document = std::fs::read_to_string(DOCUMENT).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut now = String::new();
    // Every second part is within a fence; its first line says what it is.
    for (place, part) in document.split("```").enumerate() {
        if place > 0 {
            now.push_str("```");
        }
        match part.split_once('\n').filter(|_| place % 2 == 1) {
            Some(("console", block)) => now.push_str(&format!("console\n{}", run(folder.path(), block))),
            Some(("sh", script)) => {
                said(folder.path(), script);
                now.push_str(part);
            }
            Some(_) | None => now.push_str(part),
        }
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(DOCUMENT, now).unwrap();
        return;
    }
    assert_eq!(now, document, "the walk-through is out of date");
}
