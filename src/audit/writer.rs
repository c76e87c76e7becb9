//! Where audit lines go: standard output or a file, through a bounded queue, none lost without being counted.

use std::cell::RefCell;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::config::settings::{Audit, AuditTarget, WhenBlocked};
use crate::telemetry::Blocked;
use crate::telemetry::lines::{Bounds, Lines, Sink};

/// The audit log.
#[derive(Debug)]
pub struct Auditor {
    /// `None`: `audit: off`.
    lines: Option<Lines>,
    when_blocked: WhenBlocked,
    dropped: AtomicU64,
    /// Set to have the file opened anew.
    reopen: Arc<AtomicBool>,
}

/// Why the audit log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be opened for appending.
    #[error("failed to open the audit log `{path}`: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Standard output cannot be used.
    #[error("failed to open standard output for the audit log: {0}")]
    Stdout(io::Error),
    /// No thread could be started.
    #[error("failed to start the audit log's thread: {0}")]
    Thread(io::Error),
}

/// What may wait while the disk or the reader is slow.
const BOUNDS: Bounds = Bounds { lines: 8_192, bytes: 16 << 20 };

thread_local! {
    /// Each worker writes its lines here before they are queued, so that none is put together under the queue's lock.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Auditor {
    /// Opens the log and starts its writer.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(settings: &Audit) -> Result<Self, OpenError> {
        let reopen = Arc::<AtomicBool>::default();
        let lines = match &settings.to {
            AuditTarget::Off => None,
            AuditTarget::Stdout => {
                let out = io::stdout().as_fd().try_clone_to_owned().map_err(OpenError::Stdout)?;
                Some(start(Stdout(File::from(out)))?)
            }
            AuditTarget::File(path) => {
                let file = AuditFile::open(path, Arc::clone(&reopen))
                    .map_err(|error| OpenError::File { path: path.clone(), error: explained(path, error) })?;
                Some(start(file)?)
            }
        };
        Ok(Self { lines, when_blocked: settings.when_blocked, dropped: AtomicU64::new(0), reopen })
    }

    #[cfg(test)]
    fn to_sink(sink: impl Sink + 'static, bounds: Bounds, when_blocked: WhenBlocked) -> Self {
        let lines = Some(Lines::start("audit", bounds, sink).unwrap());
        Self { lines, when_blocked, dropped: AtomicU64::new(0), reopen: Arc::default() }
    }

    /// Queues a line: a [`Line`](crate::audit::Line) or a [`FailureLine`](crate::audit::FailureLine).
    ///
    /// # Errors
    /// [`Blocked`] with `when_blocked: refuse`, when there is no room or the log cannot be written just now.
    pub fn write(&self, line: &impl Serialize) -> Result<(), Blocked> {
        let Some(lines) = &self.lines else { return Ok(()) };
        // A log that fails takes what fits into memory only where losing lines is allowed anyway.
        let refused = self.when_blocked == WhenBlocked::Refuse && lines.is_failing();
        let queued = !refused
            && SCRATCH.with_borrow_mut(|text| {
                text.clear();
                serde_json::to_writer(&mut *text, line).is_ok() && {
                    text.push(b'\n');
                    let queued = lines.push(text).is_ok();
                    text.shrink_to(KEPT_SCRATCH);
                    queued
                }
            });
        match (queued, self.when_blocked) {
            (true, _) => Ok(()),
            (false, WhenBlocked::Refuse) => Err(Blocked),
            (false, WhenBlocked::Drop) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// Lines written since the start.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.lines.as_ref().map_or(0, Lines::written)
    }

    /// Lines lost since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Write errors since the start.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.lines.as_ref().map_or(0, Lines::errors)
    }

    /// Whether the log can be written, as far as its last write told.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.lines.as_ref().is_some_and(Lines::is_failing)
    }

    /// Has the next line go to whatever file the path then names, as log rotation asks for with SIGHUP. (Without being
    /// asked, that is looked at once a second.)
    pub fn reopen(&self) {
        self.reopen.store(true, Ordering::Relaxed);
    }

    /// Writes what waits, at most so long, and takes no more. What could not be written is counted as dropped and logged.
    pub fn close(&self, within: Duration) {
        let lost = self.lines.as_ref().map_or(0, |lines| lines.close(within));
        if lost > 0 {
            self.dropped.fetch_add(u64::try_from(lost).unwrap_or(u64::MAX), Ordering::Relaxed);
            tracing::error!(lines = lost, "the audit log could not be written to its end; these lines are lost");
        }
    }
}

/// A line with unusually many claims does not keep its memory for ever.
const KEPT_SCRATCH: usize = 64 << 10;

