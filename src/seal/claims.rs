//! Which of a token's claims are kept: those that the policy in force reads, as they stood, and no others.

use aws_lc_rs::digest;

use crate::assurance::{ClaimTable, Expression, Issuer};
use crate::token::{ClaimPath, Json, TokenKind, Tree};

/// Claims that are read whatever the policy says: the session that pairs are tied by, for whom an `id_token` is, and when the
/// token was issued.
const ALWAYS: [&str; 3] = ["sid", "azp", "iat"];

/// The claims that an issuer's mapping, its rule for tokens of this kind and the policy's own table read.
pub(super) fn read<'p>(issuer: &'p Issuer, kind: TokenKind, table: &'p ClaimTable) -> Vec<&'p ClaimPath> {
    let mapping = &issuer.mapping;
    let sources =
        [&mapping.acr.from, &mapping.amr.from, &mapping.auth_time, &mapping.subject, &mapping.client, &mapping.scopes];
    let mut paths: Vec<&ClaimPath> = sources.into_iter().flatten().chain(table.paths()).collect();
    let rule = match kind {
        TokenKind::Access => &issuer.expectation.access,
        TokenKind::Id => &issuer.expectation.id,
    };
    if let Some(rule) = rule {
        paths.push(&rule.audience_from);
        paths.extend(rule.has.iter().map(|required| &required.claim));
    }
    paths
}

/// How many bytes tell one path from every other that a policy has.
const MARK: usize = 4;

/// The paths that were read, in a few bytes each: what is not among the claims that are kept was then not there either.
pub(super) fn marks(paths: &[&ClaimPath]) -> Box<[u8]> {
    paths.iter().flat_map(|path| mark(path.steps())).collect()
}

fn mark(steps: &[Box<str>]) -> [u8; MARK] {
    let mut hash = digest::Context::new(&digest::SHA256);
    for step in steps {
        hash.update(&u64::try_from(step.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(step.as_bytes());
    }
    hash.finish().as_ref().first_chunk().copied().unwrap_or_default()
}

/// A claim that the issuer's mapping, or its rule for clients, reads now and nobody looked at when these were kept. Such a
/// claim is not absent: a later source, `absent` or another caller would stand in for what it may have said.
pub(super) fn unread<'p>(issuer: &'p Issuer, table: &'p ClaimTable, marks: &[u8]) -> Option<&'p ClaimPath> {
    let mapping = &issuer.mapping;
    let sources =
        [&mapping.acr.from, &mapping.amr.from, &mapping.auth_time, &mapping.subject, &mapping.client, &mapping.scopes];
    let mut paths: Vec<&ClaimPath> = sources.into_iter().flatten().collect();
    if let Some(rule) = &issuer.client_when {
        rule.walk(&mut |part| {
            if let Expression::Claim(slot, _) | Expression::Present(slot) = part {
                paths.extend(table.path(*slot));
            }
        });
    }
    // With a claim all that is in it was kept.
    let was_read = |path: &ClaimPath| {
        let steps = path.steps();
        let within = (1..=steps.len()).filter_map(|length| steps.get(..length)).map(mark);
        steps.first().is_some_and(|first| ALWAYS.contains(&&**first))
            || within.into_iter().any(|wanted| marks.chunks_exact(MARK).any(|mark| *mark == wanted))
    };
    paths.into_iter().find(|path| !was_read(path))
}

/// The claims without what none of the paths reads. What is nested keeps its place, so that every path finds in them what it
/// found before, and lists stay whole.
pub(super) fn only(claims: &Tree<'_>, paths: &[&ClaimPath]) -> Json {
    let always: Vec<[Box<str>; 1]> = ALWAYS.iter().map(|name| [Box::from(*name)]).collect();
    let steps: Vec<&[Box<str>]> =
        paths.iter().map(|path| path.steps()).chain(always.iter().map(<[Box<str>; 1]>::as_slice)).collect();
    pruned(claims, &steps).unwrap_or_else(|| Json::object([]))
}

/// A value without what no path reads; `None`: nothing of it is read.
fn pruned(value: &Tree<'_>, paths: &[&[Box<str>]]) -> Option<Json> {
    if paths.iter().any(|path| path.is_empty()) {
        return Some(value.to_json());
    }
    match value {
        Tree::Object(members) => {
            let read = members.iter().filter_map(|(name, value)| {
                let below: Vec<&[Box<str>]> = paths
                    .iter()
                    .filter_map(|path| path.split_first())
                    .filter(|(step, _)| ***step == **name)
                    .map(|(_, rest)| rest)
                    .collect();
                let value = (!below.is_empty()).then(|| pruned(value, &below)).flatten()?;
                Some((name.to_string().into(), value))
            });
            let read: Box<[_]> = read.collect();
            (!read.is_empty()).then_some(Json::Object(read))
        }
        // A step into a list is an index: what stands before it must stay.
        Tree::Array(_) => Some(value.to_json()),
        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::String(_) => None,
    }
}

/// How many bytes each of the claims takes, by name and never by value.
pub(super) fn sizes(claims: &Json) -> Vec<(String, usize)> {
    let Json::Object(members) = claims else { return Vec::new() };
    let size = |value: &Json| serde_json::to_string(value).map_or(0, |text| text.len());
    let mut sizes: Vec<(String, usize)> = members.iter().map(|(name, value)| (name.to_string(), size(value))).collect();
    sizes.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(claims: &str, paths: &[&str]) -> String {
        let paths: Vec<ClaimPath> = paths.iter().map(|path| ClaimPath::parse(path).unwrap()).collect();
        let claims = Json::parse(claims).unwrap();
        let kept = only(&claims, &paths.iter().collect::<Vec<_>>());
        for path in &paths {
            assert_eq!(path.find(&kept), path.find(&claims), "{path}: read after as before");
        }
        serde_json::to_string(&kept).unwrap()
    }

    #[test]
    fn what_the_policy_reads_stays_as_it_stood_and_nothing_else_does() {
        let claims =
            r#"{"acr":"2","email":"ada@x","amr":null,"sub":"ada","sid":"s","ext":{"a":1,"b":{"c":2,"d":3}},"n":[]}"#;
        for (paths, left) in [
            (&["acr", "amr"][..], r#"{"acr":"2","amr":null,"sid":"s"}"#),
            (&["/ext/a"], r#"{"sid":"s","ext":{"a":1}}"#),
            (&["/ext/b/c"], r#"{"sid":"s","ext":{"b":{"c":2}}}"#),
            (&["/ext/b/c", "ext"], r#"{"sid":"s","ext":{"a":1,"b":{"c":2,"d":3}}}"#),
            (&["/ext/b/x", "/sub/x", "none", "n"], r#"{"sid":"s","n":[]}"#),
            (&["/ext/a/x"], r#"{"sid":"s"}"#),
            (&[], r#"{"sid":"s"}"#),
        ] {
            assert_eq!(kept(claims, paths), left, "{paths:?}");
        }
    }

    #[test]
    fn a_list_that_a_path_leads_into_stays_whole() {
        let claims = r#"{"list":[{"b":4,"z":1},{"b":5}],"sub":"ada"}"#;
        assert_eq!(kept(claims, &["/list/1/b"]), r#"{"list":[{"b":4,"z":1},{"b":5}]}"#);
    }

    #[test]
    fn sizes_name_claims_largest_first() {
        let claims = Json::parse(r#"{"a":"x","groups":["one","two"]}"#).unwrap();
        assert_eq!(sizes(&claims), [("groups".to_owned(), 13), ("a".to_owned(), 3)]);
    }
}
