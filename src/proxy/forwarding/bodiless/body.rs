//! The body of an answer, read from its connection by whoever wants it.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf as _, Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Frame, SizeHint};

use crate::proxy::downstream::framing::{Chunked, Found};
use crate::proxy::forwarding::bodiless::head::Framing;
use crate::proxy::forwarding::bodiless::line::Line;
use crate::proxy::forwarding::pool::{Pool, READ};

/// What is read at once at first; more, when that much came.
const FIRST: usize = 8 << 10;
/// The most bytes that stand beside the data of a chunked body: behind sizes, and in trailers.
const ASIDE: usize = 16 << 10;
/// The most trailers.
const TRAILERS: usize = 100;

/// The body, with the connection that it comes on.
#[derive(Debug)]
pub(in crate::proxy) struct Body {
    line: Option<Line>,
    left: Left,
    /// What was read and not passed on.
    rest: Bytes,
    memory: BytesMut,
    /// How much is read at once.
    at_once: usize,
    /// Where the connection is kept when the body has come as it should, and since when there is it.
    home: Option<(Rc<Pool>, Instant)>,
}

/// What is still to come.
#[derive(Debug)]
enum Left {
    Sized(u64),
    Chunks(Box<Chunks>),
    ToTheEnd,
    /// Nothing: it is whole.
    None,
    /// Nothing: it broke. What came before is to reach the client, so this is told only when it had a chance to.
    Broken(Option<io::Error>),
}

#[derive(Debug)]
struct Chunks {
    at: Chunked,
    aside: usize,
    trailers: Vec<u8>,
    has_ended: bool,
}

impl Body {
    pub(super) fn new(line: Line, framing: Framing, rest: Bytes, home: Option<(Rc<Pool>, Instant)>) -> Self {
        let left = match framing {
            Framing::Sized(0) => Left::None,
            Framing::Sized(left) => Left::Sized(left),
            Framing::Chunked => {
                Left::Chunks(Box::new(Chunks { at: Chunked::START, aside: 0, trailers: Vec::new(), has_ended: false }))
            }
            Framing::ToTheEnd => Left::ToTheEnd,
        };
        Self { line: Some(line), left, rest, memory: BytesMut::new(), at_once: FIRST, home }
    }

    /// Has the connection be used again, where the body has come whole and nothing came behind it. Once.
    pub(in crate::proxy) fn give_back(&mut self, now: Instant) {
        if matches!(self.left, Left::None)
            && self.rest.is_empty()
            && let (Some(line), Some((pool, born))) = (self.line.take(), self.home.take())
        {
            pool.keep_line(line, born, now);
        }
    }

    /// Reads into `rest`, which is empty. Whether something came.
    fn poll_more(&mut self, most: u64, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let most = usize::try_from(most).unwrap_or(READ).min(self.at_once);
        self.memory.reserve(most);
        let Some(line) = &mut self.line else { return Poll::Ready(Ok(false)) };
        let came = ready!(line.poll_more(&mut self.memory, cx))?;
        if came >= self.at_once {
            self.at_once = self.at_once.saturating_mul(2).min(READ);
        } else if came < self.at_once / 4 {
            self.at_once = (self.at_once / 2).max(FIRST);
        }
        // What is little is not to hold on to memory for much, as long as it waits for whoever takes it.
        self.rest = if came < FIRST / 4 {
            let little = Bytes::copy_from_slice(&self.memory);
            self.memory.clear();
            little
        } else {
            self.memory.split().freeze()
        };
        Poll::Ready(Ok(came > 0))
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Frame<Bytes>>>> {
        let cut = || Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended before the body did"));
        loop {
            let more = match &mut self.left {
                Left::None => return Poll::Ready(Ok(None)),
                Left::Broken(error) => return Poll::Ready(error.take().map_or(Ok(None), Err)),
                Left::Sized(left) if self.rest.is_empty() => *left,
                Left::Sized(left) => {
                    let data = taken(&mut self.rest, left);
                    if *left == 0 {
                        self.left = Left::None;
                    }
                    return Poll::Ready(Ok(Some(Frame::data(data))));
                }
                Left::Chunks(chunks) if !self.rest.is_empty() => {
                    if let Some(frame) = chunks.next(&mut self.rest)? {
                        return Poll::Ready(Ok(Some(frame)));
                    }
                    if chunks.has_ended {
                        let trailers = chunks.trailers()?;
                        self.left = Left::None;
                        return Poll::Ready(Ok(trailers.map(Frame::trailers)));
                    }
                    continue;
                }
                Left::ToTheEnd if !self.rest.is_empty() => {
                    return Poll::Ready(Ok(Some(Frame::data(std::mem::take(&mut self.rest)))));
                }
                Left::Chunks(_) | Left::ToTheEnd => u64::MAX,
            };
            if !ready!(self.poll_more(more, cx))? {
                if !matches!(self.left, Left::ToTheEnd) {
                    return Poll::Ready(cut());
                }
                self.left = Left::None;
            }
        }
    }
}

/// Takes out of `rest` what belongs to the next `left` bytes.
fn taken(rest: &mut Bytes, left: &mut u64) -> Bytes {
    let count = usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len()));
    *left = left.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
    rest.split_to(count)
}

