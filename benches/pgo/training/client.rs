//! The clients: requests in a circle, over connections that are kept, each answer held against what it should be.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::Failure;

/// What clients call the gate, and what its certificate is for.
pub(crate) const NAME: &str = "api.example";
/// How many requests share an HTTP/2 connection at once.
const STREAMS: usize = 8;

/// How many connections there are at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lanes(pub(crate) usize);

/// One request, and what it should be answered with.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
    expected: StatusCode,
}

impl Ask {
    /// A GET that is let through and answered with 200.
    pub(crate) fn get(path: &str) -> Self {
        Self::accepting(path, "application/json")
    }

    /// The same as a browser goes to a page.
    pub(crate) fn page(path: &str) -> Self {
        Self::accepting(path, "text/html,application/xhtml+xml,*/*;q=0.8").with("sec-fetch-mode", "navigate")
    }

    fn accepting(path: &str, types: &'static str) -> Self {
        let (method, path, headers) = (Method::GET, path.to_owned(), HeaderMap::new());
        Self { method, path, headers, body: Bytes::new(), expected: StatusCode::OK }.with("accept", types)
    }

    pub(crate) fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.append(name, HeaderValue::from_static(value));
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Result<Self, Failure> {
        self.header(AUTHORIZATION.as_str(), &format!("Bearer {token}"))
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Result<Self, Failure> {
        self.headers.append(name, value.parse()?);
        Ok(self)
    }

    /// A body of JSON of this length.
    pub(crate) fn body(mut self, length: usize) -> Self {
        self.body = format!("\"{}\"", "a".repeat(length.saturating_sub(2))).into();
        self.with("content-type", "application/json")
    }

    pub(crate) fn expects(mut self, status: u16) -> Result<Self, Failure> {
        self.expected = StatusCode::from_u16(status)?;
        Ok(self)
    }

    /// As HTTP/1.1 writes it, or as HTTP/2 does.
    fn request(&self, name: &'static str, http2: bool) -> Result<Request<Full<Bytes>>, Failure> {
        let uri = if http2 { format!("http://{name}{}", self.path) } else { self.path.clone() };
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri.parse()?;
        request.headers_mut().clone_from(&self.headers);
        if !http2 {
            request.headers_mut().insert(HOST, HeaderValue::from_static(name));
        }
        Ok(request)
    }

    async fn hold(&self, answer: http::Response<Incoming>) -> Result<(), Failure> {
        let status = answer.status();
        answer.into_body().collect().await?;
        if status != self.expected {
            let Self { method, path, expected, .. } = self;
            return Err(format!("{method} {path} was answered with {status}, not {expected}").into());
        }
        Ok(())
    }
}

/// How the gate is reached.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) address: SocketAddr,
    /// What clients call it.
    pub(crate) name: &'static str,
    pub(crate) http2: bool,
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// How many requests a connection lasts.
    pub(crate) lasts: usize,
}

/// Sends so many requests: of a circle, the next each time. Ends at the first answer that is not as it should be.
pub(crate) async fn send(way: Way, Lanes(lanes): Lanes, circle: Vec<Ask>, count: usize) -> Result<(), Failure> {
    let (way, circle) = (Arc::new(way), Arc::new(circle));
    let mut under_way = JoinSet::new();
    for lane in 0..lanes {
        let (way, circle) = (Arc::clone(&way), Arc::clone(&circle));
        under_way.spawn(async move {
            let own: Vec<usize> = (lane..count).step_by(lanes).collect();
            for numbers in own.chunks(way.lasts) {
                // A circle of none sends none.
                let asks = numbers.iter().filter_map(|number| circle.get(number.checked_rem(circle.len())?));
                connection(&way, asks.collect()).await?;
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(lane) = under_way.join_next().await {
        lane??;
    }
    Ok(())
}

/// Sends these over one connection.
async fn connection(way: &Way, asks: Vec<&Ask>) -> Result<(), Failure> {
    let stream = TcpStream::connect(way.address).await?;
    stream.set_nodelay(true)?;
    match &way.tls {
        None => over(way, stream, asks).await,
        Some(config) => {
            let connector = TlsConnector::from(Arc::clone(config));
            over(way, connector.connect(ServerName::try_from(way.name)?, stream).await?, asks).await
        }
    }
}

async fn over<S>(way: &Way, stream: S, asks: Vec<&Ask>) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = TokioIo::new(stream);
    if way.http2 {
        let (sender, carried) = http2::handshake(TokioExecutor::new(), stream).await?;
        drop(tokio::spawn(carried));
        for together in asks.chunks(STREAMS) {
            at_once(&sender, way.name, together).await?;
        }
        return Ok(());
    }
    let (mut sender, carried) = http1::handshake(stream).await?;
    drop(tokio::spawn(carried));
    for ask in asks {
        sender.ready().await?;
        ask.hold(sender.send_request(ask.request(way.name, false)?).await?).await?;
    }
    Ok(())
}

async fn at_once(sender: &http2::SendRequest<Full<Bytes>>, name: &'static str, asks: &[&Ask]) -> Result<(), Failure> {
    let mut under_way = JoinSet::new();
    for &ask in asks {
        let (mut sender, ask) = (sender.clone(), ask.clone());
        under_way.spawn(async move {
            sender.ready().await?;
            ask.hold(sender.send_request(ask.request(name, true)?).await?).await
        });
    }
    while let Some(answer) = under_way.join_next().await {
        answer??;
    }
    Ok(())
}
