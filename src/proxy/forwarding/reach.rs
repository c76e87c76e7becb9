//! The way to an upstream, up to the first byte of HTTP: a TCP or Unix socket, and TLS where it is configured.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
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

/// A name is looked up for each connection, and its addresses are tried in turn.
async fn tcp(host: &str, port: u16, is_shared: bool) -> Result<TcpStream, String> {
    let socket = match host.parse() {
        Ok(address) => TcpStream::connect(SocketAddr::new(address, port)).await,
        Err(_name) => TcpStream::connect((host, port)).await,
    };
    let socket = socket.map_err(|error| error.to_string())?;
    let _no_delay = socket.set_nodelay(true);
    if is_shared {
        notice_death(&socket);
    }
    Ok(socket)
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
fn told(error: &std::io::Error) -> String {
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
        None if error.kind() == std::io::ErrorKind::UnexpectedEof => "it closed the connection".into(),
        None => error.to_string(),
    }
}
