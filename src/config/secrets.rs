//! What no message and no snippet may show: user names and passwords in URLs, and the values of keys whose name says
//! that they are secret.
//!
//! It looks at the text and not at the tree, because the snippet of a file that is no YAML must not show them either.

/// What stands in a message where a secret stood.
const REDACTED: &str = "[redacted]";

/// Words that make a key's value a secret.
const WORDS: &[&str] = &["secret", "password", "passwd", "credential", "private", "token", "seal"];

/// Keys of our own that hold one of those words and no secret.
const HARMLESS: &[&str] =
    &["token", "tokens", "token_cache", "strip_token", "token_use", "token_type", "id_token", "access_token"];

/// Whether the value of a key with this name is nobody's business.
#[must_use]
pub fn is_secret_key(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains(word)) && !HARMLESS.contains(&name.as_str())
}

/// A message without what stands before the `@` of a URL.
#[must_use]
pub fn without_users(text: &str) -> String {
    if !text.contains('@') {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len());
    let mut done = 0;
    for (start, end) in users(text) {
        shown.push_str(text.get(done..start).unwrap_or_default());
        shown.push_str(REDACTED);
        done = end;
    }
    shown.push_str(text.get(done..).unwrap_or_default());
    shown
}

/// A file's text for snippets: every secret in it is stars, as many as it had bytes, so that all places stay.
#[must_use]
pub fn veiled(text: &str) -> String {
    let mut hidden = vec![false; text.len()];
    let secrets = users(text).into_iter().chain(values(text));
    for place in secrets.flat_map(|(start, end)| start..end) {
        if let Some(hides) = hidden.get_mut(place) {
            *hides = true;
        }
    }
    let mut shown = String::with_capacity(text.len());
    for (place, c) in text.char_indices() {
        match hidden.get(place) {
            Some(true) if !matches!(c, '\n' | '\r') => shown.extend(std::iter::repeat_n('*', c.len_utf8())),
            Some(_) | None => shown.push(c),
        }
    }
    shown
}

/// Where URLs name a user: from behind `://` up to, not including, the `@`.
fn users(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (scheme, mark) in text.match_indices("://") {
        let start = scheme.saturating_add(mark.len());
        let rest = text.get(start..).unwrap_or_default();
        let url = rest.split([' ', '\t', '\r', '\n', '"', '\'', '`']).next().unwrap_or_default();
        let authority = url.split(['/', '?', '#']).next().unwrap_or_default();
        // A password with a slash in it is cut short there, and what is left of it then looks like a wrong port.
        let bad_port = !authority.starts_with('[')
            && authority.rsplit_once(':').is_some_and(|(_, port)| !port.bytes().all(|byte| byte.is_ascii_digit()));
        let at = authority.rfind('@').or_else(|| url.rfind('@').filter(|_| bad_port));
        if let Some(at) = at.filter(|at| *at > 0) {
            found.push((start, start.saturating_add(at)));
        }
    }
    found
}

/// Where the values of secret keys stand: the rest of the key's line, and the lines below that are indented deeper.
fn values(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut place = 0usize;
    let mut inside: Option<Inside> = None;
    for line in text.split_inclusive('\n') {
        let start = place;
        place = place.saturating_add(line.len());
        let depth = line.len().saturating_sub(line.trim_start_matches([' ', '\t']).len());
        match inside {
            // A mapping below is no value: what is secret in it has a key of its own.
            Some(Inside { key, text }) if depth > key || line.trim().is_empty() => {
                if text || !line.contains(':') {
                    found.push((start.saturating_add(depth), place));
                    continue;
                }
            }
            Some(_) | None => inside = None,
        }
        if let Some(value) = secret_value(line) {
            let rest = line.get(value..).unwrap_or_default().trim();
            if !says_where(rest) {
                found.push((start.saturating_add(value), place));
                inside = Some(Inside { key: depth, text: !rest.is_empty() });
            }
        }
    }
    found
}

/// Whether a value is a mapping that says where a secret is. In any other one it may itself stand.
fn says_where(value: &str) -> bool {
    if let Some(keys) = listed(value) {
        // Up to the end of the list, whatever follows it.
        let (list, _rest) = keys.split_once(']').unwrap_or((keys, ""));
        let mut items = list.split(',').map(|item| item.trim_start_matches(['{', ' ', '\t']));
        return items.all(|item| ["env:", "file:"].iter().any(|key| item.starts_with(key)));
    }
    value.strip_prefix('{').is_some_and(|inside| {
        let inside = inside.trim_start_matches([' ', '\t', '"', '\'']);
        inside.is_empty() || ["env", "file", "}"].iter().any(|key| inside.starts_with(key))
    })
}

