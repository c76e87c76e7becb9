//! Upstreams in HTTP/2: few connections for many requests, and none lost when one of them goes.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason as Reset;
use http::Response;
use stepgate::Reason;
use stepgate::config::settings::Upstream as Settings;
use tokio::sync::{Barrier, Notify};

use super::client::get;
use super::gate::{Running1, Setup};
use super::served::{Http2, Order, Served};
use super::upstream::{Upstream, eventually, read_chunk};

fn gate(served: &Served) -> Running1 {
    Setup::default().start_with(served.upstream(true, None))
}

/// So many requests at once, each on a connection of its own to the gate.
fn at_once(gate: &Running1, count: usize, request: &str) -> Vec<(u16, String)> {
    let asking: Vec<_> = (0..count)
        .map(|_| {
            let (mut client, request) = (gate.client(), request.to_owned());
            thread::spawn(move || {
                let response = client.ask(request);
                (response.status, response.body)
            })
        })
        .collect();
    asking.into_iter().map(|one| one.join().unwrap()).collect()
}

const POST: &str = "POST /public HTTP/1.1\r\nHost: api.example\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn many_requests_at_once_share_one_connection() {
    let all = Arc::new(Barrier::new(40));
    let served = Served::h2c(Http2::new(move |call| {
        let all = all.clone();
        async move {
            all.wait().await;
            call.agree().await;
        }
    }));
    let gate = gate(&served);
    for (status, body) in at_once(&gate, 40, POST) {
        assert_eq!((status, body.as_str()), (200, "ok"));
    }
    assert_eq!(served.connections(), 1);
    assert_eq!(gate.notes.connections(), 1);
}

#[test]
fn a_request_has_the_form_that_http_2_wants() {
    let served = Served::h2c(Http2::new(|call| call.agree()));
    let gate = gate(&served);
    gate.ask(
        "POST /public/a?b=%2f HTTP/1.1\r\nHost: API.example:81\r\nConnection: x-mine\r\nX-Mine: 1\r\nKeep-Alive: 1\r\n\
         TE: trailers, deflate\r\nUpgrade: websocket\r\nCookie: a=1; b=2\r\nX-Kept: 1\r\nContent-Length: 2\r\n\r\nhi",
    );
    let head = served.last();
    assert_eq!(head.uri.to_string(), "http://API.example:81/public/a?b=%2f");
    for gone in ["host", "connection", "x-mine", "keep-alive", "upgrade", "transfer-encoding"] {
        assert!(!head.headers.contains_key(gone), "{gone}");
    }
    let field = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!((field("te"), field("x-kept"), field("cookie")), (Some("trailers"), Some("1"), Some("a=1; b=2")));
    assert_eq!((field("x-forwarded-host"), field("content-length")), (Some("API.example:81"), Some("2")));
    gate.get("/public", None);
    assert!(!served.last().headers.contains_key("te"), "only where the client takes trailers");
}

#[test]
fn what_does_not_fit_on_a_connection_goes_on_another() {
    let all = Arc::new(Barrier::new(9));
    let served = Served::h2c(
        Http2::new(move |call| {
            let all = all.clone();
            async move {
                all.wait().await;
                call.agree().await;
            }
        })
        .streams(3),
    );
    let gate = gate(&served);
    assert!(at_once(&gate, 9, POST).iter().all(|(status, _)| *status == 200));
    let mut places = served.places();
    places.sort_unstable();
    assert_eq!(places, [0, 0, 0, 1, 1, 1, 2, 2, 2], "never more than the upstream allows");
}

#[test]
fn a_connection_that_says_it_goes_takes_no_more_and_loses_nothing() {
    let served = Served::h2c(Http2::new(|call| async move {
        if call.number == 0 {
            call.order.send(Order::Graceful).await.unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        call.agree().await;
    }));
    let gate = gate(&served);
    let mut first = gate.client();
    first.send(POST);
    eventually(|| served.requests() == 1);
    thread::sleep(Duration::from_millis(100));
    assert_eq!(gate.get("/public", None).body, "ok");
    assert_eq!(first.response().body, "ok", "what was under way is finished");
    assert_eq!(served.places(), [0, 1]);
    eventually(|| served.ended() >= 1);
}

#[test]
fn connections_that_come_and_go_under_load_lose_no_request() {
    let served = Served::h2c(Http2::new(|call| async move {
        if call.number == 6 {
            call.order.send(Order::Graceful).await.unwrap();
        }
        call.agree().await;
    }));
    let gate = gate(&served);
    let asking: Vec<_> = (0..6)
        .map(|_| {
            let mut client = gate.client();
            thread::spawn(move || (0..40).filter(|_| client.ask(POST).body == "ok").count())
        })
        .collect();
    assert_eq!(asking.into_iter().map(|one| one.join().unwrap()).sum::<usize>(), 240);
    assert!(served.connections() > 10, "{}", served.connections());
    assert!(gate.notes.failed.lock().unwrap().is_empty());
}

/// Speaks frames by hand: on so many connections it says of the first request that it did nothing with it, on the next ones
/// it answers.
fn leaving_at_once(connections: usize) -> (Settings, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (asked, count) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = asked.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (asked, leaves) = (asked.clone(), count.fetch_add(1, Ordering::SeqCst) < connections);
            thread::spawn(move || -> Option<()> {
                let mut stream = stream.unwrap();
                stream.read_exact(&mut [0; 24]).ok()?;
                stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).ok()?;
                loop {
                    let mut head = [0; 9];
                    stream.read_exact(&mut head).ok()?;
                    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
                    stream.read_exact(&mut payload).ok()?;
                    match (head[3], head[4]) {
                        (4, 0) => stream.write_all(&[0, 0, 0, 4, 1, 0, 0, 0, 0]).ok()?,
                        (1, _) => {
                            asked.fetch_add(1, Ordering::SeqCst);
                            if leaves {
                                // GOAWAY: the last stream was 0, no error.
                                stream.write_all(&[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).ok()?;
                            } else {
                                // HEADERS with `:status: 200` and the end of the stream.
                                let [a, b, c, d] = [head[5], head[6], head[7], head[8]];
                                stream.write_all(&[0, 0, 1, 1, 5, a, b, c, d, 0x88]).ok()?;
                            }
                        }
                        _ => {}
                    }
                }
            });
        }
    });
    let settings = Settings { http2: true, ..Settings::plain("app".into(), "127.0.0.1".into(), port) };
    (settings, counted)
}

