//! SIGTERM and SIGINT: the first lets requests under way finish, the second ends the process at once. SIGHUP: what was
//! read from files is read again.

use std::io;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::output::Failure;

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
    /// Listens from now on, to SIGHUP only with [`hangups`]. To be called within a runtime.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn listen(hangup: Option<Signal>) -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup,
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

/// SIGHUPs from now on. Listened for before anything is read: one that comes during the start (`systemctl reload` right after
/// it) would else end the process, and a service manager takes that for an end that was wanted.
///
/// # Errors
/// When the system refuses.
pub(super) fn hangups(control: &Runtime) -> Result<Signal, Failure> {
    let _within = control.enter();
    signal(SignalKind::hangup()).map_err(not_listening)
}

/// What is said when the system refuses.
#[expect(clippy::needless_pass_by_value, reason = "it is mapped over errors")]
pub(super) fn not_listening(error: io::Error) -> Failure {
    Failure::could_not_run(format!("failed to listen for signals: {error}"))
}

/// What the shell reports of a process that a signal ended.
const ENDED_BY_SIGNAL: i32 = 130;

/// Ends the process without waiting for anything.
#[expect(clippy::exit, reason = "a second signal means now; what could be flushed has had the time since the first")]
pub(super) fn end_at_once() -> ! {
    std::process::exit(ENDED_BY_SIGNAL)
}
