//! Scripted upstreams that speak TLS, HTTP/2 or over a Unix socket.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Builder, SendResponse};
use http::{HeaderMap, Request, Response};
use rustls::ServerConfig;
use stepgate::config::settings::{ClientTls, Endpoint, Upstream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// What an upstream noted.
#[derive(Default)]
pub struct Notes {
    /// Of each connection: the name that was asked for by SNI, and the protocol that was chosen by ALPN.
    pub sessions: Vec<(Option<String>, Option<String>)>,
    /// The last certificate that a client showed.
    pub shown: Option<Vec<u8>>,
    pub connections: usize,
    /// Connections that have ended.
    pub ended: usize,
    /// Heads as text, for HTTP/1.1; or of HTTP/2, with the connection each came on.
    pub texts: Vec<String>,
    pub heads: Vec<(usize, http::request::Parts)>,
}

pub struct Served {
    pub address: SocketAddr,
    pub path: Option<PathBuf>,
    pub notes: Arc<Mutex<Notes>>,
    _runtime: Runtime,
}

/// One request over HTTP/2, to be answered as the script likes.
pub struct Call {
    pub request: Request<RecvStream>,
    pub respond: SendResponse<Bytes>,
    /// On which connection, and as which of its requests, both counted from 0.
    pub connection: usize,
    pub number: usize,
    pub order: mpsc::Sender<Order>,
}

/// What a script may have done to its connection.
pub enum Order {
    Graceful,
    Drop,
}

impl Call {
    /// Reads the body to its end.
    pub async fn body(&mut self) -> (Vec<u8>, Option<HeaderMap>) {
        let body = self.request.body_mut();
        let mut bytes = Vec::new();
        while let Some(Ok(data)) = body.data().await {
            let _ = body.flow_control().release_capacity(data.len());
            bytes.extend_from_slice(&data);
        }
        (bytes, body.trailers().await.ok().flatten())
    }

    pub fn path(&self) -> String {
        self.request.uri().path().to_owned()
    }

    pub fn answer(&mut self, text: impl Into<Bytes>) {
        let mut stream = self.respond.send_response(Response::new(()), false).unwrap();
        let _ = stream.send_data(text.into(), true);
    }

    /// Reads everything and says `ok`.
    pub async fn agree(mut self) {
        self.body().await;
        self.answer("ok");
    }
}

type Script = dyn Fn(Call) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// How HTTP/2 is spoken: the script, and the streams that are allowed at once.
#[derive(Clone)]
pub struct Http2 {
    script: Arc<Script>,
    streams: u32,
    window: u32,
    connect: bool,
}

impl Http2 {
    pub fn new<F: Future<Output = ()> + Send + 'static>(script: impl Fn(Call) -> F + Send + Sync + 'static) -> Self {
        Self { script: Arc::new(move |call| Box::pin(script(call))), streams: 250, window: 65_535, connect: false }
    }

    /// It says that it takes extended CONNECT (RFC 8441).
    pub fn with_connect(self) -> Self {
        Self { connect: true, ..self }
    }

    pub fn streams(self, streams: u32) -> Self {
        Self { streams, ..self }
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

impl Served {
    /// HTTP/2 in the clear.
    pub fn h2c(http2: Http2) -> Self {
        Self::over_tcp(None, Some(http2))
    }

    /// HTTP/2 in TLS, to those who choose it by ALPN; else HTTP/1.1.
    pub fn tls(config: ServerConfig, http2: Option<Http2>) -> Self {
        Self::over_tcp(Some(config), http2)
    }

    fn over_tcp(config: Option<ServerConfig>, http2: Option<Http2>) -> Self {
        let runtime = runtime();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let (address, notes) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Notes::default())));
        let acceptor = config.map(|config| TlsAcceptor::from(Arc::new(config)));
        let noted = notes.clone();
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, http2, notes) = (acceptor.clone(), http2.clone(), noted.clone());
                tokio::spawn(async move {
                    let Some(acceptor) = acceptor else { return converse(socket, http2, &notes).await };
                    let Ok(stream) = acceptor.accept(socket).await else { return };
                    let session = stream.get_ref().1;
                    let alpn = session.alpn_protocol().map(|name| String::from_utf8(name.to_vec()).unwrap());
                    let is_http2 = alpn.as_deref() == Some("h2");
                    {
                        let mut notes = notes.lock().unwrap();
                        notes.sessions.push((session.server_name().map(str::to_owned), alpn));
                        let shown = session.peer_certificates().and_then(|chain| chain.first());
                        notes.shown = shown.map(|certificate| certificate.to_vec());
                    }
                    converse(stream, http2.filter(|_| is_http2), &notes).await;
                });
            }
        });
        Self { address, path: None, notes, _runtime: runtime }
    }

    /// HTTP/1.1, or HTTP/2, over a Unix socket.
    pub fn unix(path: &Path, http2: Option<Http2>) -> Self {
        let runtime = runtime();
        let guard = runtime.enter();
        let listener = UnixListener::bind(path).unwrap();
        drop(guard);
        let notes = Arc::new(Mutex::new(Notes::default()));
        let noted = notes.clone();
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (http2, notes) = (http2.clone(), noted.clone());
                tokio::spawn(async move { converse(socket, http2, &notes).await });
            }
        });
        Self { address: ([127, 0, 0, 1], 1).into(), path: Some(path.to_owned()), notes, _runtime: runtime }
    }

    /// It, as an upstream is configured.
    pub fn upstream(&self, http2: bool, tls: Option<ClientTls>) -> Upstream {
        let endpoint = match &self.path {
            Some(path) => Endpoint::Unix(path.clone()),
            None => Endpoint::Tcp("127.0.0.1".into(), self.address.port()),
        };
        Upstream { endpoint, http2, tls, ..Upstream::plain("app".into(), String::new(), 0) }
    }

    pub fn connections(&self) -> usize {
        self.notes.lock().unwrap().connections
    }

    pub fn ended(&self) -> usize {
        self.notes.lock().unwrap().ended
    }

    /// On which connection each request came, in the order in which they came.
    pub fn places(&self) -> Vec<usize> {
        self.notes.lock().unwrap().heads.iter().map(|(connection, _)| *connection).collect()
    }

    /// How many requests came.
    pub fn requests(&self) -> usize {
        let notes = self.notes.lock().unwrap();
        notes.texts.len() + notes.heads.len()
    }

    /// The head of the last request.
    pub fn last(&self) -> http::request::Parts {
        self.notes.lock().unwrap().heads.last().unwrap().1.clone()
    }
}