#[test]
fn a_request_of_which_the_upstream_says_that_it_did_nothing_with_it_is_sent_again_with_its_body() {
    // Connections that have been equally busy end at the same time. One that always leaves is not asked for ever.
    for (leaving, status, times) in [(1, 200, 2), (3, 200, 4), (9, 502, 4)] {
        let (settings, asked) = leaving_at_once(leaving);
        let one = Setup::default().start_with(settings);
        assert_eq!((one.ask(POST).status, asked.load(Ordering::SeqCst)), (status, times));
    }

    let bodies = Arc::new(Mutex::new(Vec::new()));
    let kept = bodies.clone();
    let count = AtomicUsize::new(0);
    let served = Served::h2c(Http2::new(move |mut call| {
        let (bodies, refuse) = (kept.clone(), count.fetch_add(1, Ordering::SeqCst) == 0);
        async move {
            if refuse {
                call.respond.send_reset(Reset::REFUSED_STREAM);
                return;
            }
            let body = call.body().await.0;
            bodies.lock().unwrap().push(body);
            call.answer("ok");
        }
    }));
    assert_eq!(gate(&served).ask(POST).body, "ok");
    assert_eq!(*bodies.lock().unwrap(), [b"hello"]);
    assert_eq!(served.requests(), 2);
}

#[test]
fn a_request_that_is_refused_again_and_one_that_may_have_been_carried_out_are_not_sent_again() {
    for (reset, times) in [(Reset::REFUSED_STREAM, 2), (Reset::INTERNAL_ERROR, 1), (Reset::CANCEL, 1)] {
        let served = Served::h2c(Http2::new(move |mut call| async move {
            call.respond.send_reset(reset);
        }));
        let gate = gate(&served);
        assert_eq!(gate.ask(POST).status, 502);
        assert_eq!(served.requests(), times, "{reset:?}");
        assert_eq!(gate.notes.failed.lock().unwrap()[0].1, Reason::UpstreamUnreachable);
    }
    // The connection breaks in the middle: a GET may be repeated, a POST not.
    for (request, status, times) in [(get("/public", None), 200, 3), (POST.to_owned(), 502, 2)] {
        let count = AtomicUsize::new(0);
        let served = Served::h2c(Http2::new(move |call| {
            let breaks = count.fetch_add(1, Ordering::SeqCst) == 1;
            async move {
                if breaks {
                    call.order.send(Order::Drop).await.unwrap();
                    std::future::pending::<()>().await;
                }
                call.agree().await;
            }
        }));
        let gate = gate(&served);
        assert_eq!(gate.ask(&request).status, 200);
        assert_eq!((gate.ask(&request).status, served.requests()), (status, times), "{request}");
        assert_eq!(gate.ask(&request).status, 200, "on a new connection");
    }
}

#[test]
fn a_connection_on_which_nothing_is_heard_any_more_is_left() {
    let served = Served::h2c(Http2::new(|call| async move {
        if call.connection == 0 {
            std::future::pending::<()>().await;
        }
        call.agree().await;
    }));
    let gate = Setup { timeout: Some(Duration::from_millis(300)), ..Setup::default() };
    let gate = gate.start_with(Settings { timeout: Some(Duration::from_millis(300)), ..served.upstream(true, None) });
    assert_eq!(gate.get("/public", None).status, 504);
    assert_eq!(gate.get("/public", None).status, 200);
    assert_eq!(served.places(), [0, 1]);
}

