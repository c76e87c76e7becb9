//! The way to an upstream, up to the first byte of HTTP: a TCP or Unix socket, and TLS where it is configured.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::settings::{Endpoint, Upstream};
use crate::tls::UpstreamTls;
use crate::tls::client::{HTTP1, HTTP2};

/// An upstream that was reached.
#[derive(Debug)]
pub(in crate::proxy) enum Reached {
    /// In the clear.
    Tcp(TcpStream),
    /// On the same machine.
    Unix(UnixStream),
    /// In TLS, with a certificate that verified.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Why there is no connection.
#[derive(Clone, Debug)]
pub(in crate::proxy) enum ConnectError {
    /// It took too long.
    Late,
    /// It was refused, the name has no address, or the other side is not who it must be.
    Failed(String),
}

/// Reaches an upstream. The limit is for all of it: name, socket and TLS.
pub(in crate::proxy) async fn reach(
    upstream: &Upstream,
    tls: Option<&Arc<UpstreamTls>>,
    limit: Duration,
) -> Result<Reached, ConnectError> {
    in_time(limit, by_kind(upstream, tls, upstream.http2)).await
}

/// The same, to speak HTTP/1.1 with one to which HTTP/2 is spoken otherwise.
pub(in crate::proxy) async fn reach_http1(
    upstream: &Upstream,
    tls: Option<&Arc<UpstreamTls>>,
    limit: Duration,
) -> Result<Reached, ConnectError> {
    in_time(limit, by_kind(upstream, tls, false)).await
}

async fn in_time(
    limit: Duration,
    reached: impl Future<Output = Result<Reached, String>>,
) -> Result<Reached, ConnectError> {
    let reached = tokio::time::timeout(limit, reached).await;
    reached.map_err(|_late| ConnectError::Late)?.map_err(ConnectError::Failed)
}

async fn by_kind(upstream: &Upstream, tls: Option<&Arc<UpstreamTls>>, http2: bool) -> Result<Reached, String> {
    match (&upstream.endpoint, tls) {
        // What is configured to be in TLS is never sent in the clear, whoever forgot to read its files.
        (_, None) if upstream.tls.is_some() => Err("its TLS was not set up".into()),
        (Endpoint::Unix(path), None) => unix(path).await,
        (Endpoint::Unix(_), Some(_)) => Err("TLS is not spoken over a Unix socket".into()),
        (Endpoint::Tcp(host, port), None) => Ok(Reached::Tcp(tcp(host, *port, http2).await?)),
        (Endpoint::Tcp(host, port), Some(tls)) => {
            let socket = tcp(host, *port, http2).await?;
            handshake(socket, tls, http2, upstream.http2).await
        }
    }
}

async fn unix(path: &Path) -> Result<Reached, String> {
    UnixStream::connect(path).await.map(Reached::Unix).map_err(|error| error.to_string())
}

/// A name is looked up for each connection.
async fn tcp(host: &str, port: u16, is_shared: bool) -> Result<TcpStream, String> {
    let socket = match host.parse() {
        Ok(address) => TcpStream::connect(SocketAddr::new(address, port)).await.map_err(|error| error.to_string()),
        Err(_name) => named(host, port).await,
    };
    let socket = socket?;
    let _no_delay = socket.set_nodelay(true);
    if is_shared {
        notice_death(&socket);
    }
    Ok(socket)
}

async fn named(host: &str, port: u16) -> Result<TcpStream, String> {
    let found = tokio::net::lookup_host((host, port)).await.map_err(|error| error.to_string())?;
    first_of(taking_turns(found.collect())).await
}

/// The addresses of a name, IPv6 and IPv4 by turns beginning with the one that came first (RFC 8305 section 4), so that a
/// family which leads nowhere costs one attempt and not all.
fn taking_turns(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = found.first().is_some_and(SocketAddr::is_ipv6);
    let (first, other): (Vec<SocketAddr>, Vec<SocketAddr>) =
        found.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut other) = (first.into_iter(), other.into_iter());
    let mut turns = Vec::new();
    loop {
        let (one, two) = (first.next(), other.next());
        if one.is_none() && two.is_none() {
            return turns;
        }
        turns.extend(one.into_iter().chain(two));
    }
}

/// The first connection that can be made to any of these. The next is begun when one fails, or has not succeeded for a while:
/// what does not answer at all must not use up the time in which another would.
async fn first_of(addresses: Vec<SocketAddr>) -> Result<TcpStream, String> {
    /// RFC 8305 section 5.
    const HEAD_START: Duration = Duration::from_millis(250);
    let mut waiting = addresses.into_iter();
    let mut attempts: Vec<Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>> = Vec::new();
    let mut cause = None;
    loop {
        match waiting.next() {
            Some(address) => attempts.push(Box::pin(TcpStream::connect(address))),
            None if attempts.is_empty() => {
                let none = || "the name has no address".to_owned();
                return Err(cause.map_or_else(none, |error: io::Error| error.to_string()));
            }
            None => {}
        }
        let ended = poll_fn(|cx| {
            for number in 0..attempts.len() {
                let Some(attempt) = attempts.get_mut(number) else { break };
                if let Poll::Ready(outcome) = attempt.as_mut().poll(cx) {
                    drop(attempts.swap_remove(number));
                    return Poll::Ready(outcome);
                }
            }
            Poll::Pending
        });
        // With no other address left there is nothing to hurry for.
        let ended = match waiting.len() {
            0 => Some(ended.await),
            _ => tokio::time::timeout(HEAD_START, ended).await.ok(),
        };
        match ended {
            Some(Ok(socket)) => return Ok(socket),
            Some(Err(error)) => cause = Some(error),
            None => {}
        }
    }
}

