#!/usr/bin/env python3
"""Shows that the tests would notice: applies each small fault of the lists beside this to a copy of the tree and runs
the tests that must then fail. A fault that no test notices, or that no longer fits the code, fails the run.

    tests/mutants/run.py            all of them
    tests/mutants/run.py t18 t28    those whose name contains one of the words
    tests/mutants/run.py --list     only whether each still fits the code; no test is run
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
COPY = ROOT / "target" / "mutants"
FOLDERS = ["src", "tests", "policies", "docs", "deploy", "benches"]
FILES = ["Cargo.toml", "Cargo.lock", "README.md", "clippy.toml", "rust-toolchain.toml"]


def copy_tree() -> None:
    COPY.mkdir(parents=True, exist_ok=True)
    for name in FOLDERS:
        shutil.rmtree(COPY / name, ignore_errors=True)
        shutil.copytree(ROOT / name, COPY / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    for name in FILES:
        shutil.copy2(ROOT / name, COPY / name)


def tests(arguments: list[str]) -> subprocess.CompletedProcess:
    command = ["cargo", "test", "--quiet", "--target-dir", str(COPY / "target"), *arguments]
    return subprocess.run(command, cwd=COPY, capture_output=True, text=True, timeout=900, check=False)


def outcome(mutant: dict) -> str:
    """One word: caught, or why not."""
    path = COPY / mutant["file"]
    sound = path.read_text()
    if sound.count(mutant["find"]) != 1:
        return f"stale: found {sound.count(mutant['find'])} times"
    path.write_text(sound.replace(mutant["find"], mutant["replace"]))
    try:
        run = tests(mutant["test"].split())
    except subprocess.TimeoutExpired:
        return "caught (did not end)"
    finally:
        path.write_text(sound)
    if "error: could not compile" in run.stderr:
        return "does not compile:\n" + run.stderr[-2000:]
    if run.returncode == 0:
        return "SURVIVED"
    return "caught" if "test result: FAILED" in run.stdout + run.stderr else "unclear:\n" + run.stderr[-2000:]


def main() -> int:
    lists = sorted((ROOT / "tests/mutants").glob("*.toml"))
    mutants = [mutant for path in lists for mutant in tomllib.loads(path.read_text())["mutant"]]
    words = sys.argv[1:]
    if words == ["--list"]:
        stale = [m for m in mutants if (ROOT / m["file"]).read_text().count(m["find"]) != 1]
        for mutant in stale:
            print(f"{mutant['name']}: what it replaces does not stand in {mutant['file']} exactly once")
        print(f"{len(mutants)} faults listed, {len(stale)} stale")
        return 1 if stale else 0
    chosen = [m for m in mutants if not words or any(word in m["name"] for word in words)]
    copy_tree()
    for test in sorted({m["test"] for m in chosen}):
        run = tests(test.split())
        if run.returncode != 0 or not re.search(r"\b[1-9]\d* passed", run.stdout):
            print(f"without any fault, `cargo test {test}` fails or runs nothing:\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
            return 1
    missed = 0
    for mutant in chosen:
        result = outcome(mutant)
        missed += not result.startswith("caught")
        print(f"{mutant['name']}: {result}", flush=True)
    print(f"{len(chosen) - missed} caught, {missed} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