impl Chunks {
    /// The next data in `rest`; `None` when all of it was looked at, or the body has ended.
    fn next(&mut self, rest: &mut Bytes) -> io::Result<Option<Frame<Bytes>>> {
        let odd = |what| io::Error::new(io::ErrorKind::InvalidData, what);
        while let Some(&byte) = rest.first() {
            if let Chunked::Data(mut left) = self.at {
                let data = taken(rest, &mut left);
                self.follow(&data)?;
                return Ok(Some(Frame::data(data)));
            }
            // Some fill sizes up with blanks, so that all their lines are equally long.
            let is_filling = matches!(byte, b' ' | b'\t' | b'\r');
            if (matches!(self.at, Chunked::Behind { .. }) && !is_filling) || self.is_in_trailers() {
                self.aside = self.aside.saturating_add(1);
                if self.aside > ASIDE {
                    return Err(odd("too much stands beside the data of its chunks"));
                }
            }
            if self.is_in_trailers() {
                self.trailers.push(byte);
            }
            rest.advance(1);
            if self.follow(&[byte])? {
                self.has_ended = true;
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// Whether the body ends with these bytes.
    fn follow(&mut self, bytes: &[u8]) -> io::Result<bool> {
        let found = self.at.follow(bytes, &mut true);
        let found = found.map_err(|_lost| io::Error::new(io::ErrorKind::InvalidData, "it is no chunked body"))?;
        Ok(matches!(found, Found::End(_)))
    }

    fn is_in_trailers(&self) -> bool {
        matches!(self.at, Chunked::Trailer { .. } | Chunked::TrailerLf | Chunked::TrailerCr)
    }

    /// What stands behind the last chunk, if anything does.
    fn trailers(&self) -> io::Result<Option<HeaderMap>> {
        let odd = || io::Error::new(io::ErrorKind::InvalidData, "its trailers are no fields");
        let mut memory = [httparse::EMPTY_HEADER; TRAILERS];
        let httparse::Status::Complete((_, fields)) =
            httparse::parse_headers(&self.trailers, &mut memory).map_err(|_badly| odd())?
        else {
            return Err(odd());
        };
        let mut trailers = HeaderMap::with_capacity(fields.len());
        for field in fields {
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_badly| odd())?;
            trailers.append(name, HeaderValue::from_bytes(field.value).map_err(|_badly| odd())?);
        }
        Ok(Some(trailers).filter(|trailers| !trailers.is_empty()))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let was_broken = matches!(self.left, Left::Broken(_));
        match ready!(self.poll_data(cx)) {
            Err(error) if !was_broken => {
                self.left = Left::Broken(Some(error));
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            frame => Poll::Ready(frame.transpose()),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.left, Left::None)
    }

    fn size_hint(&self) -> SizeHint {
        match self.left {
            Left::Sized(left) => SizeHint::with_exact(left),
            Left::None => SizeHint::with_exact(0),
            Left::Chunks(_) | Left::ToTheEnd | Left::Broken(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use http_body::Body as _;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::UnixStream;

    use super::*;
    use crate::proxy::forwarding::reach::Reached;

    /// What comes of a body that is sent in these pieces, the first of them with its head: data, trailers, and what was wrong.
    async fn received(framing: Framing, pieces: &[&[u8]]) -> (Vec<u8>, Option<HeaderMap>, Option<io::ErrorKind>, Body) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (first, later) = pieces.split_first().unwrap();
        let rest = Bytes::copy_from_slice(first);
        let mut body = Body::new(Line::new(Reached::Unix(ours)), framing, rest, None);
        let sending = async {
            for piece in later {
                theirs.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(theirs);
        };
        let (mut data, mut trailers, mut odd) = (Vec::new(), None, None);
        let reading = async {
            while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                match frame.map(Frame::into_data) {
                    Ok(Ok(bytes)) => data.extend_from_slice(&bytes),
                    Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
                    Err(error) => odd = Some(error.kind()),
                }
            }
        };
        tokio::join!(sending, reading);
        (data, trailers, odd, body)
    }

    #[tokio::test]
    async fn however_it_is_cut_into_reads_a_chunked_body_is_the_same() {
        let text = b"4\r\nwiki\r\nA;x=y\r\n0123456789\r\n0\r\nx-sum: 7\r\nX-Two: 8\r\n\r\n";
        for size in [1, 2, 3, 7, text.len()] {
            let pieces: Vec<&[u8]> = text.chunks(size).collect();
            let (data, trailers, odd, body) = received(Framing::Chunked, &pieces).await;
            let trailers = trailers.unwrap();
            assert_eq!((&*data, odd), (&b"wiki0123456789"[..], None), "{size}");
            assert_eq!((&trailers["x-sum"], trailers.len()), (&HeaderValue::from_static("7"), 2));
            assert!(body.is_end_stream() && body.rest.is_empty());
        }
        let (data, trailers, odd, body) = received(Framing::Chunked, &[b"2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK"]).await;
        assert_eq!((&*data, trailers, odd), (&b"ok"[..], None, None));
        assert_eq!(&body.rest[..], b"HTTP/1.1 200 OK", "left where it is, so that the connection is not used again");
    }

    #[tokio::test]
    async fn however_many_sizes_are_filled_up_with_blanks_the_body_goes_on() {
        let text = ["1   \r\nx\r\n".repeat(ASIDE * 2).as_bytes(), b"0\r\n\r\n"].concat();
        let (data, _, odd, body) = received(Framing::Chunked, &[&text]).await;
        assert_eq!((data.len(), odd, body.is_end_stream()), (ASIDE * 2, None, true));
    }

    #[tokio::test]
    async fn a_body_that_has_a_length_ends_there_and_one_that_has_none_with_its_connection() {
        let (data, _, odd, body) = received(Framing::Sized(7), &[b"", b"abc", b"defgh"]).await;
        assert_eq!((&*data, odd, &body.rest[..]), (&b"abcdefg"[..], None, &b"h"[..]));
        let (data, _, odd, body) = received(Framing::ToTheEnd, &[b"ab", b"cd"]).await;
        assert_eq!((&*data, odd, body.is_end_stream()), (&b"abcd"[..], None, true));
    }

    #[tokio::test]
    async fn what_ends_before_its_end_or_is_no_body_is_an_error_and_never_an_end() {
        let much = format!("1;{}\r\nx\r\n", "y".repeat(ASIDE + 1));
        let many = format!("0\r\nx: {}\r\n\r\n", "y".repeat(ASIDE));
        let lines = format!("0\r\n{}\r\n", "x: y\r\n".repeat(TRAILERS + 1));
        use io::ErrorKind::{InvalidData, UnexpectedEof};
        for (framing, text, kind) in [
            (Framing::Sized(7), "abc", UnexpectedEof),
            (Framing::Chunked, "4\r\nwi", UnexpectedEof),
            (Framing::Chunked, "4\r\nwiki\r\n", UnexpectedEof),
            (Framing::Chunked, "4\r\nwiki\r\n0\r\n", UnexpectedEof),
            (Framing::Chunked, "4\r\nwikiX", InvalidData),
            (Framing::Chunked, "4\nwiki", InvalidData),
            (Framing::Chunked, "fffffffffffffffff\r\n", InvalidData),
            (Framing::Chunked, "0\r\nx y\r\n\r\n", InvalidData),
            (Framing::Chunked, &much, InvalidData),
            (Framing::Chunked, &many, InvalidData),
            (Framing::Chunked, &lines, InvalidData),
        ] {
            let (_, trailers, odd, body) = received(framing, &[text.as_bytes()]).await;
            assert_eq!((odd, trailers), (Some(kind), None), "{}", text.get(..40).unwrap_or(text));
            assert!(!body.is_end_stream(), "{text}");
        }
    }

    #[tokio::test]
    async fn that_it_broke_is_told_after_whoever_reads_had_a_moment_to_pass_on_what_came() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let rest = Bytes::from_static(b"half");
        let mut body = Body::new(Line::new(Reached::Unix(ours)), Framing::Sized(8), rest, None);
        poll_fn(|cx| {
            assert!(matches!(Pin::new(&mut body).poll_frame(cx), Poll::Ready(Some(Ok(frame))) if frame.is_data()));
            assert!(Pin::new(&mut body).poll_frame(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        let told = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        assert_eq!(told.unwrap().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.is_none() && !body.is_end_stream());
    }
}
