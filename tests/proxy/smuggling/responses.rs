//! Answers of an upstream that would answer more requests than were asked, or leave something lying for the next.
//!
//! In the file, `ask METHOD` says what is asked with (else GET), and what follows is what the upstream answers with. `shuts` closes
//! the upstream's connection behind it. The outcome is a status, what the body is (`-` for none), and `open` or `closed`; `broken` in
//! place of the body: what came of it is seen to have broken off.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use super::super::gate::{Running1, Setup};
use super::cases::{Case, unescape};
use super::raw::{Raw, echo};
use super::{answers, ask, connect, honest, run_all, send};

/// What the upstream says to whoever asks for `/public/odd`, and whether it shuts then.
type Said = Arc<Mutex<(Vec<u8>, bool)>>;

fn run(case: &Case, gate: &Running1, upstream: &Raw, said: &Said) {
    upstream.forget();
    let method = case.lines.iter().find_map(|line| line.strip_prefix("ask ")).unwrap_or("GET");
    let answer = case.lines.iter().filter(|line| !line.starts_with("ask ") && *line != "shuts");
    let bytes: Vec<u8> = answer.flat_map(|line| unescape(line)).collect();
    *said.lock().unwrap() = (bytes, case.lines.iter().any(|line| line == "shuts"));
    let (mine, mut client) = (honest(), connect(gate));
    let asked = format!("{method} /public/odd HTTP/1.1\r\nHost: a\r\n\r\n{}", ask(&mine));
    send(&mut client, asked.as_bytes(), false);
    let wanted = (case.outcome[0].parse::<u16>().unwrap(), case.outcome[1].replace('_', " "));
    let mut behind = Vec::new();
    if wanted.1 == "broken" {
        let mut rest = Vec::new();
        drop(client.read_to_end(&mut rest));
        let rest = String::from_utf8_lossy(&rest).into_owned();
        // What broke off before the head had left is nothing at all.
        assert!(rest.is_empty() || rest.starts_with(&format!("HTTP/1.1 {}", wanted.0)), "{}: {rest}", case.name);
        assert!(!rest.contains("honest") && !rest.ends_with("0\r\n\r\n"), "{}: {rest}", case.name);
        assert!(rest.matches("HTTP/1.1").count() < 2, "{}: {rest}", case.name);
    } else {
        let most = if case.must_go_on() { 2 } else { usize::MAX };
        let (mut got, closed) = answers(&mut client, &[method, "GET"], most);
        assert_eq!(closed, !case.must_go_on(), "{}: {got:?}", case.name);
        if case.must_go_on() {
            let last = got.pop().unwrap();
            assert_eq!((last.status, last.body), (200, format!("GET {mine}")), "{}", case.name);
            behind.push(mine);
        }
        assert_eq!(got.len(), 1, "{}: {got:?}", case.name);
        let body = if wanted.0 == 502 || got[0].body.is_empty() { "-" } else { &got[0].body };
        assert_eq!((got[0].status, body), (wanted.0, &*wanted.1), "{}", case.name);
        let lower = got[0].head.to_lowercase();
        for name in &case.not {
            assert!(!lower.contains(&format!("\r\n{name}:")), "{}: {lower}", case.name);
        }
        for (name, value) in &case.has {
            assert!(lower.contains(&format!("\r\n{name}: {value}\r\n")), "{}: {lower}", case.name);
        }
    }
    // Others get the answers to what they ask, over whatever connections to the upstream are left.
    for _ in 0..3 {
        let theirs = honest();
        let response = gate.ask(ask(&theirs));
        assert_eq!((response.status, response.body), (200, format!("GET {theirs}")), "{}", case.name);
        behind.push(theirs);
    }
    let lines: Vec<String> = upstream.seen().iter().map(|seen| seen.line.clone()).collect();
    let wanted: Vec<String> = [format!("{method} /public/odd")]
        .into_iter()
        .chain(behind.iter().map(|target| format!("GET {target}")))
        .collect();
    assert_eq!(lines, wanted, "{}: each is asked once", case.name);
}

#[test]
fn t17_an_answer_is_for_one_request_and_whole_or_seen_to_be_none() {
    let said: Said = Arc::default();
    let script = said.clone();
    let upstream = Raw::scripted(move |seen, stream| {
        if !seen.line.ends_with("/public/odd") {
            return echo(seen, stream);
        }
        let (bytes, shuts) = script.lock().unwrap().clone();
        stream.write_all(&bytes).is_ok() && !shuts
    });
    let gate = Setup::default().start(upstream.address);
    run_all("responses.txt", 45, |case| run(case, &gate, &upstream, &said));
}
