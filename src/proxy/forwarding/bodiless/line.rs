//! A connection to an upstream in HTTP/1.1, for one request without a body after the other.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use crate::proxy::forwarding::reach::Reached;

/// The connection. Dropped, it is closed.
#[derive(Debug)]
pub(in crate::proxy) struct Line {
    io: Option<Reached>,
}

impl Line {
    pub(in crate::proxy) fn new(io: Reached) -> Self {
        Self { io: Some(io) }
    }

    /// What is below.
    pub(in crate::proxy) fn into_io(mut self) -> Option<Reached> {
        self.io.take()
    }

    /// Whether it is open and the upstream has said nothing that nobody asked for. Mostly without asking the system, which has
    /// told already where something has come.
    pub(in crate::proxy) fn is_quiet(&mut self) -> bool {
        let mut memory = [0u8; 1];
        let read = std::future::poll_fn(|cx| self.poll_read(&mut ReadBuf::new(&mut memory), cx));
        // However much this task has read before: else "not now" would be taken for silence.
        let read = pin!(tokio::task::unconstrained(read));
        read.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// Sends what the socket takes of it.
    pub(super) fn poll_send(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match &mut self.io {
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            Some(Reached::Tcp(socket)) => Pin::new(socket).poll_write(cx, bytes),
            Some(Reached::Unix(socket)) => Pin::new(socket).poll_write(cx, bytes),
            Some(Reached::Tls(stream)) => {
                let sent = std::task::ready!(Pin::new(&mut **stream).poll_write(cx, bytes))?;
                // What was taken is on its way, or goes with the next attempt to read or write.
                match Pin::new(&mut **stream).poll_flush(cx) {
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(sent)),
                }
            }
        }
    }

    /// Reads what has come; nothing, when nothing more comes. That nothing more can be sent is no reason not to read: the answer
    /// may say why.
    pub(super) fn poll_read(&mut self, into: &mut ReadBuf<'_>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            Some(Reached::Tcp(socket)) => Pin::new(socket).poll_read(cx, into),
            Some(Reached::Unix(socket)) => Pin::new(socket).poll_read(cx, into),
            Some(Reached::Tls(stream)) => {
                let _sent_or_not = Pin::new(&mut **stream).poll_flush(cx);
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
            pin!(io.read_buf(into)).poll(cx)
        }
        match &mut self.io {
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            Some(Reached::Tcp(socket)) => more(socket, into, cx),
            Some(Reached::Unix(socket)) => more(socket, into, cx),
            Some(Reached::Tls(stream)) => {
                let _sent_or_not = Pin::new(&mut **stream).poll_flush(cx);
                more(&mut **stream, into, cx)
            }
        }
    }
}

impl Drop for Line {
    /// In TLS the other side is told, so that it does not take this for an attack (RFC 8446 section 6.1): as far as the socket
    /// takes it at once.
    fn drop(&mut self) {
        if let Some(Reached::Tls(stream)) = &mut self.io {
            let told = std::future::poll_fn(|cx| Pin::new(&mut **stream).poll_shutdown(cx));
            let told = pin!(tokio::task::unconstrained(told));
            let _told_or_not = told.poll(&mut Context::from_waker(Waker::noop()));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn what_was_said_unasked_is_noticed_however_much_the_task_has_read_before() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (other, mut talks) = UnixStream::pair().unwrap();
        let (mut line, mut other) = (Line::new(Reached::Unix(ours)), Line::new(Reached::Unix(other)));
        assert!(line.is_quiet());
        theirs.write_all(b"x").await.unwrap();
        talks.write_all(&[0; 1000]).await.unwrap();
        tokio::task::yield_now().await;
        let mut reads = 0;
        // Until tokio has the task wait although there is more to read.
        std::future::poll_fn(|cx| {
            while other.poll_read(&mut ReadBuf::new(&mut [0u8; 1]), cx).is_ready() {
                reads += 1;
            }
            assert!(reads < 1000 && !line.is_quiet(), "after {reads} reads");
            Poll::Ready(())
        })
        .await;
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut line = Line::new(Reached::Unix(ours));
        drop(theirs);
        tokio::task::yield_now().await;
        assert!(!line.is_quiet(), "what was closed is not open");
    }
}
