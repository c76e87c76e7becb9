//! How a policy names a claim: a plain name, or a JSON pointer (RFC 6901) into a nested one.

use std::fmt;

use crate::token::json::{Json, Tree};

/// A claim's name or pointer, parsed once at load.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimPath {
    written: Box<str>,
    /// Member names from the top of the claims down; never empty.
    steps: Box<[Box<str>]>,
}

impl ClaimPath {
    /// Parses a name (`acr`, `https://example/claim`) or a pointer (`/ext/assurance`).
    ///
    /// # Errors
    /// For an empty name and for a pointer with a stray `~`.
    pub fn parse(written: &str) -> Result<Self, &'static str> {
        let steps = match written.strip_prefix('/') {
            None if written.is_empty() => return Err("a claim needs a name"),
            None => vec![written.into()],
            Some(pointer) => pointer.split('/').map(unescape).collect::<Result<Vec<_>, _>>()?,
        };
        Ok(Self { written: written.into(), steps: steps.into() })
    }

    /// As the policy wrote it.
    #[must_use]
    pub fn as_written(&self) -> &str {
        &self.written
    }

    /// Member names from the top of the claims down; never empty.
    pub(crate) fn steps(&self) -> &[Box<str>] {
        &self.steps
    }

    /// The value that this names in a set of claims (RFC 6901 section 4: a step into an array is its decimal index).
    #[must_use]
    pub fn find<'c, 't>(&self, claims: &'c Tree<'t>) -> Option<&'c Tree<'t>> {
        self.steps.iter().try_fold(claims, |value, step| match value {
            Tree::Array(items) => index(step).and_then(|place| items.get(place)),
            Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::String(_) | Tree::Object(_) => value.member(step),
        })
    }
}

impl ClaimPath {
    /// A set of claims with this value where the path names one, over what was there. What is in the way and no object is
    /// replaced.
    #[must_use]
    pub fn put(&self, claims: Json, value: Json) -> Json {
        let Some((last, above)) = self.steps.split_last() else { return claims };
        set(claims, above, last, value)
    }
}

fn set(within: Json, above: &[Box<str>], last: &str, value: Json) -> Json {
    let (name, deeper) = above.split_first().map_or((last, None), |(first, rest)| (&**first, Some(rest)));
    let inner = |before: Option<Json>| match deeper {
        None => value,
        Some(rest) => set(before.unwrap_or(Json::Null), rest, last, value),
    };
    let mut members = match within {
        Json::Object(members) => members.into_vec(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => Vec::new(),
    };
    let place = members.iter().position(|(key, _)| **key == *name);
    let before = place.map(|place| members.swap_remove(place).1);
    members.push((name.to_owned().into(), inner(before)));
    Json::Object(members.into())
}

/// An index as RFC 6901 writes it: decimal, without leading zeros.
fn index(step: &str) -> Option<usize> {
    let plain = step.bytes().all(|byte| byte.is_ascii_digit()) && (step == "0" || !step.starts_with('0'));
    plain.then(|| step.parse().ok()).flatten()
}

/// RFC 6901 section 4: `~1` is `/`, `~0` is `~`.
fn unescape(step: &str) -> Result<Box<str>, &'static str> {
    let mut out = String::with_capacity(step.len());
    let mut rest = step.chars();
    while let Some(c) = rest.next() {
        out.push(match (c, c == '~') {
            (_, false) => c,
            (_, true) => match rest.next() {
                Some('0') => '~',
                Some('1') => '/',
                _ => return Err("in a JSON pointer `~` must be followed by 0 or 1"),
            },
        });
    }
    Ok(out.into_boxed_str())
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_where_a_path_names_it_is_found_there_and_the_rest_stays() {
        let claims = || Json::parse(r#"{"a":{"b":2,"c":1},"d":[7],"e":"x"}"#).unwrap();
        for path in ["e", "new", "/a/b", "/a/new/er", "/d/x", "/a~1b/c"] {
            let path = ClaimPath::parse(path).unwrap();
            let put = path.put(claims(), Json::Bool(true));
            assert_eq!(path.find(&put), Some(&Json::Bool(true)), "{path}");
            let kept = ClaimPath::parse("/a/c").unwrap();
            assert_eq!(kept.find(&put), kept.find(&claims()), "{path}");
        }
    }

    #[test]
    fn names_and_pointers_find_what_they_name() {
        let claims = Json::parse(r#"{"a/b":1,"a":{"b":2,"~":3},"list":[{"b":4}]}"#).unwrap();
        let find = |path: &str| ClaimPath::parse(path).unwrap().find(&claims).cloned();
        let number = |n: u64| Some(Json::Number(n.into()));
        assert_eq!(find("a/b"), number(1));
        assert_eq!(find("/a~1b"), number(1));
        assert_eq!(find("/a/b"), number(2));
        assert_eq!(find("/a/~0"), number(3));
        assert_eq!(find("/list/0/b"), number(4));
        assert_eq!(find("/list/00/b"), None);
        assert_eq!(find("/list/1/b"), None);
        assert_eq!(find("/list/b"), None);
        assert_eq!(find("/a/c"), None);
        assert!(ClaimPath::parse("").is_err());
        assert!(ClaimPath::parse("/a~2").is_err());
    }
}
