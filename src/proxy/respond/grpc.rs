//! A refusal as gRPC's clients read one: HTTP 200, no message, and a status of its own beside the challenge.
//!
//! They take any other HTTP status for a broken proxy, and show their user neither the challenge nor the reason. Everything
//! stands in one block of fields, which is head and trailers at once ("Trailers-Only" in gRPC over HTTP/2).

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode, Version};

use crate::proxy::answer::ResponseBody;
use crate::proxy::downstream::lane::Answered;
use crate::proxy::headers::X_REQUEST_ID;
use crate::proxy::respond::face::Face;
use crate::reason::Reason;

/// A gRPC status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GrpcStatus {
    pub(crate) code: u8,
    pub(crate) name: &'static str,
}

/// Whether a request is a gRPC call. Only over HTTP/2: in HTTP/1.1 there is no gRPC, and whoever says so is no such client.
/// gRPC-Web is not meant: its clients read HTTP statuses.
pub(super) fn is_call(head: &Parts) -> bool {
    head.version == Version::HTTP_2 && head.method == Method::POST && {
        let mut types = head.headers.get_all(header::CONTENT_TYPE).iter();
        matches!((types.next(), types.next()), (Some(only), None) if is_grpc(only.as_bytes()))
    }
}

fn is_grpc(media: &[u8]) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    media.split_at_checked(GRPC.len()).is_some_and(|(name, rest)| {
        name.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';' | b' ' | b'\t'))
    })
}

/// The status that stands for an HTTP status: as Google's APIs map them, which is how gRPC's clients map what they get from
/// others, but that a client's mistake is not said to be the server's.
pub(super) fn status(of: StatusCode) -> GrpcStatus {
    let (code, name) = match of {
        StatusCode::BAD_REQUEST | StatusCode::UNSUPPORTED_MEDIA_TYPE => (3, "INVALID_ARGUMENT"),
        StatusCode::GATEWAY_TIMEOUT => (4, "DEADLINE_EXCEEDED"),
        StatusCode::FORBIDDEN => (7, "PERMISSION_DENIED"),
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => (8, "RESOURCE_EXHAUSTED"),
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => (14, "UNAVAILABLE"),
        StatusCode::UNAUTHORIZED => (16, "UNAUTHENTICATED"),
        _ => (2, "UNKNOWN"),
    };
    GrpcStatus { code, name }
}

/// The answer to a call. `error`: the code of the challenge, in the issuer's dialect. `wait`: when to come again, where that
/// may help.
pub(super) fn refuse(
    (face, reason, error): (Face, Reason, Option<&str>),
    challenge: Option<HeaderValue>,
    wait: Option<Duration>,
    id: &HeaderValue,
    answered: Answered,
) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::own(Bytes::new(), answered));
    let fields = response.headers_mut();
    *fields = HeaderMap::with_capacity(FIELDS);
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    fields.insert(GRPC_STATUS, HeaderValue::from(u16::from(status(face.status).code)));
    fields.insert(GRPC_MESSAGE, message(face, reason, error));
    if let Some(challenge) = challenge {
        fields.insert(header::WWW_AUTHENTICATE, challenge);
    }
    if let Some(wait) = wait {
        fields.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs()));
        // What gRPC's clients obey, where they are told to try again at all.
        fields.insert(PUSHBACK, HeaderValue::from(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)));
    }
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(X_REQUEST_ID, id.clone());
    response
}

/// What is said in words: no more than a problem document would.
fn message(face: Face, reason: Reason, error: Option<&str>) -> HeaderValue {
    let title = || face.status.canonical_reason().unwrap_or_default();
    let text = match error {
        _ if face.named => format!("{}: {}", reason.code(), reason.meaning()),
        Some(error) => error.to_owned(),
        None => title().to_owned(),
    };
    HeaderValue::try_from(escaped(&text)).unwrap_or_else(|_never| HeaderValue::from_static("refused"))
}

/// Percent-encodes what gRPC wants so: all but visible ASCII and spaces, and `%` itself.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            out.push(char::from(byte));
        } else {
            let _infallible = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// How many fields there are at the most, `Date` and `Connection` among them.
const FIELDS: usize = 10;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn a_call_is_told_by_method_protocol_and_type_together() {
        let is = |method: &str, version, types: &[&str]| {
            let mut request = Request::builder().method(method).version(version);
            for one in types {
                request = request.header("content-type", *one);
            }
            is_call(&request.body(()).unwrap().into_parts().0)
        };
        let two = Version::HTTP_2;
        for (types, expected) in [
            (&["application/grpc"][..], true),
            (&["application/grpc+proto"], true),
            (&["Application/GRPC+json;charset=utf-8"], true),
            (&["application/grpc; a=b"], true),
            (&["application/grpc-web"], false),
            (&["application/grpc-web+proto"], false),
            (&["application/grpc-web-text"], false),
            (&["application/grpcx"], false),
            (&["application/grp"], false),
            (&["application/json"], false),
            (&["application/grpc", "application/json"], false),
            (&["application/json", "application/grpc"], false),
            (&[], false),
        ] {
            assert_eq!(is("POST", two, types), expected, "{types:?}");
        }
        assert!(!is("GET", two, &["application/grpc"]));
        assert!(!is("POST", Version::HTTP_11, &["application/grpc"]));
    }

    #[test]
    fn words_are_written_as_grpc_wants_them() {
        assert_eq!(escaped("a b~ 100% \r\nzoë"), "a b~ 100%25 %0D%0Azo%C3%AB");
    }
}
