//! Hosts: the one form in which they are compared, and the patterns that name them.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

/// A host pattern. Hosts are compared in lower case, without port and without a final dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// Exactly this host.
    Exact(Box<str>),
    /// `*.example.com`: any host that ends in this suffix, which begins with a dot. The bare domain is not meant.
    Suffix(Box<str>),
    /// Any host.
    Any,
}

impl HostPattern {
    /// Whether a host, already in canonical form, is meant.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => **name == *host,
            Self::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(&**suffix),
            Self::Any => true,
        }
    }

    /// Whether some host is meant by both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::Exact(a), b) => b.matches(a),
            (a, Self::Exact(b)) => a.matches(b),
            (Self::Suffix(a), Self::Suffix(b)) => a.ends_with(&**b) || b.ends_with(&**a),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Suffix(suffix) => write!(f, "*{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// A host in the form in which it is compared: lower case, without port and final dot. `None` for what is no host.
///
/// Borrowed where nothing had to be changed, as for nearly every request.
#[must_use]
pub fn canonical_host(authority: &str) -> Option<Cow<'_, str>> {
    if authority.starts_with('[') {
        let end = authority.find(']')?;
        let (address, after) = authority.split_at_checked(end.checked_add(1)?)?;
        let inner: Ipv6Addr = address.strip_prefix('[')?.strip_suffix(']')?.parse().ok()?;
        return is_port(after).then(|| Cow::Owned(format!("[{inner}]")));
    }
    let (name, port) = authority.find(':').and_then(|at| authority.split_at_checked(at)).unwrap_or((authority, ""));
    let name = name.strip_suffix('.').unwrap_or(name);
    // No label is empty: a dot follows on something, and something on a dot.
    let mut before = b'.';
    let labels_are_legal = name.bytes().all(|byte| {
        let legal = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || byte == b'.' && before != b'.';
        before = byte;
        legal
    });
    if !labels_are_legal || before == b'.' || name.len() > 253 || !is_port(port) {
        return None;
    }
    let is_lower = !name.bytes().any(|byte| byte.is_ascii_uppercase());
    Some(if is_lower { Cow::Borrowed(name) } else { Cow::Owned(name.to_ascii_lowercase()) })
}

/// Nothing, or `:` and a port number (which RFC 3986 lets be empty).
fn is_port(text: &str) -> bool {
    text.strip_prefix(':')
        .map_or(text.is_empty(), |digits| digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t6_hosts_compare_in_lower_case_without_port_and_final_dot() {
        for (written, is) in [
            ("api.example", "api.example"),
            ("API.Example", "api.example"),
            ("api.example.", "api.example"),
            ("api.example:8443", "api.example"),
            ("API.example.:443", "api.example"),
            ("api.example:", "api.example"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]:80", "[::1]"),
            ("[0:0:0:0:0:0:0:1]", "[::1]"),
        ] {
            assert_eq!(canonical_host(written).as_deref(), Some(is), "{written}");
        }
        for bad in [
            "", ".", "a..b", ".a", "a b", "a/b", "a@b", "a:b", "a:1:2", "[::1", "[x]", "[::1]x", "a,b", "é", "a\\",
            "a:123456",
        ] {
            assert_eq!(canonical_host(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_suffix_means_sub_domains_at_any_depth_and_not_the_domain() {
        let suffix = HostPattern::Suffix(".bank.example".into());
        assert!(suffix.matches("a.bank.example"));
        assert!(suffix.matches("a.b.bank.example"));
        assert!(!suffix.matches("bank.example"));
        assert!(!suffix.matches("evilbank.example"));
        assert!(!suffix.matches(".bank.example"));
    }
}
