//! Where the fields for an upstream are written: into a map, for hyper, or as they go over the line.
//!
//! What is known before the request comes, or comes again and again, has its lines ready and is copied whole. Called by
//! `fields`, which alone decides what is written; `line` also by those who make lines ready.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::proxy::edge::told::Approach;
use crate::proxy::identity::Identity;
use crate::proxy::via::Said;

/// Takes fields.
pub(super) trait Sink {
    /// One that is passed on, beside others of its name.
    fn pass(&mut self, name: &HeaderName, value: &HeaderValue);
    /// One that only we say.
    fn say(&mut self, name: &HeaderName, value: &HeaderValue);
    /// Those that tell where a request comes from.
    fn approach(&mut self, approach: &Approach);
    /// `Via`, which is added to what others say there.
    fn via(&mut self, via: &Said);
    /// Those that tell who calls.
    fn identity(&mut self, identity: &Identity<'_>);
}

/// A map.
pub(super) struct Map<'m>(pub(super) &'m mut HeaderMap);

impl Sink for Map<'_> {
    fn pass(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.0.append(name.clone(), value.clone());
    }

    fn say(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.0.insert(name.clone(), value.clone());
    }

    fn approach(&mut self, approach: &Approach) {
        approach.fields().into_iter().for_each(|(name, value)| self.say(&name, value));
    }

    fn via(&mut self, via: &Said) {
        self.0.append(header::VIA, via.value().clone());
    }

    fn identity(&mut self, identity: &Identity<'_>) {
        identity.each(|name, value| self.say(name, value));
    }
}

/// The lines of a head.
pub(super) struct Lines<'t>(pub(super) &'t mut Vec<u8>);

impl Sink for Lines<'_> {
    fn pass(&mut self, name: &HeaderName, value: &HeaderValue) {
        line(self.0, name.as_str(), value);
    }

    fn say(&mut self, name: &HeaderName, value: &HeaderValue) {
        line(self.0, name.as_str(), value);
    }

    fn approach(&mut self, approach: &Approach) {
        approach.write_lines(self.0);
    }

    fn via(&mut self, via: &Said) {
        self.0.extend_from_slice(via.line());
    }

    fn identity(&mut self, identity: &Identity<'_>) {
        identity.write_lines(self.0);
    }
}

/// Writes a field as it goes over the line (RFC 9112 section 5).
pub(super) fn line(text: &mut Vec<u8>, name: &str, value: &HeaderValue) {
    let value = value.as_bytes();
    // At once: what follows then has room.
    text.reserve(name.len().saturating_add(value.len()).saturating_add(": \r\n".len()));
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        text.extend_from_slice(part);
    }
}
