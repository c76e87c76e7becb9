//! The first bytes on a connection in the clear: HTTP/2 by prior knowledge begins with a preface, all else is HTTP/1.1.
//!
//! They are what HTTP/1.1 would have read first anyway: no read and no timer is added for it.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};

use crate::config::settings::Limits;
use crate::proxy::downstream::frames::PREFACE;
use crate::proxy::downstream::scratch::Scratch;
use crate::proxy::downstream::timing::{Deadline, Ticker};

/// How long a drain waits for a connection that was made before it, and on which nothing was asked so far.
pub(in crate::proxy) const GRACE: Duration = Duration::from_millis(800);

/// What came first.
#[derive(Debug)]
pub(in crate::proxy) struct First {
    pub(in crate::proxy) bytes: BytesMut,
    pub(in crate::proxy) http2: bool,
    /// It came in parts, so the time for a head runs already.
    pub(in crate::proxy) in_parts: bool,
}

/// Reads until the protocol is clear. `by` looks after the time, and runs on where the bytes came in parts.
pub(in crate::proxy) async fn read(
    io: &mut (impl AsyncRead + Unpin),
    scratch: &Scratch,
    by: &Deadline,
    ticker: &Rc<Ticker>,
    limits: &Limits,
) -> Option<First> {
    let mut bytes = BytesMut::new();
    let mut in_parts = false;
    let mut drains = false;
    by.set(limits.idle);
    poll_fn(|cx| {
        loop {
            let mut scratch = scratch.borrow_mut();
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *io).poll_read(cx, &mut buffer) {
                Poll::Ready(Err(_broken)) => return Poll::Ready(None),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() && bytes.is_empty() => return Poll::Ready(None),
                Poll::Ready(Ok(())) => {
                    let ended = buffer.filled().is_empty();
                    bytes.extend_from_slice(buffer.filled());
                    let http2 = bytes.starts_with(PREFACE);
                    if http2 || ended || !PREFACE.starts_with(&bytes) {
                        return Poll::Ready(Some(First { bytes: bytes.split(), http2, in_parts }));
                    }
                    if !in_parts {
                        in_parts = true;
                        by.set(limits.head_read);
                    }
                }
                Poll::Pending => {
                    if ticker.is_draining() && bytes.is_empty() && !drains {
                        // Its request may be on the way: it was accepted before.
                        drains = true;
                        by.set(GRACE);
                    }
                    if by.has_passed() {
                        return Poll::Ready(None);
                    }
                    by.wake(cx);
                    return Poll::Pending;
                }
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::downstream::scratch;

    async fn first(parts: &[&[u8]]) -> Option<(Vec<u8>, bool, bool)> {
        let mut io = tokio_test_io(parts);
        let ticker = Ticker::new();
        let first = read(&mut io, &scratch::scratch(), &ticker.deadline(), &ticker, &Limits::default()).await;
        first.map(|first| (first.bytes.to_vec(), first.http2, first.in_parts))
    }

    /// Gives one part at each read, then its end.
    fn tokio_test_io(parts: &[&[u8]]) -> impl AsyncRead + Unpin + use<> {
        struct Parts(Vec<Vec<u8>>);
        impl AsyncRead for Parts {
            fn poll_read(
                mut self: Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<std::io::Result<()>> {
                buffer.put_slice(&self.0.pop().unwrap_or_default());
                Poll::Ready(Ok(()))
            }
        }
        Parts(parts.iter().rev().map(|part| part.to_vec()).collect())
    }

    #[tokio::test]
    async fn the_preface_tells_however_it_is_cut_and_nothing_is_lost() {
        let whole = [PREFACE, b"more"].concat();
        assert_eq!(first(&[&whole]).await, Some((whole.clone(), true, false)));
        let single: Vec<&[u8]> = PREFACE.chunks(1).collect();
        assert_eq!(first(&single).await, Some((PREFACE.to_vec(), true, true)));
        assert_eq!(first(&[b"GET /"]).await, Some((b"GET /".to_vec(), false, false)));
        assert_eq!(first(&[b"P", b"OST /"]).await, Some((b"POST /".to_vec(), false, true)));
        assert_eq!(first(&[b"PRI * HTTP/2.0\r\n\r\n", b"no"]).await.map(|(_, http2, _)| http2), Some(false));
        assert_eq!(first(&[b"PR"]).await, Some((b"PR".to_vec(), false, true)), "an end is an answer too");
        assert_eq!(first(&[]).await, None);
    }
}
