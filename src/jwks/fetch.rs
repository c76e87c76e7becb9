//! One GET, bounded in every way.

use std::error::Error;
use std::time::{Duration, SystemTime};

use reqwest::header::{ACCEPT, AGE, CACHE_CONTROL, DATE, EXPIRES, HeaderMap, HeaderName};
use reqwest::{StatusCode, Url};

use crate::jwks::client::Client;

/// A document that was fetched.
pub(super) struct Document {
    pub(super) body: Vec<u8>,
    /// For how long the server lets us use it, not yet within bounds; `None`: it does not say.
    pub(super) lifetime: Option<Duration>,
}

/// Why a document could not be fetched.
#[derive(Debug)]
pub(super) enum FetchError {
    /// The server answered with another status than 200.
    Status(StatusCode),
    /// Anything else, told for the log.
    Failed(String),
}

impl FetchError {
    /// Whether the server means it: it is not in trouble that may pass.
    pub(super) fn is_an_answer(&self) -> bool {
        match self {
            Self::Status(status) => !status.is_server_error() && *status != StatusCode::TOO_MANY_REQUESTS,
            Self::Failed(_) => false,
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Status(status) if status.is_redirection() => {
                format!("the server answers {status}, and redirects are not followed")
            }
            Self::Status(status) => format!("the server answers {status}"),
            Self::Failed(why) => why.clone(),
        }
    }
}

/// Fetches a document, of no more bytes than the client takes.
pub(super) async fn document(client: &Client, url: Url) -> Result<Document, FetchError> {
    let way = client.by_way_of(&url);
    let failed = |error: reqwest::Error| FetchError::Failed(format!("{way}{}", chain(&error.without_url())));
    let mut response = client.http.get(url).header(ACCEPT, "application/json").send().await.map_err(failed)?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status()));
    }
    let lifetime = lifetime(response.headers());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len().saturating_add(chunk.len()) > client.most {
            let most = client.most;
            return Err(FetchError::Failed(format!("the document is longer than {most} bytes (`limits.jwks`)")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Document { body, lifetime })
}

/// For how long an answer may be used from now on, by a private cache (RFC 9111 sections 4.2 and 5.2.2): its `max-age`, else
/// the time from its `Date` to its `Expires`; less its `Age`. `no-store` and `no-cache` are a lifetime of nothing; `s-maxage` is
/// for caches that many share.
fn lifetime(headers: &HeaderMap) -> Option<Duration> {
    let mut said = None;
    let fields = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    for directive in fields.flat_map(|field| field.split(',')) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return Some(Duration::ZERO),
            "max-age" => said = seconds(value.trim().trim_matches('"')),
            _ => {}
        }
    }
    let age = text(headers, AGE).and_then(seconds).unwrap_or_default();
    said.or_else(|| until_expires(headers)).map(|said| said.saturating_sub(age))
}

fn until_expires(headers: &HeaderMap) -> Option<Duration> {
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let made = text(headers, DATE).and_then(date)?;
    // A date that is none, such as `0`, has passed.
    let expires = date(text(headers, EXPIRES)?).unwrap_or(SystemTime::UNIX_EPOCH);
    Some(expires.duration_since(made).unwrap_or_default())
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// `delta-seconds` (RFC 9111 section 1.2.2): more than can be counted is as long as can be.
fn seconds(text: &str) -> Option<Duration> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| Duration::from_secs(text.parse().unwrap_or(u64::MAX)))
}

/// An error with its causes, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(fields: &[(&'static str, &'static str)]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        lifetime(&headers).map(|said| said.as_secs())
    }

    #[test]
    fn cache_control_is_read_as_servers_write_it() {
        let told = |text| told(&[("cache-control", text)]);
        assert_eq!(told("public, max-age=3600, must-revalidate"), Some(3600));
        assert_eq!(told("Max-Age=\"60\""), Some(60));
        assert_eq!(told("max-age=60, no-store"), Some(0));
        assert_eq!(told("no-cache=\"set-cookie\""), Some(0));
        assert_eq!(told("max-age=99999999999999999999999"), Some(u64::MAX));
        assert_eq!(told("s-maxage=7"), None, "we are not a shared cache");
        assert_eq!(told("s-maxage=7, max-age=60"), Some(60));
        for bad in ["max-age=x", "max-age=", "max-age=-1", "max-age=+1", "private"] {
            assert_eq!(told(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_time_that_an_answer_spent_on_its_way_counts() {
        assert_eq!(told(&[("cache-control", "max-age=600"), ("age", "540")]), Some(60));
        assert_eq!(told(&[("cache-control", "max-age=600"), ("age", "601")]), Some(0));
        assert_eq!(told(&[("cache-control", "max-age=600"), ("age", "soon")]), Some(600));
        assert_eq!(told(&[("age", "10")]), None);
        assert_eq!(told(&[("cache-control", "public"), ("cache-control", "max-age=60")]), Some(60), "two fields");
    }

    #[test]
    fn expires_stands_in_for_max_age() {
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(told(&[date, ("expires", "Sun, 06 Nov 1994 08:59:37 GMT")]), Some(600));
        assert_eq!(told(&[date, ("expires", "Sun, 06 Nov 1994 08:59:37 GMT"), ("age", "100")]), Some(500));
        assert_eq!(told(&[date, ("expires", "Sun, 06 Nov 1994 08:00:00 GMT")]), Some(0));
        assert_eq!(told(&[date, ("expires", "0")]), Some(0));
        assert_eq!(told(&[("expires", "Sun, 06 Nov 1994 08:59:37 GMT")]), None, "by whose clock?");
        let expires = ("expires", "Sun, 06 Nov 1994 08:59:37 GMT");
        assert_eq!(told(&[date, expires, ("cache-control", "max-age=60")]), Some(60));
    }
}
