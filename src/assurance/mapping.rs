//! From an issuer's own claims to evidence: source, `absent`, `rename`, `ignore_amr`, in this order (docs/policy.md).

use std::borrow::Cow;
use std::collections::BTreeMap;

use smallvec::{SmallVec, smallvec};

use crate::assurance::common;
use crate::assurance::evidence::Fact;
use crate::assurance::list::List;
use crate::token::{ClaimPath, Timestamp, Tree};

/// Where an issuer's evidence, subject, client and scopes are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The source of `acr`.
    pub acr: ValueMapping,
    /// The source of `amr`.
    pub amr: ValueMapping,
    /// Where the time of the sign-in is read; the first that is there.
    pub auth_time: Box<[ClaimPath]>,
    /// Where the subject is read.
    pub subject: Box<[ClaimPath]>,
    /// Where the client is read.
    pub client: Box<[ClaimPath]>,
    /// Where the scopes are read.
    pub scopes: Box<[ClaimPath]>,
}

/// How one evidence claim is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueMapping {
    /// Whether the issuer is believed about it at all (`trust`).
    pub trusted: bool,
    /// Where it is read; the first that is there. Empty: only `absent` speaks.
    pub from: Box<[ClaimPath]>,
    /// The JSON shapes taken.
    pub accept: Accept,
    /// What a user's token without the claim is taken to say; `None`: nothing.
    pub absent: Option<Box<[Box<str>]>>,
    /// Values replaced by others.
    pub rename: BTreeMap<Box<str>, Box<str>>,
}

/// The JSON shapes in which an evidence claim may come. Any other shape is malformed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accept {
    /// A string that is one value.
    pub string: bool,
    /// An array of strings.
    pub array: bool,
    /// A whole number, read as its decimal digits.
    pub number: bool,
    /// A string of values with spaces between.
    pub space_separated: bool,
}

/// Values as they stand in the claims, or in the policy.
pub type Values<'c> = SmallVec<[Cow<'c, str>; 4]>;

/// The same, copied.
pub(in crate::assurance) fn owned(values: &Values<'_>) -> Vec<Box<str>> {
    values.iter().map(|value| (**value).into()).collect()
}

/// The first of the sources that the token has: `null` and empty lists are absent, so the next is tried.
fn first<'c, 't>(from: &[ClaimPath], claims: &'c Tree<'t>) -> Option<&'c Tree<'t>> {
    from.iter().filter_map(|path| path.find(claims)).find(|value| !value.is_absent())
}

impl ValueMapping {
    /// The values that a token states. `user`: whether a user signed in; `absent` never stands in for a client's token.
    #[must_use]
    pub fn values<'c>(&'c self, claims: &'c Tree<'_>, user: bool) -> Fact<Values<'c>> {
        if !self.trusted {
            return Fact::Absent;
        }
        let mut stated = match first(&self.from, claims) {
            Some(value) => match self.accept.read(value) {
                Some(values) => values,
                None => return Fact::Malformed,
            },
            None => match &self.absent {
                Some(values) if user => values.iter().map(|value| Cow::Borrowed(&**value)).collect(),
                Some(_) | None => return Fact::Absent,
            },
        };
        for value in &mut stated {
            if let Some(ours) = self.rename.get(&**value) {
                *value = Cow::Borrowed(ours);
            }
        }
        Fact::Known(stated)
    }

    /// What the policy calls a value of the issuer's.
    #[must_use]
    pub fn renamed<'v>(&'v self, theirs: &'v str) -> &'v str {
        self.rename.get(theirs).map_or(theirs, |ours| &**ours)
    }

    /// What the issuer may call a value of the policy's: all that is renamed to it, and itself unless that means another.
    #[must_use]
    pub fn theirs(&self, ours: &str) -> Vec<Box<str>> {
        let renamed = self.rename.iter().filter(|(_, to)| ***to == *ours).map(|(theirs, _)| theirs.clone());
        let itself = (!self.rename.contains_key(ours)).then(|| ours.into());
        renamed.chain(itself).collect()
    }
}

impl Accept {
    pub(in crate::assurance) fn read<'c>(self, value: &'c Tree<'_>) -> Option<Values<'c>> {
        let values: Values<'c> = match value {
            Tree::String(text) if self.space_separated => {
                text.split(' ').filter(|v| !v.is_empty()).map(Cow::Borrowed).collect()
            }
            Tree::String(text) if self.string => smallvec![Cow::Borrowed(&**text)],
            Tree::Number(number) if self.number => smallvec![Cow::Owned(number.as_u64()?.to_string())],
            Tree::Array(items) if self.array => {
                items.iter().map(|item| item.as_str().map(Cow::Borrowed)).collect::<Option<_>>()?
            }
            Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::String(_) | Tree::Array(_) | Tree::Object(_) => {
                return None;
            }
        };
        // An empty value is no value; a list that holds one was not made with care.
        (!values.is_empty() && values.iter().all(|value| !value.is_empty())).then_some(values)
    }
}

