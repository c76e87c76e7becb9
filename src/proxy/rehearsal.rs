//! What a request brings in its cookies and in a posted form, for whoever explains it: taken, opened and kept by the functions
//! that requests go by, without a socket. What ends by a logout ends in the [`Sealing`] that it was given, and for no gate.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, COOKIE, HOST, HeaderName, HeaderValue, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method};

use crate::assurance::Assurance;
use crate::config::settings::Limits;
use crate::policy::{BodyLimit, CanonicalPath, Denial, Keep, Origins, Permit, Policy, Route, Target, TokenSource};
use crate::proxy::edge::forwarded::Scheme;
use crate::proxy::extract::{self, Posted};
use crate::proxy::form::{self, Form};
use crate::proxy::handler::check_length;
use crate::proxy::kept::{Desk, Sealing};
use crate::proxy::origin::{self, Own};
use crate::proxy::oversight::Quiet;
use crate::proxy::refusal::Refusal;
use crate::reason::Reason;
use crate::seal::Kept;
use crate::token::{Credential, Timestamp};

/// What is the same for every request of a gate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site<'s> {
    pub(crate) public_url: Option<&'s str>,
    pub(crate) limits: &'s Limits,
    /// What kept cookies are opened with; `None`: the gate has no keys for them.
    pub(crate) sealing: Option<&'s Sealing>,
}

/// A request, as far as tokens are looked for in it. Holds secrets, so it has no `Debug`.
#[derive(Clone, Copy)]
pub(crate) struct Brought<'b> {
    pub(crate) method: &'b str,
    pub(crate) authority: &'b str,
    pub(crate) is_https: bool,
    pub(crate) query: Option<&'b str>,
    /// The value of its field `Cookie`.
    pub(crate) cookies: Option<&'b str>,
    /// That of `Origin`; `None`: it comes from a page of its own origin.
    pub(crate) origin: Option<&'b str>,
    /// What is posted.
    pub(crate) form: Option<&'b Bytes>,
}

/// A token, or what was kept of one, where it was found.
#[derive(Debug)]
pub(crate) struct Piece<'p> {
    pub(crate) source: &'p TokenSource,
    pub(crate) credential: Credential,
}

/// What was taken of a request.
#[derive(Debug)]
pub(crate) enum Taken<'p> {
    /// These; none only where something else was said to stand elsewhere.
    Pieces(Vec<Piece<'p>>),
    /// An identity provider's error response, which passes.
    ErrorResponse(Permit),
    Refused(Denial),
}

/// A kept cookie, opened.
#[derive(Debug)]
pub(crate) struct Opened {
    /// What it holds, whether or not it still counts; `None`: it does not open.
    pub(crate) kept: Option<Kept>,
    /// What it proves.
    pub(crate) outcome: Result<Assurance, Denial>,
}

/// What a form says without its tokens: names that are told for certain from what they name or are not, and an error.
pub(crate) type FormTold<'f> = (Vec<(&'f str, bool)>, Option<&'f str>);

/// A request on its way up to its tokens. Holds secrets, so it has no `Debug`.
pub(crate) struct Rehearsal<'r> {
    brought: Brought<'r>,
    site: Site<'r>,
    host: &'r str,
    now: Timestamp,
    id: HeaderValue,
    head: Parts,
    form: Option<Form>,
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");
const ID: HeaderValue = HeaderValue::from_static("example");

impl<'r> Rehearsal<'r> {
    /// `host`: the canonical one. `None`: no head can say that.
    pub(crate) fn of(brought: Brought<'r>, site: Site<'r>, host: &'r str, now: Timestamp) -> Option<Self> {
        let (mut head, ()) = http::Request::new(()).into_parts();
        head.method = Method::from_bytes(brought.method.as_bytes()).ok()?;
        let value = |text: &str| HeaderValue::from_bytes(text.as_bytes()).ok();
        head.headers.insert(HOST, value(brought.authority)?);
        if let Some(cookies) = brought.cookies {
            head.headers.insert(COOKIE, value(cookies)?);
        }
        match brought.origin {
            Some(origin) => head.headers.insert(ORIGIN, value(origin)?),
            None => head.headers.insert(SEC_FETCH_SITE, SAME_ORIGIN),
        };
        if brought.form.is_some() {
            head.headers.insert(CONTENT_TYPE, FORM);
        }
        Some(Self { brought, site, host, now, id: ID, head, form: None })
    }

    /// Whether its body is within the limits of its route.
    pub(crate) fn fits(&self, route: &Route) -> Result<(), Denial> {
        self.body_fits(route).map_err(denial)
    }

    fn body_fits(&self, route: &Route) -> Result<(), Refusal> {
        let length = self.brought.form.and_then(|body| u64::try_from(body.len()).ok());
        match route.max_body {
            None => check_length(length, self.site.limits.body, "`limits.body`"),
            Some(limit) => check_length(length, BodyLimit::bytes(limit), "the route's `max_body`"),
        }
    }

    /// Whether anybody reads what is posted: only of a POST, and only where the route names a form.
    pub(crate) fn is_read(&self, route: &Route) -> bool {
        route.reads_form && self.head.method == Method::POST && self.brought.form.is_some_and(|body| !body.is_empty())
    }

