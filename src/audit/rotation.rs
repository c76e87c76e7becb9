//! The older files of an audit log: `PATH.1` is the newest. Files are only ever renamed, so whatever moment a crash picks,
//! no line is gone; at the worst a number is left out, and the next rotation fills it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Moves the file to `PATH.1` and those before it up by one. When `keep` of them are there, the oldest is replaced.
///
/// # Errors
/// What the system says. The file may or may not be moved then; nothing is lost.
pub(super) fn shift(path: &Path, keep: usize) -> io::Result<()> {
    let keep = keep.max(1);
    let free = (1..=keep).find(|number| fs::symlink_metadata(numbered(path, *number)).is_err());
    for number in (1..free.unwrap_or(keep)).rev() {
        fs::rename(numbered(path, number), numbered(path, number.saturating_add(1)))?;
    }
    fs::rename(path, numbered(path, 1))
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(path: &Path) -> Vec<Option<String>> {
        (1..=4).map(|number| fs::read_to_string(numbered(path, number)).ok()).collect()
    }

    #[test]
    fn the_newest_is_number_one_and_the_oldest_goes_when_there_are_too_many() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        for round in 1..=5 {
            fs::write(&path, round.to_string()).unwrap();
            shift(&path, 3).unwrap();
            assert!(!path.exists());
        }
        let have = content(&path);
        assert_eq!(have, [Some("5".into()), Some("4".into()), Some("3".into()), None]);
    }

    #[test]
    fn a_number_that_a_crash_left_out_is_filled_before_anything_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        for (number, text) in [(2, "two"), (3, "three")] {
            fs::write(numbered(&path, number), text).unwrap();
        }
        fs::write(&path, "one").unwrap();
        shift(&path, 3).unwrap();
        assert_eq!(content(&path), [Some("one".into()), Some("two".into()), Some("three".into()), None]);
    }

    #[test]
    fn each_moment_at_which_a_crash_may_come_leaves_every_line_in_some_file() {
        // Each rename of the chain is a moment. The last state is made by hand, the next rotation must lose nothing of it.
        for moved in 0..=2 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("audit.jsonl");
            fs::write(&path, "now").unwrap();
            fs::write(numbered(&path, 1), "newer").unwrap();
            fs::write(numbered(&path, 2), "older").unwrap();
            if moved >= 1 {
                fs::rename(numbered(&path, 2), numbered(&path, 3)).unwrap();
            }
            if moved >= 2 {
                fs::rename(numbered(&path, 1), numbered(&path, 2)).unwrap();
            }
            shift(&path, 4).unwrap();
            let mut have: Vec<String> = content(&path).into_iter().flatten().collect();
            assert_eq!(have.first().map(String::as_str), Some("now"), "after {moved} renames");
            have.sort();
            assert_eq!(have, ["newer", "now", "older"], "after {moved} renames");
        }
    }
}
