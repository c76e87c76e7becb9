//! The issuer's own word on where its keys are (OpenID Connect Discovery 1.0 section 4, RFC 8414 section 3).

use reqwest::Url;

use crate::jwks::client::Client;
use crate::jwks::fetch::{FetchError, document};
use crate::jwks::origin::{fetchable, told};
use crate::token::Json;

/// What is kept of a discovery document.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Discovered {
    pub(super) jwks_uri: Url,
    pub(super) acr_values_supported: Option<Box<[Box<str>]>>,
}

/// Why a document is not to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NotHad {
    /// In words, with its place.
    pub(super) text: String,
    /// The server answered, and to ask again would change nothing.
    pub(super) answered: bool,
}

impl NotHad {
    /// A fetch failed; `what` begins the sentence.
    pub(super) fn fetching(what: String, error: &FetchError) -> Self {
        Self { text: what + &error.text(), answered: error.is_an_answer() }
    }
}

impl From<NotHad> for String {
    fn from(not_had: NotHad) -> Self {
        not_had.text
    }
}

/// Fetches the discovery document: where OpenID Connect has it, else where RFC 8414 has it.
pub(super) async fn discover(client: &Client, issuer: &str, allow_http: bool) -> Result<Discovered, NotHad> {
    let [first, second] = places(issuer, allow_http)
        .map_err(|why| NotHad { text: format!("the issuer cannot be asked: {why}"), answered: true })?;
    let failed = |at: &str, why: &str, answered| NotHad { text: format!("discovery failed: {at}: {why}"), answered };
    let at = told(&first);
    let (fetched, at) = match document(client, first).await {
        Ok(fetched) => (fetched, at),
        // Not found there (some servers say so with other words than 404): the other place may have it.
        Err(error @ FetchError::Status(_)) => {
            let second_at = told(&second);
            let fetched = document(client, second).await.map_err(|second_error| {
                let text = format!("{}; {second_at}: {}", error.text(), second_error.text());
                failed(&at, &text, error.is_an_answer() && second_error.is_an_answer())
            });
            (fetched?, second_at)
        }
        Err(error @ FetchError::Failed(_)) => return Err(failed(&at, &error.text(), false)),
    };
    read(&fetched.body, issuer, allow_http).map_err(|why| failed(&at, &why, true))
}

fn places(issuer: &str, allow_http: bool) -> Result<[Url; 2], String> {
    let url = fetchable(issuer, allow_http)?;
    if url.query().is_some() {
        return Err("an issuer has no query".into());
    }
    let path = url.path().trim_end_matches('/').to_owned();
    let mut appended = url.clone();
    appended.set_path(&format!("{path}/.well-known/openid-configuration"));
    let mut inserted = url;
    inserted.set_path(&format!("/.well-known/oauth-authorization-server{path}"));
    Ok([appended, inserted])
}

fn read(body: &[u8], issuer: &str, allow_http: bool) -> Result<Discovered, String> {
    let json = str::from_utf8(body).map_err(|error| format!("the document is not text: {error}"))?;
    let document = Json::parse(json).map_err(|error| format!("the document is not JSON that we take: {error}"))?;
    let text = |name: &str| document.member(name).and_then(Json::as_str);
    match text("issuer") {
        // RFC 8414 section 3.3: identical, or another server could hand us its keys.
        Some(said) if said == issuer => {}
        Some(said) => {
            let said: String = said.chars().take(200).flat_map(char::escape_debug).collect();
            return Err(format!("the document is that of the issuer `{said}`, the policy's is `{issuer}`"));
        }
        None => return Err("the document has no `issuer`".into()),
    }
    let jwks_uri = text("jwks_uri").ok_or("the document has no `jwks_uri`")?;
    let jwks_uri = fetchable(jwks_uri, allow_http).map_err(|why| format!("its `jwks_uri` cannot be used: {why}"))?;
    if issuer.starts_with("https:") && jwks_uri.scheme() != "https" {
        return Err("its `jwks_uri` is plain http, its issuer https".into());
    }
    let values = document.member("acr_values_supported").and_then(Json::as_array);
    let acr_values_supported =
        values.and_then(|values| values.iter().map(|value| value.as_str().map(Box::from)).collect());
    Ok(Discovered { jwks_uri, acr_values_supported })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_looked_for_where_the_standards_put_it() {
        let places = |issuer: &str| places(issuer, false).unwrap().map(String::from);
        assert_eq!(
            places("https://idp.example"),
            [
                "https://idp.example/.well-known/openid-configuration",
                "https://idp.example/.well-known/oauth-authorization-server"
            ]
        );
        assert_eq!(
            places("https://idp.example/tenant/"),
            [
                "https://idp.example/tenant/.well-known/openid-configuration",
                "https://idp.example/.well-known/oauth-authorization-server/tenant"
            ]
        );
        assert!(super::places("https://idp.example/?tenant=1", false).is_err());
    }

    #[test]
    fn only_the_issuer_s_own_document_is_taken() {
        let read = |text: &str| read(text.as_bytes(), "https://idp.example", false);
        let good = r#"{"issuer":"https://idp.example","jwks_uri":"https://keys.example/jwks","acr_values_supported":["1","2"]}"#;
        let discovered = read(good).unwrap();
        assert_eq!(discovered.jwks_uri.as_str(), "https://keys.example/jwks", "another https host may hold the keys");
        assert_eq!(discovered.acr_values_supported.as_deref(), Some(["1".into(), "2".into()].as_slice()));
        for bad in [
            r#"{"issuer":"https://idp.example/","jwks_uri":"https://idp.example/jwks"}"#,
            r#"{"issuer":["https://idp.example"],"jwks_uri":"https://idp.example/jwks"}"#,
            r#"{"jwks_uri":"https://idp.example/jwks"}"#,
            r#"{"issuer":"https://idp.example"}"#,
            r#"{"issuer":"https://idp.example","jwks_uri":"http://idp.example/jwks"}"#,
            r#"{"issuer":"https://idp.example","jwks_uri":"http://127.0.0.1/jwks"}"#,
            r#"{"issuer":"https://idp.example","jwks_uri":"file:///etc/passwd"}"#,
            r#"{"issuer":"https://evil.example","issuer":"https://idp.example","jwks_uri":"https://idp.example/jwks"}"#,
            "[]",
            "<html>",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let odd =
            r#"{"issuer":"https://idp.example","jwks_uri":"https://idp.example/jwks","acr_values_supported":["1",2]}"#;
        assert_eq!(read(odd).unwrap().acr_values_supported, None);
    }
}
