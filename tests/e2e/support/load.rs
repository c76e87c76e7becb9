//! h2load, and what it reports.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::run;

/// Tests that make load, or measure under it, run one after the other.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What h2load counted.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Load {
    pub(crate) total: u64,
    pub(crate) succeeded: u64,
    /// Failed, errored and timed out, as h2load tells them apart.
    pub(crate) failed: u64,
    /// Responses with a status of 2xx.
    pub(crate) good: u64,
    /// Responses with any other.
    pub(crate) other: u64,
}

impl Load {
    pub(crate) fn run(arguments: &[&str]) -> Self {
        let said = run("h2load", arguments);
        assert_eq!(said.code, Some(0), "{said:?}");
        Self::read(&said.out)
    }

    fn read(report: &str) -> Self {
        let counted = |line: &str, what: &str| -> u64 {
            let line = report.lines().find(|one| one.starts_with(line)).unwrap_or_else(|| panic!("{report}"));
            let counts = line.split_once(": ").unwrap().1;
            let count = counts.split(", ").find_map(|count| count.strip_suffix(what));
            count.unwrap_or_else(|| panic!("{report}")).trim().parse().unwrap()
        };
        Self {
            total: counted("requests:", " total"),
            succeeded: counted("requests:", " succeeded"),
            failed: [" failed", " errored", " timeout"].map(|what| counted("requests:", what)).iter().sum(),
            good: counted("status codes:", " 2xx"),
            other: [" 3xx", " 4xx", " 5xx"].map(|what| counted("status codes:", what)).iter().sum(),
        }
    }

    /// Whether all went well, so many times.
    pub(crate) fn assert_all_good(&self, total: u64) {
        let all_good = Self { total, succeeded: total, good: total, ..Self::default() };
        assert_eq!(*self, all_good);
    }
}
