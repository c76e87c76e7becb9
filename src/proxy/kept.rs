//! What was proved at sign-in, kept in a sealed cookie: set when an application took the sign-in, opened for later requests,
//! ended by a logout, and never shown to an upstream.

use std::fmt;

use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use smallvec::SmallVec;

use crate::assurance::Assurance;
use crate::policy::{CanonicalPath, Denial, Keep, Permit, Place, Policy, Route};
use crate::proxy::evidence::Verified;
use crate::proxy::extract;
use crate::proxy::refusal::Refusal;
use crate::reason::Reason;
use crate::seal::{Ended, Full, Kept, Keyring, Label, NONCE, SessionId};
use crate::telemetry::{KeptEvent, Recorder};
use crate::token::{Credential, Timestamp};
use crate::verification::Rejected;

/// What kept cookies need of the gate: the keys, and which were ended. Shared by all workers; outlives every policy.
pub struct Sealing {
    keys: Keyring,
    ended: Ended,
}

impl Sealing {
    /// With these keys, and nothing ended yet.
    #[must_use]
    pub fn new(keys: Keyring) -> Self {
        Self { keys, ended: Ended::new(MOST_ENDED) }
    }
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealing").field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// How many ended sign-ins are remembered, each until it would have ended by itself: some 50 MiB of them.
const MOST_ENDED: usize = 1 << 20;
/// The longest value of a cookie that every browser takes, with some room for name and attributes (RFC 6265 section 6.1).
const LONGEST: usize = 4_000;

/// What one request's kept cookies are judged by.
#[derive(Clone, Copy)]
pub(super) struct Desk<'a> {
    pub(super) sealing: Option<&'a Sealing>,
    pub(super) recorder: &'a dyn Recorder,
    /// The canonical host, which every kept cookie is bound to.
    pub(super) host: &'a str,
    /// The request's id, for the log.
    pub(super) id: &'a HeaderValue,
    pub(super) now: Timestamp,
}

