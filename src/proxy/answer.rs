//! A response's body on its way down: the upstream's, or our own words. Never gathered, and never ended before its end.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};

use crate::proxy::downstream::lane::Answered;
use crate::proxy::forwarding::pool::Lease;
use crate::proxy::forwarding::received::{Received, Unreceived};
use crate::proxy::headers;
use crate::proxy::oversight::{Side, Watching};
use crate::telemetry::{Forwarding, StreamEnd};

/// Why a response's body could not be passed on. The client sees that it breaks off.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    /// The upstream broke off or sent nonsense.
    #[error("the response's body broke off")]
    Broken(#[source] Unreceived),
    /// It ended, though not where it ends.
    #[error("the response's body was given up")]
    GivenUp,
    /// It is of a stream that had to end. In HTTP/2 it is reset as what nobody wants any more: "no error" is taken for an end
    /// by some.
    #[error("the response may not go on")]
    Ended(#[source] h2::Error),
}

/// A response's body on its way to the client.
#[derive(Debug)]
pub(super) struct ResponseBody {
    content: Content,
    /// Marks the request as answered when the body is through, or dropped.
    answered: Answered,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one, and a box for each would cost more")]
enum Content {
    /// Our own words.
    Own(Option<Bytes>),
    /// The upstream's.
    Passed {
        inner: Received,
        rest: Bytes,
        /// How it broke off, before anybody asked for it.
        broken: Option<Unreceived>,
        lease: Option<Lease>,
        ended: bool,
        /// Who may say that it has to end, where something can end it.
        watching: Option<Watching>,
        /// Whether it is one of gRPC, whose client reads trailers.
        is_grpc: bool,
        /// Counts the request until its answer is through, or dropped.
        forwarding: Forwarding,
    },
}

/// What came of a body right behind its head.
#[derive(Debug)]
pub(super) enum First {
    /// Nothing yet, or nobody looked.
    None,
    /// This, of a body that has a length: mostly all of it.
    Data(Bytes),
    /// It broke off.
    Broken(Unreceived),
}

impl First {
    /// Looks, without waiting. What is here in one piece need not be watched. Of HTTP/1.1 alone, where nothing but data can come
    /// of a body that has a length.
    pub(super) fn of(body: &mut Received, lease: &Lease) -> Self {
        if !matches!(lease, Lease::Whole(_) | Lease::Held) || body.size_hint().exact().is_none_or(|length| length == 0)
        {
            return Self::None;
        }
        match Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(Ok(frame))) => frame.into_data().map_or(Self::None, Self::Data),
            Poll::Ready(Some(Err(error))) => Self::Broken(error),
            Poll::Ready(None) | Poll::Pending => Self::None,
        }
    }

    /// Whether more is to come of the body.
    pub(super) fn is_all_of(&self, body: &Received) -> bool {
        matches!(self, Self::Broken(_)) || body.is_end_stream()
    }
}

impl ResponseBody {
    pub(super) fn own(text: Bytes, answered: Answered) -> Self {
        Self { content: Content::Own(Some(text).filter(|text| !text.is_empty())), answered }
    }

