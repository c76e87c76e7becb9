//! What is said of each lint. The examples are files of their own, which a test reads.

pub(super) mod exceptions;
pub(super) mod issuers;
pub(super) mod proofs;
pub(super) mod routes;
pub(super) mod settings;
pub(super) mod silences;