    /// Takes the tokens from where the route looks. `elsewhere`: it brings others besides, of which nobody says where they stand;
    /// with the origins of the cookies for those that can stand in nothing else.
    pub(crate) fn take<'p>(
        &mut self,
        policy: &Policy,
        route: &'p Route,
        target: &Target<'_>,
        elsewhere: Option<&[&Origins]>,
    ) -> Taken<'p> {
        let (site, is_read) = (self.site, self.is_read(route));
        let body = self.brought.form.filter(|_| is_read);
        let posted = match (self.body_fits(route), body) {
            (Ok(()), Some(body)) => {
                let (fields, query) = (&self.head.headers, self.brought.query);
                match form::whole(fields, body.clone(), query, site.limits, route.max_body) {
                    Ok(form) => Posted::Form(self.form.insert(form)),
                    Err(refusal) => Posted::Unread(refusal),
                }
            }
            (Err(refusal), Some(_)) => Posted::Unread(refusal),
            (fits, None) => Posted::Unseen(fits),
        };
        let scheme = if self.brought.is_https { Scheme::Https } else { Scheme::Http };
        let own = Own { public_url: site.public_url, scheme };
        let piece = |found: extract::Found<'p>| Piece { source: found.source, credential: found.credential };
        let pieces = match extract::credentials(route, &self.head, site.limits.token, own, posted) {
            Ok(found) => Ok(found.into_iter().map(piece).collect()),
            // None is missing. What may be wrong besides where none is found comes after that, so it was not told.
            Err(refusal) if elsewhere.is_some() && refusal.denial.reason == Reason::TokenMissing => {
                self.body_fits(route).map(|()| Vec::new())
            }
            Err(refusal) => Err(refusal),
        };
        let rank = |refusal: &Refusal| (route.mode.lifts(refusal.denial.reason), refusal.denial.reason);
        let foreign = |origins: &&Origins| origin::check(&self.head, origins, own).err();
        let pieces = match (pieces, elsewhere.unwrap_or_default().iter().find_map(foreign)) {
            (Err(refusal), Some(foreign)) if rank(&refusal) < rank(&foreign) => Err(refusal),
            (_, Some(foreign)) => Err(foreign),
            (pieces, None) => pieces,
        };
        match pieces {
            Ok(pieces) => Taken::Pieces(pieces),
            Err(refusal) => {
                let passes = self.form.as_ref().and_then(|form| form.passes_as_error(&refusal, policy, route, target));
                passes.map_or_else(|| Taken::Refused(denial(refusal)), Taken::ErrorResponse)
            }
        }
    }

    /// The names of the form's parameters, each with whether something else stands under it, and the error where it is a response
    /// with one; `None`: it was not read.
    pub(crate) fn form(&self, route: &Route) -> Option<FormTold<'_>> {
        self.form.as_ref().map(|form| (form.names().collect(), form.error(route)))
    }

    /// Opens what was found in a kept cookie.
    pub(crate) fn open(&self, value: &Credential, cookie: &str, policy: &Policy) -> Opened {
        let desk = self.desk();
        let kept = desk.unsealed(value.expose(), cookie).ok();
        Opened { kept, outcome: desk.open(value, cookie, policy).map_err(denial) }
    }

    /// The kept cookies that a refusal's answer deletes.
    pub(crate) fn spent(&self, route: &Route, denial: &Denial, policy: &Policy) -> Vec<String> {
        let names = self.desk().spent(route, &self.head, &denial.clone().into(), policy);
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// The kept cookies that end with this request once it is let in.
    pub(crate) fn ended(&self, route: &Route, path: &CanonicalPath) -> Vec<String> {
        // There is room to end those of one request.
        let names = self.desk().end(route, &self.head, path).unwrap_or_default();
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn desk(&self) -> Desk<'_> {
        desk(self.site, self.host, &self.id, self.now)
    }
}

/// Nobody is told of what is done here.
fn desk<'a>(site: Site<'a>, host: &'a str, id: &'a HeaderValue, now: Timestamp) -> Desk<'a> {
    Desk { sealing: site.sealing, recorder: &Quiet, host, id, now }
}

/// The cookie in which a sign-in is kept at a host, as `NAME=VALUE`, and until when it counts.
///
/// # Errors
/// Why nothing is kept of it.
pub(crate) fn keep(
    (site, host, now): (Site<'_>, &str, Timestamp),
    keep: &Keep,
    policy: &Policy,
    (credential, assurance): (&Credential, &Assurance),
) -> Result<(String, Timestamp), String> {
    let id = ID;
    let desk = desk(site, host, &id, now);
    let cookie = desk.sealed(keep, policy, credential, assurance).map_err(|(_, why)| why)?;
    let pair = cookie.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    let value = pair.split_once('=').map_or("", |(_, value)| value);
    let kept = desk.unsealed(value, &keep.cookie).map_err(|rejected| rejected.rejection.detail.into_owned())?;
    Ok((pair.to_owned(), kept.until()))
}

/// Whether a value of the field `Cookie` has a cookie of this name.
pub(crate) fn has_cookie(cookies: &str, name: &str) -> bool {
    let field = HeaderValue::from_bytes(cookies.as_bytes()).ok();
    let fields = field.map(|field| HeaderMap::from_iter([(COOKIE, field)])).unwrap_or_default();
    extract::cookies(&fields, name).next().is_some()
}

/// With what the operator alone is told.
fn denial(refusal: Refusal) -> Denial {
    Denial { detail: refusal.detail.into_owned(), ..*refusal.denial }
}