    /// `watching`: who may say that it has to end, and whether it is one of gRPC.
    pub(super) fn passed(
        (first, inner): (First, Received),
        lease: Lease,
        forwarding: Forwarding,
        answered: Answered,
        watching: Option<(Watching, bool)>,
    ) -> Self {
        let (rest, broken) = match first {
            First::None => (Bytes::new(), None),
            First::Data(data) => (data, None),
            First::Broken(error) => (Bytes::new(), Some(error)),
        };
        let (ended, lease) = (inner.is_end_stream() && broken.is_none(), Some(lease));
        let (watching, is_grpc) = watching.unzip();
        let is_grpc = is_grpc == Some(true) && answered.has_trailers();
        Self { content: Content::Passed { inner, rest, broken, lease, ended, watching, is_grpc, forwarding }, answered }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        let Self { content, answered } = &mut *self;
        answered.taken();
        if let Content::Passed { watching: Some(watching), is_grpc, .. } = content
            && let Some(why) = watching.ended()
        {
            let is_grpc = *is_grpc;
            // The upstream hears of it by this, and its connection is not used again.
            *content = Content::Own(None);
            return Poll::Ready(Some(if is_grpc { Ok(last_words(why)) } else { Err(ended_by_us()) }));
        }
        if let Content::Passed { broken, .. } = content
            && let Some(error) = broken.take()
        {
            return Poll::Ready(Some(Err(AnswerError::Broken(error))));
        }
        let (inner, rest, lease, ended, watching) = match content {
            Content::Own(text) => {
                answered.offer();
                return Poll::Ready(text.take().map(|text| Ok(Frame::data(text))));
            }
            Content::Passed { inner, rest, lease, ended, watching, .. } => (inner, rest, lease, ended, watching),
        };
        let mut data = if rest.is_empty() {
            let Poll::Ready(frame) = Pin::new(&mut *inner).poll_frame(cx) else {
                if let Some(watching) = watching {
                    watching.waits(Side::Answer, cx);
                }
                return Poll::Pending;
            };
            if let Some(watching) = watching {
                watching.goes_on();
            }
            *ended = frame.is_none() || inner.is_end_stream();
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => data,
                Some(Ok(Err(frame))) => return Poll::Ready(Some(Ok(cleaned(frame)))),
                Some(Err(error)) => return Poll::Ready(Some(Err(AnswerError::Broken(error)))),
                None if lease.as_ref().is_some_and(|lease| lease.has_cut(inner)) => {
                    return Poll::Ready(Some(Err(AnswerError::GivenUp)));
                }
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
            Content::Passed { inner, rest, broken, .. } => rest.is_empty() && broken.is_none() && inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Own(text) => {
                SizeHint::with_exact(text.as_ref().map_or(0, |text| u64::try_from(text.len()).unwrap_or(u64::MAX)))
            }
            Content::Passed { inner, rest, .. } => {
                let hint = inner.size_hint();
                let here = u64::try_from(rest.len()).unwrap_or(u64::MAX);
                hint.exact().map_or(hint, |left| SizeHint::with_exact(left.saturating_add(here)))
            }
        }
    }
}

fn ended_by_us() -> AnswerError {
    AnswerError::Ended(h2::Reason::CANCEL.into())
}

/// What a client of gRPC reads behind what it got so far.
fn last_words(why: StreamEnd) -> Frame<Bytes> {
    /// UNAUTHENTICATED, of which clients know that another token may help.
    const UNAUTHENTICATED: HeaderValue = HeaderValue::from_static("16");
    let mut trailers = HeaderMap::with_capacity(2);
    trailers.insert("grpc-status", UNAUTHENTICATED);
    trailers.insert("grpc-message", HeaderValue::from_static(why.text()));
    Frame::trailers(trailers)
}

/// Whether a response is one of gRPC itself; what speaks it to browsers has its trailers in its body.
pub(super) fn is_grpc(head: &HeaderMap) -> bool {
    let kind = head.get(header::CONTENT_TYPE).and_then(|kind| kind.as_bytes().strip_prefix(b"application/grpc"));
    kind.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

/// Takes out of a response's trailers what is between two neighbours, a length, and cookies: set there, nobody looked at them.
fn cleaned(frame: Frame<Bytes>) -> Frame<Bytes> {
    frame.into_trailers().map_or_else(
        |frame| frame,
        |mut trailers| {
            headers::remove_hop_by_hop(&mut trailers);
            trailers.remove(header::SET_COOKIE);
            // Framing is never a trailer (RFC 9110 section 6.5.1).
            trailers.remove(header::CONTENT_LENGTH);
            Frame::trailers(trailers)
        },
    )
}

impl Drop for Content {
    /// The connection to the upstream is used again only when the whole response came; else dropping it closes it.
    fn drop(&mut self) {
        if let Self::Passed { inner, lease, ended: true, forwarding, .. } = self
            && let Some(lease) = lease.take()
        {
            let now = Instant::now();
            inner.give_back(now);
            lease.give_back(now);
            forwarding.passed(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    #[test]
    fn an_upstream_sets_no_cookie_and_no_length_in_trailers() {
        let mut trailers = HeaderMap::new();
        for (name, value) in
            [("set-cookie", "__Host-stepgate=x"), ("keep-alive", "1"), ("content-length", "9"), ("grpc-status", "0")]
        {
            trailers.append(name, value.parse().unwrap());
        }
        let left = cleaned(Frame::<Bytes>::trailers(trailers)).into_trailers().unwrap();
        assert_eq!(left.keys().map(header::HeaderName::as_str).collect::<Vec<_>>(), ["grpc-status"]);
    }
}
