//! The folder of `keys.cache_dir`: one file an issuer, read and written whole. Blocks: call it where that is allowed.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;

/// A folder that was found to be writable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheDir(PathBuf);

impl CacheDir {
    /// Checks that files can be made there. The last folder of the path is made if it is missing, for us alone.
    ///
    /// # Errors
    /// A sentence that names the folder, when it is none or nothing can be written there.
    pub fn open(path: &Path) -> Result<Self, String> {
        let failed = |error: io::Error| {
            format!("keys cannot be kept in `{}` (`keys.cache_dir` in the settings): {error}", path.display())
        };
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        let folder = path.metadata().map_err(failed)?;
        if !folder.is_dir() {
            return Err(failed(io::ErrorKind::NotADirectory.into()));
        }
        let this = Self(path.to_owned());
        let probe = this.temporary("probe");
        let written = create(&probe).and_then(|mut file| file.write_all(b"1"));
        let removed = std::fs::remove_file(&probe);
        match written.and(removed) {
            // It may be mended while we run, and the copies that are there may be needed now.
            Err(error) if is_full(&error) => tracing::warn!(
                folder = %path.display(), %error,
                "keys cannot be kept for now: the disk of `keys.cache_dir` is full; those that are there are used"
            ),
            tried => tried.map_err(failed)?,
        }
        if is_others_to_write(&folder.permissions()) {
            tracing::warn!(
                folder = %path.display(),
                "others than the gate's own user may write to the folder of `keys.cache_dir`; whoever can write there can make \
                 the gate believe tokens of their own"
            );
        }
        Ok(this)
    }