fn start(sink: impl Sink + 'static) -> Result<Lines, OpenError> {
    Lines::start("stepgate-audit", BOUNDS, sink).map_err(OpenError::Thread)
}

fn say(state: Option<&io::Error>) {
    match state {
        Some(error) => tracing::error!(%error, "the audit log cannot be written; it is tried again until it can"),
        None => tracing::warn!("the audit log can be written again"),
    }
}

/// Standard output without Rust's buffer, so that a write that fails in the middle says how far it came.
struct Stdout(File);

impl Sink for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn state_changed(&mut self, error: Option<&io::Error>) {
        say(error);
    }
}

/// A file that is appended to, and opened anew when it was moved away or deleted (log rotation).
struct AuditFile {
    path: PathBuf,
    file: File,
    is: Option<(u64, u64)>,
    looked: Instant,
    reopen: Arc<AtomicBool>,
}

/// How often the path is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl AuditFile {
    fn open(path: &Path, reopen: Arc<AtomicBool>) -> io::Result<Self> {
        // O_NONBLOCK matters for named pipes alone: without a reader they are an error now, not a hang.
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o640).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC);
        let mut file = options.open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_file() && ends_mid_line(path, metadata.len()) {
            // The line that a crash cut short must not spoil the next.
            file.write_all(b"\n")?;
        }
        Ok(Self { path: path.into(), file, is: identity(&metadata), looked: Instant::now(), reopen })
    }
}

/// Which file this is; `None` for pipes and devices, which are not rotated.
fn identity(metadata: &Metadata) -> Option<(u64, u64)> {
    metadata.is_file().then(|| (metadata.dev(), metadata.ino()))
}

fn ends_mid_line(path: &Path, length: u64) -> bool {
    let last_byte = || -> io::Result<u8> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(length.saturating_sub(1)))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        let [last] = last;
        Ok(last)
    };
    // A file that we may write and not read is appended to as it is.
    length > 0 && last_byte().is_ok_and(|byte| byte != b'\n')
}

/// "No such device or address" is how the system says that nobody reads a named pipe.
fn explained(path: &Path, error: io::Error) -> io::Error {
    let is_pipe = fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo());
    if is_pipe && error.raw_os_error() == Some(libc::ENXIO) {
        return io::Error::other("nothing reads this named pipe; start its reader first");
    }
    error
}

