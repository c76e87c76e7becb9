//! What a request brings besides tokens that are given alone: its cookies, a posted form, what was kept of a sign-in.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::cli::explain::input;
use crate::cli::explain::setting::Seal;
use crate::cli::explain::told::What;
use crate::cli::output::Failure;
use crate::config::moment;
use crate::config::settings::SecretSource;
use crate::live::folder::{ReadError, read_file};
use crate::policy::{HostPattern, Keep, Place, Policy, Route};
use crate::proxy::has_cookie;
use crate::token::{Json, Timestamp};

/// The options for it.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct BesideArgs {
    /// A file with the request's cookies, as the field `Cookie` has them, or with what a kept one says alone
    #[arg(long, value_name = "FILE", conflicts_with_all = ["cookie_stdin", "cookie_env"])]
    cookie_file: Option<PathBuf>,
    /// Read the cookies from standard input
    #[arg(long, conflicts_with = "cookie_env")]
    cookie_stdin: bool,
    /// An environment variable with the cookies
    #[arg(long, value_name = "NAME")]
    cookie_env: Option<String>,
    /// Where the page is that sends the cookies, as in the field `Origin` [default: at the request's own origin]
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
    /// A file with a form as it is posted, by POST and urlencoded; `-` for standard input
    #[arg(long, value_name = "FILE")]
    form: Option<PathBuf>,
    /// A file with claims, as --claims takes them, of a sign-in that was kept; `-` for standard input
    #[arg(long, value_name = "FILE", requires = "kept_at", conflicts_with_all = ["cookie_file", "cookie_stdin", "cookie_env"])]
    kept_claims: Option<PathBuf>,
    /// When it was kept, such as `2026-01-01T08:00:00Z`
    #[arg(long, value_name = "TIME", requires = "kept_claims")]
    kept_at: Option<String>,
    /// The route whose `keep` kept it, where several routes keep
    #[arg(long, value_name = "ROUTE", requires = "kept_claims")]
    kept_by: Option<String>,
    /// An environment variable with a key of `seal.keys`, in place of those that the settings name
    #[arg(long, value_name = "NAME")]
    seal_key_env: Vec<String>,
    /// A file with such a key
    #[arg(long, value_name = "FILE")]
    seal_key_file: Vec<PathBuf>,
}

/// What was read of it. The request's cookies and the form are secrets, as tokens are.
#[derive(Clone, Default)]
pub(super) struct Beside {
    /// Where they were read, and the value of the field `Cookie`.
    pub(super) cookies: Option<(String, String)>,
    pub(super) origin: Option<String>,
    /// Where it was read, and what is posted.
    pub(super) form: Option<(String, Bytes)>,
    pub(super) kept: Option<KeptClaims>,
}

/// Claims of a sign-in that was kept.
#[derive(Clone, Debug)]
pub(super) struct KeptClaims {
    /// Where they were read.
    pub(super) name: String,
    pub(super) claims: Json,
    pub(super) typ: Option<Box<str>>,
    /// When it was kept.
    pub(super) at: Timestamp,
    /// By which route's `keep`.
    pub(super) keep: Keep,
    pub(super) route: Box<str>,
    /// The hosts of that route.
    pub(super) hosts: Box<[HostPattern]>,
}

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |read: &Option<(String, String)>| read.as_ref().map(|(name, _)| name.clone());
        f.debug_struct("Beside")
            .field("cookies", &name(&self.cookies))
            .field("kept", &self.kept)
            .finish_non_exhaustive()
    }
}

impl BesideArgs {
    /// How often standard input would be read.
    pub(super) fn on_stdin(&self) -> usize {
        let dash = |path: &Option<PathBuf>| path.as_ref().is_some_and(|path| path.as_os_str() == "-");
        let read = [self.cookie_stdin, dash(&self.form), dash(&self.kept_claims)];
        read.into_iter().filter(|read| *read).count()
    }

    /// The keys that are named in place of the settings' own.
    pub(super) fn seal_keys(&self) -> Vec<SecretSource> {
        let env = self.seal_key_env.iter().cloned().map(SecretSource::Env);
        env.chain(self.seal_key_file.iter().cloned().map(SecretSource::File)).collect()
    }

    /// Reads all of it. `route`: the one that the request is for.
    pub(super) fn read(
        &self,
        (policy, route): (&Policy, Option<&Route>),
        seal: &Seal,
        now: Timestamp,
    ) -> Result<Beside, Failure> {
        let cookies = self.cookies(policy)?;
        if let (Some((name, cookies)), Seal::Unknown(_, why)) = (&cookies, seal)
            && let Some(kept) = route.and_then(|route| sealed_for(route).find(|kept| has_cookie(cookies, kept)))
        {
            let reason = format!(
                "{name} cannot be explained: nobody can read here what is sealed in `{kept}`, {why}; name the gate's settings with \
                 --config, or its keys with --seal-key-file or --seal-key-env; or give what was kept as claims, with --kept-claims"
            );
            return Err(Failure::could_not_run(reason));
        }
        let form = self.form.as_deref().map(form).transpose()?;
        let kept = self.kept_claims.as_deref().map(|path| self.kept(path, policy, now)).transpose()?;
        Ok(Beside { cookies, origin: self.origin.clone(), form, kept })
    }

