//! One head of an answer in HTTP/1.1, and how its body ends (RFC 9112 section 6.3).

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{self, GetAll, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode, Version};
use hyper::ext::ReasonPhrase;

use crate::proxy::spare;

/// The most fields that a head may have; hyper's own limit for its client.
const FIELDS: usize = 100;

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// After so many bytes.
    Sized(u64),
    /// As its chunks say.
    Chunked,
    /// With the connection.
    ToTheEnd,
}

/// A head that has come.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) response: Response<()>,
    pub(super) framing: Framing,
    /// Whether the connection may be used again, as far as the head tells.
    pub(super) keeps: bool,
}

impl Answered {
    /// Whether this is the answer, and not only one that announces it (RFC 9110 section 15.2).
    pub(super) fn is_final(&self) -> bool {
        let status = self.response.status();
        !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS
    }
}

/// Reads a head, and where it ends. `None`: it has not all come.
///
/// `is_head`: the request was a HEAD, whose answer has no body whatever it says.
///
/// # Errors
/// What is no head, or one that says in two ways how its body ends.
pub(super) fn read(came: &Bytes, is_head: bool) -> Result<Option<(Answered, usize)>, String> {
    let mut memory = [const { MaybeUninit::uninit() }; FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let parser = httparse::ParserConfig::default();
    let length = match parser.parse_response_with_uninit_headers(&mut parsed, came, &mut memory) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(told(error).into()),
    };
    let status =
        parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or("invalid HTTP status-code parsed")?;
    let is_old = parsed.version != Some(1);
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.version_mut() = if is_old { Version::HTTP_10 } else { Version::HTTP_11 };
    if let Some(reason) = parsed.reason.filter(|reason| Some(*reason) != status.canonical_reason())
        && let Ok(reason) = ReasonPhrase::try_from(Bytes::copy_from_slice(reason.as_bytes()))
    {
        response.extensions_mut().insert(reason);
    }
    let mut fields = spare::take();
    fields.reserve(parsed.headers.len());
    let (mut closes, mut has_coding) = (is_old, false);
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_badly| "invalid HTTP header parsed")?;
        let value = HeaderValue::from_maybe_shared(came.slice_ref(field.value));
        let value = value.map_err(|_badly| "invalid HTTP header parsed")?;
        closes |= name == header::CONNECTION && lists_close(&value);
        has_coding |= name == header::TRANSFER_ENCODING;
        fields.append(name, value);
    }
    let codings = has_coding.then(|| fields.get_all(header::TRANSFER_ENCODING));
    let framing = framing(status, is_old, is_head, codings.as_ref(), &fields)?;
    *response.headers_mut() = fields;
    let keeps = !closes && framing != Framing::ToTheEnd && status != StatusCode::SWITCHING_PROTOCOLS;
    Ok(Some((Answered { response, framing, keeps }, length)))
}

/// In hyper's words, which an operator knows from requests that have a body.
fn told(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::Version => "invalid HTTP version parsed",
        httparse::Error::Status => "invalid HTTP status-code parsed",
        httparse::Error::TooManyHeaders => "message head is too large",
        httparse::Error::HeaderName
        | httparse::Error::HeaderValue
        | httparse::Error::NewLine
        | httparse::Error::Token => "invalid HTTP header parsed",
    }
}

/// Whether `Connection` says that the connection ends with this answer.
fn lists_close(value: &HeaderValue) -> bool {
    value.as_bytes().split(|byte| *byte == b',').any(|member| member.trim_ascii().eq_ignore_ascii_case(b"close"))
}

/// `codings`: what `Transfer-Encoding` says, where it is there.
fn framing(
    status: StatusCode,
    is_old: bool,
    is_head: bool,
    codings: Option<&GetAll<'_, HeaderValue>>,
    fields: &HeaderMap,
) -> Result<Framing, String> {
    let is_empty = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) || status.is_informational();
    if is_head || is_empty {
        return Ok(Framing::Sized(0));
    }
    let mut codings = codings.into_iter().flatten();
    if let Some(coding) = codings.next() {
        if is_old {
            return Err("an answer in HTTP/1.0 has a `Transfer-Encoding`".into());
        }
        // Any other is refused by whoever looks at all answers. To read it to the end is right for whatever it is.
        let is_chunked = codings.next().is_none() && coding.as_bytes().eq_ignore_ascii_case(b"chunked");
        return Ok(if is_chunked { Framing::Chunked } else { Framing::ToTheEnd });
    }
    let mut length = None;
    for value in fields.get_all(header::CONTENT_LENGTH) {
        for one in value.as_bytes().split(|byte| *byte == b',') {
            let one = number(one.trim_ascii()).ok_or("invalid content-length parsed")?;
            if length.replace(one).is_some_and(|before| before != one) {
                return Err("an answer has two lengths".into());
            }
        }
    }
    Ok(length.map_or(Framing::ToTheEnd, Framing::Sized))
}

