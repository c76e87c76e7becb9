//! Where lines go, seen from the thread that writes them: what a file, a pipe or a test must be able to do.

use std::io;
use std::time::Duration;

use crate::token::Timestamp;

/// Where lines go. Called by one thread alone.
pub trait Sink: Send {
    /// Called before each look at the queue: what was written so far ends with a line. Makes lines last whose time has
    /// come, or all of them when it is the `last` call. How long until there is something to do here again.
    ///
    /// # Errors
    /// What may not have lasted. It is called again after a while.
    fn tend(&mut self, _last: bool) -> Result<Option<Duration>, Unsynced> {
        Ok(None)
    }

    /// Something may have changed outside ([`Lines::nudge`](crate::telemetry::lines::Lines::nudge)).
    fn nudged(&mut self) {}

    /// A batch of so many lines begins.
    fn begin_batch(&mut self, _lines: usize) {}

    /// Writes some of the bytes and says how many.
    ///
    /// # Errors
    /// What the system says. `WouldBlock` is tried again soon, anything else counts as a failure and is tried again later.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// A write failed when so many bytes of a line were written. Whether that line is to be written again from its
    /// beginning: because they were taken back, or the sink writes elsewhere now.
    fn restarts_line(&mut self, _begun: usize) -> bool {
        false
    }

    /// Told of each change from working to failing and, with `None`, back.
    fn state_changed(&mut self, _error: Option<&io::Error>) {}

    /// Adds a line that tells of those that are missing.
    fn tell(&mut self, _gap: &Gap, _batch: &mut Vec<u8>) {}
}

/// Lines that are missing, or may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Lines that found no room, of things that happened all the same.
    pub lost: u64,
    /// Lines that found no room, of things that were therefore kept from happening.
    pub refused: u64,
    /// Lines that were written and that the system could not bring to the disk, or so it said.
    pub doubtful: u64,
    /// When the first was to be written.
    pub since: Timestamp,
    /// When the last was.
    pub until: Timestamp,
}

impl Gap {
    /// One that begins here.
    #[must_use]
    pub const fn since(since: Timestamp) -> Self {
        Self { lost: 0, refused: 0, doubtful: 0, since, until: since }
    }
}

/// The system could not make lines last.
#[derive(Debug)]
pub struct Unsynced {
    /// What it says.
    pub error: io::Error,
    /// How many lines it was asked for.
    pub lines: u64,
    /// When it last succeeded.
    pub since: Timestamp,
}
