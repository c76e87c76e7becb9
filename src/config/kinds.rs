//! `access` and `id`: how an issuer's tokens of each kind are told.

use crate::config::expression::{self, claim};
use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields, Keys};
use crate::config::yaml::{Key, Kind, Node};
use crate::token::{ClaimPath, Json, KindRule, Required, TokenKind};

const KEYS: &[&str] = &["audiences", "typ", "has", "audience_from"];
const ACCESS: Keys = Keys { what: "`access`", known: KEYS, later: &[] };
const ID: Keys = Keys { what: "`id`", known: KEYS, later: &[] };

/// The type of an access token (RFC 9068 section 2.1), which an `id_token` never has.
const AT_JWT: &str = "at+jwt";

/// Reads the rule for one kind.
pub fn read(node: &Node, kind: TokenKind, out: &mut Report) -> Option<KindRule> {
    let fields = Fields::of(node, if kind == TokenKind::Access { ACCESS } else { ID }, out)?;
    let audiences = fields.required("audiences", out).and_then(|node| reader::texts(node, "a list of audiences", out));
    let types = match fields.get("typ", out) {
        Some(node) => types(node, kind, out),
        None => Some(default_types(kind)),
    };
    let has = match fields.get("has", out) {
        Some(node) => required(node, out),
        None => Some(Box::default()),
    };
    let audience_from = match fields.get("audience_from", out) {
        Some(node) => reader::text(node, "a claim", out).and_then(|text| claim(text, node.span, out)),
        None => ClaimPath::parse("aud").ok(),
    };
    Some(KindRule { audiences: audiences?, audience_from: audience_from?, types: types?, has: has? })
}

fn default_types(kind: TokenKind) -> Box<[Option<Box<str>>]> {
    match kind {
        TokenKind::Access => [Some(AT_JWT.into()), Some("jwt".into()), None].into(),
        TokenKind::Id => [Some("jwt".into()), None].into(),
    }
}

fn types(node: &Node, kind: TokenKind, out: &mut Report) -> Option<Box<[Option<Box<str>>]>> {
    let what = "a list of `typ` values, `none` for a token without one";
    let mut types: Vec<Option<Box<str>>> = Vec::new();
    for item in reader::list(node, what, out)? {
        let written = reader::text(item, "a `typ` value", out)?.to_ascii_lowercase();
        let plain = written.strip_prefix("application/").unwrap_or(&written);
        if kind == TokenKind::Id && plain == AT_JWT {
            let message = "`at+jwt` is the type of access tokens, so no id_token has it";
            out.add(Problem::error("at_jwt_id_token", item.span, message).help("take it out of `id`"));
        }
        let typ = (plain != "none").then(|| plain.into());
        if types.contains(&typ) {
            out.add(Problem::error("duplicate_value", item.span, format!("`{plain}` stands twice in this list")));
        }
        types.push(typ);
    }
    Some(types.into())
}

/// Claims that must be there: a list of them, or a mapping of each to the values of which it must have one.
fn required(node: &Node, out: &mut Report) -> Option<Box<[Required]>> {
    let found: Vec<Option<Required>> = match &node.kind {
        Kind::Map(pairs) if pairs.is_empty() => {
            out.add(Problem::error("empty_expression", node.span, "an empty `has` asks for nothing"));
            return None;
        }
        Kind::Map(pairs) => {
            let one = |(key, node): &(Key, Node)| {
                let (claim, values) = (claim(&key.text, key.span, out), values(node, out));
                Some(Required { claim: claim?, values: Some(values?) })
            };
            pairs.iter().map(one).collect()
        }
        Kind::Null | Kind::Scalar { .. } | Kind::List(_) => {
            let items = reader::list(node, "a list of claims, or claims with their values", out)?;
            let one = |item: &Node| {
                let claim = claim(reader::text(item, "a claim", out)?, item.span, out)?;
                Some(Required { claim, values: None })
            };
            items.iter().map(one).collect()
        }
    };
    found.into_iter().collect()
}

fn values(node: &Node, out: &mut Report) -> Option<Box<[Json]>> {
    let items = match &node.kind {
        Kind::List(_) => reader::list(node, "a value or a list of values", out)?,
        Kind::Null | Kind::Scalar { .. } | Kind::Map(_) => std::slice::from_ref(node),
    };
    items.iter().map(|item| expression::value(item, out)).collect::<Vec<_>>().into_iter().collect()
}

/// Reports an audience that both kinds have, unless the kinds are told apart by something else.
pub fn check_apart(access: (&Node, &KindRule), id: (&Node, &KindRule), out: &mut Report) {
    let ((access_node, access), (id_node, id)) = (access, id);
    let Some(shared) = access.audiences.iter().find(|audience| id.audiences.contains(audience)) else { return };
    let typed_apart = !access.types.iter().any(|typ| id.types.contains(typ));
    // Of one claim it counts only that the values never meet; a claim that the other kind never asks for is its own.
    let needs_other = |mine: &KindRule, theirs: &KindRule| {
        mine.has.iter().any(|mine| !theirs.has.iter().any(|theirs| theirs.claim == mine.claim))
    };
    let valued_apart = access.has.iter().any(|mine| id.has.iter().any(|theirs| mine.excludes(theirs)));
    if typed_apart || valued_apart || needs_other(access, id) && needs_other(id, access) {
        return;
    }
    let message =
        format!("`{shared}` is an audience of access tokens and of id_tokens, so the kinds can't be told apart");
    let help = "give each kind its own audiences, `typ` values that don't meet, or in `has` a claim or a value that only it has";
    let problem = Problem::error("audiences_overlap", id_node.span, message).label("the id_tokens");
    out.add(problem.related(access_node.span, "the access tokens").help(help));
}