/// A number of nothing but digits.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Status, framing, whether it keeps, and what lies behind the head.
    fn told(text: &str, is_head: bool) -> Result<Option<(u16, Framing, bool, String)>, String> {
        let came = Bytes::copy_from_slice(text.as_bytes());
        read(&came, is_head).map(|found| {
            found.map(|(answered, length)| {
                let status = answered.response.status().as_u16();
                (status, answered.framing, answered.keeps, text.get(length..).unwrap_or_default().to_owned())
            })
        })
    }

    #[test]
    fn an_answer_ends_where_its_head_says_and_where_it_may_say_nothing_it_has_none() {
        for (fields, framing, keeps) in [
            ("Content-Length: 5", Framing::Sized(5), true),
            ("Content-Length: 5\r\nContent-Length: 5", Framing::Sized(5), true),
            ("Content-Length: 5, 5", Framing::Sized(5), true),
            ("Transfer-Encoding: chunked", Framing::Chunked, true),
            ("Transfer-Encoding: Chunked\r\nConnection: close", Framing::Chunked, false),
            ("Transfer-Encoding: gzip, chunked", Framing::ToTheEnd, false),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Framing::ToTheEnd, false),
            ("X: y", Framing::ToTheEnd, false),
            ("Content-Length: 0\r\nConnection: x, Close", Framing::Sized(0), false),
            ("Content-Length: 0\r\nConnection: close\r\nConnection: keep-alive", Framing::Sized(0), false),
        ] {
            let is = told(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nrest"), false).unwrap().unwrap();
            assert_eq!(is, (200, framing, keeps, "rest".to_owned()), "{fields}");
        }
        for status in [204, 304] {
            let is = told(&format!("HTTP/1.1 {status} x\r\nContent-Length: 5\r\n\r\n"), false).unwrap().unwrap();
            assert_eq!((is.1, is.2), (Framing::Sized(0), true));
        }
        let is = told("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true).unwrap().unwrap();
        assert_eq!((is.1, is.2), (Framing::Sized(0), true), "HEAD");
        let is =
            told("HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n", false).unwrap().unwrap();
        assert_eq!((is.1, is.2), (Framing::Sized(5), false), "HTTP/1.0 is not kept");
    }

    #[test]
    fn what_says_in_two_ways_how_it_ends_or_is_no_head_is_no_answer() {
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n",
            "HTTP/1.1 99 x\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "ICY 200 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
        ] {
            assert!(told(text, false).is_err(), "{text}");
        }
        let many = "X: y\r\n".repeat(FIELDS + 1);
        assert!(told(&format!("HTTP/1.1 200 OK\r\n{many}\r\n"), false).is_err());
    }

    #[test]
    fn half_a_head_is_none_yet_and_what_only_announces_an_answer_is_not_the_answer() {
        let text = "HTTP/1.1 103 x\r\nLink: a\r\n\r\nrest";
        for end in 0..text.len() - "rest".len() {
            assert_eq!(told(text.get(..end).unwrap_or_default(), false), Ok(None), "{end}");
        }
        for (status, is_final) in [(100, false), (103, false), (199, false), (101, true), (200, true), (500, true)] {
            let came = Bytes::from(format!("HTTP/1.1 {status} x\r\n\r\n"));
            let (answered, _) = read(&came, false).unwrap().unwrap();
            assert_eq!(answered.is_final(), is_final, "{status}");
        }
        let switched = told("HTTP/1.1 101 x\r\nUpgrade: y\r\n\r\nraw", false).unwrap().unwrap();
        assert_eq!((switched.0, switched.2), (101, false), "never asked for, and never a connection to use again");
    }

    #[test]
    fn a_reason_of_the_upstreams_own_is_told_and_fields_stay_as_they_are() {
        let came = Bytes::from_static(
            b"HTTP/1.1 200 Very Well\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nX: \xe4\r\nContent-Length: 0\r\n\r\n",
        );
        let (answered, _) = read(&came, false).unwrap().unwrap();
        assert_eq!(answered.response.extensions().get::<ReasonPhrase>().unwrap().as_bytes(), b"Very Well");
        let fields = answered.response.headers();
        assert_eq!(fields.get_all("set-cookie").iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(fields["x"].as_bytes(), b"\xe4");
    }
}
