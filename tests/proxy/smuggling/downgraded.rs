//! Requests in HTTP/2 that would be more than one, or another one, in HTTP/1.1: sent frame by frame.
//!
//! In the file, `name = value` is a field, `data …` a frame of the body, `trailers name = value` a trailer, `unended` leaves the
//! stream open. The outcome is a status, `reset` or `none`; `open` or `closed` is said of the whole connection.

use std::collections::HashMap;
use std::io::Write;

use super::super::gate::Running1;
use super::super::h2_client::{DATA, END_HEADERS, END_STREAM, Frame, GO_AWAY, HEADERS, RESET, Raw as Frames, frame};
use super::cases::{Case, unescape};
use super::raw::Raw;
use super::{among_others, compare, gate, honest, run_all};

/// Fields written out, whatever their bytes.
fn block(fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text);
        }
    }
    block
}

fn field(line: &str) -> (Vec<u8>, Vec<u8>) {
    let (name, value) = line.split_once(" =").unwrap_or_else(|| panic!("no field: {line}"));
    (unescape(name), unescape(value.strip_prefix(' ').unwrap_or(value)))
}

/// The frames of a case.
fn frames(case: &Case) -> Vec<u8> {
    let (mut head, mut data, mut trailers, mut ends) = (Vec::new(), Vec::new(), Vec::new(), true);
    for line in &case.lines {
        if let Some(text) = line.strip_prefix("data").filter(|rest| rest.is_empty() || rest.starts_with(' ')) {
            data.push(unescape(text.strip_prefix(' ').unwrap_or_default()));
        } else if let Some(trailer) = line.strip_prefix("trailers ") {
            trailers.push(field(trailer));
        } else if line == "unended" {
            ends = false;
        } else {
            head.push(field(line));
        }
    }
    let flag = |last: bool| if last && ends { END_STREAM } else { 0 };
    let mut bytes = frame(HEADERS, END_HEADERS | flag(data.is_empty() && trailers.is_empty()), 1, &block(&head));
    for (at, part) in data.iter().enumerate() {
        bytes.extend(frame(DATA, flag(at + 1 == data.len() && trailers.is_empty()), 1, part));
    }
    if !trailers.is_empty() {
        bytes.extend(frame(HEADERS, END_HEADERS | flag(true), 1, &block(&trailers)));
    }
    bytes
}

/// What became of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Fate {
    status: String,
    body: Vec<u8>,
    ended: bool,
}

/// A status as our own encoder writes it: from the table of HPACK, or in digits.
fn status(payload: &[u8]) -> String {
    let listed =
        [(0x88, "200"), (0x89, "204"), (0x8a, "206"), (0x8b, "304"), (0x8c, "400"), (0x8d, "404"), (0x8e, "500")];
    if let Some((_, status)) = listed.iter().find(|(byte, _)| *byte == payload[0]) {
        return (*status).to_owned();
    }
    // A literal with the name from the table; its value may be in Huffman's code, where digits take 5 or 6 bits.
    let value = &payload[2..2 + usize::from(payload[1] & 0x7f)];
    if payload[1] & 0x80 == 0 { String::from_utf8_lossy(value).into_owned() } else { digits(value) }
}

/// Three digits in the code of RFC 7541, appendix B.
fn digits(value: &[u8]) -> String {
    let bits: String = value.iter().map(|byte| format!("{byte:08b}")).collect();
    let (mut text, mut at) = (String::new(), 0);
    while text.len() < 3 {
        let short = ["00000", "00001", "00010"].iter().position(|code| bits[at..].starts_with(code));
        let found = short
            .map(|digit| (digit, 5))
            .unwrap_or_else(|| (3 + usize::from_str_radix(&bits[at..at + 6], 2).unwrap() - 0b01_1001, 6));
        text += &found.0.to_string();
        at += found.1;
    }
    text
}

/// Reads until both streams are done, or the connection is.
fn fates(client: &mut Frames) -> (HashMap<u32, Fate>, bool) {
    let mut fates: HashMap<u32, Fate> = HashMap::new();
    let done =
        |fates: &HashMap<u32, Fate>| [1, 3].iter().all(|stream| fates.get(stream).is_some_and(|fate| fate.ended));
    let mut leaving = false;
    while !done(&fates) {
        let Some(Frame { kind, flags, stream, payload }) = client.frame() else { return (fates, true) };
        leaving |= kind == GO_AWAY;
        let fate = fates.entry(stream).or_default();
        match kind {
            HEADERS if fate.status.is_empty() => fate.status = status(&payload),
            DATA => fate.body.extend(&payload),
            // A refusal may be followed by the advice to send no more.
            RESET if fate.status.is_empty() || payload[3] != 0 => {
                *fate = Fate { status: "reset".into(), ended: true, ..Fate::default() };
            }
            _ => {}
        }
        fate.ended |= matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0;
    }
    (fates, leaving)
}

fn run(case: &Case, gate: &Running1, upstream: &Raw) {
    upstream.forget();
    let mine = honest();
    let text = |text: &str| text.as_bytes().to_vec();
    let asked = [(":method", "GET"), (":scheme", "http"), (":authority", "honest.example"), (":path", &mine)];
    let mut bytes = frames(case);
    bytes.extend(frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        3,
        &block(&asked.map(|(name, value)| (text(name), text(value)))),
    ));
    let mut client = Frames::to(gate.address);
    drop(client.0.write_all(&bytes));
    let (fates, closed) = fates(&mut client);
    assert_eq!(closed, !case.must_go_on(), "{}: {fates:?}", case.name);
    let got = fates.get(&1).map_or("none", |fate| fate.status.as_str());
    assert_eq!(got, case.outcome[0], "{}: {fates:?}", case.name);
    let mut behind = Vec::new();
    if case.must_go_on() {
        let honest = &fates[&3];
        assert_eq!((honest.status.as_str(), &honest.body), ("200", &text(&format!("GET {mine}"))), "{}", case.name);
        behind.push(mine);
    }
    // In HTTP/1.1, over the same connection to the upstream.
    let theirs = honest();
    let response = gate.ask(super::ask(&theirs));
    assert_eq!((response.status, response.body), (200, format!("GET {theirs}")), "{}", case.name);
    behind.push(theirs);
    in_any_order(case, upstream, &behind);
}

/// Streams are carried out at once, so the honest one may come first; it is put behind.
fn in_any_order(case: &Case, upstream: &Raw, behind: &[String]) {
    let whole = || upstream.seen().iter().filter(|seen| seen.broken.is_none()).count();
    super::eventually(|| whole() >= case.upstream.len() + behind.len());
    upstream.put_last(|seen| behind.iter().position(|target| seen.line == format!("GET {target}")));
    compare(case, upstream, behind, &case.name, true);
}

#[test]
fn t17_a_request_in_http_2_is_one_and_the_same_in_http_1() {
    let shared = gate();
    run_all("downgraded.txt", 60, |case| {
        among_others(case, &shared, |(upstream, gate)| run(case, gate, upstream));
    });
}
