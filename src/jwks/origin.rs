//! Which URLs may be asked.

use std::net::IpAddr;

use reqwest::Url;

/// Parses the URL of an issuer or a key set and checks that it may be fetched: `https`; `http` for loopback addresses, or
/// where the settings allow it. No user name or password, no fragment.
///
/// # Errors
/// A sentence that says what is wrong; it does not repeat the URL.
pub(super) fn fetchable(text: &str, allow_http: bool) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("not a URL: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the URL holds a user name or password".into());
    }
    if url.fragment().is_some() {
        return Err("the URL has a fragment".into());
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if allow_http || is_loopback(&url) => Ok(url),
        "http" => {
            Err("plain http is taken for loopback addresses only; use https, or set `keys: { allow_http: true }`"
                .into())
        }
        _ => Err("the URL is neither https nor http".into()),
    }
}

/// The URL as logs may tell it: no user name, password, query or fragment, and cut short.
pub(super) fn told(url: &Url) -> String {
    const MOST: usize = 200;
    let mut bare = url.clone();
    bare.set_query(None);
    bare.set_fragment(None);
    // Both fail for URLs that can have neither.
    let _had_none = (bare.set_username(""), bare.set_password(None));
    bare.as_str().chars().take(MOST).collect()
}

/// Whether a URL names this machine: `localhost` or a loopback address.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_log_tells_of_a_url_is_no_secret() {
        let told = |text: &str| told(&Url::parse(text).unwrap());
        assert_eq!(told("https://u:p@idp.example:8443/keys?code=1#x"), "https://idp.example:8443/keys");
        assert_eq!(told(&format!("https://idp.example/{}", "x".repeat(5000))).len(), 200);
    }

    #[test]
    fn plain_http_is_for_loopback_alone() {
        for good in [
            "https://idp.example/x?y=1",
            "http://127.0.0.1:8081",
            "http://127.9.9.9/",
            "http://[::1]:1/",
            "http://localhost:1/",
        ] {
            assert!(fetchable(good, false).is_ok(), "{good}");
        }
        for bad in [
            "http://idp.example/",
            "http://10.0.0.1/",
            "http://localhost.evil.example/",
            "http://127.0.0.1.evil.example/",
            "http://[::2]/",
            "file:///etc/passwd",
            "ftp://idp.example/",
            "https://u:p@idp.example/",
            "https://idp.example/#x",
            "idp.example",
            "",
        ] {
            assert!(fetchable(bad, false).is_err(), "{bad}");
        }
        assert!(fetchable("http://idp.example/", true).is_ok());
        assert!(fetchable("file:///x", true).is_err());
    }
}
