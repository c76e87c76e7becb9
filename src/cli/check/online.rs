//! `--online`: asks each issuer what it says of itself, all at once and within bounds, by the client that a gate has.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::cli::output::Failure;
use crate::config::lints::{Said, check_online};
use crate::config::{IssuerKeys, Loaded, Problem, Report, Settings};
use crate::jwks::{Answer, IssuerKeysConfig, KeySettings, NoAnswer, ask};
use crate::token::KeyLimits;

/// How long all issuers of a policy together may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// What was found, and the issuers that nobody asks.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) problems: Vec<Problem>,
    pub(super) not_asked: Vec<Box<str>>,
}

/// Asks the issuers of a policy. Without settings as a gate would that has none for keys.
pub(super) fn look(loaded: &Loaded, settings: Option<&Settings>) -> Result<Found, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::could_not_run(format!("no issuer can be asked: {error}")))?;
    let answers = runtime.block_on(answers(&loaded.keys, &Arc::new(key_settings(settings)), PATIENCE));
    // A name server that does not answer is not waited for.
    runtime.shutdown_background();
    let (mut found, mut out) = (Found::default(), Report::default());
    for (place, (answer, issuer)) in answers.iter().zip(&loaded.keys).enumerate() {
        let said = match answer {
            Ok(Some(Answer { keys, acr_values_supported })) => Said::Keys(keys, acr_values_supported.as_deref()),
            Ok(None) => {
                found.not_asked.push(issuer.name.clone());
                continue;
            }
            Err(NoAnswer::Unreachable(why)) => Said::Unreachable(why),
            Err(NoAnswer::Unusable(why)) => Said::Unusable(why),
        };
        check_online(loaded, place, &said, &mut out);
    }
    found.problems = out.into_problems();
    Ok(found)
}

/// Nothing is kept on disk: `check` changes nothing.
fn key_settings(settings: Option<&Settings>) -> KeySettings {
    const UNUSED: Duration = Duration::from_secs(1);
    let usual = KeySettings::new(UNUSED, false);
    let Some(settings) = settings else { return usual };
    let limits = KeyLimits { bytes: settings.limits.jwks, keys: settings.limits.jwks_keys };
    let proxy = settings.keys.proxy.as_deref().map(Into::into);
    KeySettings { allow_http: settings.keys.allow_http, proxy, limits, ..usual }
}

