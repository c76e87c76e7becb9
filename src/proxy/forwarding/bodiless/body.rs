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
    pub(in crate::proxy) fn give_back(&mut self) {
        if matches!(self.left, Left::None)
            && self.rest.is_empty()
            && let (Some(line), Some((pool, born))) = (self.line.take(), self.home.take())
        {
            pool.keep_line(line, born);
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
        }
        self.rest = self.memory.split().freeze();
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
            if matches!(self.at, Chunked::Behind { .. }) || self.is_in_trailers() {
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
