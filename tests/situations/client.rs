//! As much of a shell and of curl as the pages need: so they can be run where neither is to be had.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

/// The words of a command, quotes and variables resolved.
pub(crate) fn words(command: &str, variables: &BTreeMap<String, String>) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut rest = command.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, quote) {
            (' ', None) => words.extend(word.take()),
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, Some(open)) if c == open => quote = None,
            ('$', None | Some('"')) => {
                let mut name = String::new();
                while let Some(c) = rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
                    name.push(c);
                }
                let value = variables.get(&name).unwrap_or_else(|| panic!("`${name}` is not set: {command}"));
                word.get_or_insert_default().push_str(value);
            }
            (c, None) if "`|;&<>()*?\\".contains(c) => panic!("`{c}` is too much for this test: {command}"),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    assert_eq!(quote, None, "an open quote: {command}");
    words.extend(word);
    words
}

/// What curl would write. Jars of cookies are files in the folder.
pub(crate) fn curl(arguments: &[String], folder: &Path) -> String {
    let (mut method, mut url, mut body) = (None, None, Vec::new());
    let (mut headers, mut with_head, mut into_query) = (Vec::new(), false, false);
    let mut fill = None;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().unwrap().clone();
        match argument.as_str() {
            "-s" => {}
            "-i" | "-si" => with_head = true,
            "-G" => into_query = true,
            "-X" => method = Some(value()),
            "-H" => headers.push(value()),
            "-b" => headers.push(format!("Cookie: {}", std::fs::read_to_string(folder.join(value())).unwrap())),
            "-c" => fill = Some(folder.join(value())),
            "-d" => body.push(value()),
            "--data-urlencode" => {
                let pair = value();
                let (name, text) = pair.split_once('=').unwrap();
                body.push(format!("{name}={}", escaped(text)));
            }
            _ if argument.starts_with("http://") && url.is_none() => url = Some(argument.clone()),
            _ => panic!("this test knows no `{argument}` of curl's"),
        }
    }
    let url = url.unwrap();
    let rest = url.strip_prefix("http://").unwrap();
    let (authority, mut target) = match rest.split_once('/') {
        Some((authority, path)) => (authority.to_owned(), format!("/{path}")),
        None => (rest.to_owned(), "/".to_owned()),
    };
    let mut body = body.join("&");
    if into_query {
        target = format!("{target}{}{body}", if target.contains('?') { '&' } else { '?' });
        body.clear();
    } else if !body.is_empty() {
        headers.push("Content-Type: application/x-www-form-urlencoded".to_owned());
    }
    let method = method.unwrap_or_else(|| if body.is_empty() { "GET" } else { "POST" }.to_owned());
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    if !headers.iter().any(|header| header.to_ascii_lowercase().starts_with("host:")) {
        write!(head, "Host: {authority}\r\n").unwrap();
    }
    if !headers.iter().any(|header| header.starts_with("Accept:")) {
        headers.push("Accept: */*".to_owned());
    }
    if !body.is_empty() {
        headers.push(format!("Content-Length: {}", body.len()));
    }
    headers.iter().for_each(|header| write!(head, "{header}\r\n").unwrap());
    let (head, body) = exchange(&authority, &format!("{head}\r\n{body}"));
    if let Some(jar) = fill {
        std::fs::write(jar, cookies(&head)).unwrap();
    }
    if with_head { format!("{head}\n{body}") } else { body }
}

/// What an answer sets, as a request has it. All that is sent here goes to loopback addresses, so `Secure` hinders nothing.
fn cookies(head: &str) -> String {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let set = lines.filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie")).map(|(_, value)| value);
    let held: Vec<&str> =
        set.filter(|set| !set.contains("Max-Age=0")).filter_map(|set| set.split(';').next()).collect();
    held.join("; ")
}

fn exchange(authority: &str, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(authority).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).unwrap() > 0, "cut off: {head}");
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(line.trim_end());
        head.push('\n');
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}
