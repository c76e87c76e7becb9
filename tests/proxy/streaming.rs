//! Bodies of any size pass as they come, both ways, and nothing waits for their end.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::thread;

use super::client::get;
use super::gate::gate;
use super::upstream::{Upstream, eventually, read_body, read_chunk};

#[test]
fn an_upload_reaches_the_upstream_while_the_client_still_sends() {
    let upstream = Upstream::scripted(|seen, stream| {
        // Answers the first chunk at once: the client waits for that before it sends the second.
        let first = read_chunk(stream).unwrap();
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\ngot\r\n").unwrap();
        seen.body = first;
        while let Some(chunk) = read_chunk(stream) {
            seen.body.extend(chunk);
        }
        let mut end = [0; 2];
        stream.read_exact(&mut end).unwrap();
        stream.get_mut().write_all(b"0\r\n\r\n").is_ok()
    });
    let gate = gate(&upstream);
    let mut client = gate.client();
    client.send("POST /public HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    assert_eq!(client.head().status, 200);
    assert_eq!(read_chunk(&mut client.0).unwrap(), b"got", "before the upload is through");
    client.send("6\r\nsecond\r\n0\r\n\r\n");
    assert_eq!(read_chunk(&mut client.0), None);
    eventually(|| upstream.only().body == b"firstsecond");
}

#[test]
fn a_download_reaches_the_client_while_the_upstream_still_sends() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let upstream = Upstream::scripted(move |_, stream| {
        let head =
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n";
        stream.get_mut().write_all(head).unwrap();
        wait.lock().unwrap().recv().unwrap();
        stream.get_mut().write_all(b"3\r\ntwo\r\n0\r\n\r\n").is_ok()
    });
    let gate = gate(&upstream);
    let mut client = gate.client();
    assert_eq!(client.send(get("/public", None)).head().status, 200);
    assert_eq!(read_chunk(&mut client.0).unwrap(), b"one");
    go.send(()).unwrap();
    assert_eq!(read_chunk(&mut client.0).unwrap(), b"two");
    assert_eq!(read_chunk(&mut client.0), None);
}

#[test]
fn a_long_upload_is_held_back_by_a_slow_upstream_and_not_gathered() {
    const SIZE: usize = 64 << 20;
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let upstream = Upstream::scripted(move |_, stream| {
        wait.lock().unwrap().recv().unwrap();
        let mut left = SIZE;
        let mut part = vec![0; 1 << 20];
        while left > 0 {
            let count = stream.read(&mut part).unwrap();
            assert!(count > 0 && part[..count].iter().all(|byte| *byte == b'x'));
            left -= count;
        }
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_ok()
    });
    let gate = gate(&upstream);
    let mut client = gate.client();
    client.send(format!("POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n"));
    let sent = Arc::new(Mutex::new(0usize));
    let (mut writer, progress) = (client.0.get_ref().try_clone().unwrap(), Arc::clone(&sent));
    let sending = thread::spawn(move || {
        let part = vec![b'x'; 1 << 16];
        for _ in 0..SIZE / part.len() {
            writer.write_all(&part).unwrap();
            *progress.lock().unwrap() += part.len();
        }
    });
    // Nobody reads: what the gate and the kernel hold between them is all that may be sent.
    let held = || *sent.lock().unwrap();
    let mut before = usize::MAX;
    while before != held() {
        before = held();
        thread::sleep(std::time::Duration::from_millis(300));
    }
    assert!(before < SIZE / 2, "{before} bytes were taken for an upstream that reads nothing");
    go.send(()).unwrap();
    assert_eq!(client.response().body, "ok");
    sending.join().unwrap();
}

#[test]
fn a_large_body_of_chunks_passes_byte_for_byte_and_the_connection_goes_on() {
    let upstream = Upstream::scripted(|seen, stream| {
        read_body(seen, stream);
        let length = seen.body.len();
        write!(stream.get_mut(), "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").unwrap();
        stream.get_mut().write_all(&seen.body).is_ok()
    });
    let gate = gate(&upstream);
    let mut client = gate.client();
    let mut expected = String::new();
    let mut request = String::from("POST /public HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for number in 0..3000usize {
        let chunk = format!("{number}-").repeat(number % 97 + 1);
        request += &format!("{:X}\r\n{chunk}\r\n", chunk.len());
        expected += &chunk;
    }
    request += "0\r\n\r\n";
    for _ in 0..2 {
        let (mut writer, bytes) = (client.0.get_ref().try_clone().unwrap(), request.clone());
        let sending = thread::spawn(move || writer.write_all(bytes.as_bytes()).unwrap());
        assert!(client.response().body == expected);
        sending.join().unwrap();
    }
}

#[test]
fn a_permitted_client_that_expects_it_is_told_to_continue_and_a_refused_one_is_not() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let mut client = gate.client();
    client.send("POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.head().status, 100);
    client.send("hi");
    assert_eq!(client.response().status, 200);
    let seen = upstream.only();
    assert_eq!((seen.body.as_slice(), seen.field("expect")), (&b"hi"[..], None));
    let mut client = gate.client();
    client.send("POST /accounts HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.field("connection")), (401, Some("close")));
    assert!(client.is_closed());
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn a_refused_upload_gets_its_answer_although_nobody_reads_the_body() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    for _ in 0..3 {
        let mut client = gate.client();
        client.send("POST /accounts HTTP/1.1\r\nHost: a\r\nContent-Length: 400000\r\n\r\n");
        for _ in 0..10 {
            // Long after the gate has refused it.
            thread::sleep(std::time::Duration::from_millis(10));
            client.send("x".repeat(40_000));
        }
        let response = client.response();
        assert_eq!((response.status, response.field("connection")), (401, Some("close")));
    }
    let mut client = gate.client();
    for _ in 0..3 {
        let response = client.ask("POST /accounts HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!((response.status, response.field("connection")), (401, None), "a small one that is here is skipped");
    }
    assert!(upstream.seen().is_empty());
}

#[test]
fn a_response_that_breaks_off_is_seen_to_break_off() {
    let upstream = Upstream::scripted(|_, stream| {
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n").unwrap();
        false
    });
    let gate = gate(&upstream);
    let answer = gate.client().send(get("/public", None)).rest();
    assert!(answer.ends_with("\r\n\r\n4\r\nhalf\r\n"), "no last chunk: {answer}");
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\nhalf");
    assert!(super::gate::gate(&upstream).client().send(get("/public", None)).rest().ends_with("\r\n\r\nhalf"));
}