/// What `{ keys: [ … ] }` lists.
fn listed(value: &str) -> Option<&str> {
    let inside = value.strip_prefix('{')?.trim_start().strip_prefix("keys")?.trim_start().strip_prefix(':')?;
    inside.trim_start().strip_prefix('[')
}

/// A secret key whose value may go on in the lines below.
#[derive(Clone, Copy)]
struct Inside {
    /// How deep the key stood.
    key: usize,
    /// Its value began on its own line, so that what follows is text.
    text: bool,
}

/// The byte in a line from which on the value of a secret key stands.
fn secret_value(line: &str) -> Option<usize> {
    line.match_indices(':').find_map(|(colon, _)| {
        let before = line.get(..colon)?.trim_end_matches(['"', '\'', ' ']);
        let name = before.rsplit(|c: char| !(c.is_alphanumeric() || "_-.".contains(c))).next()?;
        let value = colon.saturating_add(1);
        let ends_key =
            line.get(value..)?.starts_with([' ', '\t', '\r', '\n', '"', '\'', '{', '[']) || line.len() == value;
        (ends_key && is_secret_key(name)).then(|| {
            let rest = line.get(value..).unwrap_or_default();
            value.saturating_add(rest.len().saturating_sub(rest.trim_start_matches([' ', '\t']).len()))
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_user_in_a_url_is_never_said() {
        for (text, shown) in [
            ("`http://u:hunter2@h:80/x` is none", "`http://[redacted]@h:80/x` is none"),
            ("http://u:hun/ter2@h", "http://[redacted]@h"),
            ("http://u:hun@ter2@h", "http://[redacted]@h"),
            ("a http://h/@x and https://hunter2@g", "a http://h/@x and https://[redacted]@g"),
            ("http://[::1]:80/@x", "http://[::1]:80/@x"),
            ("no url @ all", "no url @ all"),
        ] {
            assert_eq!(without_users(text), shown);
        }
    }

    #[test]
    fn secret_values_are_stars_in_snippets_and_nothing_moves() {
        for (text, shown) in [
            ("client_secret: abc\nb: c\n", "client_secret: ***\nb: c\n"),
            ("x: { \"password\": \"a\", b: c }\n", "x: { \"password\": ***********\n"),
            (
                "k:\n  private_key: |\n    line\n\n    line\n  next: x\n",
                "k:\n  private_key: *\n    ****\n\n    ****\n  next: x\n",
            ),
            (
                "token: alice\ntoken_cache: 64MiB\nstrip_token: true\n",
                "token: alice\ntoken_cache: 64MiB\nstrip_token: true\n",
            ),
            ("bearerToken: é!\n", "bearerToken: ***\n"),
            ("credential: { value: x }\n", "credential: ************\n"),
            ("credential: { env: A }\n", "credential: { env: A }\n"),
            ("credential: { \"file\": a }\n", "credential: { \"file\": a }\n"),
            ("seal: { keys: [ { env: A }, {file: b} ] }\n", "seal: { keys: [ { env: A }, {file: b} ] }\n"),
            ("seal: { keys: [ { env: A }, abc ] }\n", "seal: *****************************\n"),
            ("seal: { keys: [ abc= ] }\n", "seal: ******************\n"),
            ("seal: { keys: abc }\n", "seal: *************\n"),
            ("seal:\n  keys:\n    - abc\n", "seal:\n  keys:\n    *****\n"),
            ("seal: { keys: [] }\n", "seal: ************\n"),
            ("url: http://u:p@h # secret\n", "url: http://***@h # secret\n"),
        ] {
            assert_eq!(veiled(text), shown);
        }
    }

    proptest! {
        #[test]
        fn veiling_keeps_every_place(text in "([a-z :@/\"'{}\n\r\té]|secret|://|password: ){0,40}") {
            let shown = veiled(&text);
            prop_assert_eq!(shown.len(), text.len());
            prop_assert_eq!(shown.lines().count(), text.lines().count());
        }
    }
}
