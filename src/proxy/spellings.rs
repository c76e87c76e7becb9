//! Which names of fields are ours alone to say, in whatever spelling an upstream may fold into one of them.
//!
//! Called by `headers` for each field of each request, so what most names are not is found out first.

/// Whether only we may say it: what upstreams could take for ours in any spelling, what would have them serve another
/// method or path than was judged (checklist T12), what tells of the connection, and what could be taken for a field that
/// was looked at under its own name alone.
pub(super) fn is_ours(name: &str) -> bool {
    // A first character that an upstream folds away from in front of these is no spelling that any is known to have. Most
    // names begin otherwise.
    let first = name.as_bytes().first_chunk::<2>().map(|first| first.map(fold));
    let might_be = first.is_some_and(|first| OUR_FIRST.contains(&first));
    might_be
        && (OUR_PREFIXES.iter().any(|prefix| folded_starts(name, prefix))
            || OURS.iter().any(|ours| folded_is(name, ours)))
        || is_disguised(name)
}

fn is_disguised(name: &str) -> bool {
    LOOKED_AT.iter().any(|known| known.len() == name.len() && is_disguise_of(name, known))
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

/// What the names below begin with.
const OUR_FIRST: [[u8; 2]; 9] = [*b"x-", *b"ss", *b"cl", *b"cf", *b"fo", *b"fa", *b"fl", *b"tr", *b"pr"];
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
    fn the_first_letters_are_those_of_all_names() {
        for name in OUR_PREFIXES.iter().chain(&OURS) {
            assert!(OUR_FIRST.iter().any(|first| name.as_bytes().starts_with(first)), "{name}");
            assert!(is_ours(name) && is_ours(&name.replace('-', "_")) && is_ours(&name.to_uppercase()), "{name}");
        }
    }
}
