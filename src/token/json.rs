//! JSON as a token may carry it: read strictly, once, into a tree that cannot surprise.
//!
//! `serde_json::Value` keeps the last of two members with one name, so a token could show one `acr` to us and another to
//! the application (RFC 7519 section 4 lets us refuse; RFC 8725 asks for it). Here a duplicate member is an error at any
//! depth, and so is nesting past [`MAX_DEPTH`].

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use smallvec::SmallVec;

use crate::token::names::{mark, same_name, usual};

/// How deep a token's JSON may nest. Real tokens stay below 6.
pub const MAX_DEPTH: usize = 16;

/// A JSON value without duplicate members. Names and strings that stand in the text as they are stay there: most tokens are
/// looked at once, and what is kept of one is copied out then.
#[derive(Clone, PartialEq, Eq)]
pub enum Tree<'t> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// Any number, as written (integers stay exact up to 64 bits).
    Number(serde_json::Number),
    /// A string.
    String(Cow<'t, str>),
    /// An array.
    Array(Box<[Tree<'t>]>),
    /// An object: its members in the order in which they stood.
    Object(Box<[(Name<'t>, Tree<'t>)]>),
}

/// A JSON value that needs no text beside it.
pub type Json = Tree<'static>;

/// A member's name.
pub type Name<'t> = Cow<'t, str>;

impl Json {
    /// Reads one JSON document and nothing after it.
    ///
    /// # Errors
    /// When the text is not JSON, repeats a member name in one object, or nests deeper than [`MAX_DEPTH`].
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        Tree::read(text).map(|tree| tree.to_json())
    }

    /// An object of these members, whose names differ.
    pub(crate) fn object(members: impl IntoIterator<Item = (Box<str>, Self)>) -> Self {
        Self::Object(members.into_iter().map(|(name, value)| (Name::Owned(name.into()), value)).collect())
    }
}

impl<'t> Tree<'t> {
    /// Reads one JSON document and nothing after it, and leaves its words where they stand.
    ///
    /// # Errors
    /// As [`Json::parse`].
    pub fn read(text: &'t str) -> Result<Self, serde_json::Error> {
        let mut input = serde_json::Deserializer::from_str(text);
        let value = Strict { depth: 0 }.deserialize(&mut input)?;
        input.end()?;
        Ok(value)
    }

    /// The same, copied out of the text.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Number(value) => Json::Number(value.clone()),
            Self::String(text) => (&**text).into(),
            Self::Array(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Self::Object(members) => {
                let own = |name: &str| usual(name).map_or_else(|| Name::Owned(name.to_owned()), Name::Borrowed);
                Json::Object(members.iter().map(|(name, value)| (own(name), value.to_json())).collect())
            }
        }
    }

    /// The member of an object; `None` for a missing member and for anything that is not an object.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(key, _)| same_name(key, name)).map(|(_, value)| value),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) | Self::Array(_) => None,
        }
    }

    /// The string, if this is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Array(_) | Self::Object(_) => None,
        }
    }

    /// The array, if this is one.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) => Some(items),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) | Self::Object(_) => None,
        }
    }

    /// Whether a claim with this value counts as absent: `null` or an empty list (docs/policy.md).
    #[must_use]
    pub fn is_absent(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Array(items) => items.is_empty(),
            Self::Bool(_) | Self::Number(_) | Self::String(_) | Self::Object(_) => false,
        }
    }

    /// Equality as policies mean it: same JSON type and same value; `5` and `5.0` are one number.
    #[must_use]
    pub fn same(&self, other: &Tree<'_>) -> bool {
        match (self, other) {
            (Self::Number(a), Tree::Number(b)) => a == b || (a.is_f64() || b.is_f64()) && a.as_f64() == b.as_f64(),
            _ => self == other,
        }
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::String(Cow::Owned(text.to_owned()))
    }
}

/// Claims may hold names and numbers of persons, so a debug print shows the shape alone.
impl fmt::Debug for Tree<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Bool(_) => "[bool]",
            Self::Number(_) => "[number]",
            Self::String(_) => "[string]",
            Self::Array(_) => "[array]",
            Self::Object(_) => "[object]",
        })
    }
}

impl serde::Serialize for Tree<'_> {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => out.serialize_unit(),
            Self::Bool(value) => out.serialize_bool(*value),
            Self::Number(value) => value.serialize(out),
            Self::String(value) => out.serialize_str(value),
            Self::Array(items) => out.collect_seq(items.iter()),
            Self::Object(members) => out.collect_map(members.iter().map(|(key, value)| (key, value))),
        }
    }
}

struct Strict {
    depth: usize,
}

impl Strict {
    fn inner<E: de::Error>(&self) -> Result<Self, E> {
        let depth = self.depth.saturating_add(1);
        if depth > MAX_DEPTH {
            return Err(E::custom("nested too deeply"));
        }
        Ok(Self { depth })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Tree<'de>;

    fn deserialize<D: de::Deserializer<'de>>(self, input: D) -> Result<Tree<'de>, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Tree<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate members")
    }

