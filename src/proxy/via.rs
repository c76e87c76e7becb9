//! `Via` (RFC 9110 section 7.6.3): upstreams are told that a request came through this gate, and one that comes round again
//! is known by it.
//!
//! Responses carry none: a gateway need not say it there, and a stranger need not know it.

use std::sync::Arc;

use http::Version;
use http::header::{self, HeaderMap, HeaderValue};

use crate::policy::Denial;
use crate::proxy::refusal::Refusal;
use crate::proxy::sink::line;
use crate::reason::Reason;

/// What this gate is called on the way: by a name of its own, so that two of them one behind the other are no loop.
#[derive(Clone, Debug)]
pub(super) struct Pseudonym(Arc<str>);

/// How often a request may come through one gate before it is taken to go round for ever. Once may be meant: an upstream
/// that passes some requests on to another host of the same gate.
const MOST: usize = 3;

impl Pseudonym {
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let mut random = [0; 4];
        getrandom::fill(&mut random)?;
        Ok(Self(format!("stepgate-{:08x}", u32::from_ne_bytes(random)).into()))
    }

    /// Whether a request has come through this gate too often.
    ///
    /// # Errors
    /// `request_malformed` if it has.
    pub(super) fn check(&self, fields: &HeaderMap) -> Result<(), Refusal> {
        let words = |value: &HeaderValue| {
            let words = value.as_bytes().split(|byte| matches!(byte, b',' | b' ' | b'\t'));
            words.filter(|word| *word == self.0.as_bytes()).count()
        };
        let passed: usize = fields.get_all(header::VIA).iter().map(words).sum();
        if passed < MOST {
            return Ok(());
        }
        let detail = "the request goes round: it came through this gate before, so some upstream leads back to it";
        Err(Refusal::new(Denial::because(Reason::RequestMalformed), detail))
    }
}

/// The values that one worker sets, made once.
#[derive(Debug)]
pub(super) struct Via {
    pub(super) pseudonym: Pseudonym,
    of_http1_0: Said,
    of_http1_1: Said,
    of_http2: Said,
}

/// What is said, and the line that says it.
#[derive(Debug)]
pub(super) struct Said {
    value: HeaderValue,
    line: Box<[u8]>,
}

impl Said {
    pub(super) fn new(value: HeaderValue) -> Self {
        let mut text = Vec::new();
        line(&mut text, header::VIA.as_str(), &value);
        Self { value, line: text.into() }
    }

    pub(super) fn value(&self) -> &HeaderValue {
        &self.value
    }

    /// As it goes over the line.
    pub(super) fn line(&self) -> &[u8] {
        &self.line
    }
}

impl Via {
    pub(super) fn new(pseudonym: Pseudonym) -> Self {
        let value = |version: &str| {
            let text = format!("{version} {}", pseudonym.0);
            Said::new(HeaderValue::try_from(text).unwrap_or_else(|_never| HeaderValue::from_static("1.1 stepgate")))
        };
        let (of_http1_0, of_http1_1, of_http2) = (value("1.0"), value("1.1"), value("2.0"));
        Self { pseudonym, of_http1_0, of_http1_1, of_http2 }
    }

    /// What is said of a request that came in this version.
    pub(super) fn of(&self, version: Version) -> &Said {
        match version {
            Version::HTTP_10 => &self.of_http1_0,
            Version::HTTP_2 => &self.of_http2,
            _ => &self.of_http1_1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_came_through_too_often_is_refused_and_one_through_other_gates_is_not() {
        let (ours, theirs) = (Pseudonym("stepgate-1".into()), Pseudonym("stepgate-12".into()));
        let via = Via::new(ours.clone());
        let mut fields = HeaderMap::new();
        for _pass in 0..MOST {
            assert!(ours.check(&fields).is_ok(), "{fields:?}");
            fields.append(header::VIA, HeaderValue::from_static("1.1 stepgate-12, 1.1 edge (stepgate-1's neighbour)"));
            fields.append(header::VIA, via.of(Version::HTTP_2).value().clone());
        }
        assert_eq!(ours.check(&fields).unwrap_err().denial.reason, Reason::RequestMalformed);
        let joined: Vec<&str> = fields.get_all(header::VIA).iter().map(|value| value.to_str().unwrap()).collect();
        let joined = HeaderValue::try_from(joined.join(",")).unwrap();
        let joined = HeaderMap::from_iter([(header::VIA, joined)]);
        assert!(ours.check(&joined).is_err() && theirs.check(&joined).is_err(), "in one field as in several");
        assert!(Pseudonym("stepgate".into()).check(&joined).is_ok());
    }

    #[test]
    fn each_version_is_told_by_its_number_and_each_gate_has_a_name_of_its_own() {
        let via = Via::new(Pseudonym("stepgate-1".into()));
        for (version, is) in [
            (Version::HTTP_10, "1.0 stepgate-1"),
            (Version::HTTP_11, "1.1 stepgate-1"),
            (Version::HTTP_2, "2.0 stepgate-1"),
        ] {
            assert_eq!(via.of(version).value(), is);
            assert_eq!(via.of(version).line(), format!("via: {is}\r\n").as_bytes());
        }
        assert_ne!(Pseudonym::new().unwrap().0, Pseudonym::new().unwrap().0);
    }
}
