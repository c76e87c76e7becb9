//! The place that one request has on its connection: alone on it, or one of many streams.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use http_body::Body as _;
use hyper::body::Incoming;

use crate::proxy::connection::LINGER;
use crate::proxy::streams::Stream;
use crate::proxy::timing::Deadline;
use crate::proxy::turn::Turn;
use crate::proxy::wire::{Seen, Watch};

/// Where a request came, with what its connection knows of it.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) lane: Lane,
    pub(super) seen: Seen,
    /// By when the upstream must have answered.
    pub(super) answer_by: Deadline,
}

/// A request's place on its connection.
#[derive(Clone, Debug)]
pub(super) enum Lane {
    /// HTTP/1.1: nobody else is served before it is answered.
    Alone(Rc<Watch>),
    /// HTTP/2: a stream.
    Stream(Rc<Stream>),
}

impl Lane {
    pub(super) fn stream(&self) -> Option<&Rc<Stream>> {
        match self {
            Self::Alone(_) => None,
            Self::Stream(stream) => Some(stream),
        }
    }

    /// A refusal goes out. True when the connection has to end with it, for the rest of the body can't be told from what
    /// follows.
    pub(super) fn refuse(&self) -> bool {
        match self {
            Self::Alone(watch) if watch.body_is_at_hand() => false,
            Self::Alone(watch) => {
                watch.linger();
                true
            }
            // The stream alone ends.
            Self::Stream(_) => false,
        }
    }

    /// A body is not wanted. On a stream what comes of it is taken and dropped, within bounds; after them the client is told
    /// to send no more (RFC 9113 section 8.1), which some take for a failure, whatever answer they have got.
    pub(super) fn leave(&self, mut body: Incoming, by: &Deadline) {
        const MOST_BYTES: usize = 1 << 20;
        if self.stream().is_none() || body.is_end_stream() {
            return;
        }
        let by = by.clone();
        by.set(LINGER);
        drop(tokio::task::spawn_local(async move {
            let mut left = MOST_BYTES;
            let drain = poll_fn(|cx| {
                while let Poll::Ready(frame) = Pin::new(&mut body).poll_frame(cx) {
                    let Some(Ok(frame)) = frame else { return Poll::Ready(()) };
                    match left.checked_sub(frame.data_ref().map_or(0, bytes::Bytes::len)) {
                        Some(less) => left = less,
                        None => return Poll::Ready(()),
                    }
                }
                Poll::Pending
            });
            let _late = by.bound(drain).await;
        }));
    }
}

/// A request that is being answered; until dropped, it has its place and counts among those under way.
#[derive(Debug)]
pub(super) struct Answered {
    lane: Lane,
    _turn: Option<Turn>,
}

impl Answered {
    pub(super) fn new(lane: Lane, turn: Option<Turn>) -> Self {
        Self { lane, _turn: turn }
    }

    /// A piece of the response is ready for the client.
    pub(super) fn offer(&self) {
        if let Lane::Stream(stream) = &self.lane {
            stream.offer();
        }
    }

    /// The client took what was ready.
    pub(super) fn taken(&self) {
        if let Lane::Stream(stream) = &self.lane {
            stream.taken();
        }
    }

    /// The most that may be offered at once; `None`: any.
    pub(super) fn piece(&self) -> Option<usize> {
        /// What a client may leave lying here of each stream after its task is done.
        const PIECE: usize = 16 << 10;
        self.lane.stream().map(|_| PIECE)
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        if let Lane::Alone(watch) = &self.lane {
            watch.answered();
        }
    }
}
