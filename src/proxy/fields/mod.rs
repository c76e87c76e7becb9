//! A request's header fields on their way up: what is between the client and us goes, what only we may say goes, then ours
//! are set.
//!
//! The order is the point: `Connection` is obeyed first, so that it can't take away what we set (checklist T14), and every
//! spelling of our names goes before they are set (T13), on public routes too. What is passed on is decided field by field
//! in one pass, here alone, whether it is written into a map or as it goes over the line (`sink`).

use http::Version;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

use crate::policy::{Place, TokenSource};
use crate::proxy::edge::told::Approach;
use crate::proxy::extract;
use crate::proxy::glance::Glance;
use crate::proxy::headers::{X_FORWARDED_HOST, X_FORWARDED_PREFIX, X_REQUEST_ID, is_hop_by_hop, is_listed, listed};
use crate::proxy::identity::Identity;
use crate::proxy::sink::{Lines, Map, Sink};
use crate::proxy::spellings::{is_disguise_of, is_ours};
use crate::proxy::via::Said;

/// All that makes the fields which an upstream is to see.
#[derive(Clone, Debug)]
pub(super) struct Fields<'f> {
    /// What the client sent. Left as it is, since a request may have to be sent twice.
    pub(super) given: &'f HeaderMap,
    pub(super) glance: Glance,
    pub(super) approach: &'f Approach,
    pub(super) id: &'f HeaderValue,
    /// What is added to `Via`.
    pub(super) via: &'f Said,
    pub(super) identity: Option<&'f Identity<'f>>,
    /// Where tokens stand that are not passed on.
    pub(super) stripped: SmallVec<[&'f TokenSource; 2]>,
    /// The names of the cookies that the gate keeps for itself.
    pub(super) kept: &'f [Box<str>],
    /// Where the route looks for tokens.
    pub(super) taken: &'f [TokenSource],
    /// What the upstream speaks.
    pub(super) version: Version,
    /// The beginning of the path that clients know, where the route puts another in its place.
    pub(super) prefix: Option<&'f str>,
    /// Whether there is a body whose length nobody announced.
    pub(super) is_unmeasured: bool,
}

