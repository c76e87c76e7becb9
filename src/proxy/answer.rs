//! A response's body on its way down: the upstream's, or our own words. Never gathered, and never ended before its end.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::proxy::downstream::lane::Answered;
use crate::proxy::forwarding::pool::Lease;
use crate::proxy::headers;
use crate::telemetry::Forwarding;

/// Why a response's body could not be passed on. The client sees that it breaks off.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    /// The upstream broke off or sent nonsense.
    #[error("the response's body broke off")]
    Broken(#[source] hyper::Error),
    /// It ended, though not where it ends.
    #[error("the response's body was given up")]
    GivenUp,
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
    Passed {
        inner: Incoming,
        rest: Bytes,
        lease: Option<Lease>,
        ended: bool,
        /// Counts the request until its answer is through, or dropped.
        _forwarding: Forwarding,
    },
}

impl ResponseBody {
    pub(super) fn own(text: Bytes, answered: Answered) -> Self {
        Self { content: Content::Own(Some(text).filter(|text| !text.is_empty())), answered }
    }

    pub(super) fn passed(inner: Incoming, lease: Lease, forwarding: Forwarding, answered: Answered) -> Self {
        let ended = inner.is_end_stream();
        let rest = Bytes::new();
        Self { content: Content::Passed { inner, rest, lease: Some(lease), ended, _forwarding: forwarding }, answered }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        let Self { content, answered } = &mut *self;
        answered.taken();
        let (inner, rest, lease, ended) = match content {
            Content::Own(text) => {
                answered.offer();
                return Poll::Ready(text.take().map(|text| Ok(Frame::data(text))));
            }
            Content::Passed { inner, rest, lease, ended, .. } => (inner, rest, lease, ended),
        };
        let mut data = if rest.is_empty() {
            let frame = ready!(Pin::new(&mut *inner).poll_frame(cx));
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
        if let Self::Passed { lease, ended: true, .. } = self
            && let Some(lease) = lease.take()
        {
            lease.give_back();
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
