//! The tokens that were found, verified; of each kind one at the most, and two only if they belong together.

use std::net::IpAddr;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::assurance::{Assurance, pair};
use crate::policy::{Denial, Place, Policy, TokenSource, Tokens};
use crate::proxy::extract::Found;
use crate::proxy::kept::Desk;
use crate::proxy::refusal::Refusal;
use crate::proxy::verify::Verify;
use crate::reason::Reason;
use crate::token::{Credential, Timestamp, TokenKind};

/// The verified tokens of a request, with where they were found.
#[derive(Debug, Default)]
pub(super) struct Verified<'r> {
    access: Option<(Found<'r>, Arc<Assurance>)>,
    id: Option<(Found<'r>, Arc<Assurance>)>,
    /// Further places where one of them stands.
    copies: Vec<&'r TokenSource>,
}

/// Verifies the tokens that were found.
///
/// # Errors
/// Of several reasons the first: a token that is not believed, two of one kind, one of a kind that is not taken where it
/// stands, two that do not belong together.
pub(super) async fn verify<'r, V: Verify>(
    verifier: &V,
    policy: &Policy,
    found: SmallVec<[Found<'r>; 1]>,
    peer: IpAddr,
    desk: Desk<'_>,
) -> Result<Verified<'r>, Refusal> {
    let mut verified = Verified::default();
    let mut first: Option<Refusal> = None;
    let mut note = |refusal: Refusal| {
        if first.as_ref().is_none_or(|first| refusal.denial.reason < first.denial.reason) {
            first = Some(refusal);
        }
    };
    for one in found {
        if let Place::Kept(name, _) = &one.source.place {
            match desk.open(&one.credential, name, policy) {
                Ok(assurance) => verified.add(one, Arc::new(assurance)).unwrap_or_else(&mut note),
                Err(refusal) => note(refusal),
            }
            continue;
        }
        match verifier.verify(&one.credential, policy, peer, desk.now).await {
            // A client that speaks of a proof must not be let in without one, and no proof is checked yet.
            Ok(assurance) if one.with_proof => {
                note(refused(
                    Reason::BindingMissing,
                    &assurance,
                    "the scheme is DPoP, whose proof is not supported yet",
                ));
            }
            Ok(assurance) => verified.add(one, assurance).unwrap_or_else(&mut note),
            Err(rejected) => note(rejected.into()),
        }
    }
    verified.check_pair(policy).unwrap_or_else(note);
    first.map_or(Ok(verified), Err)
}

fn refused(reason: Reason, assurance: &Assurance, detail: &'static str) -> Refusal {
    Refusal::new(Denial { issuer: Some(assurance.issuer), ..Denial::because(reason) }, detail)
}

impl<'r> Verified<'r> {
    fn add(&mut self, found: Found<'r>, assurance: Arc<Assurance>) -> Result<(), Refusal> {
        if !found.source.kinds.takes(assurance.kind) {
            return Err(refused(
                Reason::TokenKindWrong,
                &assurance,
                "a token of this kind is not taken where it stands",
            ));
        }
        let place = match assurance.kind {
            TokenKind::Access => &mut self.access,
            TokenKind::Id => &mut self.id,
        };
        match place {
            None => *place = Some((found, assurance)),
            Some((known, _)) if known.credential == found.credential => self.copies.push(found.source),
            Some(_) => return Err(refused(Reason::TokenDuplicate, &assurance, "two tokens of one kind in two places")),
        }
        Ok(())
    }

    fn check_pair(&self, policy: &Policy) -> Result<(), Refusal> {
        let (Some((found, access)), Some((id_found, id))) = (&self.access, &self.id) else { return Ok(()) };
        let kept = found.is_kept() || id_found.is_kept();
        let together = policy
            .issuer(access.issuer)
            .is_some_and(|issuer| pair::together(issuer, (access, found.credential.expose()), id, kept));
        if together {
            return Ok(());
        }
        Err(refused(Reason::TokensDisagree, access, "nothing ties the id_token to the access token"))
    }

    /// As the decision takes them.
    pub(super) fn as_tokens(&self) -> Option<Tokens<'_>> {
        match (&self.access, &self.id) {
            (Some((_, access)), Some((_, id))) => Some(Tokens::Pair { access, id }),
            (Some((_, one)), None) | (None, Some((_, one))) => Some(Tokens::One(one)),
            (None, None) => None,
        }
    }

    /// The token that calls, and the one whose evidence spoke.
    pub(super) fn speakers(&self, by: Option<TokenKind>) -> Option<(&Arc<Assurance>, &Arc<Assurance>)> {
        let access = self.access.as_ref().map(|(_, one)| one);
        let id = self.id.as_ref().map(|(_, one)| one);
        let caller = access.or(id)?;
        let witness = if by == Some(TokenKind::Id) { id } else { access };
        Some((caller, witness.unwrap_or(caller)))
    }

    /// The tokens that a permit stands on: the one that calls, and beside it the one whose evidence spoke.
    pub(super) fn standing(
        &self,
        by: Option<TokenKind>,
    ) -> impl Iterator<Item = (&Found<'r>, &Arc<Assurance>)> + Clone {
        let counts = self.access.is_none() || by == Some(TokenKind::Id);
        let id = self.id.as_ref().filter(|_| counts);
        self.access.iter().chain(id).map(|(found, one)| (found, one))
    }

    /// When the newest of them was issued.
    pub(super) fn issued(&self) -> Option<Timestamp> {
        self.access.iter().chain(&self.id).filter_map(|(_, one)| one.issued).max()
    }

    /// The token whose evidence spoke, if it came with this very request and was not kept before.
    pub(super) fn witness_that_came(&self, by: TokenKind) -> Option<(&Credential, &Assurance)> {
        let place = match by {
            TokenKind::Access => &self.access,
            TokenKind::Id => &self.id,
        };
        place.as_ref().filter(|(found, _)| !found.is_kept()).map(|(found, one)| (&found.credential, &**one))
    }

    /// Whether the evidence that spoke, or would have, was kept before.
    pub(super) fn is_kept(&self, by: Option<TokenKind>) -> bool {
        let kept = |place: &Option<(Found<'_>, _)>| place.as_ref().is_some_and(|(found, _)| found.is_kept());
        match (by, &self.access) {
            (Some(TokenKind::Id), _) | (_, None) => kept(&self.id),
            (Some(TokenKind::Access) | None, Some(_)) => kept(&self.access),
        }
    }

    /// Where they were found.
    pub(super) fn sources(&self) -> impl Iterator<Item = &'r TokenSource> {
        let kinds = self.access.iter().chain(&self.id).map(|(found, _)| found.source);
        kinds.chain(self.copies.iter().copied())
    }
}
