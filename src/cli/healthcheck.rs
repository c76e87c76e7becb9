//! `stepgate healthcheck`: asks the admin listener, as a container's health check without shell or curl.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::cli::output::{Failure, say};

/// What `healthcheck` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The admin listener's address, as `admin.address` in stepgate.yaml
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9901")]
    admin: SocketAddr,
    /// Ask only whether the process is alive, not whether it can serve
    #[arg(long)]
    live: bool,
}

/// How long the gate may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// More of the answer than this is not read.
const MAX_ANSWER: u64 = 64 << 10;

/// Asks.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let path = if arguments.live { "/livez" } else { "/readyz" };
    let answer = ask(arguments.admin, path).map_err(|error| {
        Failure::Problems(format!("unhealthy: nothing answers at the admin address {}: {error}", arguments.admin))
    })?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.split(' ').nth(1) == Some("200") {
        return say("healthy");
    }
    Err(Failure::Problems(format!("unhealthy: {}\n{body}", head.lines().next().unwrap_or_default())))
}

fn ask(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn asked(answer: &'static str) -> Result<(), Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            BufReader::new(&stream).lines().find(|line| line.as_ref().is_ok_and(String::is_empty)).unwrap().unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        run(&Arguments { admin, live: false })
    }

    #[test]
    fn only_a_200_is_healthy() {
        assert_eq!(asked("HTTP/1.1 200 OK\r\n\r\n{}"), Ok(()));
        for answer in ["HTTP/1.1 503 Service Unavailable\r\n\r\n{\"ready\":false}", "", "HTTP/1.1 2000 x\r\n\r\n"] {
            assert!(matches!(asked(answer), Err(Failure::Problems(_))), "{answer}");
        }
    }
}