/// Has the system notice that the other machine is gone, on a connection that many requests go over: when it confirms
/// nothing that was sent, or does not answer while nothing is.
pub(in crate::proxy) fn notice_death(socket: &TcpStream) {
    const SILENT: Duration = Duration::from_secs(20);
    let socket = SockRef::from(socket);
    let probes = TcpKeepalive::new().with_time(SILENT).with_interval(Duration::from_secs(5)).with_retries(3);
    let _unsupported = socket.set_tcp_keepalive(&probes);
    #[cfg(target_os = "linux")]
    let _unsupported = socket.set_tcp_user_timeout(Some(SILENT));
}

/// `offers_http2`: what is offered by ALPN as it is configured.
async fn handshake(socket: TcpStream, tls: &UpstreamTls, http2: bool, offers_http2: bool) -> Result<Reached, String> {
    let mut config = tls.config();
    if offers_http2 && !http2 {
        Arc::make_mut(&mut config).alpn_protocols = vec![HTTP1.to_vec()];
    }
    let stream = TlsConnector::from(config).connect(tls.name(), socket).await;
    let stream = stream.map_err(|error| format!("the TLS handshake failed: {}", told(&error)))?;
    let (_, session) = stream.get_ref();
    if http2 && session.alpn_protocol() != Some(HTTP2) {
        return Err("it does not speak HTTP/2: it did not choose `h2` by ALPN".into());
    }
    Ok(Reached::Tls(Box::new(stream)))
}

/// What the operator reads of a failed handshake.
#[expect(clippy::wildcard_enum_match_arm, reason = "what has no sentence of ours is told in the library's")]
fn told(error: &io::Error) -> String {
    use rustls::{AlertDescription, CertificateError, Error};

    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    match cause {
        Some(Error::InvalidCertificate(wrong)) => match wrong {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "its certificate is signed by none of the roots that are believed".into()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                format!("its certificate has expired ({wrong})")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                format!("its certificate is not valid yet ({wrong})")
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("its certificate is for another name ({wrong})")
            }
            wrong => format!("its certificate is not believed: {wrong}"),
        },
        Some(Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => {
            "it speaks none of the protocols that were offered by ALPN".into()
        }
        Some(cause) => cause.to_string(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => "it closed the connection".into(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_families_take_turns_and_keep_their_order() {
        let list = |text: &str| text.split(' ').map(|one| one.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let turns = taking_turns(list("[::1]:1 [::2]:1 [::3]:1 1.1.1.1:1 2.2.2.2:1"));
        assert_eq!(turns, list("[::1]:1 1.1.1.1:1 [::2]:1 2.2.2.2:1 [::3]:1"));
        assert_eq!(taking_turns(list("1.1.1.1:1 [::1]:1")), list("1.1.1.1:1 [::1]:1"));
        assert_eq!(taking_turns(Vec::new()), []);
    }

    /// An address of this machine where connections are never taken: those that wait there are as many as may.
    async fn silent() -> (socket2::Socket, Vec<TcpStream>, SocketAddr) {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut full = Vec::new();
        while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
            full.push(stream);
            assert!(full.len() < 64, "it takes them all");
        }
        (socket, full, address)
    }

    #[tokio::test]
    async fn an_address_that_refuses_or_stays_silent_does_not_keep_the_next_from_being_tried() {
        let good = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = good.local_addr().map(|address| (good, address)).unwrap();
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (_socket, _full, silent) = silent().await;
        let began = Instant::now();
        let reached = first_of(vec![closed, good.1]).await.unwrap();
        assert_eq!(reached.peer_addr().unwrap(), good.1);
        assert!(began.elapsed() < Duration::from_millis(200), "a refusal is not waited out");
        let began = Instant::now();
        let reached = first_of(vec![silent, closed, good.1]).await.unwrap();
        assert_eq!(reached.peer_addr().unwrap(), good.1);
        let took = began.elapsed();
        assert!((Duration::from_millis(240)..Duration::from_millis(900)).contains(&took), "{took:?}");
    }

    #[tokio::test]
    async fn a_name_of_which_no_address_answers_says_why() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(first_of(vec![closed, closed]).await.unwrap_err().contains("refused"));
        assert!(first_of(Vec::new()).await.unwrap_err().contains("no address"));
    }
}