    fn visit_unit<E>(self) -> Result<Tree<'de>, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree<'de>, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree<'de>, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree<'de>, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Tree<'de>, E> {
        serde_json::Number::from_f64(value).map(Tree::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Tree<'de>, E> {
        Ok(Tree::String(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree<'de>, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut input: A) -> Result<Tree<'de>, A::Error> {
        let mut items: SmallVec<[Tree<'de>; USUAL_ITEMS]> = SmallVec::new();
        while let Some(item) = input.next_element_seed(self.inner()?)? {
            items.push(item);
        }
        Ok(Tree::Array(items.into_boxed_slice()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut input: A) -> Result<Tree<'de>, A::Error> {
        let mut members: SmallVec<[(Name<'de>, Tree<'de>); USUAL_MEMBERS]> = SmallVec::new();
        let (mut marks, mut alike) = (0_u64, false);
        while let Some(name) = input.next_key_seed(MemberName)? {
            let mark = mark(&name);
            alike |= marks & mark != 0;
            marks |= mark;
            members.push((name, input.next_value_seed(self.inner()?)?));
        }
        if alike && has_duplicate(&members) {
            return Err(de::Error::custom("duplicate member"));
        }
        Ok(Tree::Object(members.into_boxed_slice()))
    }
}

/// As many as are read without asking for memory more than once.
const USUAL_MEMBERS: usize = 16;
const USUAL_ITEMS: usize = 8;

struct MemberName;

impl<'de> DeserializeSeed<'de> for MemberName {
    type Value = Name<'de>;

    fn deserialize<D: de::Deserializer<'de>>(self, input: D) -> Result<Name<'de>, D::Error> {
        input.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for MemberName {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
        Ok(Name::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
        Ok(Name::Owned(name.to_owned()))
    }
}

/// Whether two members have one name. A few are compared each with each. More are sorted first, or a sender could choose
/// how long it takes.
fn has_duplicate(members: &[(Name<'_>, Tree<'_>)]) -> bool {
    if members.len() <= USUAL_MEMBERS {
        let mut rest = members;
        while let Some(((name, _), others)) = rest.split_first() {
            if others.iter().any(|(other, _)| other == name) {
                return true;
            }
            rest = others;
        }
        return false;
    }
    let mut names: Vec<&str> = members.iter().map(|(name, _)| &**name).collect();
    names.sort_unstable();
    names.array_windows().any(|[one, next]| one == next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t19_a_duplicate_member_is_refused_at_any_depth() {
        for text in [r#"{"acr":"1","acr":"2"}"#, r#"{"a":{"b":[{"c":1,"c":1}]}}"#, r#"{"\u0061cr":1,"acr":2}"#] {
            assert!(Json::parse(text).is_err(), "{text}");
        }
        let many: Vec<String> = (0..40).map(|n| format!("\"{n}\":0")).collect();
        for count in [2, USUAL_MEMBERS - 1, USUAL_MEMBERS, USUAL_MEMBERS + 1, 40] {
            let members = many[..count].join(",");
            assert!(Json::parse(&format!("{{{members}}}")).is_ok(), "{count}");
            for again in [0, count / 2, count - 1] {
                let twice = format!("{{{members},\"{again}\":1}}");
                assert!(Json::parse(&twice).is_err(), "{count} members, {again} again");
            }
        }
        let both = Json::parse(r#"{"ACR":"1","acr":"2"}"#).unwrap();
        assert_eq!(
            both.member("acr").and_then(Json::as_str),
            Some("2"),
            "names differ by case, so these are two members"
        );
    }

    #[test]
    fn many_members_take_no_longer_than_their_number() {
        let members: Vec<String> = (0..100_000).map(|n| format!("\"{n}\":0")).collect();
        let text = |last: &str| format!("{{{},{last}}}", members.join(","));
        let started = std::time::Instant::now();
        assert!(Json::parse(&text("\"x\":0")).is_ok());
        assert!(Json::parse(&text("\"7\":0")).is_err());
        assert!(started.elapsed().as_secs() < 20, "comparing each with each takes minutes");
    }

    #[test]
    fn what_is_not_one_document_is_refused() {
        for text in ["", "{", "{} {}", "[1,]", "{\"a\":1}x", "NaN", "\"\u{7f}\u{1}\""] {
            assert!(Json::parse(text).is_err(), "{text}");
        }
        assert!(Json::parse(&"[".repeat(100_000)).is_err(), "no stack is spent on nesting");
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(Json::parse(&deep(MAX_DEPTH)).is_ok());
        assert!(Json::parse(&deep(MAX_DEPTH + 1)).is_err());
    }

    #[test]
    fn a_tree_says_what_its_copy_says() {
        let text = r#"{"iss":"i","\u0061":"\u00e9\n","l":["x",1,null,{"y":true}],"n":-1.5}"#;
        let tree = Tree::read(text).unwrap();
        let copy = tree.to_json();
        assert_eq!(tree, copy);
        assert_eq!(copy.member("a").and_then(Json::as_str), Some("\u{e9}\n"));
        assert_eq!(serde_json::to_value(&copy).unwrap(), serde_json::from_str::<serde_json::Value>(text).unwrap());
    }

    #[test]
    fn numbers_compare_by_value_and_types_do_not_mix() {
        let parse = |text: &str| Json::parse(text).unwrap();
        assert!(parse("5").same(&parse("5.0")));
        assert!(!parse("9007199254740993").same(&parse("9007199254740992")), "integers stay exact");
        assert!(!parse("5").same(&parse("\"5\"")));
        assert!(!parse("true").same(&parse("\"true\"")));
    }
}
