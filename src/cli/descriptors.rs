//! How many sockets and files the system lets the process have open: as many as it may, before a client can use them up.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is needed besides: listeners, logs, the watched files, fetches of keys, the admin listener.
const BESIDES: u64 = 256;

/// Raises the soft limit, which many systems set to 1024 for programs of another kind, to the hard one. What is lacking
/// still for so many clients, each with a connection to an upstream: a sentence for the operator. Without it the gate would
/// run out of descriptors long before it counts itself full, and could then read no key and no certificate either.
pub(super) fn raise(connections: usize) -> Option<String> {
    let limit = getrlimit(Resource::Nofile);
    let _kept = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    lacking(getrlimit(Resource::Nofile).current, connections)
}

/// `None` for a limit: there is none.
fn lacking(limit: Option<u64>, connections: usize) -> Option<String> {
    let connections = u64::try_from(connections).unwrap_or(u64::MAX);
    let needed = connections.saturating_mul(2).saturating_add(BESIDES);
    let limit = limit.filter(|limit| *limit < needed)?;
    Some(format!(
        "the system lets this process have {limit} sockets and files open, which is too few for `limits.connections`: \
         {connections}; raise its limit (LimitNOFILE, ulimit -n) to {needed}, or lower `limits.connections` to {}",
        limit.saturating_sub(BESIDES) / 2,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        let before = getrlimit(Resource::Nofile);
        // Enough for the tests that run beside this one.
        let low = before.current.map(|current| current.saturating_sub(1));
        setrlimit(Resource::Nofile, Rlimit { current: low, maximum: before.maximum }).unwrap();
        let _said = raise(1);
        assert_eq!(getrlimit(Resource::Nofile).current, before.maximum);
    }

    #[test]
    fn what_is_lacking_is_said_with_both_remedies() {
        assert_eq!(lacking(None, 10_000), None);
        assert_eq!(lacking(Some(20_256), 10_000), None);
        let said = lacking(Some(1024), 10_000).unwrap();
        assert!(said.contains("to 20256, or lower `limits.connections` to 384"), "{said}");
    }
}
