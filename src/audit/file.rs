//! The audit log as a file: appended to by whole lines, begun anew when it was moved away or has grown, brought to the disk.
//!
//! One thread calls it, by way of the queue. What it cannot do it tells and tries again; it never ends the process.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::audit::record::GapLine;
use crate::audit::rotation::shift;
use crate::audit::voice::Voice;
use crate::clock;
use crate::config::settings::{Rotation, Sync};
use crate::telemetry::Occasionally;
use crate::telemetry::sink::{Gap, Sink, Unsynced};
use crate::token::Timestamp;

/// A file that audit lines are appended to.
pub(super) struct AuditFile {
    path: PathBuf,
    rotate: Option<Rotation>,
    sync: Sync,
    open: Open,
    /// When the path was last looked at.
    looked: Instant,
    /// When a rotation that failed is tried again.
    rotate_again: Option<Instant>,
    unsynced: Pending,
    /// What a file that was left could not bring to the disk, and is still to be told.
    owed: Option<Unsynced>,
    voice: Voice,
    trouble: Occasionally,
    /// How lines are brought to the disk; tests have it fail.
    pub(super) to_disk: fn(&File) -> io::Result<()>,
}

/// The file that is written to.
struct Open {
    file: File,
    /// Which file it is.
    is: (u64, u64),
    /// Pipes and devices are not: they are neither rotated nor brought to a disk.
    plain: bool,
    /// No name leads to it any more: what is written to it is gone when it is closed.
    deleted: bool,
    /// Its length, as far as we know.
    length: u64,
    /// It ends in the middle of a line, by a crash or another's hand.
    mid_line: bool,
}

/// Lines that are written and not known to be on the disk.
struct Pending {
    lines: u64,
    /// When the first of them was written.
    first: Instant,
    /// When the last lines before them were on the disk.
    since: Timestamp,
    /// The last try failed: the next ones are tried at once.
    doubted: bool,
}

/// How often the path is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long to wait after a rotation that failed.
const ROTATE_AGAIN: Duration = Duration::from_secs(10);
/// How often the same trouble is told.
const QUIET: Duration = Duration::from_secs(60);

impl AuditFile {
    /// Opens the file for appending; makes it where it is missing.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn open(path: &Path, rotate: Option<Rotation>, sync: Sync) -> io::Result<Self> {
        let open = Open::at(path, sync).map_err(|error| explained(path, error))?;
        Ok(Self {
            path: path.into(),
            rotate,
            sync,
            open,
            looked: Instant::now(),
            rotate_again: None,
            unsynced: Pending { lines: 0, first: Instant::now(), since: clock::now(), doubted: false },
            owed: None,
            voice: Voice::default(),
            trouble: Occasionally::new(QUIET),
            to_disk: File::sync_data,
        })
    }

    /// Whether the path names another file by now, or none. A pipe whose name is gone may still have its reader, and nothing
    /// is to be made in its place.
    fn was_moved(&self) -> bool {
        fs::metadata(&self.path).map_or(self.open.plain, |there| identity(&there) != self.open.is)
    }

    fn look(&mut self) {
        self.looked = Instant::now();
        if !self.was_moved() {
            // Others may have cut it short ("copytruncate").
            self.open.measure();
        } else if self.reopen() {
            tracing::info!(path = %self.path.display(), "the audit log was moved away; a new one is begun");
        }
    }

    /// Goes on in whatever file the path names. Until that can be had, lines go on into the file that was moved: late to
    /// be found, but not lost.
    fn reopen(&mut self) -> bool {
        match Open::at(&self.path, self.sync) {
            Ok(open) => {
                // Not before it is left: lines whose fate would then go untold are still this file's.
                self.owed = self.bring_to_disk().err();
                self.open = open;
                true
            }
            Err(error) => {
                if let Some(more) = self.trouble.due() {
                    tracing::error!(path = %self.path.display(), %error, more, "failed to open the audit log anew");
                }
                false
            }
        }
    }

    fn rotate(&mut self) {
        let Some(Rotation { size, keep }) = self.rotate else { return };
        let waits = self.rotate_again.is_some_and(|at| Instant::now() < at);
        if !self.open.plain || self.open.length < size.max(1) || waits || self.was_moved() {
            return;
        }
        self.rotate_again = None;
        if let Err(error) = shift(&self.path, keep) {
            self.rotate_again = Instant::now().checked_add(ROTATE_AGAIN);
            if let Some(more) = self.trouble.due() {
                let path = self.path.display();
                tracing::warn!(%path, %error, more, "failed to rotate the audit log; it grows on and is tried again");
            }
        }
        // Were the new file not to be had, the one that was moved takes the lines until it can be.
        if self.was_moved() && self.reopen() {
            tracing::debug!(path = %self.path.display(), "the audit log was rotated");
        }
    }

    /// How long lines may stay as they are before they must be on the disk; `None`: for ever.
    fn time_left(&self, last: bool) -> Option<Duration> {
        if self.unsynced.lines == 0 || !self.open.plain {
            return None;
        }
        match self.sync {
            Sync::System => None,
            Sync::Batch => Some(Duration::ZERO),
            Sync::Every(_) if last || self.unsynced.doubted => Some(Duration::ZERO),
            Sync::Every(time) => Some(time.saturating_sub(self.unsynced.first.elapsed())),
        }
    }

    fn bring_to_disk(&mut self) -> Result<(), Unsynced> {
        if !self.open.plain || self.sync == Sync::System || self.unsynced.lines == 0 {
            self.unsynced.lines = 0;
            return Ok(());
        }
        let outcome = (self.to_disk)(&self.open.file);
        let lines = std::mem::take(&mut self.unsynced.lines);
        self.unsynced.doubted = outcome.is_err();
        match outcome {
            Ok(()) => {
                self.unsynced.since = clock::now();
                Ok(())
            }
            Err(error) => Err(Unsynced { error, lines, since: self.unsynced.since }),
        }
    }
}

