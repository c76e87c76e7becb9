//! What is believed of where a request comes from, and the fields that tell upstreams of it.

use std::net::IpAddr;

use http::header::{self, HeaderName, HeaderValue};

use crate::proxy::edge::forwarded::Scheme;
use crate::proxy::headers::{X_FORWARDED_FOR, X_FORWARDED_PORT, X_FORWARDED_PROTO, X_REAL_IP};
use crate::proxy::sink::line;

/// What is believed of where a request comes from, and how upstreams are told.
#[derive(Clone, Debug)]
pub(in crate::proxy) struct Approach {
    /// The client's address.
    pub(in crate::proxy) client: IpAddr,
    pub(in crate::proxy) scheme: Scheme,
    /// `X-Real-IP`: the client's address.
    pub(in crate::proxy) real_ip: HeaderValue,
    /// `X-Forwarded-For`.
    pub(in crate::proxy) for_: HeaderValue,
    /// `X-Forwarded-Port`.
    pub(in crate::proxy) port: HeaderValue,
    /// `X-Forwarded-Host`, where it is another than the request's `Host`.
    pub(in crate::proxy) host: Option<HeaderValue>,
    /// `Forwarded`.
    pub(in crate::proxy) forwarded: HeaderValue,
    /// All of these but the host as they go over the line, where that is the same for many requests.
    pub(in crate::proxy::edge) lines: Option<Box<[u8]>>,
}

impl Approach {
    /// The fields that tell upstreams, each once: all but the host, which may be the request's own.
    pub(in crate::proxy) fn fields(&self) -> [(HeaderName, &HeaderValue); 5] {
        static HTTP: HeaderValue = HeaderValue::from_static(Scheme::Http.name());
        static HTTPS: HeaderValue = HeaderValue::from_static(Scheme::Https.name());
        let proto = match self.scheme {
            Scheme::Http => &HTTP,
            Scheme::Https => &HTTPS,
        };
        [
            (X_FORWARDED_FOR, &self.for_),
            (X_FORWARDED_PROTO, proto),
            (X_FORWARDED_PORT, &self.port),
            (header::FORWARDED, &self.forwarded),
            (X_REAL_IP, &self.real_ip),
        ]
    }

    /// Writes them as they go over the line.
    pub(in crate::proxy) fn write_lines(&self, text: &mut Vec<u8>) {
        match &self.lines {
            Some(lines) => text.extend_from_slice(lines),
            None => self.fields().iter().for_each(|(name, value)| line(text, name.as_str(), value)),
        }
    }

    /// The same with its lines ready, for the requests to come.
    pub(in crate::proxy::edge) fn with_lines(mut self) -> Self {
        let mut text = Vec::new();
        self.write_lines(&mut text);
        self.lines = Some(text.into());
        self
    }
}