    fn cookies(&self, policy: &Policy) -> Result<Option<(String, String)>, Failure> {
        let (name, text) = match (&self.cookie_file, &self.cookie_env) {
            (Some(path), _) => {
                (format!("the cookies in {}", path.display()), read_file(path).map_err(Failure::could_not_run)?.text)
            }
            (None, Some(name)) => (format!("the cookies in ${name}"), input::variable(name)?),
            (None, None) if self.cookie_stdin => ("the cookies on standard input".to_owned(), input::stdin()?),
            (None, None) => return Ok(None),
        };
        let text = text.trim();
        let text = match text.get(..7) {
            Some(field) if field.eq_ignore_ascii_case("cookie:") => text.get(7..).unwrap_or_default().trim(),
            Some(_) | None => text,
        };
        if text.is_empty() || text.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return Err(Failure::could_not_run(format!(
                "{name} are no value of a field `Cookie`: `a=1; b=2`, in one line"
            )));
        }
        if text.contains('=') {
            return Ok(Some((name, text.to_owned())));
        }
        // Nothing that is sealed has `=` in it, and no pair is without.
        match policy.kept() {
            [kept] => Ok(Some((name, format!("{kept}={text}")))),
            [] => Err(Failure::could_not_run(format!(
                "{name} have no name, and the policy keeps no sign-in in any cookie"
            ))),
            several => {
                let one = several.first().map_or("", |name| name);
                let reason = format!("{name} have no name, and the policy keeps sign-ins in several: write `{one}=…`");
                Err(Failure::could_not_run(reason))
            }
        }
    }

    fn kept(&self, path: &Path, policy: &Policy, now: Timestamp) -> Result<KeptClaims, Failure> {
        let written = self.kept_at.as_deref().unwrap_or_default();
        let at = moment::parse(written).ok_or_else(|| {
            let reason =
                format!("`{written}` is no moment; write it in UTC, such as `2026-01-01T08:00:00Z` (`--kept-at`)");
            Failure::could_not_run(reason)
        })?;
        if at > now {
            return Err(Failure::could_not_run("`--kept-at` is later than the moment at which the request is judged"));
        }
        let (route, keep) = keeper(policy, self.kept_by.as_deref())?;
        let read = input::claims(path, policy, at)?;
        let What::Claims { claims, typ } = read.what else {
            return Err(Failure::could_not_run(format!("{} are none", read.name)));
        };
        let (route, hosts) = (route.name.clone(), route.matches.hosts.clone());
        Ok(KeptClaims { name: read.name, claims, typ, at, keep: keep.clone(), route, hosts })
    }
}

/// The kept cookies that a route looks at. What a logout ends besides is told by its name alone.
fn sealed_for(route: &Route) -> impl Iterator<Item = &str> {
    route.take.iter().filter_map(|source| match &source.place {
        Place::Kept(name, _) => Some(&**name),
        Place::Authorization | Place::Header(_) | Place::Cookie(..) | Place::Form { .. } => None,
    })
}

/// The route that was named and what it keeps, or the only one that keeps anything.
fn keeper<'p>(policy: &'p Policy, named: Option<&str>) -> Result<(&'p Route, &'p Keep), Failure> {
    let keepers: Vec<(&Route, &Keep)> =
        policy.routes().iter().filter_map(|route| Some((route, route.keep.as_deref()?))).collect();
    let names = || keepers.iter().map(|(route, _)| format!("`{}`", route.name)).collect::<Vec<_>>().join(", ");
    match (named, keepers.as_slice()) {
        (_, []) => Err(Failure::could_not_run("no route of the policy keeps a sign-in (`keep`)")),
        (None, [only]) => Ok(*only),
        (None, _) => {
            Err(Failure::could_not_run(format!("several routes keep sign-ins: say --kept-by, one of {}", names())))
        }
        (Some(named), _) => {
            let found = keepers.iter().find(|(route, _)| *route.name == *named).copied();
            found.ok_or_else(|| {
                Failure::could_not_run(format!(
                    "`--kept-by`: no route `{named}` keeps a sign-in; those are {}",
                    names()
                ))
            })
        }
    }
}

/// A form as it is posted, and where it was read. Of bytes, since what is no text is a form's own mistake.
fn form(path: &Path) -> Result<(String, Bytes), Failure> {
    const MOST: u64 = 4 << 20;
    let (name, mut bytes) = if path.as_os_str() == "-" {
        ("the form on standard input".to_owned(), input::stdin_bytes()?)
    } else {
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(MOST.saturating_add(1)).read_to_end(&mut bytes));
        let length = read.map_err(|error| Failure::could_not_run(ReadError::Io { path: path.into(), error }))?;
        if u64::try_from(length).map_or(true, |length| length > MOST) {
            return Err(Failure::could_not_run(ReadError::TooLarge(path.into())));
        }
        (format!("the form in {}", path.display()), bytes)
    };
    // What an editor ends a file with nobody posted.
    if bytes.ends_with(b"\n") {
        bytes.truncate(bytes.len().saturating_sub(1));
    }
    if bytes.ends_with(b"\r") {
        bytes.truncate(bytes.len().saturating_sub(1));
    }
    Ok((name, bytes.into()))
}
