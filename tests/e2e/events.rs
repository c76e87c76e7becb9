//! Server-sent events, read by httpx in both protocols: each arrives before the next one is made.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::slow_heads::{TRIES, print};
use crate::support::{Front, PYTHON, alone, run};

const EVENTS: usize = 25;
const EVERY: Duration = Duration::from_millis(80);

#[expect(clippy::disallowed_methods, reason = "another program says when each event came to it")]
fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()
}

/// Makes an event every now and then, whose data is the time at which it was made.
fn upstream() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || drop(tell(stream.unwrap())));
        }
    });
    port
}

fn tell(stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut out = stream.try_clone()?;
    let mut lines = BufReader::new(stream).lines();
    // Several requests may come on one connection.
    while let Some(Ok(line)) = lines.next() {
        if !line.is_empty() {
            continue;
        }
        out.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")?;
        for _ in 0..EVENTS {
            let event = format!("data: {}\n\n", now());
            out.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())?;
            thread::sleep(EVERY);
        }
        out.write_all(b"0\r\n\r\n")?;
    }
    Ok(())
}

#[test]
fn each_event_reaches_the_client_before_the_next_one_is_made() {
    let _alone = alone();
    let front = Front::to(&format!("{{ app: {{ url: \"http://127.0.0.1:{}\" }} }}", upstream()));
    let url = format!("http://127.0.0.1:{}/public/events", front.gate.port);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/events.py");
    for protocol in ["1.1", "2"] {
        let mut delays = Vec::new();
        // A machine that others use is late now and then.
        for _ in 0..TRIES {
            let said = run(PYTHON, &[script, &url, protocol]);
            assert_eq!(said.code, Some(0), "{said:?}");
            let mut lines = said.out.lines();
            assert_eq!(lines.next(), Some(&*format!("HTTP/{protocol} 200 text/event-stream")), "{said:?}");
            let times: Vec<[u128; 2]> = lines
                .map(|line| line.split_once(' ').unwrap())
                .map(|(made, came)| [made, came].map(|time| time.parse().unwrap()))
                .collect();
            assert_eq!(times.len(), EVENTS, "{said:?}");
            let longest = times.iter().map(|[made, came]| came.saturating_sub(*made)).max().unwrap();
            delays.push(Duration::from_nanos(longest.try_into().unwrap()));
            // By its own time, too: the next one may have been made late.
            let in_time = times.windows(2).all(|two| two[0][1] < two[1][0]);
            if in_time && delays.last().unwrap() < &EVERY {
                break;
            }
        }
        assert!(delays.last().unwrap() < &EVERY, "HTTP/{protocol}: the longest delays were {delays:?}");
        print(&format!("{EVENTS} events in HTTP/{protocol}, one every {EVERY:?}: the longest delays {delays:?}"));
    }
}