/// What each answered, in their order.
async fn answers(
    issuers: &[IssuerKeys],
    settings: &Arc<KeySettings>,
    patience: Duration,
) -> Vec<Result<Option<Answer>, NoAnswer>> {
    let mut asking = JoinSet::new();
    for (place, IssuerKeys { name, iss, source }) in issuers.iter().enumerate() {
        let config = IssuerKeysConfig { name: name.clone(), issuer: iss.clone(), source: source.clone() };
        let settings = Arc::clone(settings);
        asking.spawn(async move {
            let late = || Err(NoAnswer::Unreachable(format!("it did not answer within {} s", patience.as_secs())));
            (place, timeout(patience, ask(&config, &settings)).await.unwrap_or_else(|_late| late()))
        });
    }
    let lost = || Err(NoAnswer::Unreachable("asking it failed".to_owned()));
    let mut answers: Vec<_> = issuers.iter().map(|_| lost()).collect();
    while let Some(ended) = asking.join_next().await {
        if let Ok((place, answer)) = ended
            && let Some(slot) = answers.get_mut(place)
        {
            *slot = answer;
        }
    }
    answers
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;
    use std::time::Instant;

    use super::*;
    use crate::config::lints::{self, kept};
    use crate::config::{SourceFile, load_policy};
    use crate::token::Algorithm;
    use crate::token::testing::{Signer, jwks};

    /// A provider whose documents are these, after a while; `{me}` in them is its own URL. What it has not is 404.
    fn provider(discovery: &'static str, keys: &'static [u8], pause: Duration) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let me = format!("http://{}", listener.local_addr().unwrap());
        let discovery = discovery.replace("{me}", &me);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let discovery = discovery.clone();
                thread::spawn(move || {
                    let mut head = [0; 4096];
                    let length = stream.read(&mut head).unwrap_or_default();
                    let head = String::from_utf8_lossy(&head[..length]).into_owned();
                    let body = match head.split(' ').nth(1) {
                        Some("/.well-known/openid-configuration") => discovery.as_bytes(),
                        Some("/jwks") => keys,
                        _ => b"",
                    };
                    thread::sleep(pause);
                    let status = if body.is_empty() { "404 Not Found" } else { "200 OK" };
                    let head =
                        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                    let _gone = stream.write_all(&[head.as_bytes(), body].concat());
                });
            }
        });
        me
    }

    /// Its discovery document, with two values of `acr`.
    const GOOD: &str = r#"{"issuer":"{me}","jwks_uri":"{me}/jwks","acr_values_supported":["1","2"]}"#;
    const NO_PAUSE: Duration = Duration::ZERO;

    fn es256() -> &'static [u8] {
        jwks(&[Signer::shared(Algorithm::Es256)]).leak()
    }

    /// Where nobody listens.
    fn nobody() -> String {
        format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap())
    }

    fn loaded(text: &str) -> Loaded {
        let file = SourceFile { name: "p.yaml".into(), folder: ".".into(), text: text.into() };
        load_policy(vec![file]).unwrap_or_else(|rejected| panic!("{}", rejected.lines().join("\n")))
    }

    fn said(text: &str) -> Vec<(&'static str, String)> {
        let problems = look(&loaded(text), None).unwrap().problems;
        problems.into_iter().map(|problem| (problem.code, problem.message)).collect()
    }

    /// A policy of one issuer, with more of its entry.
    fn policy(issuer: &str, more: &str) -> String {
        format!(
            "version: 1\nissuers:\n  idp:\n    issuer: \"{issuer}\"\n    access: {{ audiences: [api] }}\n{more}routes:\n  \
             - {{ name: all, match: {{ path: \"/**\" }}, require: authenticated }}\n"
        )
    }

    #[test]
    fn each_example_of_a_lint_that_is_found_online_is_of_its_own_lint_and_can_be_silenced_there() {
        let (up, down) = (provider(GOOD, es256(), NO_PAUSE), nobody());
        let all: Vec<_> = lints::all().filter(|lint| lint.found == lints::Found::Online).collect();
        assert_eq!(all.len(), 3);
        for lint in all {
            let text = lint.example.replace("https://idp.example", &up).replace("https://down.example", &down);
            let loaded = loaded(&text);
            assert_eq!(loaded.lints, [], "{} is said of it offline", lint.name);
            let problems = look(&loaded, None).unwrap().problems;
            assert_eq!(problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), [lint.name]);
            let line = loaded.sources.position(problems[0].span).line;
            let mut lines: Vec<&str> = text.lines().collect();
            let silence = format!("# stepgate: allow {} because this is an example", lint.name);
            lines.insert(line - 1, &silence);
            let silenced = self::loaded(&format!("{}\n", lines.join("\n")));
            assert_eq!(silenced.lints, [], "offline nobody can tell whether a silence is of use");
            assert_eq!(kept(look(&silenced, None).unwrap().problems, &silenced.sources), []);
        }
    }

    #[test]
    fn an_issuer_that_says_what_no_gate_can_use_is_an_error() {
        let with = |discovery, keys| said(&policy(&provider(discovery, keys, NO_PAUSE), ""));
        for (discovery, keys, why) in [
            (r#"{"issuer":"https://other.example","jwks_uri":"{me}/jwks"}"#, es256(), "`https://other.example`"),
            (r#"{"issuer":"{me}"}"#, es256(), "no `jwks_uri`"),
            (GOOD, br#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#, "no usable key"),
            (GOOD, b"{}", "not a key set"),
            (GOOD, b"", "404"),
            ("", es256(), "404"),
        ] {
            let said = with(discovery, keys);
            let [(code, message)] = &*said else { panic!("{said:?}") };
            assert!(*code == "issuer_unusable" && message.contains(why), "{code} {message}");
        }
        assert_eq!(said(&policy(&nobody(), ""))[0].0, "issuer_unreachable");
        assert_eq!(with(GOOD, es256()), []);
    }

    #[test]
    fn algorithms_and_acr_values_that_the_issuer_does_not_have_are_said_where_they_are_written() {
        let idp = provider(GOOD, es256(), NO_PAUSE);
        let codes = |more: &str| said(&policy(&idp, more)).into_iter().map(|(code, _)| code).collect::<Vec<_>>();
        for (more, is) in [
            ("    algorithms: [ES256]\n", &[][..]),
            ("    algorithms: [ES256, PS256, RS256]\n", &["algorithm_without_key", "algorithm_without_key"]),
            ("    algorithms: [PS256, RS256]\n", &["algorithm_without_key"]),
            ("    proves: { single-factor: { acr: [\"1\"] } }\n", &[]),
            (
                "    proves: { single-factor: { any: [ { acr: [\"1\", \"3\"] }, { factors: 1 } ] } }\n",
                &["acr_unsupported"],
            ),
            ("    proves: { single-factor: { factors: 1, not: { acr: [x] } } }\n", &[]),
            ("    proves: { single-factor: { acr: { at_least: 3 } } }\n", &[]),
            ("    mapping: { acr: { rename: { \"1\": low } } }\n    proves: { single-factor: { acr: [low] } }\n", &[]),
            ("    mapping: { acr: { from: [/ext/acr] } }\n    proves: { single-factor: { acr: [x] } }\n", &[]),
            (
                "    proves: { single-factor: { acr: [\"1\"] } }\n    challenge: { single-factor: [\"1\", x] }\n",
                &["acr_unsupported"],
            ),
        ] {
            assert_eq!(codes(more), is, "{more}");
        }
        let silent = provider(r#"{"issuer":"{me}","jwks_uri":"{me}/jwks"}"#, es256(), NO_PAUSE);
        assert_eq!(said(&policy(&silent, "    proves: { single-factor: { acr: [x] } }\n")), [], "it does not say");
    }

    #[test]
    fn all_issuers_are_asked_at_once_and_told_of_in_the_order_of_the_policy() {
        const PAUSE: Duration = Duration::from_millis(1500);
        let slow: Vec<String> = (0..6).map(|_| provider("", b"", PAUSE)).collect();
        let quick = nobody();
        let entry = |(place, issuer): (usize, &String)| {
            format!("  i{place}: {{ issuer: \"{issuer}\", access: {{ audiences: [a{place}] }} }}\n")
        };
        let issuers: String = slow.iter().chain([&quick]).enumerate().map(entry).collect();
        let file =
            "  file: { issuer: \"https://f.example\", keys: { jwks_file: k.json }, access: { audiences: [f] } }\n";
        let text = format!("version: 1\nissuers:\n{issuers}{file}routes: []\n");
        let begun = Instant::now();
        let found = look(&loaded(&text), None).unwrap();
        // Each is asked in two places, one after the other.
        assert!(begun.elapsed() < PAUSE * 6, "{:?}", begun.elapsed());
        let named: Vec<bool> = found
            .problems
            .iter()
            .enumerate()
            .map(|(place, said)| said.message.contains(&format!("`i{place}`")))
            .collect();
        assert_eq!(named, [true; 7]);
        assert_eq!(found.not_asked, ["file".into()]);
    }

    #[test]
    fn an_issuer_that_never_answers_is_not_waited_for() {
        let never = loaded(&policy(&provider(GOOD, b"", Duration::from_secs(60)), ""));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let settings = Arc::new(key_settings(None));
        let answers = runtime.block_on(answers(&never.keys, &settings, Duration::from_millis(200)));
        assert!(
            matches!(&*answers, [Err(NoAnswer::Unreachable(why))] if why.contains("did not answer")),
            "{answers:?}"
        );
    }
}
