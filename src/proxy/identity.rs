//! What upstreams are told of the caller: `X-Stepgate-*`, set by us alone and only from verified tokens.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;

use bytes::{BufMut as _, BytesMut};
use http::header::{HeaderName, HeaderValue};
use smallvec::SmallVec;

use crate::assurance::Assurance;
use crate::policy::{Permit, Policy};

/// The fields that tell of a caller. What is not known is not told.
#[derive(Debug)]
pub(super) struct Identity(SmallVec<[(HeaderName, HeaderValue); 7]>);

/// All that an identity follows from, and the identity.
struct Known {
    policy: Box<str>,
    permit: Permit,
    caller: Arc<Assurance>,
    witness: Arc<Assurance>,
    identity: Rc<Identity>,
}

/// How many each thread remembers. Each holds on to what its tokens proved.
pub(super) const KNOWN: usize = 128;

thread_local! {
    static KNOWN_HERE: RefCell<Vec<Option<Known>>> = const { RefCell::new(Vec::new()) };
}

impl Identity {
    /// `caller` is the token that calls, `witness` the one whose evidence was enough; they are one, or a pair.
    ///
    /// What was found out of the same tokens for the same permit, under the same policy, is written once and told again.
    pub(super) fn of(policy: &Policy, permit: &Permit, caller: &Arc<Assurance>, witness: &Arc<Assurance>) -> Rc<Self> {
        KNOWN_HERE.with_borrow_mut(|all| {
            if all.is_empty() {
                all.resize_with(KNOWN, || None);
            }
            let Some(place) = all.get_mut(place(caller)) else {
                return Rc::new(Self::new(policy, permit, caller, witness));
            };
            if let Some(known) = place
                // What is held can't be another by the same address.
                && Arc::ptr_eq(&known.caller, caller)
                && Arc::ptr_eq(&known.witness, witness)
                && known.permit == *permit
                && *known.policy == *policy.hash()
            {
                return Rc::clone(&known.identity);
            }
            let identity = Rc::new(Self::new(policy, permit, caller, witness));
            *place = Some(Known {
                policy: policy.hash().into(),
                permit: permit.clone(),
                caller: Arc::clone(caller),
                witness: Arc::clone(witness),
                identity: Rc::clone(&identity),
            });
            identity
        })
    }

    fn new(policy: &Policy, permit: &Permit, caller: &Assurance, witness: &Assurance) -> Self {
        let mut fields = Writing::new();
        let ladders = policy.ladders();
        fields.list(SUBJECT, caller.subject.as_deref());
        fields.list(LEVEL, permit.levels().iter().map(|rung| ladders.name(*rung)));
        fields.list(ACR, witness.evidence.acr.known().into_iter().flatten().map(|acr| &**acr));
        // A value that counts for nothing here is not to count there.
        let methods = witness.evidence.amr.known().into_iter().flatten();
        fields.list(
            AMR,
            methods.filter(|method| !method.ignored && !permit.ignores(&method.value)).map(|method| &*method.value),
        );
        if let Some(at) = witness.evidence.auth_time.known() {
            fields.number(AUTH_TIME, at.seconds());
        }
        fields.list(ISSUER, policy.issuer(caller.issuer).map(|issuer| &*issuer.name));
        fields.list(CLIENT, caller.client.as_deref());
        fields.done()
    }

    /// One that is told in this field alone.
    pub(super) fn one(name: HeaderName, value: HeaderValue) -> Self {
        Self(smallvec::smallvec![(name, value)])
    }

    /// What is told, each field once.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.0.iter().map(|(name, value)| (name, value))
    }
}

/// Where an identity is remembered.
pub(super) fn place(caller: &Arc<Assurance>) -> usize {
    // The lowest bits of an address are alike.
    let mixed = (Arc::as_ptr(caller).addr() >> 4).wrapping_mul(0x9e37_79b9);
    (mixed >> 16).checked_rem(KNOWN).unwrap_or_default()
}

/// An identity that is being written: the values one behind the other, in one piece of memory.
struct Writing {
    text: BytesMut,
    /// Where each value ends.
    ends: SmallVec<[(HeaderName, usize); 7]>,
}

impl Writing {
    fn new() -> Self {
        Self { text: BytesMut::with_capacity(USUAL), ends: SmallVec::new() }
    }

    fn done(self) -> Identity {
        let text = self.text.freeze();
        let mut start = 0;
        let value = |(name, end)| {
            let value = HeaderValue::from_maybe_shared(text.slice(start..end)).ok();
            start = end;
            value.map(|value| (name, value))
        };
        Identity(self.ends.into_iter().filter_map(value).collect())
    }

    fn list<'v>(&mut self, name: HeaderName, values: impl IntoIterator<Item = &'v str>) {
        let start = self.text.len();
        for value in values {
            if self.text.len() > start {
                self.text.put_u8(b' ');
            }
            encode(value, &mut self.text);
        }
        self.end(name, start);
    }

    fn number(&mut self, name: HeaderName, number: i64) {
        let start = self.text.len();
        let _infallible = write!(self.text, "{number}");
        self.end(name, start);
    }

    fn end(&mut self, name: HeaderName, start: usize) {
        let end = self.text.len();
        if end > start {
            self.ends.push((name, end));
        }
    }
}

/// What the values of one request take together, most of the time.
const USUAL: usize = 256;

/// Percent-encodes what is not visible ASCII, and `%` itself, so that it can be decoded.
fn encode(value: &str, text: &mut BytesMut) {
    let plain = |byte: &u8| byte.is_ascii_graphic() && *byte != b'%';
    if value.as_bytes().iter().all(plain) {
        return text.put_slice(value.as_bytes());
    }
    for byte in value.bytes() {
        if plain(&byte) {
            text.put_u8(byte);
        } else {
            let _infallible = write!(text, "%{byte:02X}");
        }
    }
}

const SUBJECT: HeaderName = HeaderName::from_static("x-stepgate-subject");
const LEVEL: HeaderName = HeaderName::from_static("x-stepgate-level");
const ACR: HeaderName = HeaderName::from_static("x-stepgate-acr");
const AMR: HeaderName = HeaderName::from_static("x-stepgate-amr");
const AUTH_TIME: HeaderName = HeaderName::from_static("x-stepgate-auth-time");
const ISSUER: HeaderName = HeaderName::from_static("x-stepgate-issuer");
const CLIENT: HeaderName = HeaderName::from_static("x-stepgate-client");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_encoded_so_that_none_breaks_a_line_or_a_list() {
        let mut identity = Writing::new();
        identity.list(SUBJECT, ["Zoë\r\nX-Stepgate-Level: top"]);
        identity.list(AMR, ["a b", "100%", "pwd"]);
        identity.list(CLIENT, None);
        identity.number(AUTH_TIME, -7);
        let identity = identity.done();
        let told: Vec<_> = identity.fields().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        let expected = [
            ("x-stepgate-subject", "Zo%C3%AB%0D%0AX-Stepgate-Level:%20top"),
            ("x-stepgate-amr", "a%20b 100%25 pwd"),
            ("x-stepgate-auth-time", "-7"),
        ];
        assert_eq!(told, expected);
    }
}