impl Mapping {
    /// When the user signed in.
    #[must_use]
    pub fn auth_time(&self, claims: &Tree<'_>) -> Fact<Timestamp> {
        first(&self.auth_time, claims)
            .map_or(Fact::Absent, |claim| Timestamp::from_claim(claim).map_or(Fact::Malformed, Fact::Known))
    }

    /// The subject: a string that is not empty.
    #[must_use]
    pub fn subject<'c>(&self, claims: &'c Tree<'_>) -> Fact<&'c str> {
        name(first(&self.subject, claims))
    }

    /// The client: a string that is not empty.
    #[must_use]
    pub fn client<'c>(&self, claims: &'c Tree<'_>) -> Fact<&'c str> {
        name(first(&self.client, claims))
    }

    /// The scopes: a space-separated string or an array of strings. In any other shape none is granted.
    #[must_use]
    pub fn scopes(&self, claims: &Tree<'_>) -> List<Box<str>> {
        let accept = Accept { array: true, space_separated: true, ..Accept::default() };
        let scopes = first(&self.scopes, claims).and_then(|claim| accept.read(claim)).unwrap_or_default();
        common::scopes(&scopes)
    }
}

fn name<'c>(claim: Option<&'c Tree<'_>>) -> Fact<&'c str> {
    claim.map_or(Fact::Absent, |claim| match claim.as_str() {
        Some(text) if !text.is_empty() => Fact::Known(text),
        Some(_) | None => Fact::Malformed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Accept = Accept { string: false, array: false, number: false, space_separated: false };
    const TEXT: Accept = Accept { string: true, ..NONE };
    const LIST: Accept = Accept { array: true, ..NONE };
    const NUMBER: Accept = Accept { number: true, ..NONE };
    const WORDS: Accept = Accept { space_separated: true, ..NONE };

    fn values(accept: Accept, claim: &str) -> Fact<Vec<Box<str>>> {
        let mapping = ValueMapping {
            trusted: true,
            from: [ClaimPath::parse("claim").unwrap()].into(),
            accept,
            absent: Some(["stands-in".into()].into()),
            rename: BTreeMap::from([("theirs".into(), "ours".into())]),
        };
        let claims = format!("{{\"claim\":{claim}}}");
        mapping.values(&Tree::read(&claims).unwrap(), true).map(|values| owned(&values))
    }

    #[test]
    fn a_claim_is_read_in_the_shapes_that_are_taken() {
        for (accept, claim, known) in [
            (TEXT, "\"theirs\"", &["ours"][..]),
            (TEXT, "\"a b\"", &["a b"]),
            (LIST, "[\"a\", \"theirs\"]", &["a", "ours"]),
            (NUMBER, "2", &["2"]),
            (WORDS, "\" a  theirs \"", &["a", "ours"]),
            (LIST, "[]", &["stands-in"]),
            (TEXT, "null", &["stands-in"]),
        ] {
            let known: Vec<Box<str>> = known.iter().map(|value| (*value).into()).collect();
            assert_eq!(values(accept, claim), Fact::Known(known), "{accept:?} {claim}");
        }
    }

    #[test]
    fn a_claim_in_any_other_shape_is_malformed_whole_and_nothing_stands_in_for_it() {
        for (accept, claim) in [
            (TEXT, "1"),
            (TEXT, "\"\""),
            (TEXT, "[\"a\"]"),
            (TEXT, "true"),
            (LIST, "\"a\""),
            (LIST, "1"),
            (LIST, "[\"a\", 1]"),
            (LIST, "[\"a\", null]"),
            (LIST, "[\"a\", \"\"]"),
            (LIST, "{\"a\": 1}"),
            (NUMBER, "\"2\""),
            (NUMBER, "-2"),
            (NUMBER, "2.5"),
            (WORDS, "\" \""),
            (WORDS, "[\"a\"]"),
        ] {
            assert_eq!(values(accept, claim), Fact::Malformed, "{accept:?} {claim}");
        }
    }

    #[test]
    fn only_a_text_that_is_not_empty_names_somebody() {
        for (claim, is) in [
            ("\"user-7\"", Fact::Known("user-7")),
            ("\"\"", Fact::Malformed),
            ("7", Fact::Malformed),
            ("[\"user-7\"]", Fact::Malformed),
        ] {
            assert_eq!(name(Some(&Tree::parse(claim).unwrap())), is, "{claim}");
        }
        assert_eq!(name(None), Fact::Absent);
    }
}
