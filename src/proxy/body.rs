//! The bodies that pass: a request's on its way up, a response's on its way down. Neither is ever held back or gathered.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::proxy::headers;
use crate::proxy::lane::Answered;
use crate::proxy::pool::Lease;
use crate::proxy::streams::Stream;
use crate::proxy::timing::Deadline;

/// How a request's body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It has not.
    Open,
    /// It was passed on whole, or there was none.
    Whole,
    /// It is longer than the limit allows.
    TooLarge,
    /// The client broke it off, or sent no such body as it announced.
    Broken,
}

/// A request's body on its way to an upstream.
#[derive(Debug)]
pub(super) struct RequestBody {
    /// `None`: there is none.
    inner: Option<Incoming>,
    /// Bytes that may still come; `None`: any number.
    left: Option<u64>,
    end: Rc<Cell<End>>,
    /// The upstream's time to answer counts from when it has what there is of the body.
    answer_by: Deadline,
    answer_limit: Duration,
    /// The stream that it comes on, where it has limits of its own for the client.
    stream: Option<Rc<Stream>>,
}

/// Why a request's body could not be passed on.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// It is longer than the limit allows.
    #[error("the request's body is longer than the limit")]
    TooLarge,
    /// The client broke off or sent nonsense.
    #[error("the request's body broke off")]
    Broken(#[source] hyper::Error),
}

impl RequestBody {
    pub(super) fn new(
        inner: Incoming,
        limit: Option<u64>,
        answer_by: Deadline,
        answer_limit: Duration,
        stream: Option<Rc<Stream>>,
    ) -> Self {
        let inner = Some(inner).filter(|inner| !inner.is_end_stream());
        let end = if inner.is_none() { End::Whole } else { End::Open };
        Self { inner, left: limit, end: Rc::new(Cell::new(end)), answer_by, answer_limit, stream }
    }

    /// The same again, where there is no body: for a request that may have to be sent twice.
    pub(super) fn again(&self) -> Option<Self> {
        self.inner.is_none().then(|| Self {
            inner: None,
            left: None,
            end: Rc::clone(&self.end),
            answer_by: self.answer_by.clone(),
            answer_limit: self.answer_limit,
            stream: None,
        })
    }

    /// How it ends, to be asked later.
    pub(super) fn end(&self) -> Rc<Cell<End>> {
        Rc::clone(&self.end)
    }

    fn pass(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, BodyError> {
        let frame = match frame.into_trailers() {
            Ok(mut trailers) => {
                headers::clean_trailers(&mut trailers);
                return Ok(Frame::trailers(trailers));
            }
            Err(frame) => frame,
        };
        if let (Some(left), Some(data)) = (self.left, frame.data_ref()) {
            self.left =
                Some(left.checked_sub(u64::try_from(data.len()).unwrap_or(u64::MAX)).ok_or(BodyError::TooLarge)?);
        }
        Ok(frame)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        // While the client is waited for, the upstream owes nothing; a client that stalls has its own limit.
        this.answer_by.clear();
        let Poll::Ready(frame) = Pin::new(&mut *inner).poll_frame(cx) else {
            if let Some(stream) = &this.stream {
                stream.await_body();
            }
            return Poll::Pending;
        };
        if let Some(stream) = &this.stream {
            stream.body_came();
        }
        let whole = frame.is_none() || inner.is_end_stream();
        this.answer_by.set(this.answer_limit);
        let passed = frame.map(|frame| frame.map_err(BodyError::Broken).and_then(|frame| this.pass(frame)));
        match &passed {
            Some(Err(BodyError::TooLarge)) => this.end.set(End::TooLarge),
            Some(Err(BodyError::Broken(_))) => this.end.set(End::Broken),
            Some(Ok(frame)) if whole || frame.is_trailers() => this.end.set(End::Whole),
            Some(Ok(_)) => {}
            None => this.end.set(End::Whole),
        }
        Poll::Ready(passed)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// A response's body on its way to the client.
#[derive(Debug)]
pub(super) struct ResponseBody {
    content: Content,
    /// Marks the request as answered when the body is through, or dropped.
    answered: Answered,
}

#[derive(Debug)]
enum Content {
    /// Our own words.
    Own(Option<Bytes>),
    /// The upstream's.
    Passed { inner: Incoming, rest: Bytes, lease: Option<Lease>, ended: bool },
}

impl ResponseBody {
    pub(super) fn own(text: Bytes, answered: Answered) -> Self {
        Self { content: Content::Own(Some(text).filter(|text| !text.is_empty())), answered }
    }

    pub(super) fn passed(inner: Incoming, lease: Lease, answered: Answered) -> Self {
        let ended = inner.is_end_stream();
        Self { content: Content::Passed { inner, rest: Bytes::new(), lease: Some(lease), ended }, answered }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self { content, answered } = &mut *self;
        answered.taken();
        let (inner, rest, ended) = match content {
            Content::Own(text) => {
                answered.offer();
                return Poll::Ready(text.take().map(|text| Ok(Frame::data(text))));
            }
            Content::Passed { inner, rest, ended, .. } => (inner, rest, ended),
        };
        let mut data = if rest.is_empty() {
            let frame = ready!(Pin::new(&mut *inner).poll_frame(cx));
            *ended = frame.is_none() || inner.is_end_stream();
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => data,
                Some(Ok(Err(frame))) => return Poll::Ready(Some(Ok(cleaned(frame)))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        } else {
            std::mem::take(rest)
        };
        if let Some(piece) = answered.piece().filter(|piece| data.len() > *piece) {
            *rest = data.split_off(piece);
        }
        answered.offer();
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Own(text) => text.is_none(),
            Content::Passed { inner, rest, .. } => rest.is_empty() && inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Own(text) => {
                SizeHint::with_exact(text.as_ref().map_or(0, |text| u64::try_from(text.len()).unwrap_or(u64::MAX)))
            }
            // Without what is left of a piece; nobody asks any more by then.
            Content::Passed { inner, .. } => inner.size_hint(),
        }
    }
}

/// Takes out of a response's trailers what is between two neighbours.
fn cleaned(frame: Frame<Bytes>) -> Frame<Bytes> {
    frame.into_trailers().map_or_else(
        |frame| frame,
        |mut trailers| {
            headers::remove_hop_by_hop(&mut trailers);
            Frame::trailers(trailers)
        },
    )
}

impl Drop for Content {
    /// The connection to the upstream is used again only when the whole response came; else dropping it closes it.
    fn drop(&mut self) {
        if let Self::Passed { lease, ended: true, .. } = self
            && let Some(lease) = lease.take()
        {
            lease.give_back();
        }
    }
}