impl Fields<'_> {
    /// Writes them into an empty map.
    pub(super) fn write(&self, fields: &mut HeaderMap) {
        // At once, and not again and again.
        fields.reserve(self.given.len().saturating_add(MOST_SET));
        self.write_into(&mut Map(fields));
    }

    /// Writes them as they go over the line (RFC 9112 section 5). Nothing of what is passed on has a name of ours, so that there
    /// is nothing in whose place ours would have to be put.
    pub(super) fn write_lines(&self, text: &mut Vec<u8>) {
        self.write_into(&mut Lines(text));
    }

    fn write_into(&self, sink: &mut impl Sink) {
        let told = self.pass_on(sink);
        self.say_ours(&told, sink);
    }

    /// Writes what is passed on of what was given.
    fn pass_on(&self, sink: &mut impl Sink) -> Told<'_> {
        let over_http2 = self.version == Version::HTTP_2;
        let listed = if self.glance.connection { listed(self.given) } else { SmallVec::new() };
        let mut told = Told { host: None, takes_trailers: false };
        // Mostly there is nothing to look for in the names.
        let may_hold_tokens =
            !self.stripped.is_empty() || self.taken.iter().any(|source| matches!(source.place, Place::Header(_)));
        let mut cookies_are_written = false;
        for (name, value) in self.given {
            let text = name.as_str();
            match text {
                "host" => {
                    told.host = Some(value);
                    // There it stands in the target.
                    if over_http2 {
                        continue;
                    }
                }
                "te" => told.takes_trailers |= says_trailers(value),
                "content-length" if self.is_unmeasured => continue,
                // We answer `100-continue` ourselves, by reading the body.
                "expect" | "x-request-id" => continue,
                _ => {}
            }
            if is_hop_by_hop(name)
                || is_ours(text)
                || is_listed(name, &listed)
                || (may_hold_tokens && self.holds_tokens(text))
            {
                continue;
            }
            if *name == header::COOKIE && self.hides_cookies() {
                // However many fields they came in.
                if !std::mem::replace(&mut cookies_are_written, true)
                    && let Some(left) = extract::other_cookies(self.given, |cookie| self.hides(cookie))
                {
                    sink.pass(name, &left);
                }
                continue;
            }
            sink.pass(name, value);
        }
        told
    }

    /// Whether a field goes since a token that is not passed on is all that it is for; or for it could be taken for one where a
    /// token is taken: one beside that which was verified, in a spelling that the application may know too.
    fn holds_tokens(&self, name: &str) -> bool {
        let is_stripped = |source: &&TokenSource| match &source.place {
            Place::Authorization => name == header::AUTHORIZATION.as_str(),
            Place::Header(stripped) => name.eq_ignore_ascii_case(stripped),
            // A form stays as it came: whoever it is posted to is there to read it.
            Place::Cookie(..) | Place::Kept(..) | Place::Form { .. } => false,
        };
        let is_disguised = |source: &TokenSource| match &source.place {
            Place::Header(taken) => is_disguise_of(name, taken),
            Place::Authorization | Place::Cookie(..) | Place::Kept(..) | Place::Form { .. } => false,
        };
        self.stripped.iter().any(is_stripped) || self.taken.iter().any(is_disguised)
    }

    /// Whether there are cookies that are not passed on, should they have come.
    fn hides_cookies(&self) -> bool {
        !self.kept.is_empty() || self.stripped.iter().any(|source| cookie(source).is_some())
    }

    /// Whether the cookie of this name is not passed on.
    fn hides(&self, name: &[u8]) -> bool {
        self.kept.iter().any(|kept| kept.as_bytes() == name)
            || self.stripped.iter().filter_map(|source| cookie(source)).any(|stripped| stripped.as_bytes() == name)
    }

    /// Says what only we say, each field once.
    fn say_ours(&self, told: &Told<'_>, sink: &mut impl Sink) {
        sink.approach(self.approach);
        if let Some(host) = self.approach.host.as_ref().or(told.host) {
            sink.say(&FORWARDED_HOST, host);
        }
        // A canonical path is text that a field can have.
        if let Some(Ok(prefix)) = self.prefix.map(HeaderValue::from_str) {
            sink.say(&X_FORWARDED_PREFIX, &prefix);
        }
        sink.say(&REQUEST_ID, self.id);
        sink.via(self.via);
        if let Some(identity) = self.identity {
            sink.identity(identity);
        }
        let over_http2 = self.version == Version::HTTP_2;
        if told.takes_trailers {
            // In HTTP/1.1 that is said to a neighbour alone (RFC 9110 section 10.1.4).
            sink.say(&header::TE, &HeaderValue::from_static("trailers"));
            if !over_http2 {
                sink.say(&header::CONNECTION, &HeaderValue::from_static("te"));
            }
        }
        // Unless told, hyper takes some methods to have no body and drops it in silence.
        if self.is_unmeasured && !over_http2 {
            sink.say(&header::TRANSFER_ENCODING, &HeaderValue::from_static("chunked"));
        }
    }
}

/// What was found on the way over what a client sent.
struct Told<'f> {
    host: Option<&'f HeaderValue>,
    takes_trailers: bool,
}

/// The cookie that a token stands in there.
fn cookie(source: &TokenSource) -> Option<&str> {
    match &source.place {
        Place::Cookie(name, _) | Place::Kept(name, _) => Some(&**name),
        Place::Authorization | Place::Header(_) | Place::Form { .. } => None,
    }
}

/// Whether a value of `TE` says that trailers are taken: the one thing of it which we can keep for whoever asks.
fn says_trailers(value: &HeaderValue) -> bool {
    let mut members = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    members.any(|member| member.eq_ignore_ascii_case(b"trailers"))
}

// No constants, which would be made and dropped anew for each request.
static FORWARDED_HOST: HeaderName = X_FORWARDED_HOST;
static REQUEST_ID: HeaderName = X_REQUEST_ID;

/// The most fields that are set on one request, by us and by hyper.
const MOST_SET: usize = 19;

#[cfg(test)]
mod tests;