impl Desk<'_> {
    /// What a kept cookie proves under the policy.
    ///
    /// # Errors
    /// As for a token that is not believed.
    pub(super) fn open(&self, value: &Credential, cookie: &str, policy: &Policy) -> Result<Assurance, Refusal> {
        let opened = self.opened(value.expose(), cookie, policy).map_err(Refusal::from);
        self.note(if opened.is_ok() { KeptEvent::Opened } else { KeptEvent::Refused }, "");
        opened
    }

    fn opened(&self, value: &str, cookie: &str, policy: &Policy) -> Result<Assurance, Rejected> {
        let kept = self.unsealed(value, cookie)?;
        let refused = |(rejection, issuer)| Rejected { rejection, issuer, retry_after: None };
        let assurance = kept.recall(policy, self.now).map_err(refused)?;
        if self.sealing.is_some_and(|sealing| sealing.ended.has(&kept.id())) {
            let why = "what was kept of the sign-in was ended by a logout";
            return Err(refused((crate::token::Rejection::new(Reason::Revoked, why), Some(assurance.issuer))));
        }
        Ok(assurance)
    }

    /// What a cookie's value holds, whether or not it still counts.
    pub(super) fn unsealed(&self, value: &str, cookie: &str) -> Result<Kept, Rejected> {
        let refused = |rejection| Rejected { rejection, issuer: None, retry_after: None };
        let Some(sealing) = self.sealing else {
            let why = "there are no `seal.keys` to open the kept cookie with";
            return Err(refused(crate::token::Rejection::new(Reason::SignatureInvalid, why)));
        };
        let text = sealing.keys.open(value, Label { cookie, host: self.host }).map_err(refused)?;
        Kept::from_bytes(&text).map_err(refused)
    }

    /// Ends what the cookies of a permitted request keep, where its path says so. The names of those cookies, which the
    /// answer is to delete, whatever it is.
    ///
    /// # Errors
    /// `overloaded`, when an end can't be remembered: a logout that ends nothing must not look like one.
    pub(super) fn end<'r>(&self, route: &'r Route, head: &Parts, path: &CanonicalPath) -> Result<Names<'r>, Refusal> {
        let mut names = Names::new();
        for ending in route.ends.iter().filter(|ending| ending.is_on(path)) {
            for value in extract::cookies(&head.headers, &ending.cookie) {
                if !names.contains(&&*ending.cookie) {
                    names.push(&ending.cookie);
                }
                let value = std::str::from_utf8(value).unwrap_or_default();
                // What does not open is ended already.
                let (Ok(kept), Some(sealing)) = (self.unsealed(value, &ending.cookie), self.sealing) else { continue };
                if kept.until() <= self.now {
                    continue;
                }
                // Another cookie of the same token may have been kept until later, but not for longer from now on.
                let until = kept.until().max(self.now.plus_seconds(ending.seconds.into()));
                match sealing.ended.end(kept.id(), until, self.now) {
                    Ok(true) => self.note(KeptEvent::Ended, ""),
                    Ok(false) => {}
                    Err(Full) => {
                        let detail = "a logout could not be remembered, so it was refused and its session goes on";
                        self.note(KeptEvent::Full, detail);
                        return Err(Refusal::new(Denial::because(Reason::Overloaded), detail));
                    }
                }
            }
        }
        Ok(names)
    }

    /// The kept cookies of a refused request that will never be taken again, which its answer is to delete.
    pub(super) fn spent<'r>(&self, route: &'r Route, head: &Parts, refusal: &Refusal, policy: &Policy) -> Names<'r> {
        let about_a_token = matches!(
            refusal.denial.reason,
            Reason::TokenMalformed
                | Reason::IssuerUnknown
                | Reason::SignatureInvalid
                | Reason::ClaimsMalformed
                | Reason::Expired
                | Reason::AudienceWrong
                | Reason::AzpWrong
                | Reason::TokenKindWrong
                | Reason::Revoked
        );
        let kept = route.take.iter().filter(|_| about_a_token).filter_map(|source| match &source.place {
            Place::Kept(name, _) => Some(&**name),
            Place::Authorization | Place::Header(_) | Place::Cookie(..) | Place::Form { .. } => None,
        });
        let refused = |name: &&str| {
            extract::cookies(&head.headers, name).any(|value| {
                let value = std::str::from_utf8(value).unwrap_or_default();
                self.opened(value, name, policy).is_err()
            })
        };
        kept.filter(refused).collect()
    }

    /// The cookie for what a permitted request's token proved. `None` where the permit is no token's, or what it proved was
    /// itself kept before: that would go on for ever.
    pub(super) fn keep(
        &self,
        keep: &Keep,
        policy: &Policy,
        tokens: &Verified<'_>,
        permit: &Permit,
    ) -> Option<HeaderValue> {
        let (credential, assurance) = tokens.witness_that_came(permit.by()?)?;
        match self.sealed(keep, policy, credential, assurance) {
            Ok(cookie) => {
                self.note(KeptEvent::Set, "");
                Some(cookie)
            }
            Err((event, detail)) => {
                self.note(event, &detail);
                None
            }
        }
    }

    /// The same of one token, or why nothing is kept of it.
    pub(super) fn sealed(
        &self,
        keep: &Keep,
        policy: &Policy,
        credential: &Credential,
        assurance: &Assurance,
    ) -> Result<HeaderValue, (KeptEvent, String)> {
        let failed = |why: &str| (KeptEvent::Failed, why.to_owned());
        let sealing = self.sealing.ok_or_else(|| failed("there are no `seal.keys`"))?;
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|_none| failed("the system has no randomness to give"))?;
        let id = SessionId::of(credential);
        if sealing.ended.has(&id) {
            return Err((KeptEvent::Refused, "a logout ended this sign-in, and its token came again".to_owned()));
        }
        if !sealing.ended.has_room_for(&id, self.now) {
            let why = "nothing more is kept until some of the sign-ins that were ended would have ended by themselves: a \
                       logout could not be remembered";
            return Err((KeptEvent::Full, why.to_owned()));
        }
        let kept = Kept::of(credential, assurance, policy, keep.seconds, self.now)
            .map_err(|error| failed(&error.to_string()))?;
        let text = kept.to_bytes().ok_or_else(|| failed("it cannot be written"))?;
        let label = Label { cookie: &keep.cookie, host: self.host };
        let value = sealing.keys.seal(text, label, nonce).ok_or_else(|| failed("it is too long to be sealed"))?;
        if value.len() > LONGEST {
            let sizes: Vec<String> = kept
                .sizes()
                .iter()
                .take(8)
                .map(|(name, size)| format!("{} {size} B", crate::token::rejection::quoted(name)))
                .collect();
            let why = format!(
                "sealed it has {} bytes, a cookie can have {LONGEST}; its claims: {}",
                value.len(),
                sizes.join(", ")
            );
            return Err((KeptEvent::TooLarge, why));
        }
        let cookie =
            format!("{}={value}; Path=/; Max-Age={}; Secure; HttpOnly; SameSite=Lax", keep.cookie, keep.seconds);
        HeaderValue::try_from(cookie).map_err(|_never| failed("it is no field value"))
    }

    fn note(&self, event: KeptEvent, detail: &str) {
        self.recorder.kept(event, self.id.to_str().unwrap_or_default(), detail);
    }
}

