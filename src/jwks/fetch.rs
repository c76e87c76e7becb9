//! One GET, bounded in every way.

use std::error::Error;
use std::time::Duration;

use reqwest::header::{ACCEPT, CACHE_CONTROL};
use reqwest::{Client, StatusCode, Url};

use crate::token::keys::MAX_BYTES;

/// A document that was fetched.
pub(super) struct Document {
    pub(super) body: Vec<u8>,
    /// What `Cache-Control` says of its lifetime, not yet within bounds.
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

/// Fetches a document of at most 1 MiB.
pub(super) async fn document(client: &Client, url: Url) -> Result<Document, FetchError> {
    let failed = |error: reqwest::Error| FetchError::Failed(chain(&error.without_url()));
    let mut response = client.get(url).header(ACCEPT, "application/json").send().await.map_err(failed)?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status()));
    }
    let lifetime = response.headers().get(CACHE_CONTROL).and_then(|value| lifetime(value.to_str().ok()?));
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len().saturating_add(chunk.len()) > MAX_BYTES {
            return Err(FetchError::Failed(format!("the document is longer than {MAX_BYTES} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Document { body, lifetime })
}

/// What `Cache-Control` (RFC 9111 section 5.2.2) says: `no-store` and `no-cache` are a lifetime of nothing.
fn lifetime(cache_control: &str) -> Option<Duration> {
    let mut said = None;
    for directive in cache_control.split(',') {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return Some(Duration::ZERO),
            "max-age" => said = value.trim().trim_matches('"').parse().ok().map(Duration::from_secs),
            _ => {}
        }
    }
    said
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

    #[test]
    fn cache_control_is_read_as_servers_write_it() {
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(lifetime("public, max-age=3600, must-revalidate"), seconds(3600));
        assert_eq!(lifetime("Max-Age=\"60\""), seconds(60));
        assert_eq!(lifetime("max-age=60, no-store"), seconds(0));
        assert_eq!(lifetime("no-cache=\"set-cookie\""), seconds(0));
        assert_eq!(lifetime("max-age=x"), None);
        assert_eq!(lifetime("private"), None);
    }
}
