//! Authorities and certificates as files, for programs that read them from disk.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256,
};
use tempfile::TempDir;

use super::HOST;

pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    /// The file of its own certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Certificate and key of a server under [`HOST`] and the addresses of loopback.
    pub(crate) fn server(&self, file: &str) -> (PathBuf, PathBuf) {
        self.sign(file, &PKCS_ECDSA_P256_SHA256, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// The same with an RSA key.
    pub(crate) fn rsa_server(&self, file: &str) -> (PathBuf, PathBuf) {
        self.sign(file, &PKCS_RSA_SHA256, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Certificate and key of a client whose common name is the file's.
    pub(crate) fn client(&self, file: &str) -> (PathBuf, PathBuf) {
        self.sign(file, &PKCS_ECDSA_P256_SHA256, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(
        &self,
        file: &str,
        algorithm: &'static rcgen::SignatureAlgorithm,
        purpose: ExtendedKeyUsagePurpose,
    ) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let names = [HOST, "localhost", "127.0.0.1"].map(str::to_owned);
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, file);
        params.extended_key_usages = vec![purpose];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let [cert_file, key_file] = ["pem", "key"].map(|end| self.folder.path().join(format!("{file}.{end}")));
        replace(&cert_file, &certificate.pem());
        replace(&key_file, &key.serialize_pem());
        (cert_file, key_file)
    }
}

fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(&new, file).unwrap();
}
