//! A request's body on its way up: passed on as it comes, not gathered (but for a form, which was read by then), and never
//! taken for whole when it is not.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::proxy::downstream::streams::{Stalled, Stream};
use crate::proxy::downstream::timing::Deadline;
use crate::proxy::headers;
use crate::proxy::oversight::{Side, Watching};

/// How a request's body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum End {
    /// It has not.
    Open,
    /// It was passed on whole, or there was none.
    Whole,
    /// It is longer than the limit allows.
    TooLarge,
    /// The client broke it off, or sent no such body as it announced.
    Broken,
}

/// A request's body on its way to an upstream. Most requests have none, and pay nothing for it.
#[derive(Debug)]
pub(in crate::proxy) struct RequestBody(Content);

#[derive(Debug)]
enum Content {
    None,
    /// It is passed on as it comes.
    Passed(Box<Sending>),
    /// It was read already, and is all here until it is sent.
    Read(Option<Bytes>),
}

/// One sending of a body.
#[derive(Debug)]
struct Sending {
    shared: Rc<Shared>,
    /// Which sending of the body this is; only the last one gets anything.
    turn: u8,
    /// How many of the kept parts were passed on in this turn.
    replayed: usize,
    /// Bytes that may still come; `None`: any number.
    left: Option<u64>,
    /// The upstream's time to answer counts from when it has what there is of the body.
    answer_by: Deadline,
    answer_limit: Duration,
    /// The stream that it comes on, where it has limits of its own for the client.
    stream: Option<Rc<Stream>>,
    /// Who may say that it has to end, where it may last.
    watching: Option<Watching>,
}

/// What all sendings of one body share.
#[derive(Debug)]
struct Shared {
    inner: RefCell<Incoming>,
    end: Cell<End>,
    turn: Cell<u8>,
    kept: RefCell<Kept>,
}

/// What was passed on of a body and may have to be sent again.
#[derive(Debug)]
enum Kept {
    /// This is all that was passed on.
    All(Vec<Bytes>, usize),
    /// It is not, so there is no sending it again.
    Not,
}

/// The most bytes of a body that are kept for a second sending: enough for a call, too little for an upload.
const KEPT: usize = 16 << 10;

