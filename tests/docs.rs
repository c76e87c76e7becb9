//! What the documents show is true: their policies load without a word, and their tests pass.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::process::Command;

fn yaml_blocks(document: &str) -> Vec<String> {
    let mut blocks = document.split("```yaml\n").skip(1);
    std::iter::from_fn(|| blocks.next().and_then(|rest| rest.split("```").next()).map(str::to_owned)).collect()
}

fn stepgate(arguments: &[&str], folder: &std::path::Path) -> (bool, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_stepgate")).args(arguments).arg(folder).output().unwrap();
    (out.status.success(), String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap())
}

#[test]
fn the_policies_and_tests_in_the_documents_hold() {
    for document in [
        include_str!("../README.md"),
        include_str!("../docs/policy.md"),
        include_str!("../docs/refusals.md"),
        include_str!("../docs/kept.md"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (tests, policies): (Vec<String>, Vec<String>) =
            yaml_blocks(document).into_iter().partition(|block| block.contains("\ncases:\n"));
        // Each is whole in itself; the first is the one that tests speak of.
        for policy in policies.iter().rev() {
            std::fs::write(folder.path().join("policy.yaml"), policy).unwrap();
            let (ok, said) = stepgate(&["check"], folder.path());
            assert!(ok && said.contains("0 errors, 0 lints"), "{said}");
        }
        for test in &tests {
            std::fs::write(folder.path().join("policy.test.yaml"), test).unwrap();
            let (ok, said) = stepgate(&["test"], folder.path());
            assert!(ok && said.contains("0 failed"), "{said}");
        }
        if !tests.is_empty() {
            // The page on tests shows one of the same policy.
            let test = yaml_blocks(include_str!("../docs/tests.md"));
            std::fs::write(folder.path().join("policy.test.yaml"), test.first().unwrap()).unwrap();
            let (ok, said) = stepgate(&["test", "--filter", "a password alone"], folder.path());
            assert!(ok && said.contains("1 passed, 0 failed"), "{said}");
        }
    }
}
