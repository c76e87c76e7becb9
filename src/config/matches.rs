//! `match`: hosts, path and methods of a route or floor.

use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields, Keys};
use crate::config::yaml::Node;
use crate::policy::pattern::PatternError;
use crate::policy::{Allowances, Ambiguity, HostPattern, Match, Methods, PathPattern, canonical_host};

const MATCH: Keys = Keys {
    what: "`match`",
    known: &["hosts", "path", "methods", "ignore_case", "empty_segments", "encoded_slash"],
    later: &[],
};
const MATCH_OF_FLOOR: Keys =
    Keys { what: "`match` of a floor", known: &["hosts", "path", "methods", "ignore_case"], later: &[] };

/// Reads `match` of a route.
pub fn of_route(node: &Node, out: &mut Report) -> Option<Match> {
    let fields = Fields::of(node, MATCH, out)?;
    let mut allows = |name| fields.get(name, out).map_or(Some(false), |node| reader::switch(node, out));
    let (empty_segments, encoded_slash) = (allows("empty_segments"), allows("encoded_slash"));
    let given = empty_segments.zip(encoded_slash);
    let allows = given.map(|(empty_segments, encoded_slash)| Allowances { empty_segments, encoded_slash });
    let found = read(&fields, allows.unwrap_or_default(), out);
    found.filter(|_| allows.is_some())
}

/// Reads `match` of a floor, which allows nothing by itself: its routes do.
pub fn of_floor(node: &Node, out: &mut Report) -> Option<Match> {
    let fields = Fields::of(node, MATCH_OF_FLOOR, out)?;
    read(&fields, Allowances::default(), out)
}

fn read(fields: &Fields<'_>, allows: Allowances, out: &mut Report) -> Option<Match> {
    let hosts = match fields.get("hosts", out) {
        Some(node) => hosts(node, out),
        None => Some([HostPattern::Any].into()),
    };
    let methods = match fields.get("methods", out) {
        Some(node) => methods(node, out),
        None => Some(Methods::Any),
    };
    if !fields.has("path") {
        let help = "write `path: \"/**\"` if all paths are meant";
        out.add(Problem::error("missing_key", fields.span, "`match` needs `path`").help(help));
    }
    let ignore_case = match fields.get("ignore_case", out) {
        Some(node) => reader::switch(node, out),
        None => Some(false),
    };
    let path = fields.get("path", out).and_then(|node| {
        let written = reader::text(node, "a path", out)?;
        let bad = |mistake: PatternError| {
            let message = format!("`{written}` is no path pattern: {mistake}");
            let problem = Problem::error("bad_pattern", node.span, message);
            let slashed = format!("/{written}");
            if mistake == PatternError::NotAbsolute && PathPattern::parse(&slashed).is_ok() {
                return problem.help(format!("write `{slashed}`"));
            }
            if mistake == PatternError::Ambiguous(Ambiguity::EncodedSlash) {
                return problem.help("write `encoded_slash: true` beside it if the upstream is known to mean it");
            }
            problem
        };
        let pattern = PathPattern::parse_allowing(written, allows);
        let pattern = pattern.and_then(|path| if ignore_case == Some(true) { path.ignoring_case() } else { Ok(path) });
        pattern.map_err(|mistake| out.add(bad(mistake))).ok().map(|path| (path, written))
    });
    let (path, written) = path?;
    Some(Match {
        hosts: hosts?,
        path,
        path_written: written.into(),
        methods: methods?,
        ignore_case: ignore_case?,
        allows,
    })
}

fn hosts(node: &Node, out: &mut Report) -> Option<Box<[HostPattern]>> {
    let mut hosts = Vec::new();
    for item in reader::list(node, "a list of hosts", out)? {
        let written = reader::text(item, "a host", out)?;
        let Some(host) = host(written) else {
            let help = "write a name such as `api.example`, `*.example` for all names under it, or leave `hosts` out for any; no scheme, port or path";
            out.add(Problem::error("bad_pattern", item.span, format!("`{written}` is no host pattern")).help(help));
            continue;
        };
        if hosts.contains(&host) {
            out.add(Problem::error("duplicate_value", item.span, format!("`{host}` stands twice in this list")));
        }
        hosts.push(host);
    }
    Some(hosts.into())
}

fn host(written: &str) -> Option<HostPattern> {
    if written == "*" {
        return Some(HostPattern::Any);
    }
    let name = written.strip_prefix("*.").unwrap_or(written);
    // A port would never match: hosts are compared without.
    let has_port = !name.starts_with('[') && name.contains(':') || name.contains("]:");
    let canonical = canonical_host(name).filter(|_| !has_port)?;
    Some(if written.len() > name.len() {
        HostPattern::Suffix(format!(".{canonical}").into())
    } else {
        HostPattern::Exact(canonical.into())
    })
}

fn methods(node: &Node, out: &mut Report) -> Option<Methods> {
    let mut names: Vec<Box<str>> = Vec::new();
    for item in reader::list(node, "a list of methods", out)? {
        let name = reader::text(item, "a method", out)?;
        let problem = match name {
            "CONNECT" | "TRACE" => Some(
                Problem::error("bad_method", item.span, format!("`{name}` is never forwarded")).help("take it out"),
            ),
            _ if !is_token(name) => Some(Problem::error("bad_method", item.span, format!("`{name}` is no method"))),
            _ if name.bytes().any(|byte| byte.is_ascii_lowercase()) => {
                let help = format!("methods are case-sensitive: did you mean `{}`?", name.to_ascii_uppercase());
                Some(Problem::error("bad_method", item.span, format!("`{name}` is not in upper case")).help(help))
            }
            _ if names.iter().any(|known| **known == *name) => {
                Some(Problem::error("duplicate_value", item.span, format!("`{name}` stands twice in this list")))
            }
            _ => None,
        };
        match problem {
            Some(problem) => out.add(problem),
            None => names.push(name.into()),
        }
    }
    Some(Methods::named(names))
}

/// RFC 9110 section 5.6.2.
#[must_use]
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
