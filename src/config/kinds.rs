//! `access` and `id`: how an issuer's tokens of each kind are told.

use crate::config::expression::claim;
use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields, Keys};
use crate::config::yaml::Node;
use crate::token::{ClaimPath, KindRule, TokenKind};

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
        Some(node) => claims(node, out),
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

/// A list of claim names or pointers.
pub fn claims(node: &Node, out: &mut Report) -> Option<Box<[ClaimPath]>> {
    let items = reader::list(node, "a list of claims", out)?;
    let claim = |item: &Node, out: &mut Report| claim(reader::text(item, "a claim", out)?, item.span, out);
    items.iter().map(|item| claim(item, out)).collect::<Vec<_>>().into_iter().collect()
}

/// Reports an audience that both kinds have, unless the kinds are told apart by something else.
pub fn check_apart(access: (&Node, &KindRule), id: (&Node, &KindRule), out: &mut Report) {
    let ((access_node, access), (id_node, id)) = (access, id);
    let Some(shared) = access.audiences.iter().find(|audience| id.audiences.contains(audience)) else { return };
    let typed_apart = !access.types.iter().any(|typ| id.types.contains(typ));
    let needs_other = |mine: &KindRule, theirs: &KindRule| mine.has.iter().any(|claim| !theirs.has.contains(claim));
    if typed_apart || needs_other(access, id) && needs_other(id, access) {
        return;
    }
    let message =
        format!("`{shared}` is an audience of access tokens and of id_tokens, so the kinds can't be told apart");
    let help = "give each kind its own audiences, `typ` values that don't meet, or in `has` a claim that only it has";
    let problem = Problem::error("audiences_overlap", id_node.span, message).label("the id_tokens");
    out.add(problem.related(access_node.span, "the access tokens").help(help));
}
