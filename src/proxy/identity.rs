//! What upstreams are told of the caller: `X-Stepgate-*`, set by us alone and only from verified tokens.

use std::cell::{OnceCell, RefCell};
use std::io::Write as _;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use smallvec::SmallVec;

use crate::assurance::Assurance;
use crate::policy::{Permit, Policy};
use crate::proxy::sink::line;

/// What an upstream is told of the caller. What is not known is not told.
#[derive(Debug)]
pub(super) enum Identity<'i> {
    /// As it was told before.
    Again(Rc<Written>),
    /// Of a caller who is not remembered: written where it is wanted, and by nobody kept.
    Once(Facts<'i>),
}

/// All that what is told of a caller follows from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'i> {
    pub(super) policy: &'i Policy,
    pub(super) permit: &'i Permit,
    /// The token that calls.
    pub(super) caller: &'i Arc<Assurance>,
    /// The one whose evidence was enough; they are one, or a pair.
    pub(super) witness: &'i Arc<Assurance>,
}

/// The fields that tell of a caller, written.
#[derive(Debug)]
pub(super) struct Written {
    /// As they go over the line.
    lines: Bytes,
    places: Places,
    /// As they stand in a map, which not every upstream needs.
    fields: OnceCell<Vec<(HeaderName, HeaderValue)>>,
}

/// Each field with where its value stands in the lines.
type Places = SmallVec<[(&'static HeaderName, usize, usize); 7]>;

/// What was told of a caller, with all that it follows from.
pub(super) struct Known {
    policy: Box<str>,
    permit: Permit,
    caller: Arc<Assurance>,
    witness: Arc<Assurance>,
    identity: Rc<Written>,
}

/// Where one identity is remembered.
#[derive(Default)]
struct Slot {
    known: Option<Known>,
    /// The address of the caller who last wanted this place in vain. A hint: another may have it by now.
    wanted_by: usize,
}

/// How many each thread remembers. Each holds on to what its tokens proved.
pub(super) const KNOWN: usize = 128;

thread_local! {
    static KNOWN_HERE: RefCell<Vec<Slot>> = const { RefCell::new(Vec::new()) };
}

impl<'i> Identity<'i> {
    /// What was found out of the same tokens for the same permit, under the same policy, is written once and told again.
    ///
    /// A caller takes the place of another on coming twice in a row: many who come in turns would only push out each other.
    pub(super) fn of(facts: Facts<'i>) -> Self {
        KNOWN_HERE.with_borrow_mut(|all| {
            if all.is_empty() {
                all.resize_with(KNOWN, Slot::default);
            }
            let Some(slot) = all.get_mut(place(facts.caller)) else { return Self::Once(facts) };
            if let Some(identity) = slot.known.as_ref().and_then(|known| known.again(&facts)) {
                slot.wanted_by = 0;
                return Self::Again(identity);
            }
            let wanted_by = Arc::as_ptr(facts.caller).addr();
            if std::mem::replace(&mut slot.wanted_by, wanted_by) != wanted_by {
                return Self::Once(facts);
            }
            let identity = Rc::new(facts.written());
            // Who now wants it for another permit waits too: one token on two routes in turns must not write it each time.
            *slot = Slot { known: Some(Known::new(facts, &identity)), wanted_by: 0 };
            Self::Again(identity)
        })
    }

    /// Writes the fields as they go over the line.
    pub(super) fn write_lines(&self, text: &mut Vec<u8>) {
        match self {
            Self::Again(written) => text.extend_from_slice(&written.lines),
            Self::Once(facts) => drop(facts.write(text)),
        }
    }

    /// What is told, each field once.
    pub(super) fn each(&self, say: impl FnMut(&HeaderName, &HeaderValue)) {
        match self {
            Self::Again(written) => written.each(say),
            Self::Once(facts) => facts.written().each(say),
        }
    }
}

impl Known {
    pub(super) fn new(facts: Facts<'_>, identity: &Rc<Written>) -> Self {
        Self {
            policy: facts.policy.hash().into(),
            permit: facts.permit.clone(),
            caller: Arc::clone(facts.caller),
            witness: Arc::clone(facts.witness),
            identity: Rc::clone(identity),
        }
    }

    /// The same, where it follows from these.
    pub(super) fn again(&self, facts: &Facts<'_>) -> Option<Rc<Written>> {
        // What is held can't be another by the same address.
        let follows = Arc::ptr_eq(&self.caller, facts.caller)
            && Arc::ptr_eq(&self.witness, facts.witness)
            && self.permit == *facts.permit
            && *self.policy == *facts.policy.hash();
        follows.then(|| Rc::clone(&self.identity))
    }
}

impl Facts<'_> {
    fn write(&self, text: &mut Vec<u8>) -> Places {
        let Self { policy, permit, caller, witness } = *self;
        let mut fields = Writing { text, places: Places::new() };
        let ladders = policy.ladders();
        fields.list(&SUBJECT, caller.subject.as_deref());
        fields.list(&LEVEL, permit.levels().iter().map(|rung| ladders.name(*rung)));
        fields.list(&ACR, witness.evidence.acr.known().into_iter().flatten().map(|acr| &**acr));
        // A value that counts for nothing here is not to count there.
        let methods = witness.evidence.amr.known().into_iter().flatten();
        fields.list(
            &AMR,
            methods.filter(|method| !method.ignored && !permit.ignores(&method.value)).map(|method| &*method.value),
        );
        if let Some(at) = witness.evidence.auth_time.known() {
            fields.number(&AUTH_TIME, at.seconds());
        }
        fields.list(&ISSUER, policy.issuer(caller.issuer).map(|issuer| &*issuer.name));
        fields.list(&CLIENT, caller.client.as_deref());
        fields.places
    }

    fn written(&self) -> Written {
        let mut text = Vec::with_capacity(USUAL);
        let places = self.write(&mut text);
        Written::new(text.into(), places)
    }
}

impl Written {
    /// `lines`: whole ones, with the places of their values.
    fn new(lines: Bytes, places: Places) -> Self {
        Self { lines, places, fields: OnceCell::new() }
    }

    /// One that is told in this field alone.
    pub(super) fn one(name: &'static HeaderName, value: &HeaderValue) -> Self {
        let mut text = Vec::new();
        line(&mut text, name.as_str(), value);
        let start = name.as_str().len().saturating_add(": ".len());
        Self::new(text.into(), smallvec::smallvec![(name, start, start.saturating_add(value.len()))])
    }

    fn each(&self, mut say: impl FnMut(&HeaderName, &HeaderValue)) {
        let value = |(name, start, end): &(&'static HeaderName, usize, usize)| {
            // A part of the lines, and no copy.
            let value = self.lines.get(*start..*end).map(|value| self.lines.slice_ref(value))?;
            Some(((*name).clone(), HeaderValue::from_maybe_shared(value).ok()?))
        };
        let fields = self.fields.get_or_init(|| self.places.iter().filter_map(value).collect());
        fields.iter().for_each(|(name, value)| say(name, value));
    }
}

/// Where an identity is remembered.
pub(super) fn place(caller: &Arc<Assurance>) -> usize {
    // The lowest bits of an address are alike.
    let mixed = (Arc::as_ptr(caller).addr() >> 4).wrapping_mul(0x9e37_79b9);
    (mixed >> 16).checked_rem(KNOWN).unwrap_or_default()
}

/// An identity that is being written, as lines. No value can hold what ends one: see [`encode`].
struct Writing<'t> {
    text: &'t mut Vec<u8>,
    places: Places,
}

