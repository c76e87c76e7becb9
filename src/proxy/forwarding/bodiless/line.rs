//! A connection to an upstream in HTTP/1.1, for one request without a body after the other.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use crate::proxy::forwarding::reach::Reached;

/// The connection. Dropped, it is closed.
#[derive(Debug)]
pub(in crate::proxy) struct Line {
    io: Reached,
}

impl Line {
    pub(in crate::proxy) fn new(io: Reached) -> Self {
        Self { io }
    }

    /// What is below.
    pub(in crate::proxy) fn into_io(self) -> Reached {
        self.io
    }

    /// Whether it is open and the upstream has said nothing that nobody asked for. Asks the system only where something has
    /// come since it was used.
    pub(in crate::proxy) fn is_quiet(&mut self) -> bool {
        let mut memory = [0u8; 1];
        let mut cx = Context::from_waker(Waker::noop());
        self.poll_read(&mut ReadBuf::new(&mut memory), &mut cx).is_pending()
    }

    /// Sends what the socket takes of it.
    pub(super) fn poll_send(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Reached::Tcp(socket) => Pin::new(socket).poll_write(cx, bytes),
            Reached::Unix(socket) => Pin::new(socket).poll_write(cx, bytes),
            Reached::Tls(stream) => {
                let sent = std::task::ready!(Pin::new(&mut **stream).poll_write(cx, bytes))?;
                // What was taken is on its way, or goes with the next attempt to read or write.
                match Pin::new(&mut **stream).poll_flush(cx) {
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(sent)),
                }
            }
        }
    }

    /// Reads what has come; nothing, when nothing more comes.
    pub(super) fn poll_read(&mut self, into: &mut ReadBuf<'_>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Reached::Tcp(socket) => Pin::new(socket).poll_read(cx, into),
            Reached::Unix(socket) => Pin::new(socket).poll_read(cx, into),
            Reached::Tls(stream) => {
                if let Poll::Ready(Err(error)) = Pin::new(&mut **stream).poll_flush(cx) {
                    return Poll::Ready(Err(error));
                }
                Pin::new(&mut **stream).poll_read(cx, into)
            }
        }
    }

    /// The same, behind what `into` holds already.
    pub(super) fn poll_more(&mut self, into: &mut BytesMut, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        fn more(
            io: &mut (impl AsyncRead + Unpin),
            into: &mut BytesMut,
            cx: &mut Context<'_>,
        ) -> Poll<io::Result<usize>> {
            Future::poll(std::pin::pin!(io.read_buf(into)), cx)
        }
        match &mut self.io {
            Reached::Tcp(socket) => more(socket, into, cx),
            Reached::Unix(socket) => more(socket, into, cx),
            Reached::Tls(stream) => more(&mut **stream, into, cx),
        }
    }
}
