//! SIGTERM and SIGINT: the first lets requests under way finish, the second ends the process at once.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The two signals, listened for from the moment that this exists.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Unheeded, it ends the process: a file that has reached its limit (`LimitFSIZE=`) is to be an error of the write.
    _file_too_large: Signal,
}

impl Signals {
    /// Listens from now on. To be called within a runtime.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _file_too_large: signal(SignalKind::from_raw(libc::SIGXFSZ))?,
        })
    }

    /// The name of the next one.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Does something at every SIGHUP, from now on. To be called within a runtime.
///
/// # Errors
/// When the system refuses.
pub(super) fn on_hangup(action: Arc<dyn Fn() + Send + Sync>) -> io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            action();
        }
    });
    Ok(())
}

/// What the shell reports of a process that a signal ended.
const ENDED_BY_SIGNAL: i32 = 130;

/// Ends the process without waiting for anything.
#[expect(clippy::exit, reason = "a second signal means now; what could be flushed has had the time since the first")]
pub(super) fn end_at_once() -> ! {
    std::process::exit(ENDED_BY_SIGNAL)
}
