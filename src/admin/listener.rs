//! The admin listener's socket: bound before anything starts, on loopback alone. Whoever is on this machine may connect, so
//! connections are few and short: idle ones must not use up the descriptors that the data path needs.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// A bound admin listener that does not answer yet.
#[derive(Debug)]
pub struct AdminListener {
    socket: TcpListener,
    address: SocketAddr,
    longest: Duration,
}

/// Connections at once.
const MOST: usize = 64;
/// How long one may last, whatever is asked on it.
const LONGEST: Duration = Duration::from_secs(10);

/// Why there is no admin listener.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Others than this machine could reach it.
    #[error(
        "the admin address `{0}` is not a loopback address; nobody is asked for a credential there, so use `127.0.0.1` or `[::1]`"
    )]
    NotLoopback(SocketAddr),
    /// Something listens there already.
    #[error("the admin address `{0}` is in use by another process; stop it or choose another port")]
    InUse(SocketAddr),
    /// It cannot be bound for another reason.
    #[error("failed to listen on the admin address `{address}`: {error}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
}

impl AdminListener {
    /// Binds the address.
    ///
    /// # Errors
    /// When it is not a loopback address, is in use or cannot be bound.
    pub fn bind(address: SocketAddr) -> Result<Self, AdminError> {
        if !address.ip().is_loopback() {
            return Err(AdminError::NotLoopback(address));
        }
        let bind = || -> io::Result<Self> {
            let socket = TcpListener::bind(address)?;
            socket.set_nonblocking(true)?;
            Ok(Self { address: socket.local_addr()?, socket, longest: LONGEST })
        };
        bind().map_err(|error| {
            if error.kind() == io::ErrorKind::AddrInUse {
                AdminError::InUse(address)
            } else {
                AdminError::Bind { address, error }
            }
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown` is done. To be called within a runtime.
    ///
    /// # Errors
    /// When the runtime cannot take the socket.
    pub async fn serve(self, router: Router, shutdown: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let socket = tokio::net::TcpListener::from_std(self.socket)?;
        let listener = Few { socket, room: Arc::new(Semaphore::new(MOST)), longest: self.longest };
        axum::serve(listener, router).with_graceful_shutdown(shutdown).await
    }
}

/// Accepts while there is room.
struct Few {
    socket: tokio::net::TcpListener,
    room: Arc<Semaphore>,
    longest: Duration,
}

impl Listener for Few {
    type Io = Visit;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Visit, SocketAddr) {
        // Never closed, so there is always a permit in the end.
        let permit = Arc::clone(&self.room).acquire_owned().await.ok();
        let (stream, peer) = Listener::accept(&mut self.socket).await;
        (Visit { stream, end: Box::pin(sleep(self.longest)), _permit: permit }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// A connection that ends in time.
struct Visit {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Visit {
    /// The connection, unless its time is over.
    fn in_time(&mut self, context: &mut Context<'_>) -> io::Result<Pin<&mut TcpStream>> {
        match self.end.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(Pin::new(&mut self.stream)),
        }
    }
}

impl AsyncRead for Visit {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.in_time(cx)?.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Visit {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.in_time(cx)?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(cx)?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(cx)?.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn idle_connections_are_few_and_end_and_nobody_waits_for_them_for_ever() {
        let mut listener = AdminListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.address();
        listener.longest = Duration::from_millis(300);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let router = Router::new().route("/", axum::routing::get(async || "ok"));
            runtime.block_on(listener.serve(router, std::future::pending())).unwrap();
        });
        let connect = || {
            let stream = std::net::TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            stream
        };
        let mut idle: Vec<_> = (0..MOST + 10).map(|_| connect()).collect();
        let mut asks = connect();
        asks.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        asks.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        for stream in &mut idle {
            assert_eq!(stream.read(&mut [0]).unwrap(), 0, "it was closed");
        }
    }

    #[test]
    fn only_this_machine_can_reach_it_and_a_busy_port_is_named() {
        let error = AdminListener::bind("0.0.0.0:0".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("`0.0.0.0:0` is not a loopback address"), "{error}");
        let first = AdminListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let error = AdminListener::bind(first.address()).unwrap_err();
        assert!(matches!(error, AdminError::InUse(address) if address == first.address()), "{error}");
    }
}
