//! `at_hash`: how an `id_token` names the access token that was issued with it (OpenID Connect Core section 3.1.3.6).

use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Whether an `at_hash` is that of this access token: the left half of its hash in base64url.
///
/// The hash function is that of the `id_token`'s algorithm; here its length tells which one it was, since each of the
/// three is as good as the next for the purpose and a signed claim is not the caller's to choose.
#[must_use]
pub fn at_hash_fits(at_hash: &str, access_token: &str) -> bool {
    let Ok(said) = URL_SAFE_NO_PAD.decode(at_hash) else { return false };
    let algorithm = match said.len() {
        16 => &SHA256,
        24 => &SHA384,
        32 => &SHA512,
        _ => return false,
    };
    digest(algorithm, access_token.as_bytes()).as_ref().starts_with(&said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hash_of_the_very_token_fits() {
        // The example of OpenID Connect Core, appendix A.3.
        let token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
        assert!(at_hash_fits("77QmUPtjPfzWtF2AnpK9RQ", token));
        assert!(!at_hash_fits("77QmUPtjPfzWtF2AnpK9RQ", "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Z"));
        for (algorithm, half) in [(&SHA256, 16), (&SHA384, 24), (&SHA512, 32)] {
            let hash = digest(algorithm, token.as_bytes());
            assert!(at_hash_fits(&URL_SAFE_NO_PAD.encode(&hash.as_ref()[..half]), token));
            assert!(!at_hash_fits(&URL_SAFE_NO_PAD.encode(&hash.as_ref()[..half - 1]), token));
        }
        for bad in ["", "77QmUPtjPfzWtF2AnpK9RQ==", "77QmUPtjPfzWtF2AnpK9R", "!"] {
            assert!(!at_hash_fits(bad, token), "{bad}");
        }
    }
}
