//! Certificates and private keys out of PEM files.

use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The certificates in a file, in its order; at least one. Reads the file: call it where blocking is allowed.
///
/// # Errors
/// A sentence that names the file.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unreadable = |error: &dyn std::fmt::Display| format!("failed to read `{}`: {error}", path.display());
    let found = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(|error| unreadable(&error))?;
    if found.is_empty() { Err(unreadable(&"it holds no certificate")) } else { Ok(found) }
}

/// The private key in a file. Reads the file: call it where blocking is allowed.
///
/// # Errors
/// A sentence that names the file and says nothing of what is in it.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => {
            format!("failed to read `{}`: it holds no private key that is not encrypted", path.display())
        }
        error => format!("failed to read `{}`: {error}", path.display()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_what_is_looked_for_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.pem");
        assert!(certificates(&path).unwrap_err().contains("some.pem"));
        assert!(private_key(&path).unwrap_err().contains("some.pem"));
        let pair = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        std::fs::write(&path, pair.cert.pem()).unwrap();
        assert_eq!(certificates(&path).unwrap().len(), 1);
        assert!(private_key(&path).unwrap_err().contains("no private key"));
        std::fs::write(&path, pair.signing_key.serialize_pem()).unwrap();
        assert!(certificates(&path).unwrap_err().contains("no certificate"));
        assert!(private_key(&path).is_ok());
    }
}
