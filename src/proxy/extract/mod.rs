//! A request in, the tokens that its route takes out. Looks nowhere else: never at the query, and at a body only where the
//! route names a form.

use std::cell::RefCell;

use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use smallvec::SmallVec;

use crate::at_hand::{AtHand, Mark};
use crate::policy::{Denial, Mode, Place, Route, TokenSource};
use crate::proxy::form::Form;
use crate::proxy::origin;
use crate::proxy::refusal::Refusal;
use crate::reason::Reason;
use crate::token::Credential;

/// A token, where it was found.
#[derive(Debug)]
pub(super) struct Found<'r> {
    pub(super) credential: Credential,
    pub(super) source: &'r TokenSource,
    /// It came with the scheme `DPoP`, which promises a proof (RFC 9449 section 7.1).
    pub(super) with_proof: bool,
}

/// A request's body, as far as its route looks at it.
pub(super) enum Posted<'f> {
    /// It does not, or there is none; where it is announced to be too large, that is said.
    Unseen(Result<(), Refusal>),
    /// It was read.
    Form(&'f Form),
    /// It could not be read, so whether a token stands there nobody knows.
    Unread(Refusal),
}

impl Found<'_> {
    /// Whether it is no token, but what was kept of one.
    pub(super) fn is_kept(&self) -> bool {
        matches!(self.source.place, Place::Kept(..))
    }
}

/// The tokens that a request carries where its route looks; never none. The same token in two places is one.
///
/// # Errors
/// `token_missing`, `token_duplicate`, `token_too_large`, `body_too_large`, `body_unsupported`, `origin_refused` or
/// `token_malformed`: of several the first; but where the route's mode lifts some of them, the first that it does not lift.
pub(super) fn credentials<'r>(
    route: &'r Route,
    head: &Parts,
    limit: usize,
    own: origin::Own<'_>,
    posted: Posted<'_>,
) -> Result<SmallVec<[Found<'r>; 1]>, Refusal> {
    let mut found = SmallVec::new();
    let mut first = First { refusal: None, mode: route.mode };
    let (form, is_read) = match posted {
        Posted::Unseen(fits) => {
            let _fits = first.note(fits);
            (None, true)
        }
        Posted::Form(form) => (Some(form), true),
        Posted::Unread(refusal) => {
            let _unread = first.note::<()>(Err(refusal));
            (None, false)
        }
    };
    // Wherever the route looks: the application may look here, and which of two it takes can't be told.
    let authorized = first.note(only(&head.headers, &header::AUTHORIZATION));
    let mut stands_somewhere = authorized.is_none() || !is_read;
    let authorized = authorized.flatten().map(HeaderValue::as_bytes);
    for source in &route.take {
        let token = match &source.place {
            // That there are two was noted above.
            Place::Authorization => Ok(authorized.and_then(bearer)),
            Place::Header(name) => field(&head.headers, name),
            Place::Cookie(name, _) | Place::Kept(name, _) => cookie(&head.headers, name),
            Place::Form { name, .. } => form.map_or(Ok(None), |form| form.token(name)),
        };
        let token = first.note(token);
        if token == Some(None) {
            continue;
        }
        stands_somewhere = true;
        // Of a form no origin is asked: the identity provider's page posts it, which is another site by design. What guards
        // it is `state` or `nonce`, which the application checks; and no browser adds a form by itself, as it does a cookie.
        if let Place::Cookie(_, origins) | Place::Kept(_, origins) = &source.place {
            let _allowed = first.note(origin::check(head, origins, own));
        }
        let Some(token) = token.flatten() else { continue };
        if let Some(credential) = first.note(checked(token, limit)) {
            let with_proof = source.place == Place::Authorization && authorized.is_some_and(is_dpop);
            found.push(Found { credential, source, with_proof });
        }
    }
    if !stands_somewhere {
        let _missing = first.note::<()>(Err(Refusal::because(Reason::TokenMissing)));
    }
    first.refusal.map_or(Ok(found), Err)
}

/// Of the refusals noted so far, that whose reason comes first. What the mode does not lift comes before all that it does, or
/// a reason that is lifted would hide one that is not.
struct First {
    refusal: Option<Refusal>,
    mode: Mode,
}

impl First {
    fn note<T>(&mut self, outcome: Result<T, Refusal>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(refusal) => {
                let rank = |refusal: &Refusal| (self.mode.lifts(refusal.denial.reason), refusal.denial.reason);
                if self.refusal.as_ref().is_none_or(|first| rank(&refusal) < rank(first)) {
                    self.refusal = Some(refusal);
                }
                None
            }
        }
    }
}

fn refused(reason: Reason, detail: &'static str) -> Refusal {
    Refusal::new(Denial::because(reason), detail)
}

