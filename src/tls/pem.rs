//! Certificates and private keys, read from PEM files. Every sentence said of one names the file, and shows nothing of it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, InconsistentKeys, RootCertStore};

/// No chain or key is longer; what is, is another file.
const MAX_FILE: u64 = 4 << 20;

/// The certificates of a file, at least one, in its order.
///
/// # Errors
/// A sentence that names the file.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = read(path)?;
    let chain: Result<Vec<_>, PemError> = CertificateDer::pem_slice_iter(&bytes).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_none) => Err(none(path, "certificate", &bytes)),
        Err(error) => Err(broken(path, &error)),
    }
}

/// The private key of a file: the first, where it has several.
///
/// # Errors
/// A sentence that names the file.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let bytes = read(path)?;
    if bytes.windows(9).any(|part| part == b"ENCRYPTED") {
        let remedy = "nobody is there to type its pass phrase; write it without one: `openssl pkey -in OLD -out NEW`";
        return Err(format!("the private key in `{}` is encrypted: {remedy}", path.display()));
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
        if matches!(error, PemError::NoItemsFound) { none(path, "private key", &bytes) } else { broken(path, &error) }
    })
}

/// Whether a key is the one of a chain's first certificate, and of a kind that can be used.
///
/// # Errors
/// What is wrong, without naming files.
pub fn fits(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<(), String> {
    CertifiedKey::from_der(chain, key, &default_provider()).map(drop).map_err(|error| {
        if matches!(error, Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) {
            let rule = "a chain begins with the own certificate";
            return format!("the private key is not that of the first certificate; {rule}");
        }
        error.to_string()
    })
}

const DAY: u64 = 86_400;

/// What the dates of a certificate say against using it now; `None`: nothing.
#[must_use]
pub fn out_of_date(certificate: &CertificateDer<'_>, now: UnixTime) -> Option<String> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    // Nobody is trusted here: of all that can be found wrong, its dates are looked at first, and alone matter.
    let (nobody, algorithms) = (RootCertStore::empty(), default_provider().signature_verification_algorithms.all);
    let found = verify_server_cert_signed_by_trust_anchor(&parsed, &nobody, &[], now, algorithms).err()?;
    let Error::InvalidCertificate(found) = found else { return None };
    let seconds = |from: UnixTime, to: UnixTime| to.as_secs().saturating_sub(from.as_secs());
    if let CertificateError::ExpiredContext { time, not_after } = found {
        let days = seconds(not_after, time) / DAY;
        let ago = if days == 0 { "less than a day".to_owned() } else { format!("{days} day(s)") };
        return Some(format!("it expired {ago} ago"));
    }
    if let CertificateError::NotValidYetContext { time, not_before } = found {
        return Some(format!("it will be valid in {} day(s)", seconds(time, not_before).div_ceil(DAY)));
    }
    // Said without a moment where there is none at which it is valid.
    matches!(found, CertificateError::Expired).then(|| "it ends before it begins".to_owned())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |reason: &dyn std::fmt::Display| format!("failed to read `{}`: {reason}", path.display());
    let file = File::open(path).map_err(|error| failed(&error))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE) {
        return Err(failed(&"it is larger than 4 MiB, which no certificate or key is"));
    }
    Ok(bytes)
}

fn none(path: &Path, what: &str, bytes: &[u8]) -> String {
    // How every certificate and key begins in DER: a sequence.
    let holds = |mark: &[u8]| bytes.windows(mark.len()).any(|part| part == mark);
    let hint = if bytes.first() == Some(&0x30) {
        "; it seems to be DER"
    } else if holds(b"PRIVATE KEY-----") {
        "; it holds a private key: are two files swapped?"
    } else if holds(b"BEGIN CERTIFICATE-----") {
        "; it holds a certificate: are two files swapped?"
    } else {
        ""
    };
    format!("there is no {what} in PEM in `{}`{hint}", path.display())
}

fn broken(path: &Path, error: &PemError) -> String {
    let reason = if matches!(error, PemError::MissingSectionEnd { .. }) {
        "a part has no end; was it cut short?"
    } else if matches!(error, PemError::Base64Decode(_)) {
        "it is not base64 between its marks"
    } else {
        "a mark in it is written wrong"
    };
    format!("`{}` is no PEM file: {reason}", path.display())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    /// A folder, a certificate and its key in it, and the moment from which on the certificate is valid.
    fn identity(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (cert, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        fs::write(&cert, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        (cert, key)
    }

    #[test]
    fn a_key_is_held_against_its_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = identity(folder.path(), "a");
        let (_, other) = identity(folder.path(), "b");
        let fit = |key: &Path| fits(certificates(&cert).unwrap(), private_key(key).unwrap());
        assert_eq!(fit(&key), Ok(()));
        assert!(fit(&other).unwrap_err().contains("not that of the first certificate"));
    }

    #[test]
    fn a_file_that_is_something_else_is_named_with_what_is_wrong_and_nothing_of_it_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = identity(folder.path(), "a");
        let swapped = certificates(&key).unwrap_err();
        assert!(swapped.contains("no certificate in PEM in `") && swapped.contains("holds a private key"), "{swapped}");
        let swapped = private_key(&cert).unwrap_err();
        assert!(swapped.contains("no private key in PEM in `") && swapped.contains("holds a certificate"), "{swapped}");
        let file = folder.path().join("odd");
        for (bytes, says) in [
            (b"\x30\x82hunter2" as &[u8], "seems to be DER"),
            (b"hunter2", "no private key in PEM"),
            (b"-----BEGIN PRIVATE KEY-----\nhunter2\n", "cut short"),
            (b"-----BEGIN PRIVATE KEY-----\nhunter2!\n-----END PRIVATE KEY-----\n", "not base64"),
            (b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", "is encrypted"),
        ] {
            fs::write(&file, bytes).unwrap();
            let said = private_key(&file).unwrap_err();
            assert!(said.contains(says) && said.contains("odd`") && !said.contains("hunter2"), "{said}");
        }
        fs::write(&file, "-----BEGIN CERTIFICATE-----\nhunter2\n").unwrap();
        assert!(certificates(&file).unwrap_err().contains("cut short"));
        fs::write(&file, vec![b'-'; 5 << 20]).unwrap();
        assert!(certificates(&file).unwrap_err().contains("larger than 4 MiB"));
        assert!(certificates(&folder.path().join("nowhere")).unwrap_err().contains("nowhere`"));
    }

    #[test]
    fn a_certificate_is_used_between_its_dates() {
        let key = rcgen::KeyPair::generate().unwrap();
        let made = |from: (i32, u8, u8), to: (i32, u8, u8)| {
            let mut wanted = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            wanted.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
            wanted.not_after = rcgen::date_time_ymd(to.0, to.1, to.2);
            wanted.self_signed(&key).unwrap()
        };
        let at = |seconds: u64| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let january = made((2020, 1, 1), (2020, 2, 1));
        for (seconds, says) in [
            (1_577_664_000, Some("it will be valid in 2 day(s)")),
            (1_579_046_400, None),
            (1_580_515_200 + 60, Some("it expired less than a day ago")),
            (1_580_515_200 + DAY + 60, Some("it expired 1 day(s) ago")),
            (1_580_774_400, Some("it expired 3 day(s) ago")),
        ] {
            assert_eq!(out_of_date(january.der(), at(seconds)).as_deref(), says, "{seconds}");
        }
        let never = made((2020, 2, 1), (2020, 1, 1));
        assert_eq!(out_of_date(never.der(), at(1_579_046_400)).as_deref(), Some("it ends before it begins"));
    }
}
