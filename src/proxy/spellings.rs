//! Which names of fields are ours alone to say, in whatever spelling an upstream may fold into one of them.
//!
//! Called by `fields` for each field of each request, and by `headers` for trailers, so what most names are not is found out
//! first.

/// Whether only we may say the field of this name, which is in lower case: what upstreams could take for ours in any
/// spelling, what would have them serve another method or path than was judged (checklist T12), what tells of the connection,
/// and what could be taken for a field that was looked at under its own name alone.
pub(super) fn is_ours(name: &str) -> bool {
    begins_as_ours(name)
        && (OUR_PREFIXES.iter().any(|prefix| folded_starts(name, prefix))
            || OURS.iter().any(|ours| folded_is(name, ours)))
        || is_disguised(name)
}

/// Whether it begins with the letters that any of the names below begins with. A first character that an upstream folds away
/// from in front of these is no spelling that any is known to have. Most names begin otherwise.
fn begins_as_ours(name: &str) -> bool {
    match name.as_bytes() {
        [b'x', second, ..] => !second.is_ascii_alphanumeric(),
        [b'c', b'l' | b'f', ..] | [b'f', b'a' | b'l' | b'o', ..] | [b'p' | b't', b'r', ..] | [b's', b's', ..] => true,
        _ => false,
    }
}

fn is_disguised(name: &str) -> bool {
    // What most names are not is told by their length.
    matches!(name.len(), 10 | 12 | 14 | 16 | 17 | 19)
        && LOOKED_AT.iter().any(|known| known.len() == name.len() && is_disguise_of(name, known))
}

/// As CGI, WSGI, PHP and their kin see names: case is nothing, and whatever is no letter or digit is one and the same.
fn fold(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
}

fn folded_starts(name: &str, prefix: &str) -> bool {
    name.len() >= prefix.len() && name.bytes().zip(prefix.bytes()).all(|(byte, wanted)| fold(byte) == wanted)
}

fn folded_is(name: &str, wanted: &str) -> bool {
    name.len() == wanted.len() && folded_starts(name, wanted)
}

/// Whether an upstream could take the field `found` for the field `wanted`, which is another.
pub(super) fn is_disguise_of(found: &str, wanted: &str) -> bool {
    let folded = found.bytes().map(fold).eq(wanted.bytes().map(fold));
    folded && !found.eq_ignore_ascii_case(wanted)
}

const OUR_PREFIXES: [&str; 5] = ["x-stepgate", "x-forwarded-", "x-ssl-client-", "ssl-client-", "x-amzn-mtls-"];

const OURS: [&str; 44] = [
    // A certificate that a terminator checked.
    "x-client-cert",
    "x-client-cert-chain",
    // Another method.
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-method",
    // Another target.
    "x-original-url",
    "x-original-uri",
    "x-original-path",
    "x-original-host",
    "x-rewrite-url",
    "x-rewrite-uri",
    "x-rewrite-path",
    "x-override-url",
    "x-override-uri",
    "x-override-path",
    "x-http-path-override",
    "x-http-host-override",
    "x-host",
    "x-envoy-original-path",
    "x-envoy-original-host",
    // Where the client is.
    "forwarded",
    "x-forwarded",
    "x-original-forwarded-for",
    "x-real-ip",
    "x-client-ip",
    "x-remote-ip",
    "x-remote-addr",
    "x-originating-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-azure-clientip",
    "client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "fastly-client-ip",
    "fly-client-ip",
    // The client's certificate (RFC 9440 and what came before it).
    "client-cert",
    "client-cert-chain",
    "x-ssl-cert",
    "x-arr-clientcert",
    "ssl-client",
    // CGI makes `HTTP_PROXY` of it, which some take for their own proxy.
    "proxy",
];

/// Fields that mean something under their own name, and may not come a second time in another spelling of it.
const LOOKED_AT: [&str; 8] = [
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "x-request-id",
    "proxy-authorization",
    "proxy-connection",
    "keep-alive",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_ours_in_each_spelling_and_what_is_looked_at_in_each_but_its_own() {
        for name in OUR_PREFIXES.iter().chain(&OURS) {
            for spelling in ["-", "_", ".", "~"] {
                assert!(is_ours(&name.replace('-', spelling)), "{name} {spelling}");
            }
        }
        for name in LOOKED_AT {
            assert!(!is_ours(name) && is_ours(&name.replace('-', "_")), "{name}");
        }
    }
}