impl Open {
    fn at(path: &Path, sync: Sync) -> io::Result<Self> {
        // O_NONBLOCK matters for named pipes alone: without a reader they are an error now, not a hang.
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o640).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC);
        let file = options.open(path)?;
        let metadata = file.metadata()?;
        let (is, plain, length) = (identity(&metadata), metadata.is_file(), metadata.len());
        let mid_line = plain && ends_mid_line(path, length);
        let open = Self { file, is, plain, deleted: false, length, mid_line };
        if open.plain && open.length == 0 && sync != Sync::System {
            // A new file's name must outlive a power cut too. Not every file system can do that for folders.
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let _tried = File::open(folder).and_then(|folder| folder.sync_all());
        }
        Ok(open)
    }

    /// Takes the length as it is now, and whether it still has a name.
    fn measure(&mut self) {
        if let Some(metadata) = self.file.metadata().ok().filter(|_| self.plain) {
            (self.length, self.deleted) = (metadata.len(), metadata.nlink() == 0);
        }
    }

    /// Takes a line back that was begun and not ended, or sees to it that the next stands alone. Whether the line is to be
    /// written again.
    fn take_back(&mut self, begun: u64, path: &Path) -> bool {
        if !self.plain || begun == 0 {
            return false;
        }
        let known = self.length;
        self.measure();
        if self.length == known {
            // A file that may only be appended to (chattr +a) refuses that; the line is then ended where it stands.
            let without = known.saturating_sub(begun);
            let taken = self.file.set_len(without).is_ok();
            if taken {
                self.length = without;
            }
            return taken;
        }
        // Somebody cut it short to make room: what was begun is gone with the rest.
        self.mid_line = ends_mid_line(path, self.length);
        true
    }
}

/// Which file this is.
fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
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
    fn tend(&mut self, last: bool) -> Result<Option<Duration>, Unsynced> {
        if let Some(unsynced) = self.owed.take() {
            return Err(unsynced);
        }
        let mut left = self.time_left(last);
        if left == Some(Duration::ZERO) {
            if let Err(unsynced) = self.bring_to_disk() {
                // Asked again about the same lines the system may say yes without having written them; a file that is
                // opened anew answers for itself.
                self.reopen();
                return Err(unsynced);
            }
            left = None;
        }
        self.rotate();
        Ok(left)
    }

    fn nudged(&mut self) {
        self.look();
    }

    fn begin_batch(&mut self, lines: usize) {
        self.open.measure();
        if self.open.deleted || self.open.plain && self.looked.elapsed() >= LOOK_AGAIN {
            self.look();
        }
        if self.unsynced.lines == 0 {
            self.unsynced.first = Instant::now();
        }
        // A batch without lines tells of missing ones, which is to last as well.
        self.unsynced.lines = self.unsynced.lines.saturating_add(u64::try_from(lines.max(1)).unwrap_or(u64::MAX));
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Others may have emptied it; what is begun now could not be taken back by a length that is no more.
        self.open.measure();
        if self.open.deleted && self.was_moved() {
            // It would take every line and keep none, and nobody would hear of it.
            return Err(io::Error::new(io::ErrorKind::NotFound, "the file was deleted, and no new one can be had"));
        }
        if self.open.mid_line {
            // What was cut short must not spoil the next line.
            self.open.file.write_all(b"\n")?;
            self.open.mid_line = false;
            self.open.length = self.open.length.saturating_add(1);
        }
        let written = self.open.file.write(bytes)?;
        self.open.length = self.open.length.saturating_add(u64::try_from(written).unwrap_or(u64::MAX));
        Ok(written)
    }

    fn restarts_line(&mut self, begun: usize) -> bool {
        let taken_back = self.open.take_back(u64::try_from(begun).unwrap_or(u64::MAX), &self.path);
        // Moved or deleted to make room: only a new file gives it back. A pipe may have been made anew by its reader.
        let lines = self.unsynced.lines;
        let elsewhere = self.was_moved() && self.reopen();
        if elsewhere {
            // What is written again there has to be brought to the disk from there.
            self.unsynced.lines = lines;
        }
        taken_back || elsewhere
    }

    fn state_changed(&mut self, error: Option<&io::Error>) {
        self.voice.say(error);
    }

    fn tell(&mut self, gap: &Gap, batch: &mut Vec<u8>) {
        GapLine::now(gap).append_to(batch);
    }
}