impl Sink for AuditFile {
    fn between_batches(&mut self) {
        let asked = self.reopen.swap(false, Ordering::Relaxed);
        if self.is.is_none() || !asked && self.looked.elapsed() < LOOK_AGAIN {
            return;
        }
        self.looked = Instant::now();
        if fs::metadata(&self.path).ok().and_then(|metadata| identity(&metadata)) == self.is {
            return;
        }
        match Self::open(&self.path, Arc::clone(&self.reopen)) {
            Ok(opened) => {
                *self = opened;
                tracing::info!(path = %self.path.display(), "the audit log was moved away; a new one is begun");
            }
            // The lines go on into the file that was moved: late to be found, but not lost.
            Err(error) => tracing::error!(path = %self.path.display(), %error, "failed to open the audit log anew"),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn state_changed(&mut self, error: Option<&io::Error>) {
        say(error);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::fs::PermissionsExt;
    use std::thread;

    use super::*;
    use crate::audit::tests::{some_denial, some_line, some_policy};

    fn settings(path: &Path, when_blocked: WhenBlocked) -> Audit {
        Audit::new(AuditTarget::File(path.into()), when_blocked)
    }

    fn write(auditor: &Auditor) -> Result<(), Blocked> {
        let (policy, denial) = (some_policy(), some_denial());
        auditor.write(&some_line(&policy, "/admin/7", &denial, None))
    }

    fn eventually(what: impl Fn() -> bool) -> bool {
        (0..500).any(|_| {
            what() || {
                thread::sleep(Duration::from_millis(10));
                false
            }
        })
    }

    /// The writing end of a pipe that nobody reads.
    struct Pipe(io::PipeWriter);

    impl Sink for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }
    }

    #[test]
    fn lines_are_appended_whole_to_a_file_that_strangers_cannot_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        fs::write(&path, b"{\"v\":1,\"cut").unwrap();
        let auditor = Auditor::open(&settings(&path, WhenBlocked::Refuse)).unwrap();
        write(&auditor).unwrap();
        write(&auditor).unwrap();
        auditor.close(Duration::from_secs(5));
        assert_eq!(auditor.written(), 2);
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "the line cut short by a crash stands alone: {text}");
        assert!(serde_json::from_str::<serde_json::Value>(lines[2]).is_ok());
        let fresh = folder.path().join("fresh.jsonl");
        drop(Auditor::open(&settings(&fresh, WhenBlocked::Refuse)).unwrap());
        assert_eq!(fs::metadata(&fresh).unwrap().permissions().mode() & 0o137, 0);
    }

    #[test]
    fn a_full_disk_refuses_decisions_and_is_no_crash() {
        let auditor = Auditor::open(&settings(Path::new("/dev/full"), WhenBlocked::Refuse)).unwrap();
        write(&auditor).unwrap();
        assert!(eventually(|| auditor.is_failing()));
        assert_eq!(write(&auditor), Err(Blocked));
        assert!(auditor.errors() >= 1);
        assert_eq!(auditor.dropped(), 0);
        auditor.close(Duration::from_millis(300));
        assert_eq!((auditor.written(), auditor.dropped()), (0, 1), "the line that was promised and lost is counted");
    }

    #[test]
    fn a_full_disk_loses_and_counts_lines_where_that_is_allowed() {
        let auditor = Auditor::open(&settings(Path::new("/dev/full"), WhenBlocked::Drop)).unwrap();
        write(&auditor).unwrap();
        assert!(eventually(|| auditor.is_failing()));
        assert_eq!(write(&auditor), Ok(()));
        auditor.close(Duration::from_millis(300));
        assert_eq!(auditor.dropped(), 2);
    }

    #[test]
    fn a_pipe_that_nobody_reads_blocks_until_somebody_does() {
        let (reader, writer) = io::pipe().unwrap();
        let bounds = Bounds { lines: 400, bytes: 16 << 20 };
        let auditor = Auditor::to_sink(Pipe(writer), bounds, WhenBlocked::Refuse);
        let mut accepted = 0_u64;
        // A pipe holds 64 KiB; the batch on its way and the queue hold some more; then there is no room.
        assert!(
            (0..5_000).any(|_| {
                let blocked = write(&auditor) == Err(Blocked);
                accepted += u64::from(!blocked);
                blocked && {
                    thread::sleep(Duration::from_millis(50));
                    write(&auditor) == Err(Blocked) || {
                        accepted += 1;
                        false
                    }
                }
            }),
            "a log that nobody reads must block"
        );
        let reading = thread::spawn(move || BufReader::new(reader).lines().count());
        assert!(eventually(|| write(&auditor).is_ok()), "it works again once it is read");
        accepted += 1;
        auditor.close(Duration::from_secs(5));
        assert_eq!(auditor.written(), accepted);
        drop(auditor);
        assert_eq!(u64::try_from(reading.join().unwrap()).unwrap(), accepted, "every accepted line arrives, none else");
    }

    #[test]
    fn a_named_pipe_without_a_reader_is_an_error_and_not_a_hang() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let error = Auditor::open(&settings(&path, WhenBlocked::Refuse)).unwrap_err().to_string();
        assert!(error.contains("nothing reads this named pipe"), "{error}");
    }

    #[test]
    fn a_rotated_file_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("audit.jsonl"), folder.path().join("audit.jsonl.1"));
        let auditor = Auditor::open(&settings(&path, WhenBlocked::Refuse)).unwrap();
        write(&auditor).unwrap();
        assert!(eventually(|| auditor.written() == 1));
        fs::rename(&path, &moved).unwrap();
        thread::sleep(LOOK_AGAIN);
        write(&auditor).unwrap();
        auditor.close(Duration::from_secs(5));
        for file in [&path, &moved] {
            assert_eq!(fs::read_to_string(file).unwrap().lines().count(), 1, "{}", file.display());
        }
    }

    #[test]
    fn a_file_that_was_moved_away_gets_no_line_once_a_new_one_was_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("audit.jsonl"), folder.path().join("audit.jsonl.1"));
        let auditor = Auditor::open(&settings(&path, WhenBlocked::Refuse)).unwrap();
        for rotation in 1..=3 {
            write(&auditor).unwrap();
            assert!(eventually(|| auditor.written() == rotation));
            fs::rename(&path, &moved).unwrap();
            auditor.reopen();
        }
        write(&auditor).unwrap();
        auditor.close(Duration::from_secs(5));
        for file in [&path, &moved] {
            assert_eq!(fs::read_to_string(file).unwrap().lines().count(), 1, "{}", file.display());
        }
    }

    #[test]
    fn a_log_that_cannot_be_opened_is_named() {
        let error = Auditor::open(&settings(Path::new("/nowhere/audit.jsonl"), WhenBlocked::Refuse)).unwrap_err();
        assert!(error.to_string().starts_with("failed to open the audit log `/nowhere/audit.jsonl`: "), "{error}");
    }
}
