//! Hashes: of all by which an issuer's tokens are verified and mapped, and of a whole policy.

use std::fmt::Write as _;

use aws_lc_rs::digest;

use crate::assurance::{ClaimTable, Expression, Issuer};
use crate::config::layers::{InUse, Written};
use crate::config::source::SourceFile;
use crate::config::write;
use crate::token::{Json, KeySource, Required};

/// A hash of all by which an issuer's tokens are verified and mapped, wherever in the policy it stands. Proofs are left
/// out: levels are reckoned anew for every request.
pub(super) fn fingerprint(issuer: &Issuer, keys: &KeySource, claims: &ClaimTable) -> u64 {
    let Issuer {
        id: _,
        name,
        expectation,
        mapping,
        client_when,
        methods,
        ignore_amr,
        reading,
        proofs: _,
        challenges: _,
        dialect: _,
        pair,
        hints: _,
        fingerprint: _,
    } = issuer;
    let read = (name, expectation, mapping, client_when, methods, ignore_amr, reading, pair);
    let mut text = format!("{read:?} {keys:?} {claims:?}");
    // The debug form of JSON hides its values.
    let kinds = [&expectation.access, &expectation.id].into_iter().flatten();
    for Required { claim: _, values } in kinds.flat_map(|rule| &rule.has) {
        values.iter().for_each(|values| show(values, &mut text));
    }
    if let Some(rule) = client_when {
        rule.walk(&mut |part| {
            if let Expression::Claim(_, values) = part {
                show(values, &mut text);
            }
        });
    }
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hash.as_ref().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn show(values: &[Json], text: &mut String) {
    let written = serde_json::to_string(values).unwrap_or_default();
    let _ = write!(text, " {}:{written}", written.len());
}

/// `sha256:…` over the names and texts of the policy's own files, and over what its issuers come to with everything
/// that a release may change under them: the profiles, by what they mean and not by their comments, and the built-in
/// worth of `amr` values.
pub(super) fn policy<'f>(
    files: impl Iterator<Item = &'f SourceFile>,
    issuers: &[Issuer],
    expanded: &[Written],
    in_use: &[InUse],
) -> Box<str> {
    let mut texts: Vec<(&str, String)> =
        files.map(|file| (file.name.rsplit('/').next().unwrap_or(&file.name), file.text.clone())).collect();
    texts.sort_unstable();
    texts.extend(expanded.iter().map(|written| (&*written.name, write::yaml(&written.node))));
    texts.extend(issuers.iter().map(|issuer| (&*issuer.name, format!("{:?}", issuer.methods))));
    texts.extend(in_use.iter().map(|used| (&*used.profile.name, format!("{} {}", used.issuer, used.profile.version))));
    let mut context = digest::Context::new(&digest::SHA256);
    for (name, text) in &texts {
        for part in [*name, text] {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part.as_bytes());
        }
    }
    let mut hash = String::from("sha256:");
    for byte in context.finish().as_ref() {
        let _ = write!(hash, "{byte:02x}");
    }
    hash.into()
}
