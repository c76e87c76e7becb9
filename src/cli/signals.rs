//! SIGTERM and SIGINT: the first lets requests under way finish, the second ends the process at once. SIGHUP: what was
//! read from files is read again.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals, listened for from the moment that this exists.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Where nothing can be read again, a terminal that goes takes the process along, as it does with any other.
    hangup: Option<Signal>,
    /// Unheeded, it ends the process: a file that has reached its limit (`LimitFSIZE=`) is to be an error of the write.
    _file_too_large: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// To end; with the signal's name.
    End(&'static str),
    /// To read files again.
    Reload,
}

impl Signals {
    /// Listens from now on; to SIGHUP if files can be read again. To be called within a runtime.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn listen(reloads: bool) -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: reloads.then(|| signal(SignalKind::hangup())).transpose()?,
            _file_too_large: signal(SignalKind::from_raw(libc::SIGXFSZ))?,
        })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Asked {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => Asked::End("SIGTERM"),
            _ = self.interrupt.recv() => Asked::End("SIGINT"),
            _ = hangup => Asked::Reload,
        }
    }
}

/// What the shell reports of a process that a signal ended.
const ENDED_BY_SIGNAL: i32 = 130;

/// Ends the process without waiting for anything.
#[expect(clippy::exit, reason = "a second signal means now; what could be flushed has had the time since the first")]
pub(super) fn end_at_once() -> ! {
    std::process::exit(ENDED_BY_SIGNAL)
}
