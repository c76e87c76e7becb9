//! How a file of cases is read. Bytes are written as they go over the wire, with escapes for what cannot be seen.
//!
//! ```text
//! # a remark
//! == what the case shows
//! GET /public/a HTTP/1.1\r\n        bytes, line after line; the end of a line in the file is none of them
//! => 400 closed                     what the client gets, and whether its connection goes on: `open`, `closed`; or `either`,
//!                                   where that depends on how fast the bytes come. `ends`: the client says that it is done
//! up POST /public/a chunked 0\r\n\r\n   a request that the upstream sees: method, target, framing and body, byte for byte
//! cut POST /public/a                one that it may see the beginning of, and never the end
//! has x-a: b                        a field of the last request, which has no other of that name
//! not x-a                           a field that no request has
//! ```

use std::fs;
use std::path::Path;

/// One case.
#[derive(Clone, Debug, Default)]
pub struct Case {
    pub name: String,
    /// What is sent, line by line of the file, escapes and all.
    pub lines: Vec<String>,
    /// The words behind `=>`.
    pub outcome: Vec<String>,
    pub upstream: Vec<Wanted>,
    /// A request that may have begun.
    pub cut: Option<String>,
    pub has: Vec<(String, String)>,
    pub not: Vec<String>,
}

/// A request that the upstream is to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub line: String,
    pub framing: String,
    pub body: Vec<u8>,
}

impl Case {
    /// All bytes that are sent.
    pub fn bytes(&self) -> Vec<u8> {
        self.lines.iter().flat_map(|line| unescape(line)).collect()
    }

    /// Whether the client's connection must go on.
    pub fn must_go_on(&self) -> bool {
        self.fate() == "open"
    }

    /// Whether it may.
    pub fn may_go_on(&self) -> bool {
        self.fate() != "closed"
    }

    fn fate(&self) -> &str {
        let fate = self.outcome.last().unwrap().as_str();
        assert!(matches!(fate, "open" | "closed" | "either"), "{}: {fate}", self.name);
        fate
    }
}

/// All cases of a file beside this one.
pub fn read(file: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proxy/smuggling").join(file);
    let text = fs::read_to_string(&path).unwrap();
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix("== ") {
            assert!(cases.iter().all(|case| case.name != name), "{name} is there twice");
            cases.push(Case { name: name.to_owned(), ..Case::default() });
            continue;
        }
        let case = cases.last_mut().expect("a line before the first case");
        match line.split_once(' ') {
            Some(("=>", words)) => case.outcome = words.split(' ').map(str::to_owned).collect(),
            Some(("up", request)) => case.upstream.push(wanted(request)),
            Some(("cut", request)) => case.cut = Some(request.to_owned()),
            Some(("has", field)) => {
                let (name, value) = field.split_once(": ").unwrap();
                case.has.push((name.to_owned(), value.to_owned()));
            }
            Some(("not", name)) => case.not.push(name.to_owned()),
            _ => {
                assert!(case.outcome.is_empty(), "{}: bytes behind the outcome: {line}", case.name);
                case.lines.push(line.to_owned());
            }
        }
    }
    assert!(cases.iter().all(|case| !case.outcome.is_empty()), "a case without an outcome");
    cases
}

fn wanted(request: &str) -> Wanted {
    let mut words = request.splitn(4, ' ');
    let line = format!("{} {}", words.next().unwrap(), words.next().unwrap());
    let framing = words.next().unwrap_or("none").to_owned();
    Wanted { line, framing, body: unescape(words.next().unwrap_or_default()) }
}

/// `\r`, `\n`, `\t`, `\v`, `\0`, `\\`, `\s` (a blank), `\xHH`, and `\{70000:x}` for so many times the same.
pub fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend(rest[..at].bytes());
        let sign = rest[at + 1..].chars().next().unwrap_or_else(|| panic!("nothing behind a `\\` in {text}"));
        rest = &rest[at + 2..];
        match sign {
            'r' => out.push(b'\r'),
            'n' => out.push(b'\n'),
            't' => out.push(b'\t'),
            'v' => out.push(0x0b),
            's' => out.push(b' '),
            '0' => out.push(0),
            '\\' => out.push(b'\\'),
            'x' => {
                out.push(u8::from_str_radix(&rest[..2], 16).unwrap());
                rest = &rest[2..];
            }
            '{' => {
                let (repeat, after) = rest.split_once('}').unwrap();
                let (count, what) = repeat.split_once(':').unwrap();
                out.extend(unescape(what).repeat(count.parse().unwrap()));
                rest = after;
            }
            other => panic!("`\\{other}` in {text}"),
        }
    }
    out.extend(rest.bytes());
    out
}