impl Writing<'_> {
    fn list<'v>(&mut self, name: &'static HeaderName, values: impl IntoIterator<Item = &'v str>) {
        let before = self.text.len();
        let start = self.begin(name);
        for value in values {
            if self.text.len() > start {
                self.text.push(b' ');
            }
            encode(value, self.text);
        }
        if self.text.len() > start {
            self.end(name, start);
        } else {
            self.text.truncate(before);
        }
    }

    fn number(&mut self, name: &'static HeaderName, number: i64) {
        let start = self.begin(name);
        let _infallible = write!(self.text, "{number}");
        self.end(name, start);
    }

    /// Where the value will stand.
    fn begin(&mut self, name: &HeaderName) -> usize {
        self.text.extend_from_slice(name.as_str().as_bytes());
        self.text.extend_from_slice(b": ");
        self.text.len()
    }

    fn end(&mut self, name: &'static HeaderName, start: usize) {
        self.places.push((name, start, self.text.len()));
        self.text.extend_from_slice(b"\r\n");
    }
}

/// What the lines of one request take, most of the time.
const USUAL: usize = 512;

/// Percent-encodes what is not visible ASCII, and `%` itself, so that it can be decoded.
fn encode(value: &str, text: &mut Vec<u8>) {
    let plain = |byte: &u8| byte.is_ascii_graphic() && *byte != b'%';
    if value.as_bytes().iter().all(plain) {
        return text.extend_from_slice(value.as_bytes());
    }
    for byte in value.bytes() {
        if plain(&byte) {
            text.push(byte);
        } else {
            let _infallible = write!(text, "%{byte:02X}");
        }
    }
}

