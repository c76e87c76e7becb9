//! One direction of a tunnel: what one side says is passed to the other, no faster than that takes it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::ReadBuf;

use crate::proxy::tunnel::end::Io;
use crate::proxy::tunnel::frames::{Frames, Lost};

/// The most that is read at once, and so the most that is held while the other side takes nothing.
const PIECE: usize = 16 << 10;
/// How many pieces are passed on before the worker's other tasks have their turn.
const TURN: usize = 16;

/// One direction.
#[derive(Debug)]
pub(super) struct Flow {
    /// Where its frames begin, in WebSocket.
    frames: Option<Frames>,
    /// What was read and not passed on.
    held: BytesMut,
    /// Whether what was passed on may still lie with the side that it was passed to.
    unflushed: bool,
    state: State,
    /// Counts what was passed on, for whoever looks whether anything moves.
    passed: u64,
}

#[derive(Debug)]
enum State {
    /// What is said is passed on.
    Passing,
    /// The frame that is under way is passed on to its end, then this is said in the speaker's place.
    Stopping(Bytes),
    /// What has to be said was said. What the speaker still says is dropped, until it says that it knows.
    Leaving,
    /// The speaker said its last, and all of it was passed on.
    Over,
}

impl Flow {
    /// `early`: what the speaker said before.
    pub(super) fn new(is_websocket: bool, early: &[u8]) -> Result<Self, Lost> {
        let mut frames = is_websocket.then_some(Frames::START);
        if let Some(frames) = &mut frames {
            frames.follow(early)?;
        }
        Ok(Self { frames, held: BytesMut::from(early), unflushed: false, state: State::Passing, passed: 0 })
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Whether something waits until the other side takes it.
    pub(super) fn is_held_up(&self) -> bool {
        !self.held.is_empty() || self.unflushed
    }

    /// How much was passed on so far.
    pub(super) fn passed(&self) -> u64 {
        self.passed
    }

    /// Has the direction end after the frame that is under way, with `last` in the speaker's place: unless the speaker has said
    /// its last itself.
    pub(super) fn stop(&mut self, last: Bytes) {
        match (&self.state, self.frames) {
            (State::Passing, Some(frames)) if frames.has_closed() => self.state = State::Leaving,
            (State::Passing, _) => self.state = State::Stopping(last),
            (State::Stopping(_) | State::Leaving | State::Over, _) => {}
        }
    }

    /// Passes on what there is. Ready when the direction is over: what was said last has been passed on, and the other side
    /// was told that no more comes.
    pub(super) fn poll(
        &mut self,
        from: &mut dyn Io,
        to: &mut dyn Io,
        scratch: &mut [u8],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        for _ in 0..TURN {
            if self.is_over() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.write(to, cx))?;
            let missing = self.frames.map_or(0, Frames::missing);
            let most = match &mut self.state {
                State::Passing => PIECE,
                State::Stopping(last) if missing == 0 => {
                    self.held.extend_from_slice(last);
                    self.state = State::Leaving;
                    continue;
                }
                State::Stopping(_) => usize::try_from(missing).unwrap_or(PIECE).min(PIECE),
                State::Leaving if self.frames.is_none_or(Frames::has_closed) => {
                    ready!(self.finish(to, cx))?;
                    continue;
                }
                State::Leaving => PIECE,
                State::Over => continue,
            };
            let Some(room) = scratch.get_mut(..most) else { return Poll::Ready(Err(io::ErrorKind::Other.into())) };
            let mut buffer = ReadBuf::new(room);
            if Pin::new(&mut *from).poll_read(cx, &mut buffer)?.is_pending() {
                ready!(self.flush(to, cx))?;
                return Poll::Pending;
            }
            let came = buffer.filled();
            if came.is_empty() {
                ready!(self.finish(to, cx))?;
                continue;
            }
            if let Some(frames) = &mut self.frames {
                frames.follow(came).map_err(|Lost| io::Error::from(io::ErrorKind::InvalidData))?;
            }
            if !matches!(self.state, State::Leaving) {
                let left = self.pass(came, to, cx)?;
                self.held.extend_from_slice(left);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what the other side takes now. Returns what it does not.
    fn pass<'b>(&mut self, mut bytes: &'b [u8], to: &mut dyn Io, cx: &mut Context<'_>) -> io::Result<&'b [u8]> {
        while !bytes.is_empty() {
            let taken = match Pin::new(&mut *to).poll_write(cx, bytes)? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(taken) => taken,
                Poll::Pending => break,
            };
            bytes = bytes.get(taken..).unwrap_or_default();
            self.passed = self.passed.wrapping_add(u64::try_from(taken).unwrap_or_default());
            self.unflushed = true;
        }
        Ok(bytes)
    }

    fn write(&mut self, to: &mut dyn Io, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.held.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let mut held = std::mem::take(&mut self.held);
        let left = self.pass(&held, to, cx)?.len();
        held.advance(held.len().saturating_sub(left));
        if left == 0 {
            // Dropped: a tunnel that is silent holds no memory for what it may say.
            return Poll::Ready(Ok(()));
        }
        self.held = held;
        Poll::Pending
    }

    fn flush(&mut self, to: &mut dyn Io, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unflushed {
            ready!(Pin::new(to).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Nothing more is said in this direction.
    fn finish(&mut self, to: &mut dyn Io, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.flush(to, cx))?;
        ready!(Pin::new(to).poll_shutdown(cx))?;
        self.state = State::Over;
        Poll::Ready(Ok(()))
    }
}