async fn converse(io: impl AsyncRead + AsyncWrite + Unpin, http2: Option<Http2>, notes: &Arc<Mutex<Notes>>) {
    let connection = {
        let mut notes = notes.lock().unwrap();
        notes.connections += 1;
        notes.connections - 1
    };
    match http2 {
        Some(http2) => multiplex(io, connection, http2, notes).await,
        None => answer_in_turn(io, notes).await,
    }
    notes.lock().unwrap().ended += 1;
}

/// `ok` to every request without a body.
async fn answer_in_turn(mut io: impl AsyncRead + AsyncWrite + Unpin, notes: &Mutex<Notes>) {
    let mut head = Vec::new();
    while let Ok(byte) = io.read_u8().await {
        head.push(byte);
        if head.ends_with(b"\r\n\r\n") {
            let text = String::from_utf8(std::mem::take(&mut head)).unwrap();
            let closes = text.starts_with("GET /public/close ");
            notes.lock().unwrap().texts.push(text);
            let field = if closes { "connection: close\r\n" } else { "" };
            let answer = format!("HTTP/1.1 200 OK\r\n{field}content-length: 2\r\n\r\nok");
            if io.write_all(answer.as_bytes()).await.is_err() || io.flush().await.is_err() || closes {
                let _ = io.shutdown().await;
                return;
            }
        }
    }
}

async fn multiplex(
    io: impl AsyncRead + AsyncWrite + Unpin,
    connection: usize,
    http2: Http2,
    notes: &Arc<Mutex<Notes>>,
) {
    let mut builder = Builder::new();
    builder.max_concurrent_streams(http2.streams).initial_window_size(http2.window);
    if http2.connect {
        builder.enable_connect_protocol();
    }
    let Ok(mut http) = builder.handshake::<_, Bytes>(io).await else { return };
    let (order, mut orders) = mpsc::channel(16);
    let mut number = 0;
    loop {
        tokio::select! {
            accepted = http.accept() => {
                let Some(Ok((request, respond))) = accepted else { return };
                let (parts, body) = request.into_parts();
                notes.lock().unwrap().heads.push((connection, parts.clone()));
                let request = Request::from_parts(parts, body);
                tokio::spawn((http2.script)(Call { request, respond, connection, number, order: order.clone() }));
                number += 1;
            }
            Some(order) = orders.recv() => match order {
                Order::Graceful => http.graceful_shutdown(),
                Order::Drop => return,
            },
        }
    }
}
