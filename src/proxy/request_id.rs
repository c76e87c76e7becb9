//! The name by which a request is found again in logs, here and upstream.

use std::cell::{Cell, RefCell};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use crate::proxy::headers::X_REQUEST_ID;

/// The longest id that is kept from a client.
const LONGEST: usize = 128;

/// Makes ids: a random number for the worker, then one that counts up.
#[derive(Debug)]
pub(super) struct RequestIds {
    prefix: [u8; 16],
    next: Cell<u64>,
    /// The next ids one behind the other, so that not each of them asks for memory, and its copies for more.
    ready: RefCell<Bytes>,
}

/// The length of an id.
const LENGTH: usize = 32;
/// How many ids share a piece of memory. One that is held on to holds the others with it.
const TOGETHER: usize = 32;

impl RequestIds {
    pub(super) fn new() -> Self {
        let mut random = [0u8; 8];
        // Without it ids are only less unlike those of another process.
        let _unlikely = getrandom::fill(&mut random);
        Self { prefix: hex(u64::from_ne_bytes(random)), next: Cell::new(0), ready: RefCell::default() }
    }

    /// The client's own id if there is one of a harmless form, else a new one.
    pub(super) fn of(&self, fields: &HeaderMap) -> HeaderValue {
        let mut given = fields.get_all(X_REQUEST_ID).iter();
        match (given.next(), given.next()) {
            (Some(id), None) if is_harmless(id.as_bytes()) => id.clone(),
            _ => self.make(),
        }
    }

    /// A new id.
    pub(super) fn make(&self) -> HeaderValue {
        let mut ready = self.ready.borrow_mut();
        if ready.len() < LENGTH {
            *ready = self.more();
        }
        let text = ready.split_to(LENGTH);
        HeaderValue::from_maybe_shared(text).unwrap_or_else(|_never| HeaderValue::from_static("unnamed"))
    }

    /// The next ids.
    fn more(&self) -> Bytes {
        let mut text = BytesMut::with_capacity(LENGTH * TOGETHER);
        for _ in 0..TOGETHER {
            let number = self.next.get();
            self.next.set(number.wrapping_add(1));
            text.extend_from_slice(&self.prefix);
            text.extend_from_slice(&hex(number));
        }
        text.freeze()
    }
}

/// A number in 16 hexadecimal digits.
fn hex(number: u64) -> [u8; 16] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'0'; 16];
    for (pair, byte) in text.chunks_exact_mut(2).zip(number.to_be_bytes()) {
        for (digit, nibble) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
            *digit = DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
        }
    }
    text
}

fn is_harmless(id: &[u8]) -> bool {
    (1..=LONGEST).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=~@".contains(byte))
}

/// The trace id of a well-formed `traceparent` (W3C Trace Context section 3.2). Only version `00` has nothing behind its flags.
pub(super) fn trace_id(fields: &HeaderMap) -> Option<&str> {
    let mut given = fields.get_all(&TRACEPARENT).iter();
    let (Some(text), None) = (given.next(), given.next()) else { return None };
    let mut parts = text.to_str().ok()?.splitn(5, '-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, len| text.len() == len && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let named = |text: &str, len| hex(text, len) && text.bytes().any(|byte| byte != b'0');
    let ends = version != "00" || parts.next().is_none();
    (hex(version, 2) && version != "ff" && named(trace, 32) && named(parent, 16) && hex(flags, 2) && ends)
        .then_some(trace)
}

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_worker_are_a_name_of_its_own_and_a_number_that_counts_up() {
        let ids = RequestIds::new();
        let made: Vec<HeaderValue> = (0..3 * TOGETHER).map(|_| ids.make()).collect();
        for (number, id) in made.iter().enumerate() {
            assert_eq!(id.to_str().unwrap(), format!("{}{number:016x}", str::from_utf8(&ids.prefix).unwrap()));
        }
        assert_eq!(hex(0x0123_4567_89ab_cdef), *b"0123456789abcdef");
        assert_ne!(RequestIds::new().prefix, ids.prefix);
    }

    #[test]
    fn a_harmless_id_is_kept_and_any_other_replaced() {
        let ids = RequestIds::new();
        let of = |given: &[&str]| {
            let mut fields = HeaderMap::new();
            for id in given {
                fields.append(X_REQUEST_ID, HeaderValue::from_str(id).unwrap());
            }
            ids.of(&fields)
        };
        assert_eq!(of(&["req-1/a:b"]), "req-1/a:b");
        let (longest, too_long) = ("x".repeat(LONGEST), "x".repeat(LONGEST + 1));
        assert_eq!(of(&[&longest]), longest);
        for bad in [&[][..], &[""], &["a b"], &["<script>"], &["a\"b"], &["a", "b"], &["a", "a"], &[&too_long]] {
            let made = of(bad);
            assert!(made.len() == 32 && !bad.contains(&made.to_str().unwrap()), "{bad:?}");
        }
        assert_ne!(of(&[]), of(&[]));
    }

    #[test]
    fn only_a_well_formed_trace_is_taken() {
        let of = |text: &'static str| {
            let mut fields = HeaderMap::new();
            fields.insert("traceparent", HeaderValue::from_static(text));
            trace_id(&fields).map(str::to_owned)
        };
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").as_deref(), Some(trace));
        for bad in [
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-1-1",
            "x",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
        assert_eq!(of("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more").as_deref(), Some(trace));
        let mut twice = HeaderMap::new();
        for _ in 0..2 {
            twice.append(
                "traceparent",
                HeaderValue::from_static("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            );
        }
        assert_eq!(trace_id(&twice), None, "of two, nobody knows which others take");
    }
}