// No constants, which would be made anew at each use.
static SUBJECT: HeaderName = HeaderName::from_static("x-stepgate-subject");
static LEVEL: HeaderName = HeaderName::from_static("x-stepgate-level");
static ACR: HeaderName = HeaderName::from_static("x-stepgate-acr");
static AMR: HeaderName = HeaderName::from_static("x-stepgate-amr");
static AUTH_TIME: HeaderName = HeaderName::from_static("x-stepgate-auth-time");
static ISSUER: HeaderName = HeaderName::from_static("x-stepgate-issuer");
static CLIENT: HeaderName = HeaderName::from_static("x-stepgate-client");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{SourceFile, load_policy};
    use crate::policy::{CanonicalPath, Target, judge};
    use crate::token::{Timestamp, TokenKind};

    fn caller(subject: &str) -> Arc<Assurance> {
        Arc::new(Assurance { subject: Some(subject.into()), ..Assurance::bare(TokenKind::Access) })
    }

    #[test]
    fn who_comes_twice_in_a_row_is_remembered_and_who_comes_in_turns_pushes_out_nobody() {
        let text = "version: 1\nroutes:\n  - { name: open, match: { path: \"/**\" }, require: public }\n";
        let file = SourceFile { name: "p.yaml".into(), folder: ".".into(), text: text.into() };
        let policy = load_policy(vec![file]).unwrap().policy;
        let path = CanonicalPath::parse("/").unwrap();
        let target = Target { method: "GET", host: "a.example", path: &path };
        let route = &policy.routes()[0];
        let permit = judge(&policy, route, &target, None, Timestamp::from_seconds(0)).unwrap();
        let is_known = |caller: &Arc<Assurance>, name: &str| {
            let identity = Identity::of(Facts { policy: &policy, permit: &permit, caller, witness: caller });
            let (mut lines, mut fields) = (Vec::new(), Vec::new());
            identity.write_lines(&mut lines);
            identity.each(|name, value| fields.push((name.to_string(), value.to_str().unwrap().to_owned())));
            assert_eq!(str::from_utf8(&lines).unwrap(), format!("x-stepgate-subject: {name}\r\n"), "whoever is known");
            assert_eq!(fields, [("x-stepgate-subject".to_owned(), name.to_owned())]);
            matches!(identity, Identity::Again(_))
        };
        let ada = caller("ada");
        // All of them, so that none is another one at the address of one that is gone.
        let others: Vec<_> = std::iter::repeat_with(|| caller("bob")).take(40 * KNOWN).collect();
        let bob = others.iter().find(|other| place(other) == place(&ada)).unwrap();
        assert!(!is_known(&ada, "ada") && is_known(&ada, "ada") && is_known(&ada, "ada"));
        for _turn in 0..3 {
            assert!(!is_known(bob, "bob"));
            assert!(is_known(&ada, "ada"));
        }
        assert!(!is_known(bob, "bob") && is_known(bob, "bob") && !is_known(&ada, "ada") && is_known(bob, "bob"));
    }

    fn told(written: &Written) -> Vec<(String, String)> {
        let mut told = Vec::new();
        written.each(|name, value| told.push((name.to_string(), value.to_str().unwrap().to_owned())));
        told
    }

    #[test]
    fn values_are_encoded_so_that_none_breaks_a_line_or_a_list() {
        // Behind what stands there already.
        let mut text = b"host: a\r\n".to_vec();
        let mut writing = Writing { text: &mut text, places: Places::new() };
        writing.list(&SUBJECT, ["Zoë\r\nX-Stepgate-Level: top"]);
        writing.list(&ACR, ["", ""]);
        writing.list(&AMR, ["a b", "100%", "pwd"]);
        writing.list(&CLIENT, None);
        writing.number(&AUTH_TIME, -7);
        let places = writing.places;
        let expected = [
            ("x-stepgate-subject", "Zo%C3%AB%0D%0AX-Stepgate-Level:%20top"),
            ("x-stepgate-amr", "a%20b 100%25 pwd"),
            ("x-stepgate-auth-time", "-7"),
        ];
        let lines = expected.map(|(name, value)| format!("{name}: {value}\r\n")).concat();
        assert_eq!(str::from_utf8(&text).unwrap(), format!("host: a\r\n{lines}"));
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(told(&Written::new(text.into(), places)), expected);
    }

    #[test]
    fn what_is_told_in_one_field_is_the_same_over_the_line_and_in_a_map() {
        let written = Written::one(&CLIENT, &HeaderValue::from_static("a.b.c"));
        assert_eq!(told(&written), [("x-stepgate-client".to_owned(), "a.b.c".to_owned())]);
        let mut text = Vec::new();
        Identity::Again(Rc::new(written)).write_lines(&mut text);
        assert_eq!(text, b"x-stepgate-client: a.b.c\r\n");
    }
}