/// Why a request's body could not be passed on.
#[derive(Debug, thiserror::Error)]
pub(in crate::proxy) enum BodyError {
    /// It is longer than the limit allows.
    #[error("the request's body is longer than the limit")]
    TooLarge,
    /// The client broke off or sent nonsense.
    #[error("the request's body broke off")]
    Broken(#[source] hyper::Error),
    /// The client gave it up, or stopped sending it, without calling that an error.
    #[error("the request's body was given up")]
    GivenUp,
    /// It is of a stream that had to end. An upstream that speaks HTTP/2 is told that nobody waits for it any more.
    #[error("the request may not go on")]
    Ended(#[source] h2::Error),
    /// Another sending of it has taken over.
    #[error("the request is sent again elsewhere")]
    Superseded,
}

/// Sends a body again, from its beginning.
#[derive(Debug)]
pub(in crate::proxy) struct Again(Content);

impl Again {
    /// The same body from its beginning, if its beginning was kept. An earlier sending gets nothing more.
    pub(in crate::proxy) fn body(self) -> Option<RequestBody> {
        let mut sending = match self.0 {
            Content::Passed(sending) => sending,
            Content::None | Content::Read(_) => return Some(RequestBody(self.0)),
        };
        let shared = &sending.shared;
        if matches!(*shared.kept.borrow(), Kept::Not) || matches!(shared.end.get(), End::TooLarge | End::Broken) {
            return None;
        }
        let turn = shared.turn.get().saturating_add(1);
        shared.turn.set(turn);
        sending.turn = turn;
        Some(RequestBody(Content::Passed(sending)))
    }
}

impl RequestBody {
    pub(in crate::proxy) fn new(
        inner: Incoming,
        limit: Option<u64>,
        answer_by: &Deadline,
        answer_limit: Duration,
        stream: Option<&Rc<Stream>>,
        watching: Option<&Watching>,
    ) -> Self {
        if inner.is_end_stream() {
            return Self(Content::None);
        }
        let shared = Rc::new(Shared {
            inner: RefCell::new(inner),
            end: Cell::new(End::Open),
            turn: Cell::new(0),
            kept: RefCell::new(Kept::Not),
        });
        let (answer_by, stream, watching) = (answer_by.clone(), stream.cloned(), watching.cloned());
        let sending = Sending { shared, turn: 0, replayed: 0, left: limit, answer_by, answer_limit, stream, watching };
        Self(Content::Passed(Box::new(sending)))
    }

    /// A body that was read already.
    pub(in crate::proxy) fn read(bytes: Bytes) -> Self {
        Self(if bytes.is_empty() { Content::None } else { Content::Read(Some(bytes)) })
    }

    /// The same again, where there is no body: for a request that may have to be sent twice.
    pub(in crate::proxy) fn again(&self) -> Option<Self> {
        matches!(self.0, Content::None).then_some(Self(Content::None))
    }

    /// From now on keeps what is passed on, up to [`KEPT`] bytes, so that it can be sent again where that is known to do
    /// no harm. Only before anything was passed on.
    pub(in crate::proxy) fn keep(&self) -> Again {
        Again(match &self.0 {
            Content::None => Content::None,
            Content::Passed(sending) => Content::Passed(Box::new(sending.keep())),
            Content::Read(bytes) => Content::Read(bytes.clone()),
        })
    }

    /// How it ends, to be asked later.
    pub(in crate::proxy) fn end(&self) -> Ending {
        Ending(match &self.0 {
            Content::Passed(sending) => Some(Rc::clone(&sending.shared)),
            Content::None | Content::Read(_) => None,
        })
    }
}

impl Sending {
    fn keep(&self) -> Self {
        if self.turn == 0 {
            *self.shared.kept.borrow_mut() = Kept::All(Vec::new(), 0);
        }
        Self {
            shared: Rc::clone(&self.shared),
            turn: self.turn,
            replayed: 0,
            left: self.left,
            answer_by: self.answer_by.clone(),
            answer_limit: self.answer_limit,
            stream: self.stream.clone(),
            watching: self.watching.clone(),
        }
    }

    fn pass(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, BodyError> {
        let frame = match frame.into_trailers() {
            Ok(mut trailers) => {
                headers::clean_trailers(&mut trailers);
                *self.shared.kept.borrow_mut() = Kept::Not;
                return Ok(Frame::trailers(trailers));
            }
            Err(frame) => frame,
        };
        if let Some(data) = frame.data_ref() {
            self.count(data.len())?;
            self.shared.kept.borrow_mut().add(data);
            self.replayed = self.replayed.saturating_add(1);
        }
        Ok(frame)
    }

    fn count(&mut self, bytes: usize) -> Result<(), BodyError> {
        if let Some(left) = self.left {
            self.left = Some(left.checked_sub(u64::try_from(bytes).unwrap_or(u64::MAX)).ok_or(BodyError::TooLarge)?);
        }
        Ok(())
    }

    /// The next part that was passed on in an earlier turn.
    fn replay(&mut self) -> Option<Bytes> {
        let part = match &*self.shared.kept.borrow() {
            Kept::All(parts, _) => parts.get(self.replayed).cloned(),
            Kept::Not => None,
        }?;
        self.replayed = self.replayed.saturating_add(1);
        Some(part)
    }

    /// The bytes that are still to be replayed.
    fn unreplayed(&self) -> u64 {
        match &*self.shared.kept.borrow() {
            Kept::All(parts, _) => {
                parts.iter().skip(self.replayed).map(|part| u64::try_from(part.len()).unwrap_or(0)).sum()
            }
            Kept::Not => 0,
        }
    }
}

impl Kept {
    fn add(&mut self, data: &Bytes) {
        match self {
            Self::All(parts, size) if size.saturating_add(data.len()) <= KEPT => {
                *size = size.saturating_add(data.len());
                parts.push(data.clone());
            }
            Self::All(..) | Self::Not => *self = Self::Not,
        }
    }
}

/// How a request's body ends.
#[derive(Clone, Debug)]
pub(in crate::proxy) struct Ending(Option<Rc<Shared>>);

impl Ending {
    /// As it stands now.
    pub(in crate::proxy) fn get(&self) -> End {
        self.0.as_ref().map_or(End::Whole, |shared| shared.end.get())
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = match &mut self.0 {
            Content::None => return Poll::Ready(None),
            Content::Passed(sending) => &mut **sending,
            Content::Read(bytes) => return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
        };
        if this.turn != this.shared.turn.get() {
            return Poll::Ready(Some(Err(BodyError::Superseded)));
        }
        if let Some(watching) = &this.watching {
            if watching.ended().is_some() {
                this.shared.end.set(End::Broken);
                return Poll::Ready(Some(Err(BodyError::Ended(h2::Reason::CANCEL.into()))));
            }
            watching.goes_on();
        }
        if let Some(part) = this.replay() {
            return Poll::Ready(Some(this.count(part.len()).map(|()| Frame::data(part))));
        }
        let (frame, whole) = {
            let inner = &mut *this.shared.inner.borrow_mut();
            // While the client is waited for, the upstream owes nothing; a client that stalls has its own limit.
            this.answer_by.clear();
            let Poll::Ready(frame) = poll_client(inner, this.stream.as_ref(), cx) else {
                if let Some(watching) = &this.watching {
                    watching.waits(Side::Request, cx);
                }
                return Poll::Pending;
            };
            if matches!(frame, Some(Err(BodyError::GivenUp))) {
                this.shared.end.set(End::Broken);
                return Poll::Ready(frame);
            }
            let whole = frame.is_none() || inner.is_end_stream();
            (frame, whole)
        };
        this.answer_by.set(this.answer_limit);
        let passed = frame.map(|frame| frame.and_then(|frame| this.pass(frame)));
        let end = &this.shared.end;
        match &passed {
            Some(Err(BodyError::TooLarge)) => end.set(End::TooLarge),
            Some(Err(BodyError::Broken(_) | BodyError::GivenUp | BodyError::Ended(_) | BodyError::Superseded)) => {
                end.set(End::Broken)
            }
            Some(Ok(frame)) if whole || frame.is_trailers() => end.set(End::Whole),
            Some(Ok(_)) => {}
            None => end.set(End::Whole),
        }
        Poll::Ready(passed)
    }

    fn is_end_stream(&self) -> bool {
        let ended = |sending: &Sending| sending.unreplayed() == 0 && sending.shared.inner.borrow().is_end_stream();
        match &self.0 {
            Content::None | Content::Read(None) => true,
            Content::Passed(sending) => ended(sending),
            Content::Read(Some(_)) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        let sending = match &self.0 {
            Content::None | Content::Read(None) => return SizeHint::with_exact(0),
            Content::Passed(sending) => sending,
            Content::Read(Some(bytes)) => return SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
        };
        let left = sending.shared.inner.borrow().size_hint();
        match left.exact().map(|left| left.checked_add(sending.unreplayed())) {
            Some(Some(exact)) => SizeHint::with_exact(exact),
            Some(None) | None => SizeHint::new(),
        }
    }
}

/// The next part of a body that a client sends: with the client's own limit on a stream, and never taken for ended when it was
/// given up.
pub(in crate::proxy) fn poll_client(
    inner: &mut Incoming,
    stream: Option<&Rc<Stream>>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    let Poll::Ready(frame) = Pin::new(&mut *inner).poll_frame(cx) else {
        let Some(Err(Stalled)) = stream.map(|stream| stream.await_body(cx)) else { return Poll::Pending };
        return Poll::Ready(Some(Err(BodyError::GivenUp)));
    };
    if let Some(stream) = stream {
        stream.body_came();
    }
    // hyper takes a stream that is reset without an error for one that ended.
    if frame.is_none() && stream.is_some() && !inner.is_end_stream() {
        return Poll::Ready(Some(Err(BodyError::GivenUp)));
    }
    Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)))
}
