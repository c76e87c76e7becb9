//! What is written of a good key set for a start without the issuer, and when it is believed again. Pure: text in, text out.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::jwks::origin::fetchable;
use crate::jwks::pace::KeySettings;
use crate::jwks::store::IssuerKeysConfig;
use crate::token::key_source::KeyPlace;
use crate::token::{KeySet, Timestamp};

/// A copy that may be used.
#[derive(Debug, PartialEq)]
pub(super) struct Copy {
    pub(super) set: KeySet,
    /// The same as a document.
    pub(super) jwks: Arc<str>,
    pub(super) acr_values_supported: Option<Box<[Box<str>]>>,
    /// When the issuer gave it.
    pub(super) fetched_at: Timestamp,
    /// For how long it may still be used.
    pub(super) honoured_for: Duration,
}

/// What a fetch brought, as far as it is kept.
#[derive(Clone, Debug)]
pub(super) struct Original {
    pub(super) jwks: Vec<u8>,
    /// Where the discovery document says that the keys are.
    pub(super) jwks_uri: Option<Url>,
    pub(super) acr_values_supported: Option<Box<[Box<str>]>>,
    pub(super) fetched_at: Timestamp,
    pub(super) lifetime: Duration,
}

/// The file: the copy's text, and a sum by which damage is noticed. No proof: whoever can write the file can write the sum.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed<'d> {
    format: u32,
    sha256: String,
    #[serde(borrow)]
    copy: &'d RawValue,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'d> {
    issuer: String,
    source: Source,
    jwks_uri: Option<String>,
    acr_values_supported: Option<Box<[Box<str>]>>,
    /// Seconds since 1970.
    fetched_at: i64,
    /// Seconds.
    lifetime: u64,
    #[serde(borrow)]
    keys: Vec<&'d RawValue>,
}

/// What must be the same as today for a copy to be taken: where the keys came from, and on whose word.
#[derive(Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Source {
    jwks_url: Option<String>,
    ca: Option<String>,
}

/// Another number when a program that reads this one would misunderstand the file.
const FORMAT: u32 = 1;
/// How far ahead of our clock a copy's time may be.
const LEEWAY_SECONDS: i64 = 30;

/// The longest file that is written or read: the keys, as much again of a discovery document, and the frame.
pub(super) const fn longest(settings: &KeySettings) -> usize {
    settings.limits.bytes.saturating_mul(2).saturating_add(64 << 10)
}

/// The text of a copy.
///
/// # Errors
/// A sentence, when it would be longer than what is read again.
pub(super) fn encode(
    original: &Original,
    config: &IssuerKeysConfig,
    settings: &KeySettings,
) -> Result<Vec<u8>, String> {
    let unwritable = |error: serde_json::Error| error.to_string();
    let written = Written {
        issuer: config.issuer.clone().into(),
        source: source(config),
        jwks_uri: original.jwks_uri.as_ref().map(|uri| uri.as_str().to_owned()),
        acr_values_supported: original.acr_values_supported.clone(),
        fetched_at: original.fetched_at.seconds(),
        lifetime: original.lifetime.as_secs(),
        keys: KeySet::usable(&original.jwks, settings.limits).map_err(|error| error.to_string())?,
    };
    let copy = to_raw_value(&written).map_err(unwritable)?;
    let sealed = Sealed { format: FORMAT, sha256: sum(&copy), copy: &copy };
    let mut text = serde_json::to_vec(&sealed).map_err(unwritable)?;
    text.push(b'\n');
    if text.len() > longest(settings) {
        return Err(format!("it would be longer than {} bytes", longest(settings)));
    }
    Ok(text)
}

/// Reads a copy, to be used at `now`.
///
/// # Errors
/// Why it is not to be used.
pub(super) fn decode(
    text: &[u8],
    config: &IssuerKeysConfig,
    settings: &KeySettings,
    now: Timestamp,
) -> Result<Copy, String> {
    let damaged = |error: serde_json::Error| format!("it is damaged: {error}");
    let sealed: Sealed<'_> = serde_json::from_slice(text).map_err(damaged)?;
    if sealed.format != FORMAT {
        return Err(format!("its format is {}, not {FORMAT}", sealed.format));
    }
    if sealed.sha256 != sum(sealed.copy) {
        return Err("it is damaged: its sum does not fit".into());
    }
    let written: Written<'_> = serde_json::from_str(sealed.copy.get()).map_err(damaged)?;
    if *written.issuer != *config.issuer {
        return Err("it is another issuer's".into());
    }
    if written.source != source(config) {
        return Err(
            "its keys came from another place, or were fetched by another `ca`, than the policy says now".into()
        );
    }
    let asked = written.source.jwks_url.as_ref().unwrap_or(&written.issuer);
    for url in written.jwks_uri.iter().chain([asked]) {
        fetchable(url, settings.allow_http).map_err(|why| format!("its keys came from where none are taken: {why}"))?;
    }
    let honoured_for = honoured_for(&written, settings, now)?;
    let jwks = document(&written.keys);
    let set = KeySet::parse(jwks.as_bytes(), settings.limits).map_err(|error| error.to_string())?;
    let fetched_at = Timestamp::from_seconds(written.fetched_at);
    Ok(Copy { set, jwks, acr_values_supported: written.acr_values_supported, fetched_at, honoured_for })
}