#[test]
fn an_upstream_that_speaks_another_protocol_is_told_of() {
    let upstream = Upstream::answering("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let settings = Settings::plain("app".into(), "127.0.0.1".into(), upstream.address.port());
    let gate = Setup::default().start_with(Settings { http2: true, ..settings });
    assert_eq!(gate.get("/public", None).status, 502);
    let cause = gate.notes.causes.lock().unwrap()[0].clone();
    assert!(cause.contains("HTTP/2 failed"), "{cause}");
}

#[test]
fn a_client_that_goes_away_ends_its_own_stream_and_nobody_elses() {
    let reset = Arc::new(Notify::new());
    let told = reset.clone();
    let served = Served::h2c(Http2::new(move |mut call| {
        let told = told.clone();
        async move {
            if call.path() != "/public/endless" {
                return call.agree().await;
            }
            let mut stream = call.respond.send_response(Response::new(()), false).unwrap();
            stream.send_data(Bytes::from_static(b"more"), false).unwrap();
            let reason = std::future::poll_fn(|cx| stream.poll_reset(cx)).await.unwrap();
            assert_eq!(reason, Reset::CANCEL);
            told.notify_one();
        }
    }));
    let gate = gate(&served);
    let mut client = gate.client();
    assert_eq!(client.send(get("/public/endless", None)).head().status, 200);
    assert_eq!(read_chunk(&mut client.0).unwrap(), b"more");
    assert_eq!(gate.get("/public", None).body, "ok", "beside it");
    drop(client);
    let waiting = async { tokio::time::timeout(Duration::from_secs(10), reset.notified()).await.unwrap() };
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(waiting);
    assert_eq!(gate.get("/public", None).body, "ok");
    assert_eq!(served.connections(), 1);
}

#[test]
fn an_answer_that_breaks_off_is_seen_to_break_off() {
    let served = Served::h2c(Http2::new(|mut call| async move {
        let mut stream = call.respond.send_response(Response::new(()), false).unwrap();
        stream.send_data(Bytes::from_static(b"half"), false).unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        stream.send_reset(Reset::INTERNAL_ERROR);
    }));
    let answer = gate(&served).client().send(get("/public", None)).rest();
    assert!(answer.ends_with("\r\n\r\n4\r\nhalf\r\n"), "no last chunk: {answer}");
}

const LARGE: usize = 100 << 20;

#[test]
fn a_large_upload_is_held_back_by_a_slow_upstream_and_passes_whole() {
    let go = Arc::new(Notify::new());
    let wait = go.clone();
    let served = Served::h2c(Http2::new(move |mut call| {
        let wait = wait.clone();
        async move {
            wait.notified().await;
            let mut length = 0;
            let expected = vec![b'x'; 1 << 20];
            let body = call.request.body_mut();
            while let Some(Ok(data)) = body.data().await {
                assert!(data == expected[..data.len()]);
                length += data.len();
                body.flow_control().release_capacity(data.len()).unwrap();
            }
            call.answer(length.to_string());
        }
    }));
    let gate = gate(&served);
    let mut client = gate.client();
    client.send(format!("POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n"));
    let sent = Arc::new(AtomicUsize::new(0));
    let (mut writer, progress) = (client.0.get_ref().try_clone().unwrap(), sent.clone());
    let sending = thread::spawn(move || {
        let part = vec![b'x'; 1 << 16];
        for _ in 0..LARGE / part.len() {
            writer.write_all(&part).unwrap();
            progress.fetch_add(part.len(), Ordering::SeqCst);
        }
    });
    client.0.get_ref().set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let held = settled(&sent);
    assert!(held < LARGE / 4, "{held} bytes were taken for an upstream that reads nothing");
    go.notify_one();
    assert_eq!(client.response().body, LARGE.to_string());
    sending.join().unwrap();
}

#[test]
fn a_large_download_is_held_back_by_a_slow_client_and_holds_up_nobody_else() {
    let sent = Arc::new(AtomicUsize::new(0));
    let progress = sent.clone();
    let served = Served::h2c(Http2::new(move |mut call| {
        let sent = progress.clone();
        async move {
            if call.path() != "/public/large" {
                return call.agree().await;
            }
            let mut stream = call.respond.send_response(Response::new(()), false).unwrap();
            let part = Bytes::from(vec![b'x'; 1 << 16]);
            let mut left = LARGE;
            while left > 0 {
                stream.reserve_capacity(left.min(part.len()));
                let Some(Ok(room)) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else { return };
                let count = room.min(left).min(part.len());
                stream.send_data(part.slice(..count), left == count).unwrap();
                left -= count;
                sent.fetch_add(count, Ordering::SeqCst);
            }
        }
    }));
    let gate = gate(&served);
    let mut client = gate.client();
    assert_eq!(client.send(get("/public/large", None)).head().status, 200);
    let held = settled(&sent);
    assert!(held < LARGE / 4, "{held} bytes were taken for a client that reads nothing");
    assert_eq!(gate.get("/public", None).body, "ok", "on the same connection");
    let mut length = 0;
    while let Some(chunk) = read_chunk(&mut client.0) {
        length += chunk.len();
    }
    assert_eq!((length, served.connections()), (LARGE, 1));
}

/// A number when it no longer grows.
fn settled(number: &AtomicUsize) -> usize {
    let mut before = usize::MAX;
    while before != number.load(Ordering::SeqCst) {
        before = number.load(Ordering::SeqCst);
        thread::sleep(Duration::from_millis(300));
    }
    before
}
