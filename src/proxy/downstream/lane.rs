//! The place that one request has on its connection: alone on it, or one of many streams.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use http_body::Body as _;
use hyper::body::Incoming;

use crate::proxy::downstream::connection::LINGER;
use crate::proxy::downstream::streams::Stream;
use crate::proxy::downstream::timing::Deadline;
use crate::proxy::downstream::turn::Turn;
use crate::proxy::downstream::wire::{Seen, Watch};

/// Where a request came, with what its connection knows of it.
#[derive(Debug)]
pub(in crate::proxy) struct Exchange {
    pub(in crate::proxy) lane: Lane,
    pub(in crate::proxy) seen: Seen,
    /// By when the upstream must have answered.
    pub(in crate::proxy) answer_by: Deadline,
}

/// A request's place on its connection.
#[derive(Clone, Debug)]
pub(in crate::proxy) enum Lane {
    /// HTTP/1.1: nobody else is served before it is answered.
    Alone(Rc<Watch>),
    /// HTTP/2: a stream.
    Stream(Rc<Stream>),
}

impl Lane {
    pub(in crate::proxy) fn stream(&self) -> Option<&Rc<Stream>> {
        match self {
            Self::Alone(_) => None,
            Self::Stream(stream) => Some(stream),
        }
    }

    /// A refusal goes out. True when the connection has to end with it, for the rest of the body can't be told from what
    /// follows.
    pub(in crate::proxy) fn refuse(&self) -> bool {
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
    pub(in crate::proxy) fn leave(&self, mut body: Incoming, by: &Deadline) {
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
pub(in crate::proxy) struct Answered {
    lane: Lane,
    turn: Option<Turn>,
}

impl Answered {
    pub(in crate::proxy) fn new(lane: Lane, turn: Option<Turn>) -> Self {
        Self { lane, turn }
    }

    /// The request goes on after its answer: it is whoever takes this that counts from now on.
    pub(in crate::proxy) fn take_turn(&mut self) -> Option<Turn> {
        self.turn.take()
    }

    /// A piece of the response is ready for the client.
    pub(in crate::proxy) fn offer(&self) {
        if let Lane::Stream(stream) = &self.lane {
            stream.offer();
        }
    }

    /// The client took what was ready.
    pub(in crate::proxy) fn taken(&self) {
        if let Lane::Stream(stream) = &self.lane {
            stream.taken();
        }
    }

    /// The most that may be offered at once; `None`: any.
    pub(in crate::proxy) fn piece(&self) -> Option<usize> {
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
