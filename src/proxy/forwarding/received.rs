//! A response's body as it comes from an upstream, whoever reads its connection.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::proxy::forwarding::bodiless;

/// The body.
#[derive(Debug)]
pub(in crate::proxy) enum Received {
    /// On a connection that hyper's client reads.
    Hyper(Incoming),
    /// On one that is read with it.
    Bodiless(Box<bodiless::Body>),
}

/// Why no more of it comes.
#[derive(Debug, thiserror::Error)]
pub(in crate::proxy) enum Unreceived {
    /// As hyper says.
    #[error(transparent)]
    Hyper(#[from] hyper::Error),
    /// The connection broke, or what came on it is no body.
    #[error(transparent)]
    Bodiless(#[from] std::io::Error),
}

impl Received {
    /// It was read to its end: a connection that goes with it is given back. Of hyper's, the lease is.
    pub(in crate::proxy) fn give_back(&mut self, now: Instant) {
        if let Self::Bodiless(body) = self {
            body.give_back(now);
        }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = Unreceived;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Unreceived>>> {
        match &mut *self {
            Self::Hyper(body) => {
                Pin::new(body).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Into::into)))
            }
            Self::Bodiless(body) => {
                Pin::new(&mut **body).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Into::into)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Hyper(body) => body.is_end_stream(),
            Self::Bodiless(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Hyper(body) => body.size_hint(),
            Self::Bodiless(body) => body.size_hint(),
        }
    }
}
