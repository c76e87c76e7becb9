//! The tokens of a request: believed or not, by the functions that believe them on a request's way.

use crate::assurance::Assurance;
use crate::cli::explain::told::{Given, Keys, Named, Signature, TokenTold, What};
use crate::cli::explain::walk::Question;
use crate::cli::explain::{kept, mapping};
use crate::policy::{Denial, Origins, Place, Route, TokenSource};
use crate::proxy::{Piece, Rehearsal};
use crate::reason::Reason;
use crate::token::{
    Credential, Json, Rejection, TokenKind, Unverified, checks, danger_assume_signed, danger_show, verify,
};
use crate::verification::why_unknown;

/// A token that is believed, or what was kept of one.
#[derive(Clone, Debug)]
pub(super) struct Believed {
    pub(super) assurance: Assurance,
    /// As it came; of claims that nobody signed as they would have come.
    pub(super) credential: Credential,
    /// Its text; empty where there is none, but claims.
    pub(super) text: Box<str>,
    /// It was kept before.
    pub(super) kept: bool,
}

/// What came of looking.
pub(super) type Looked = (Vec<TokenTold>, Result<Vec<Believed>, Denial>);

/// A token that was looked at, and what came of it.
pub(super) type Seen = (TokenTold, Result<Believed, Denial>);

/// Looks at the tokens that were given without a place. They stand where the route looks for their kind; those that stand nowhere
/// are told as unread.
pub(super) fn given(question: &Question<'_>, route: &Route) -> (Vec<Seen>, Vec<Named>) {
    let (mut seen, mut unread) = (Vec::new(), Vec::new());
    for one in question.given {
        let (told, outcome) = look_at(one, question);
        let may_stand = |source: &TokenSource| takes(source, &outcome);
        let in_form = route.take.iter().any(|source| parameter_of(source).is_some() && may_stand(source));
        let is_any = places(question, route).next().is_some();
        if is_any && (!in_form || places(question, route).any(may_stand)) {
            seen.push((told, outcome));
            continue;
        }
        let has_form = route.take.iter().any(|source| parameter_of(source).is_some());
        let text = if has_form && question.beside.form.is_some() {
            "the route looks for it in the form, and that was given: it is not in there"
        } else if has_form {
            "the route looks for it in a form, which is read of a POST alone"
        } else {
            "the route looks at nothing but what was kept of a sign-in: give that with --cookie-file or --kept-claims"
        };
        unread.push(Named { name: one.name.clone(), text: text.to_owned() });
    }
    (seen, unread)
}

/// Whether one may stand there. Of what kind one is that was not believed nobody knows.
fn takes(source: &TokenSource, outcome: &Result<Believed, Denial>) -> bool {
    outcome.as_ref().map_or(true, |token| source.kinds.takes(token.assurance.kind))
}

/// The origins of the cookies in which those stand that can stand in nothing else; of several cookies the first.
pub(super) fn origins<'r>(question: &Question<'_>, route: &'r Route, given: &[Seen]) -> Vec<&'r Origins> {
    let in_cookie = |(_, outcome): &Seen| {
        let places = places(question, route).filter(|source| takes(source, outcome));
        let mut places = places.map(|source| match &source.place {
            Place::Cookie(_, origins) => Some(origins),
            Place::Authorization | Place::Header(_) | Place::Kept(..) | Place::Form { .. } => None,
        });
        let first = places.next()??;
        places.all(|origins| origins.is_some()).then_some(first)
    };
    given.iter().filter_map(in_cookie).collect()
}