/// Names of cookies.
pub(super) type Names<'r> = SmallVec<[&'r str; 1]>;

/// Takes out of an upstream's answer what would be taken for a kept cookie: nobody else sets one.
pub(super) fn remove_theirs(fields: &mut HeaderMap, kept: &[Box<str>]) {
    let is_ours = |value: &HeaderValue| {
        let text = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        let (name, value) = extract::pair(text);
        // Some browsers send a cookie without a name as its value alone.
        let name = if name.is_empty() { extract::pair(value).0 } else { name };
        kept.iter().any(|ours| ours.as_bytes() == name || ours.as_bytes() == text.trim_ascii())
    };
    let given = fields.get_all(header::SET_COOKIE);
    if !given.iter().any(is_ours) {
        return;
    }
    let left: Vec<HeaderValue> = given.iter().filter(|value| !is_ours(value)).cloned().collect();
    fields.remove(header::SET_COOKIE);
    for value in left {
        fields.append(header::SET_COOKIE, value);
    }
}

/// Adds a kept cookie to an answer, which is this client's alone then.
pub(super) fn set(fields: &mut HeaderMap, cookie: HeaderValue) {
    fields.append(header::SET_COOKIE, cookie);
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // What speaks to one kind of cache goes over what speaks to all (RFC 9213 section 2.2).
    for targeted in ["cdn-cache-control", "surrogate-control"] {
        fields.remove(targeted);
    }
}

