//! Looks whether the files that policies and settings name are there, can be used, and are what they should be.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rustls::pki_types::UnixTime;

use crate::admin::Credential;
use crate::assertion::SigningKey;
use crate::clock;
use crate::config::{NamedFile, Problem, Purpose};
use crate::seal::SealKey;
use crate::tls::{pem, roots};

const HELP: &str = "a relative path begins at the folder of the file that names it";
const RIGHTS: &str = "the user that the gate runs as must be allowed to open it, and every folder above it";

/// A lint for each file that could not be opened, since on the machine that runs the gate it may well be there; an error
/// for each that could, and is not what it should be.
pub(super) fn problems(files: &[NamedFile]) -> Vec<Problem> {
    let seconds = u64::try_from(clock::now().seconds()).unwrap_or_default();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let mut found = Vec::new();
    for file in files {
        let lint = |code: &'static str, message: String| Problem::lint(code, file.span, message);
        if let Err((message, help)) = opened(file) {
            found.push(lint("file_not_usable", message).help(help));
            continue;
        }
        if let Err(message) = sound(file) {
            found.push(Problem::error("file_not_sound", file.span, message));
            continue;
        }
        let shown = file.path.display();
        match &file.purpose {
            Purpose::PrivateKey { .. } | Purpose::AssertionKey | Purpose::Secret | Purpose::SealKey
                if others_may(&file.path, 0o004) =>
            {
                let help = "leave it to the gate's user alone: `chmod 600`, or 640 with a group of its own";
                found.push(
                    lint("readable_by_all", format!("`{shown}` can be read by every user of this machine")).help(help),
                );
            }
            Purpose::KeyCache if others_may(&file.path, 0o002) => {
                let message =
                    format!("`{shown}` can be written to by every user of this machine, who could leave keys there");
                found.push(lint("writable_by_all", message).help("leave it to the gate's user alone: `chmod 700`"));
            }
            Purpose::Certificate => {
                let own = pem::certificates(&file.path).ok().and_then(|chain| chain.into_iter().next());
                if let Some(dates) = own.and_then(|own| pem::out_of_date(&own, now)) {
                    let message = format!("the certificate in `{shown}` cannot be used today: {dates}");
                    found.push(lint("certificate_out_of_date", message).help("put a new one in its place"));
                }
            }
            Purpose::KeySet
            | Purpose::Authority
            | Purpose::AuditLog
            | Purpose::PrivateKey { .. }
            | Purpose::Secret
            | Purpose::SealKey
            | Purpose::AssertionKey
            | Purpose::KeyCache
            | Purpose::Socket => {}
        }
    }
    found
}

/// Whether a file can be opened for its purpose; else what is wrong, in a sentence that names it, and a remedy.
fn opened(file: &NamedFile) -> Result<(), (String, &'static str)> {
    let path = file.path.as_path();
    let (what, found) = match file.purpose {
        Purpose::KeySet => ("the key set", readable(path)),
        Purpose::Authority => ("the certificate authority's file", readable(path)),
        Purpose::AuditLog => ("the audit log", appendable(path)),
        Purpose::Certificate => ("the certificate", readable(path)),
        Purpose::PrivateKey { .. } | Purpose::AssertionKey => ("the private key", readable(path)),
        Purpose::Secret | Purpose::SealKey => ("the secret's file", readable(path)),
        Purpose::KeyCache => ("the folder for keys", folder(path)),
        Purpose::Socket => ("the socket", socket(path)),
    };
    found.map_err(|reason| {
        let help = if reason.kind() == io::ErrorKind::PermissionDenied { RIGHTS } else { HELP };
        (format!("failed to open {what} `{}`: {reason}", path.display()), help)
    })
}

/// Whether what a file holds is what it is for; else what is wrong, in a sentence that names it.
fn sound(file: &NamedFile) -> Result<(), String> {
    let path = file.path.as_path();
    // A pipe is read by the gate alone: here it would be emptied, or waited for.
    if !fs::metadata(path).is_ok_and(|found| found.is_file()) {
        return Ok(());
    }
    match &file.purpose {
        Purpose::Authority => roots(Some(path)).map(drop),
        Purpose::Certificate => pem::certificates(path).map(drop),
        Purpose::PrivateKey { certificate } => fits(path, certificate),
        Purpose::AssertionKey => SigningKey::read(path).map(drop),
        Purpose::Secret => secret(path, |text| Credential::new(text).map(drop).map_err(|error| error.to_string())),
        Purpose::SealKey => secret(path, |text| SealKey::parse(text).map(drop).map_err(|error| error.to_string())),
        Purpose::KeySet | Purpose::AuditLog | Purpose::KeyCache | Purpose::Socket => Ok(()),
    }
}

/// Whether it is a private key and, where its certificate can be read, that certificate's.
fn fits(path: &Path, certificate: &Path) -> Result<(), String> {
    let key = pem::private_key(path)?;
    // What is wrong with the certificate is said where it is named.
    let Ok(()) = readable(certificate) else { return Ok(()) };
    let Ok(chain) = pem::certificates(certificate) else { return Ok(()) };
    pem::fits(chain, key).map_err(|reason| {
        format!(
            "the key `{}` and the certificate `{}` do not go together: {reason}",
            path.display(),
            certificate.display()
        )
    })
}

/// Whether there is a secret in the file, and one that will do.
fn secret(path: &Path, will_do: impl Fn(&str) -> Result<(), String>) -> Result<(), String> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| format!("failed to read `{shown}`: {error}"))?;
    match text.trim() {
        "" => Err(format!("there is no secret in `{shown}`: it is empty")),
        text => will_do(text).map_err(|error| format!("what is in `{shown}` will not do: {error}")),
    }
}

/// Whether users who are neither the owner nor of the group have these rights.
fn others_may(path: &Path, rights: u32) -> bool {
    fs::metadata(path).is_ok_and(|found| found.permissions().mode() & rights != 0)
}

fn readable(path: &Path) -> io::Result<()> {
    // Asked first: opening a pipe would wait for its writer.
    if fs::metadata(path)?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if fs::metadata(path)?.is_file() {
        File::open(path)?;
    }
    Ok(())
}

/// Nothing is made or changed.
fn appendable(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(found) if found.is_file() => OpenOptions::new().append(true).open(path).map(drop),
        Ok(_pipe_or_device) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => in_a_folder(path),
        Err(error) => Err(error),
    }
}

/// A folder that is there and not read-only, or that can be made: the folder around it is there.
fn folder(path: &Path) -> io::Result<()> {
    let writable = |found: &Metadata| !found.permissions().readonly();
    match fs::metadata(path) {
        Ok(found) if !found.is_dir() => Err(io::ErrorKind::NotADirectory.into()),
        Ok(found) if !writable(&found) => Err(io::ErrorKind::PermissionDenied.into()),
        Ok(_folder) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => in_a_folder(path),
        Err(error) => Err(error),
    }
}

/// The application may come later than the gate, but what stands there must not be something else.
fn socket(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if !found.file_type().is_socket() => Err(io::Error::other("it is no socket")),
        Ok(_socket) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => in_a_folder(path),
        Err(error) => Err(error),
    }
}

fn in_a_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_folder = fs::metadata(folder)
        .map_err(|error| io::Error::other(format!("its folder `{}`: {error}", folder.display())))?
        .is_dir();
    if is_folder { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) }
}