/// RFC 6750 section 2.1's `b64token`: what any token here is written in.
fn checked(token: &[u8], limit: usize) -> Result<Credential, Refusal> {
    let too_large = || refused(Reason::TokenTooLarge, "the token is longer than `limits.token`");
    if token.len() > limit {
        return Err(too_large());
    }
    let mark = Mark::of_token(token);
    if let Some(known) = mark.and_then(|mark| at_hand(mark, token)) {
        return Ok(known);
    }
    let body =
        token.iter().rposition(|byte| *byte != b'=').map_or(&[][..], |last| token.get(..=last).unwrap_or_default());
    if body.is_empty() || !all_legal(body) {
        return Err(refused(Reason::TokenMalformed, "the token has characters that no token has"));
    }
    let credential = std::str::from_utf8(token).ok().and_then(|text| Credential::new(text, limit).ok());
    let credential = credential.ok_or_else(too_large)?;
    if let Some(mark) = mark {
        TOKENS_HERE.with_borrow_mut(|all| all.offer(mark, || credential.clone()));
    }
    Ok(credential)
}

thread_local! {
    /// Tokens that come again and again, to look at their characters only once, and to hold each once. Nothing is believed of
    /// them.
    static TOKENS_HERE: RefCell<AtHand<Credential>> = const { RefCell::new(AtHand::new(256)) };
}

/// A token that came before: compared whole.
fn at_hand(mark: Mark, token: &[u8]) -> Option<Credential> {
    TOKENS_HERE.with_borrow_mut(|all| {
        all.find(mark).filter(|known| known.expose().as_bytes() == token).map(|known| known.clone())
    })
}

/// Looks at every byte, without a branch, so that it is done many bytes at a time: this runs for each request.
fn all_legal(body: &[u8]) -> bool {
    let is_in = |byte: u8, first: u8, last: u8| byte.wrapping_sub(first) <= last.wrapping_sub(first);
    let legal = |byte: u8| {
        is_in(byte | 0x20, b'a', b'z') | is_in(byte, b'-', b'9') | (byte == b'+') | (byte == b'_') | (byte == b'~')
    };
    body.iter().fold(true, |all, byte| all & legal(*byte))
}

/// Whether `Authorization` has the scheme `DPoP`.
fn is_dpop(value: &[u8]) -> bool {
    value.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"dpop"))
}

/// `Authorization: Bearer` (RFC 6750) or `DPoP` (RFC 9449). Another scheme is not a token.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let end = value.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(value.len());
    let (scheme, rest) = value.split_at_checked(end).unwrap_or((value, &[]));
    if !scheme.eq_ignore_ascii_case(b"bearer") && !scheme.eq_ignore_ascii_case(b"dpop") {
        return None;
    }
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    Some(rest.get(spaces..).unwrap_or_default())
}

fn field<'h>(fields: &'h HeaderMap, name: &str) -> Result<Option<&'h [u8]>, Refusal> {
    let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { return Ok(None) };
    Ok(only(fields, &name)?.map(HeaderValue::as_bytes).filter(|value| !value.is_empty()))
}

fn only<'h>(fields: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h HeaderValue>, Refusal> {
    let mut values = fields.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(refused(Reason::TokenDuplicate, "a field that carries a token stands there twice")),
    }
}

fn cookie<'h>(fields: &'h HeaderMap, name: &str) -> Result<Option<&'h [u8]>, Refusal> {
    let mut values = cookies(fields, name);
    match (values.next(), values.next()) {
        (value, None) => Ok(value.filter(|value| !value.is_empty())),
        (_, Some(_)) => Err(refused(Reason::TokenDuplicate, "the cookie that carries a token stands there twice")),
    }
}

/// The values of the cookies with this name.
pub(super) fn cookies<'h>(fields: &'h HeaderMap, name: &str) -> impl Iterator<Item = &'h [u8]> {
    pairs(fields).filter(move |(found, _)| *found == name.as_bytes()).map(|(_, value)| value)
}

/// The cookies of a request (RFC 6265 section 4.2.1), whether in one field or in several.
fn pairs(fields: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    fields.get_all(header::COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';')).map(pair)
}

/// A cookie's name and value.
pub(super) fn pair(text: &[u8]) -> (&[u8], &[u8]) {
    let text = text.trim_ascii();
    let equals = text.iter().position(|byte| *byte == b'=');
    match equals.and_then(|equals| text.split_at_checked(equals)) {
        Some((name, value)) => (name.trim_ascii(), value.get(1..).unwrap_or_default().trim_ascii()),
        None => (b"", text),
    }
}

/// The cookies of a request without those that go, in one field; `None`: none is left.
pub(super) fn other_cookies(fields: &HeaderMap, goes: impl Fn(&[u8]) -> bool) -> Option<HeaderValue> {
    let stays: Vec<&[u8]> = fields
        .get_all(header::COOKIE)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b';'))
        .map(<[u8]>::trim_ascii)
        .filter(|text| !text.is_empty() && !goes(pair(text).0))
        .collect();
    HeaderValue::from_bytes(&stays.join(&b"; "[..])).ok().filter(|left| !left.is_empty())
}

#[cfg(test)]
mod tests;