/// Has an answer delete cookies.
pub(super) fn delete(fields: &mut HeaderMap, names: &[&str]) {
    for name in names {
        let gone = format!("{name}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax");
        if let Ok(gone) = HeaderValue::try_from(gone) {
            set(fields, gone);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_cannot_set_a_kept_cookie_in_any_spelling_and_sets_all_others() {
        let kept: [Box<str>; 1] = ["__Host-stepgate".into()];
        let left = |values: &[&'static str]| {
            let mut fields = HeaderMap::new();
            fields.insert("x-other", HeaderValue::from_static("1"));
            for value in values {
                fields.append(header::SET_COOKIE, HeaderValue::from_static(value));
            }
            remove_theirs(&mut fields, &kept);
            assert_eq!(fields["x-other"], "1");
            fields
                .get_all(header::SET_COOKIE)
                .iter()
                .map(|value| value.to_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        for theirs in [
            "__Host-stepgate=x; Path=/; Secure",
            "__Host-stepgate=",
            " __Host-stepgate =x",
            "\t__Host-stepgate\t=\tx; Path=/",
            "__Host-stepgate",
            "__Host-stepgate; Secure",
            "=__Host-stepgate=x; Secure",
            " = __Host-stepgate=x",
        ] {
            assert_eq!(left(&["a=1; Path=/", theirs, "b=2"]), ["a=1; Path=/", "b=2"], "{theirs}");
        }
        for own in ["__host-stepgate=x", "__Host-stepgate2=x", "a=__Host-stepgate=x", "a=1; __Host-stepgate=x", "x"] {
            assert_eq!(left(&[own]), [own], "{own}");
        }
    }

    #[test]
    fn an_answer_with_a_kept_cookie_is_stored_by_no_cache() {
        let mut fields = HeaderMap::new();
        for name in ["cache-control", "cdn-cache-control", "surrogate-control"] {
            fields.insert(name, HeaderValue::from_static("public, max-age=60"));
        }
        set(&mut fields, HeaderValue::from_static("__Host-a=x"));
        assert_eq!(fields.len(), 2, "{fields:?}");
        assert_eq!(fields["cache-control"], "no-store");
    }

    struct Told(std::sync::Mutex<Vec<KeptEvent>>);

    impl Recorder for Told {
        fn decided(&self, _: &crate::telemetry::Decision<'_>) -> Result<(), crate::telemetry::Blocked> {
            Ok(())
        }

        fn upstream_failed(&self, _: &crate::telemetry::UpstreamFailure<'_>) {}

        fn kept(&self, event: KeptEvent, _: &str, _: &str) {
            self.0.lock().unwrap().push(event);
        }
    }

    const POLICY: &str = "
version: 1
issuers:
  bank: { issuer: https://bank.example, id: { audiences: [app] }, proves: { single-factor: { factors: 1 } } }
routes:
  - name: callback
    match: { path: /signin }
    take: [ { header: x-id, kind: id } ]
    require: authenticated
    keep: { cookie: __Host-a, for: 1h, ends_on: [/logout] }
  - { name: app, match: { path: \"/**\" }, take: [ { kept: __Host-a } ], require: authenticated }
";

    #[test]
    fn with_no_room_for_its_end_nothing_is_kept_and_no_logout_is_taken_for_one() {
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;

        let file = crate::config::SourceFile { name: "p.yaml".into(), folder: ".".into(), text: POLICY.into() };
        let policy = crate::config::load_policy(vec![file]).unwrap().policy;
        let now = Timestamp::from_seconds(1_767_268_800);
        let claims = r#"{"iss":"https://bank.example","aud":"app","sub":"ada","exp":1767269000,"amr":["pwd"]}"#;
        let token = [r#"{"alg":"ES256"}"#, claims, "s"].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
        let issuer = policy.issuer_of("https://bank.example").unwrap();
        let json = crate::token::Json::parse(claims).unwrap();
        let verified = crate::token::danger_assume_signed(json, None, &issuer.expectation, now).unwrap();
        let (credential, assurance) =
            (Credential::new(&token, 4_096).unwrap(), issuer.assess(&verified, policy.claims()));

        let key = crate::seal::SealKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8").unwrap();
        let sealing = Sealing { keys: Keyring::new(&[key]).unwrap(), ended: Ended::new(1) };
        let told = Told(std::sync::Mutex::default());
        let id = HeaderValue::from_static("id");
        let desk = Desk { sealing: Some(&sealing), recorder: &told, host: "app.example", id: &id, now };
        let keep = policy.routes()[0].keep.as_deref().unwrap();
        let cookie = desk.sealed(keep, &policy, &credential, &assurance).unwrap();
        let value = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();

        let request = http::Request::get("/logout").header("cookie", &value).body(()).unwrap().into_parts().0;
        let path = CanonicalPath::parse("/logout").unwrap();
        let logout = |desk: &Desk<'_>| desk.end(&policy.routes()[1], &request, &path).map(|names| names.to_vec());
        // Every part is full: of other sign-ins, for as long as theirs last.
        for part in 0..=u8::MAX {
            let other = Credential::new(&format!("{part}.s"), 4_096).unwrap();
            let _full = sealing.ended.end(SessionId::of(&other), now.plus_seconds(60), now);
        }
        let refused = logout(&desk).unwrap_err();
        assert_eq!(refused.denial.reason, Reason::Overloaded);
        let (event, _) = desk.sealed(keep, &policy, &credential, &assurance).unwrap_err();
        assert_eq!((event, told.0.lock().unwrap().as_slice()), (KeptEvent::Full, [KeptEvent::Full].as_slice()));
        let credential_of = |value: &str| Credential::new(value.split_once('=').unwrap().1, 4_096).unwrap();
        assert!(desk.open(&credential_of(&value), "__Host-a", &policy).is_ok(), "what did not end goes on");

        let later = Desk { now: now.plus_seconds(60), ..desk };
        assert_eq!(logout(&later).unwrap(), ["__Host-a"]);
        let again = later.open(&credential_of(&value), "__Host-a", &policy).unwrap_err();
        assert_eq!(again.denial.reason, Reason::Revoked);
    }
}