/// Looks at every token: those that were `given` without a place, and the `pieces` that were found in theirs. Of several reasons
/// to refuse the first in precedence is the one.
pub(super) fn look(
    question: &Question<'_>,
    route: &Route,
    given: Vec<Seen>,
    pieces: &[Piece<'_>],
    rehearsal: &Rehearsal<'_>,
) -> Looked {
    let mut look = Look { told: Vec::new(), believed: Vec::new(), refused: None };
    for seen in given {
        let wrong = |kind: TokenKind| format!("the route `{}` takes no {} token", route.name, kind.name());
        look.add(seen, |kind| places(question, route).any(|source| source.kinds.takes(kind)), wrong);
    }
    for piece in pieces {
        let seen = match &piece.source.place {
            Place::Kept(cookie, _) => kept::look(piece, cookie, rehearsal, question),
            Place::Authorization | Place::Header(_) | Place::Cookie(..) | Place::Form { .. } => {
                let mut told = TokenTold::named(&name(piece, question));
                let outcome = of_text(&piece.credential, question, &mut told);
                (told, outcome)
            }
        };
        let wrong = |_| "a token of this kind is not taken where it stands".to_owned();
        look.add(seen, |kind| piece.source.kinds.takes(kind), wrong);
    }
    (look.told, look.refused.map_or(Ok(look.believed), Err))
}

/// The places of a route where a token may stand that is given without one. A form is one only where it comes by POST, and where
/// nobody says what is in it.
fn places<'r>(question: &Question<'_>, route: &'r Route) -> impl Iterator<Item = &'r TokenSource> {
    let is_form_open = question.method == "POST" && question.beside.form.is_none();
    route.take.iter().filter(move |source| match source.place {
        Place::Kept(..) => false,
        Place::Form { .. } => is_form_open,
        Place::Authorization | Place::Header(_) | Place::Cookie(..) => true,
    })
}

/// The parameter of a form that a token is looked for in, if it is one.
pub(super) fn parameter_of(source: &TokenSource) -> Option<&str> {
    match &source.place {
        Place::Form { name, .. } => Some(name),
        Place::Authorization | Place::Header(_) | Place::Cookie(..) | Place::Kept(..) => None,
    }
}

/// The cookie that a token is looked for in, if it is one.
pub(super) fn cookie_of(source: &TokenSource) -> Option<&str> {
    match &source.place {
        Place::Cookie(name, _) | Place::Kept(name, _) => Some(name),
        Place::Authorization | Place::Header(_) | Place::Form { .. } => None,
    }
}

/// What a token is called that was found in its place.
fn name(piece: &Piece<'_>, question: &Question<'_>) -> String {
    let beside = question.beside;
    let (part, whole) = match &piece.source.place {
        Place::Form { name, .. } => (format!("the parameter `{name}`"), beside.form.as_ref().map(|(name, _)| name)),
        Place::Cookie(name, _) | Place::Kept(name, _) => {
            (format!("the cookie `{name}`"), beside.cookies.as_ref().map(|(name, _)| name))
        }
        Place::Header(name) => (format!("the field {name}"), None),
        Place::Authorization => ("the field Authorization".to_owned(), None),
    };
    whole.map_or_else(|| format!("the token in {part}"), |whole| format!("the token in {part} of {whole}"))
}

struct Look {
    told: Vec<TokenTold>,
    believed: Vec<Believed>,
    refused: Option<Denial>,
}

impl Look {
    fn add(
        &mut self,
        (mut token, outcome): (TokenTold, Result<Believed, Denial>),
        takes: impl Fn(TokenKind) -> bool,
        wrong: impl Fn(TokenKind) -> String,
    ) {
        let known = |new: &Believed| self.believed.iter().find(|known| known.assurance.kind == new.assurance.kind);
        let outcome = outcome.and_then(|new| match known(&new) {
            _ if !takes(new.assurance.kind) => {
                Err(refusal(Reason::TokenKindWrong, wrong(new.assurance.kind), Some(&new.assurance)))
            }
            // The same token in two places is one.
            Some(known) if !new.text.is_empty() && known.text == new.text => Ok(None),
            Some(_) => Err(refusal(Reason::TokenDuplicate, "two tokens of one kind", Some(&new.assurance))),
            None => Ok(Some(new)),
        });
        match outcome {
            Ok(new) => self.believed.extend(new),
            Err(denial) => {
                let why = if denial.detail.is_empty() { denial.reason.meaning() } else { &denial.detail };
                token.refused = Some((denial.reason, why.to_owned()));
                if self.refused.as_ref().is_none_or(|first| denial.reason < first.reason) {
                    self.refused = Some(denial);
                }
            }
        }
        self.told.push(token);
    }
}

fn refusal(reason: Reason, detail: impl Into<String>, of: Option<&Assurance>) -> Denial {
    Denial { detail: detail.into(), issuer: of.map(|token| token.issuer), ..Denial::because(reason) }
}

fn look_at(given: &Given, question: &Question<'_>) -> (TokenTold, Result<Believed, Denial>) {
    let mut told = TokenTold::named(&given.name);
    let outcome = match &given.what {
        What::Token(Err(rejection)) => Err(rejected(rejection.clone())),
        What::Token(Ok(credential)) => of_text(credential, question, &mut told),
        What::Claims { claims, typ } => of_claims(claims, typ.as_deref(), question, &mut told),
    };
    (told, outcome)
}

fn rejected(rejection: Rejection) -> Denial {
    refusal(rejection.reason, rejection.detail, None)
}

fn of_text(credential: &Credential, question: &Question<'_>, told: &mut TokenTold) -> Result<Believed, Denial> {
    let Question { policy, keys, now, .. } = *question;
    let shown = danger_show(credential);
    (told.header, told.claims) = (shown.header.clone(), shown.claims.clone());
    let iss = shown.claims.as_ref().and_then(|claims| claims.member("iss")).and_then(Json::as_str);
    let issuer = iss.and_then(|iss| policy.issuer_of(iss));
    let keys = issuer.and_then(|issuer| keys.get(usize::try_from(issuer.id.0).ok()?));
    let set = match keys {
        Some(Keys::Read { set, from }) => {
            told.signature = Signature::Checked(from.clone());
            Some(&**set)
        }
        Some(Keys::None(why)) => {
            told.signature = Signature::NotChecked(why.clone());
            None
        }
        Some(Keys::Lacking(_)) | None => None,
    };
    told.checks = checks::of_token(credential, set, issuer.map(|issuer| &issuer.expectation), now);

    let mut room = Vec::new();
    let token = Unverified::parse(credential, &mut room).map_err(rejected)?;
    let iss = token.issuer().map_err(rejected)?;
    let Some(issuer) = policy.issuer_of(iss) else {
        return Err(refusal(Reason::IssuerUnknown, why_unknown(iss, policy), None));
    };
    told.issuer = Some(issuer.name.clone());
    let of_issuer = |rejection: Rejection| Denial { issuer: Some(issuer.id), ..rejected(rejection) };
    token.allowed_by(&issuer.expectation).map_err(of_issuer)?;
    if let Some(Keys::Lacking(why)) = keys {
        return Err(of_issuer(Rejection::new(Reason::KeysUnavailable, why.clone())));
    }
    let verified = match set {
        Some(set) => verify(token, set, &issuer.expectation, now).map(|(verified, _)| verified),
        None => {
            let typ = shown.header.as_ref().and_then(|header| header.member("typ")).and_then(Json::as_str);
            let claims = shown.claims.clone().unwrap_or(Json::Null);
            danger_assume_signed(claims, typ, &issuer.expectation, now)
        }
    };
    let verified = verified.map_err(of_issuer)?;
    let assurance = issuer.assess(&verified, policy.claims());
    told.kind = Some(assurance.kind);
    told.mapping = mapping::told(issuer, &verified.claims().to_json(), &assurance);
    Ok(Believed { assurance, credential: credential.clone(), text: credential.expose().into(), kept: false })
}

fn of_claims(
    claims: &Json,
    typ: Option<&str>,
    question: &Question<'_>,
    told: &mut TokenTold,
) -> Result<Believed, Denial> {
    let Question { policy, now, .. } = *question;
    told.signature = Signature::Unsigned;
    told.claims = Some(claims.clone());
    let Some(iss) = claims.member("iss").and_then(Json::as_str) else {
        return Err(refusal(Reason::IssuerUnknown, "the claims have no `iss`", None));
    };
    let Some(issuer) = policy.issuer_of(iss) else {
        return Err(refusal(Reason::IssuerUnknown, why_unknown(iss, policy), None));
    };
    told.issuer = Some(issuer.name.clone());
    told.checks = checks::of_claims(claims, typ, &issuer.expectation, now);
    let verified = danger_assume_signed(claims.clone(), typ, &issuer.expectation, now)
        .map_err(|rejection| Denial { issuer: Some(issuer.id), ..rejected(rejection) })?;
    let assurance = issuer.assess(&verified, policy.claims());
    told.kind = Some(assurance.kind);
    told.mapping = mapping::told(issuer, claims, &assurance);
    let credential = kept::as_token(claims, usize::MAX).map_err(rejected)?;
    Ok(Believed { assurance, credential, text: "".into(), kept: false })
}

/// The believed token of a kind.
pub(super) fn of_kind(believed: &[Believed], kind: TokenKind) -> Option<&Believed> {
    believed.iter().find(|token| token.assurance.kind == kind)
}
