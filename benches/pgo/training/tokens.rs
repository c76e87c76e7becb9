//! The tokens that are sent, made by the demo's identity provider (`stepgate::demo`).

use stepgate::clock;
use stepgate::config::{SourceFile, load_policy};
use stepgate::demo::mint::{Mint, Usual};
use stepgate::demo::wish::{SignedIn, Wish};
use stepgate::token::TokenKind;

use super::Failure;

/// RS256.
pub(crate) const BANK: &str = "bank";
/// ES256.
pub(crate) const CLUB: &str = "club";

/// Makes tokens for the issuers of a policy.
pub(crate) struct Tokens(Mint);

impl Tokens {
    /// For this policy's issuers, with keys of its own.
    pub(crate) fn new(policy: &str) -> Result<Self, Failure> {
        let file = SourceFile { name: "policy.yaml".to_owned(), folder: ".".into(), text: policy.to_owned() };
        let policy = load_policy(vec![file]).map_err(|rejected| format!("the training's policy: {rejected:?}"))?.policy;
        let usual = Usual { scope: "accounts payments".to_owned(), client: "app".to_owned() };
        Ok(Self(Mint::new(&policy, usual)?))
    }

    /// The keys that verify them.
    pub(crate) fn key_set(&self) -> String {
        self.0.key_set().to_string()
    }

    /// Of somebody who signed in with two factors.
    pub(crate) fn strong(&self, issuer: &str, user: usize) -> Result<String, Failure> {
        self.made(&Wish { amr: factors(&["pwd", "otp"]), ..of(issuer, user) })
    }

    /// The same each time but for its times.
    pub(crate) fn usual(&self) -> Result<String, Failure> {
        self.strong(BANK, 1)
    }

    /// So many of them, each of another user.
    pub(crate) fn many(&self, issuer: &str, from: usize, count: usize) -> Result<Vec<String>, Failure> {
        (from..from.saturating_add(count)).map(|user| self.strong(issuer, user)).collect()
    }

    /// Of somebody who signed in with a password.
    pub(crate) fn weak(&self, user: usize) -> Result<String, Failure> {
        self.made(&Wish { amr: factors(&["pwd"]), ..of(BANK, user) })
    }

    /// Well signed, and too old.
    pub(crate) fn expired(&self, user: usize) -> Result<String, Failure> {
        self.made(&Wish { lifetime: Some(-3_600), signed_in: SignedIn::Ago(7_200), ..of(BANK, user) })
    }

    /// For another audience.
    pub(crate) fn of_others(&self, user: usize) -> Result<String, Failure> {
        self.made(&Wish { audience: Some("https://other.example".to_owned()), ..of(BANK, user) })
    }

    /// With the claims of one token and the signature of another.
    pub(crate) fn forged(&self, user: usize) -> Result<String, Failure> {
        let (claims, signature) = (self.strong(BANK, user)?, self.weak(user)?);
        let said = claims.rsplit_once('.').map(|(said, _)| said);
        let signature = signature.rsplit_once('.').map(|(_, signature)| signature);
        let both = said.zip(signature).map(|(said, signature)| format!("{said}.{signature}"));
        both.ok_or_else(|| "a token without a signature".into())
    }

    /// An `id_token`.
    pub(crate) fn id(&self, user: usize) -> Result<String, Failure> {
        self.made(&Wish { kind: Some(TokenKind::Id), amr: factors(&["pwd", "otp"]), ..of(BANK, user) })
    }

    fn made(&self, wish: &Wish) -> Result<String, Failure> {
        Ok(self.0.token(wish, clock::now())?)
    }
}

fn factors(amr: &[&str]) -> Vec<String> {
    amr.iter().map(|&value| value.to_owned()).collect()
}

fn of(issuer: &str, user: usize) -> Wish {
    let (issuer, subject) = (Some(issuer.to_owned()), Some(format!("user-{user:08}")));
    Wish { issuer, subject, lifetime: Some(3_600), ..Wish::default() }
}
