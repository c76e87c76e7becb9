//! Sections of `stepgate.yaml`: mappings of which every key may be left out, and the files that keys name.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields, Keys as KeyList};
use crate::config::source::{NamedFile, Purpose, Span};
use crate::config::yaml::Node;

/// A mapping under a key, which may have been left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section<'n>(Option<Fields<'n>>);

impl<'n> Section<'n> {
    /// The section under a key of `fields`. `None`: it is written wrong.
    pub(crate) fn of(fields: &Fields<'n>, name: &'static str, keys: KeyList, out: &mut Report) -> Option<Self> {
        match fields.get(name, out) {
            Some(node) => Fields::of(node, keys, out).map(|fields| Self(Some(fields))),
            None => Some(Self(None)),
        }
    }

    /// The value of a key, or what it is when left out. `None`: it is written wrong.
    pub(crate) fn value<T>(
        &self,
        name: &'static str,
        default: T,
        read: impl FnOnce(&Node, &mut Report) -> Option<T>,
        out: &mut Report,
    ) -> Option<T> {
        match self.0.and_then(|fields| fields.get(name, out)) {
            Some(node) => read(node, out),
            None => Some(default),
        }
    }

    /// The value of a key that may be `null`, which is the same as leaving it out. The outer `None`: it is written wrong.
    pub(crate) fn nullable<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Node, &mut Report) -> Option<T>,
        out: &mut Report,
    ) -> Option<Option<T>> {
        match self.0.and_then(|fields| fields.get_nullable(name)) {
            Some(node) => read(node, out).map(Some),
            None => Some(None),
        }
    }

    /// Its keys, if it is there.
    pub(crate) fn fields(&self) -> Option<&Fields<'n>> {
        self.0.as_ref()
    }

    /// Where a key stands, if it does.
    pub(crate) fn key_span(&self, name: &str) -> Option<Span> {
        self.0.and_then(|fields| fields.key_span(name))
    }
}

/// The files that keys name. Relative paths begin at the folder of the settings.
#[derive(Debug)]
pub(crate) struct Paths<'f> {
    folder: &'f Path,
    named: Vec<NamedFile>,
}

impl<'f> Paths<'f> {
    /// None yet.
    pub(crate) fn new(folder: &'f Path) -> Self {
        Self { folder, named: Vec::new() }
    }

    /// Where the file is that a node names, which is noted for whoever may look whether it is there.
    pub(crate) fn read(&mut self, node: &Node, purpose: Purpose, out: &mut Report) -> Option<PathBuf> {
        let path = self.folder.join(reader::text(node, "a path", out)?);
        self.named.push(NamedFile { span: node.span, path: path.clone(), purpose });
        Some(path)
    }

    /// The certificate chain and the private key that `cert` and `key` name.
    pub(crate) fn identity(&mut self, cert: &Node, key: &Node, out: &mut Report) -> Option<(PathBuf, PathBuf)> {
        let certificate = self.read(cert, Purpose::Certificate, out);
        let purpose = Purpose::PrivateKey { certificate: certificate.clone().unwrap_or_default() };
        let key = self.read(key, purpose, out);
        Some((certificate?, key?))
    }

    /// Where the socket is whose path is a part of a node's text.
    pub(crate) fn socket(&mut self, node: &Node, path: &str) -> PathBuf {
        let path = self.folder.join(path);
        self.named.push(NamedFile { span: node.span, path: path.clone(), purpose: Purpose::Socket });
        path
    }

    /// All of them.
    pub(crate) fn into_named(self) -> Vec<NamedFile> {
        self.named
    }
}

/// A size within bounds, in bytes.
pub(crate) fn size_within(node: &Node, bounds: RangeInclusive<u64>, out: &mut Report) -> Option<u64> {
    let size = reader::size(node, out)?;
    within(node, size, bounds, |bytes| Size(*bytes), out)
}

/// A duration within bounds.
pub(crate) fn duration_within(node: &Node, bounds: RangeInclusive<Duration>, out: &mut Report) -> Option<Duration> {
    let duration = reader::duration(node, out)?;
    within(node, duration, bounds, |duration| Lasting(*duration), out)
}

/// A whole number within bounds, which `what` names.
pub(crate) fn number_within(node: &Node, bounds: RangeInclusive<u64>, what: &str, out: &mut Report) -> Option<usize> {
    let what = format!("{what}, {} to {}", bounds.start(), bounds.end());
    reader::whole(node, bounds, &what, out).and_then(|number| usize::try_from(number).ok())
}

fn within<T: PartialOrd, S: Display>(
    node: &Node,
    value: T,
    bounds: RangeInclusive<T>,
    shown: impl Fn(&T) -> S,
    out: &mut Report,
) -> Option<T> {
    if bounds.contains(&value) {
        return Some(value);
    }
    let (least, most) = (shown(bounds.start()), shown(bounds.end()));
    let message = format!("{} is out of range: from {least} up to {most}", shown(&value));
    out.add(Problem::error("out_of_range", node.span, message));
    None
}

/// A size as files write it.
struct Size(u64);

impl Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        let whole = |shift: u32| self.0 > 0 && self.0.trailing_zeros() >= shift;
        match units.into_iter().find(|(shift, _)| whole(*shift)) {
            Some((shift, unit)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}B", self.0),
        }
    }
}

/// A duration as files write it.
struct Lasting(Duration);

impl Display for Lasting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (millis, seconds) = (self.0.as_millis(), self.0.as_secs());
        if seconds == 0 && millis == 0 {
            return f.write_str("0s");
        }
        if self.0.subsec_millis() > 0 || seconds == 0 {
            return write!(f, "{millis}ms");
        }
        let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
        match units.into_iter().find(|(unit, _)| seconds.is_multiple_of(*unit)) {
            Some((unit, letter)) => write!(f, "{}{letter}", seconds.checked_div(unit).unwrap_or(seconds)),
            None => write!(f, "{seconds}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_said_as_it_is_written() {
        for (millis, said) in [
            (0, "0s"),
            (10, "10ms"),
            (1_500, "1500ms"),
            (59_000, "59s"),
            (60_000, "1m"),
            (90_000, "90s"),
            (3_600_000, "1h"),
            (30 * 86_400_000, "30d"),
        ] {
            assert_eq!(Lasting(Duration::from_millis(millis)).to_string(), said);
        }
    }

    #[test]
    fn a_size_is_said_as_it_is_written() {
        for (bytes, said) in
            [(0, "0B"), (1023, "1023B"), (1024, "1KiB"), (3 << 20, "3MiB"), ((1 << 30) + 1024, "1048577KiB")]
        {
            assert_eq!(Size(bytes).to_string(), said);
        }
    }
}