/// A key set of these keys.
pub(super) fn document(keys: &[&RawValue]) -> Arc<str> {
    let keys: Vec<&str> = keys.iter().map(|key| key.get()).collect();
    format!(r#"{{"keys":[{}]}}"#, keys.join(",")).into()
}

/// For how long a copy may be used from now on: a gate that had been running all the while would honour it no longer.
fn honoured_for(written: &Written<'_>, settings: &KeySettings, now: Timestamp) -> Result<Duration, String> {
    let age = now.seconds().saturating_sub(written.fetched_at);
    if age < LEEWAY_SECONDS.saturating_neg() {
        return Err("it comes from the future; is the clock right?".into());
    }
    let age = Duration::from_secs(u64::try_from(age).unwrap_or_default());
    let lifetime = settings.pace.bounded(Some(Duration::from_secs(written.lifetime)));
    match lifetime.saturating_add(settings.max_stale).checked_sub(age) {
        Some(left) if !left.is_zero() => Ok(left),
        Some(_) | None => {
            Err(format!("it is {} s old, more than its lifetime and `keys.max_stale` allow", age.as_secs()))
        }
    }
}

fn source(config: &IssuerKeysConfig) -> Source {
    let jwks_url = match &config.source.place {
        KeyPlace::JwksUrl(url) => Some(url.clone().into()),
        // A file has no copy.
        KeyPlace::Discovery | KeyPlace::JwksFile(_) => None,
    };
    Source { jwks_url, ca: config.source.ca.as_ref().map(|ca| ca.to_string_lossy().into_owned()) }
}

fn sum(copy: &RawValue) -> String {
    let sum = digest::digest(&digest::SHA256, copy.get().as_bytes());
    sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::testing::{NOW, Signer, jwks};
    use crate::token::{Algorithm, KeyLimits, KeySource};

    const HOUR: Duration = Duration::from_secs(3600);

    fn config() -> IssuerKeysConfig {
        let (name, issuer) = ("bank".into(), "https://idp.example".into());
        IssuerKeysConfig { name, issuer, source: KeySource::discovery() }
    }

    fn settings() -> KeySettings {
        KeySettings::new(HOUR, false)
    }

    fn original() -> Original {
        Original {
            jwks: jwks(&[Signer::shared(Algorithm::Es256)]),
            jwks_uri: Some("https://keys.example/jwks".parse().unwrap()),
            acr_values_supported: Some(["1".into(), "\"2\"".into()].into()),
            fetched_at: NOW,
            lifetime: Duration::from_secs(600),
        }
    }

    fn text() -> Vec<u8> {
        encode(&original(), &config(), &settings()).unwrap()
    }

    fn read_at(seconds: i64) -> Result<Copy, String> {
        decode(&text(), &config(), &settings(), NOW.plus_seconds(seconds))
    }

    #[test]
    fn what_was_written_is_what_is_read() {
        let copy = read_at(60).unwrap();
        assert_eq!(copy.set, KeySet::parse(&original().jwks, KeyLimits::USUAL).unwrap());
        assert_eq!(copy.acr_values_supported, original().acr_values_supported);
        assert_eq!((copy.fetched_at, copy.honoured_for), (NOW, Duration::from_secs(600 - 60) + HOUR));
    }

    #[test]
    fn a_copy_is_honoured_for_as_long_as_a_gate_that_had_not_ended_would_and_no_longer() {
        assert_eq!(read_at(600 + 3599).unwrap().honoured_for, Duration::from_secs(1));
        for late in [600 + 3600, 600 + 3601, i64::MAX / 2_000_000] {
            assert!(read_at(late).unwrap_err().contains("old"), "{late}");
        }
        assert_eq!(read_at(-30).unwrap().honoured_for, Duration::from_secs(600) + HOUR);
        assert!(read_at(-31).unwrap_err().contains("future"));
        let patient = KeySettings { max_stale: Duration::MAX, ..settings() };
        assert!(decode(&text(), &config(), &patient, NOW.plus_seconds(1 << 40)).is_ok());
    }

    #[test]
    fn a_lifetime_is_kept_within_bounds_on_its_way_back_too() {
        let long = Original { lifetime: Duration::from_secs(u64::MAX), ..original() };
        let text = encode(&long, &config(), &settings()).unwrap();
        let copy = decode(&text, &config(), &settings(), NOW).unwrap();
        assert_eq!(copy.honoured_for, settings().pace.longest_lifetime + HOUR);
    }

    #[test]
    fn any_damage_is_noticed() {
        let good = text();
        for end in 0..good.len() - 1 {
            assert!(decode(&good[..end], &config(), &settings(), NOW).is_err(), "cut at {end}");
        }
        for at in 0..good.len() - 1 {
            let mut bad = good.clone();
            bad[at] ^= 1;
            let read = decode(&bad, &config(), &settings(), NOW);
            assert!(read.is_err(), "{at}: {}", String::from_utf8_lossy(&bad));
        }
        for bad in ["", "null", "[]", "{}", "\0\0\0\0", "{\"format\":1}", &"[".repeat(100_000)] {
            assert!(decode(bad.as_bytes(), &config(), &settings(), NOW).is_err());
        }
    }

    #[test]
    fn a_copy_of_something_else_is_not_taken() {
        let url = |url: &str| KeySource { place: KeyPlace::JwksUrl(url.into()), ca: None };
        let ca = KeySource { ca: Some("ca.pem".into()), ..KeySource::discovery() };
        let configs = [
            IssuerKeysConfig { issuer: "https://idp.example/".into(), ..config() },
            IssuerKeysConfig { source: url("https://keys.example/jwks"), ..config() },
            IssuerKeysConfig { source: url("https://other.example/jwks"), ..config() },
            IssuerKeysConfig { source: ca, ..config() },
            config(),
        ];
        for (at, written_for) in configs.iter().enumerate() {
            let text = encode(&original(), written_for, &settings()).unwrap();
            for (other, read_for) in configs.iter().enumerate() {
                assert_eq!(decode(&text, read_for, &settings(), NOW).is_ok(), at == other, "{at} {other}");
            }
        }
        let renamed = IssuerKeysConfig { name: "other".into(), ..config() };
        assert!(decode(&text(), &renamed, &settings(), NOW).is_ok(), "the policy's name for it is no matter");
    }

    #[test]
    fn keys_that_came_by_plain_http_are_not_taken_once_that_is_forbidden() {
        let plain = Original { jwks_uri: Some("http://keys.example/jwks".parse().unwrap()), ..original() };
        let lax = KeySettings { allow_http: true, ..settings() };
        let text = encode(&plain, &config(), &lax).unwrap();
        assert!(decode(&text, &config(), &lax, NOW).is_ok());
        assert!(decode(&text, &config(), &settings(), NOW).unwrap_err().contains("plain http"));
    }

    #[test]
    fn keys_of_a_plain_http_issuer_are_not_taken_once_that_is_forbidden() {
        let url = KeySource { place: KeyPlace::JwksUrl("http://idp.example/jwks".into()), ca: None };
        let plain = Original { jwks_uri: None, ..original() };
        let lax = KeySettings { allow_http: true, ..settings() };
        for config in [
            IssuerKeysConfig { issuer: "http://idp.example".into(), ..config() },
            IssuerKeysConfig { source: url, ..config() },
        ] {
            let text = encode(&plain, &config, &lax).unwrap();
            assert!(decode(&text, &config, &lax, NOW).is_ok());
            assert!(decode(&text, &config, &settings(), NOW).unwrap_err().contains("plain http"));
        }
    }

    #[test]
    fn limits_hold_for_what_is_read() {
        let small = KeySettings { limits: KeyLimits { keys: 0, ..KeyLimits::USUAL }, ..settings() };
        assert!(decode(&text(), &config(), &small, NOW).unwrap_err().contains("limits.jwks_keys"));
        let huge: Box<[Box<str>]> = vec!["\u{1}".repeat(1 << 20).into()].into();
        let huge = Original { acr_values_supported: Some(huge), ..original() };
        assert!(encode(&huge, &config(), &settings()).unwrap_err().contains("longer"));
    }
}
