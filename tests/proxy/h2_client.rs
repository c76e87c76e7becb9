//! A client that speaks HTTP/2: by the h2 library where it behaves, frame by frame where it does not.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::client::Response;

/// A connection by the library. It answers what it must in the background.
pub struct H2 {
    runtime: Runtime,
    sender: SendRequest<Bytes>,
    connection: Option<JoinHandle<Result<(), h2::Error>>>,
}

/// A stream whose request was sent, wholly or as far as its head.
pub struct Asked {
    pub response: ResponseFuture,
    pub body: SendStream<Bytes>,
}

impl H2 {
    pub fn to(address: SocketAddr) -> Self {
        Self::over(async move { tokio::net::TcpStream::connect(address).await.unwrap() }, h2::client::Builder::new())
    }

    pub fn over<I>(io: impl Future<Output = I>, builder: h2::client::Builder) -> Self
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (sender, connection) = runtime.block_on(async { builder.handshake(io.await).await.unwrap() });
        let connection = Some(runtime.spawn(connection));
        Self { runtime, sender, connection }
    }

    /// Begins a request; the body is still to be sent unless `end`.
    pub fn begin(&mut self, request: Request<()>, end: bool) -> Result<Asked, h2::Error> {
        let sender = self.sender.clone();
        let (response, body) = self.runtime.block_on(async { sender.ready().await?.send_request(request, end) })?;
        Ok(Asked { response, body })
    }

    pub fn wait(&self, asked: Asked) -> Result<Response, h2::Error> {
        let Asked { response, .. } = asked;
        self.runtime.block_on(async {
            let whole = async { read(response.await?).await };
            tokio::time::timeout(Duration::from_secs(10), whole).await.expect("no answer in time")
        })
    }

    /// Sends a request without a body and reads the whole response.
    #[track_caller]
    pub fn ask(&mut self, request: Request<()>) -> Response {
        let asked = self.begin(request, true).unwrap();
        self.wait(asked).unwrap()
    }

    /// Sends each part when the one before has come back, and ends; what comes behind the last is for `check`.
    #[track_caller]
    pub fn talk(&self, asked: Asked, parts: &[Bytes], within: Duration, check: impl FnOnce(&HeaderMap)) {
        let Asked { response, mut body } = asked;
        let talk = async {
            let mut back = response.await.unwrap().into_body();
            for part in parts {
                body.send_data(part.clone(), false).unwrap();
                let mut got = Vec::new();
                while got.len() < part.len() {
                    got.extend(back.data().await.unwrap().unwrap());
                }
                assert_eq!(got, part.to_vec());
                back.flow_control().release_capacity(part.len()).unwrap();
            }
            body.send_data(Bytes::new(), true).unwrap();
            assert!(back.data().await.is_none());
            check(&back.trailers().await.unwrap().unwrap());
        };
        self.runtime.block_on(async { tokio::time::timeout(within, talk).await }).expect("no answer in time");
    }

    /// Whether the other side has said that it takes extended CONNECT.
    pub fn takes_connect(&self) -> bool {
        self.sender.is_extended_connect_protocol_enabled()
    }

    /// On an extended CONNECT that was begun: says each first part, and waits until just the second has come. Then drops it.
    #[track_caller]
    pub fn duplex(&self, asked: Asked, check: impl FnOnce(&http::response::Parts), parts: &[(&[u8], &[u8])]) {
        let Asked { response, mut body } = asked;
        let talk = async {
            let (head, mut back) = response.await.unwrap().into_parts();
            check(&head);
            let mut got = Vec::new();
            for (say, hear) in parts {
                if !say.is_empty() {
                    body.send_data(Bytes::copy_from_slice(say), false).unwrap();
                }
                while got.len() < hear.len() {
                    let data = back.data().await.expect("it ended").unwrap();
                    back.flow_control().release_capacity(data.len()).unwrap();
                    got.extend(data);
                }
                assert_eq!(&got, hear);
                got.clear();
            }
        };
        self.runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(10), talk).await })
            .expect("no answer in time");
    }

    /// Says all parts and ends; then all that comes until the other side ends too.
    #[track_caller]
    pub fn until_the_end(&self, asked: Asked, parts: &[&[u8]], hear: &[u8]) {
        let Asked { response, mut body } = asked;
        let talk = async {
            let mut back = response.await.unwrap().into_body();
            for part in parts {
                body.send_data(Bytes::copy_from_slice(part), false).unwrap();
            }
            body.send_data(Bytes::new(), true).unwrap();
            let mut got = Vec::new();
            while let Some(data) = back.data().await {
                got.extend(data.unwrap());
            }
            assert_eq!(got, hear);
        };
        self.runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(10), talk).await })
            .expect("no answer in time");
    }

    /// How the connection ended; waits for it.
    #[track_caller]
    pub fn ended(&mut self, within: Duration) -> Result<(), h2::Error> {
        let connection = self.connection.take().unwrap();
        let ended = async { tokio::time::timeout(within, connection).await };
        self.runtime.block_on(ended).expect("it did not end in time").unwrap()
    }
}

/// Reads a response to its end.
pub async fn read(response: http::Response<RecvStream>) -> Result<Response, h2::Error> {
    let (head, mut body) = response.into_parts();
    let fields = head.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let mut whole = Response { status: head.status.as_u16(), fields: fields.collect(), ..Response::default() };
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        whole.body.push_str(std::str::from_utf8(&data).unwrap());
    }
    for (name, value) in body.trailers().await?.unwrap_or_default() {
        whole.trailers.push_str(&format!("{}: {}\r\n", name.unwrap(), value.to_str().unwrap()));
    }
    Ok(whole)
}

pub fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(format!("http://api.example{path}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

pub fn get(path: &str, token: Option<&str>) -> Request<()> {
    let bearer = token.map(|token| format!("Bearer {token}")).unwrap_or_default();
    let fields = [("authorization", bearer.as_str())];
    request("GET", path, if token.is_some() { &fields } else { &[] })
}

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GO_AWAY: u8 = 7;
pub const WINDOW: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const ACK: u8 = 1;
pub const ENHANCE_YOUR_CALM: u32 = 11;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Fields, each written out: the simplest HPACK there is.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.bytes());
        }
    }
    block
}

pub fn get_block(path: &str) -> Vec<u8> {
    block(&[(":method", "GET"), (":scheme", "http"), (":authority", "api.example"), (":path", path)])
}

/// What came in one frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The error code of a GOAWAY or RST_STREAM.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GO_AWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// A connection frame by frame.
pub struct Raw<S = TcpStream>(pub S);

impl Raw {
    /// Connects, and sends the preface and settings.
    pub fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut raw = Self(stream);
        raw.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
        raw
    }
}

impl<S: Read + Write> Raw<S> {
    pub fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// The next frame; `None` at the end, orderly or not.
    pub fn frame(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Reads until a frame of this kind comes, or the end.
    pub fn until(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.frame()?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }
}
