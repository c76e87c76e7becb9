//! Logs on standard error: JSON or text, filtered, through a bounded queue, so that a stuck reader never stops the gate.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::settings::{LogFormat, Telemetry};
use crate::telemetry::json_lines::JsonLines;
use crate::telemetry::lines::{Bounds, Lines};
use crate::telemetry::log_filter::LogFilter;
use crate::telemetry::sink::Sink;

/// Keeps the logs going; dropped, it writes what waits.
#[derive(Clone, Debug)]
#[must_use = "logs end when this is dropped"]
pub struct Logs {
    queue: Queue,
    filter: LogFilter,
}

/// Why logs cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// The filter is none.
    #[error("`telemetry.log` is no log filter: {0}; use a level such as `info`, or `info,stepgate=debug`")]
    Filter(#[from] ParseError),
    /// Standard error or a thread cannot be had.
    #[error("failed to set up logs: {0}")]
    System(#[from] io::Error),
    /// Someone was here before.
    #[error("logs are set up already: {0}")]
    Twice(#[from] TryInitError),
}

const BOUNDS: Bounds = Bounds { lines: 8_192, bytes: 4 << 20 };

impl Logs {
    /// Sets up logs for the whole process.
    ///
    /// # Errors
    /// For a filter that is none, and when the system refuses a thread.
    pub fn init(settings: &Telemetry) -> Result<Self, LogsError> {
        let (filter, obeyed) = LogFilter::new(&settings.log)?;
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let lines = Lines::start("stepgate-logs", BOUNDS, Stderr(stderr))?;
        let queue = Queue { lines, dropped: Arc::default() };
        let layer = tracing_subscriber::fmt::layer().with_writer(queue.clone()).with_ansi(false);
        let registry = tracing_subscriber::registry().with(obeyed);
        match settings.format {
            LogFormat::Json => {
                let layer = layer.fmt_fields(JsonFields::new()).event_format(JsonLines::new());
                registry.with(layer).try_init()?;
            }
            LogFormat::Text => registry.with(layer).try_init()?,
        }
        Ok(Self { queue, filter })
    }

    /// Which lines are written, to be changed.
    #[must_use]
    pub fn filter(&self) -> &LogFilter {
        &self.filter
    }

    /// Lines lost since the start because nobody took them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.queue.dropped.load(Ordering::Relaxed)
    }

    /// Writes what waits, at most so long. Later lines are lost.
    pub fn close(&self, within: Duration) {
        self.queue.lines.close(within);
    }
}

/// What each log line is written to.
#[derive(Clone, Debug)]
struct Queue {
    lines: Lines,
    dropped: Arc<AtomicU64>,
}

impl MakeWriter<'_> for Queue {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Write for Queue {
    /// Called once a line, with the whole of it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.lines.push(line).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Standard error. What it refuses has no other place to go, so an error loses the batch instead of holding up the rest.
struct Stderr(File);

impl Sink for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(bytes.len())
            }
            result => result,
        }
    }
}