    /// The file that holds this issuer's copy: its host, for eyes, and what tells it from every other issuer.
    pub(super) fn file_of(&self, issuer: &str) -> PathBuf {
        const SHOWN: usize = 64;
        let host = issuer.split_once("://").map_or(issuer, |(_scheme, rest)| rest);
        let host = host.split(['/', '?', '#']).next().unwrap_or_default();
        let plain =
            |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c.to_ascii_lowercase() } else { '_' };
        let host: String = host.trim_start_matches('.').chars().map(plain).take(SHOWN).collect();
        let hash = digest::digest(&digest::SHA256, issuer.as_bytes());
        let hash: String = hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        self.0.join(format!("{host}-{hash}.json"))
    }

    /// Reads a copy; `None`: there is none.
    ///
    /// # Errors
    /// Why it is not to be used: it is longer than `most`, no plain file, or others may write to it.
    pub(super) fn read(path: &Path, most: usize) -> Result<Option<Vec<u8>>, String> {
        // Not to be held up by a pipe that someone put there.
        let file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
            Ok(file) => file,
        };
        let metadata = file.metadata().map_err(|error| error.to_string())?;
        if !metadata.is_file() {
            return Err("it is no plain file".into());
        }
        if is_others_to_write(&metadata.permissions()) {
            return Err("others than its owner may write to it".into());
        }
        let mut bytes = Vec::new();
        let limit = u64::try_from(most).unwrap_or(u64::MAX);
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if bytes.len() > most {
            return Err(format!("it is longer than {most} bytes"));
        }
        Ok(Some(bytes))
    }

    /// Replaces a copy in one step: whoever reads finds the old one or the new one, after a power cut too.
    pub(super) fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.temporary("new");
        let written = create(&temporary).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()?;
            std::fs::rename(&temporary, path)
        });
        if written.is_err() {
            // What is left of it must not fill the disk further; there may be nothing.
            let _removed = std::fs::remove_file(&temporary);
        }
        written?;
        // The copy is there; not every file system can also promise that its name outlives a power cut.
        let _best_effort = File::open(&self.0).and_then(|folder| folder.sync_all());
        Ok(())
    }

    /// A name that no other process that shares the folder takes.
    fn temporary(&self, what: &str) -> PathBuf {
        let random = RandomState::new().hash_one(std::process::id());
        self.0.join(format!(".{what}-{random:016x}.tmp"))
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A new file for our eyes alone.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn is_others_to_write(permissions: &Permissions) -> bool {
    permissions.mode() & 0o022 != 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_s_name_is_one_for_each_issuer_and_never_a_path() {
        let dir = CacheDir("/keys".into());
        let name = |issuer: &str| dir.file_of(issuer).strip_prefix("/keys").unwrap().to_str().unwrap().to_owned();
        assert_eq!(name("https://auth.bank.example/t1"), name("https://auth.bank.example/t1"));
        assert!(name("https://auth.bank.example/t1").starts_with("auth.bank.example-"));
        let issuers = [
            "https://idp.example",
            "https://idp.example/",
            "http://idp.example",
            "https://IDP.example",
            "https://idp.example/../../etc/passwd",
            "https://../x",
            "../../x",
            "",
            "https://идп.example",
            &format!("https://{}.example", "x".repeat(300)),
        ];
        let names: Vec<String> = issuers.iter().map(|issuer| name(issuer)).collect();
        for (at, one) in names.iter().enumerate() {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c);
            assert!(one.chars().all(plain) && !one.starts_with('.') && one.len() < 120, "{one}");
            assert!(!names[..at].contains(one), "{one}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_said_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        for bad in [file.clone(), file.join("below"), folder.path().join("a/b"), PathBuf::from("/proc")] {
            let error = CacheDir::open(&bad).unwrap_err();
            assert!(error.contains(&format!("`{}`", bad.display())) && error.contains("keys.cache_dir"), "{error}");
        }
        let made = folder.path().join("made");
        CacheDir::open(&made).unwrap();
        assert_eq!(made.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(made.read_dir().unwrap().count(), 0, "nothing of the trial is left");
    }

    #[test]
    fn a_full_disk_is_told_from_one_that_can_never_be_written() {
        let is_full = |code| is_full(&io::Error::from_raw_os_error(code));
        assert!(is_full(libc::ENOSPC) && is_full(libc::EDQUOT));
        assert!(!is_full(libc::EROFS) && !is_full(libc::EACCES) && !is_full(libc::EIO));
    }

    #[test]
    fn a_copy_is_replaced_whole_and_for_our_eyes_alone() {
        let folder = tempfile::tempdir().unwrap();
        let dir = CacheDir::open(folder.path()).unwrap();
        let path = dir.file_of("https://idp.example");
        assert_eq!(CacheDir::read(&path, 10), Ok(None));
        dir.write(&path, b"one").unwrap();
        let begun = File::open(&path).unwrap();
        dir.write(&path, b"other").unwrap();
        let mut seen = String::new();
        (&begun).read_to_string(&mut seen).unwrap();
        assert_eq!(seen, "one", "whoever had begun to read is not given a mixture");
        assert_eq!(CacheDir::read(&path, 5), Ok(Some(b"other".to_vec())));
        assert!(CacheDir::read(&path, 4).unwrap_err().contains("longer"));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(folder.path().read_dir().unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_copy_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let dir = CacheDir::open(folder.path()).unwrap();
        let path = dir.file_of("https://idp.example");
        std::fs::create_dir_all(path.join("in-the-way")).unwrap();
        assert!(dir.write(&path, b"one").is_err());
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn what_others_may_have_written_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("copy");
        std::fs::write(&path, "one").unwrap();
        for mode in [0o620, 0o602, 0o666] {
            path.set_permissions_to(mode);
            assert!(CacheDir::read(&path, 10).unwrap_err().contains("others"), "{mode:o}");
        }
        path.set_permissions_to(0o644);
        assert!(CacheDir::read(&path, 10).is_ok());
        assert!(CacheDir::read(folder.path(), 10).unwrap_err().contains("plain file"));
        let device = folder.path().join("device");
        symlink("/dev/zero", &device).unwrap();
        assert!(CacheDir::read(&device, 10).unwrap_err().contains("plain file"));
    }

    trait SetMode {
        fn set_permissions_to(&self, mode: u32);
    }

    impl SetMode for PathBuf {
        fn set_permissions_to(&self, mode: u32) {
            std::fs::set_permissions(self, Permissions::from_mode(mode)).unwrap();
        }
    }
}
