//! Where a value stands in its file: from what the YAML parser counts to bytes.

use saphyr_parser::Marker;

use crate::config::source::{FileId, Span};

/// From the parser's lines and columns to bytes.
pub(super) struct Places<'t> {
    file: FileId,
    pub(super) text: &'t str,
    /// The byte at which each character begins; nothing where characters are bytes.
    bytes: Vec<usize>,
    /// The character with which each line begins.
    lines: Vec<usize>,
}

impl<'t> Places<'t> {
    pub(super) fn new(file: FileId, text: &'t str) -> Self {
        let bytes = if text.is_ascii() { Vec::new() } else { text.char_indices().map(|(place, _)| place).collect() };
        let mut lines = vec![0];
        let mut chars = 0usize;
        let mut after = text.bytes().skip(1);
        for byte in text.bytes() {
            // A character is counted with its first byte.
            chars = chars.saturating_add(usize::from(byte & 0xC0 != 0x80));
            let next = after.next();
            if byte == b'\n' || byte == b'\r' && next != Some(b'\n') {
                lines.push(chars);
            }
        }
        Self { file, text, bytes, lines }
    }

    pub(super) fn at(&self, start: usize, end: usize) -> Span {
        Span { file: self.file, start, end: end.max(start) }
    }

    pub(super) fn marker(&self, marker: &Marker) -> usize {
        let Some(line) = self.lines.get(marker.line().saturating_sub(1)) else { return self.text.len() };
        let place = line.saturating_add(marker.col());
        if self.bytes.is_empty() {
            return place.min(self.text.len());
        }
        self.bytes.get(place).copied().unwrap_or(self.text.len())
    }

    /// A tab in the indentation of the line that the parser stumbled over, or of the one before.
    pub(super) fn tab_near(&self, marker: &Marker) -> Option<Span> {
        let number = marker.line();
        [number, number.saturating_sub(1)].into_iter().filter(|number| *number > 0).find_map(|number| {
            let line = self.text.split('\n').nth(number.saturating_sub(1))?;
            let indented = line.len().saturating_sub(line.trim_start_matches([' ', '\t']).len());
            let tab = line.get(..indented)?.find('\t')?;
            let before: usize =
                self.text.split('\n').take(number.saturating_sub(1)).map(|line| line.len().saturating_add(1)).sum();
            let place = before.saturating_add(tab);
            Some(self.at(place, place.saturating_add(1)))
        })
    }

    pub(super) fn span(&self, start: Marker, end: Marker) -> Span {
        let one_line = start.line() == end.line();
        let (start, end) = (self.marker(&start), self.marker(&end));
        let inside = self.text.get(start..end).unwrap_or_default();
        let first_line = if one_line { inside.trim_end() } else { first_line(inside) };
        self.at(start, start.saturating_add(token(first_line).len()))
    }
}

/// The first line, without the white space at its end. Asked for every value of a file.
pub(super) fn first_line(text: &str) -> &str {
    text.find('\n').and_then(|end| text.get(..end)).unwrap_or(text).trim_end()
}

/// The part of a line that is the value: the parser's stretches run on over a comment behind a quoted one.
fn token(line: &str) -> &str {
    let Some(quote) = line.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        return if line.contains('#') { line.split(" #").next().unwrap_or(line).trim_end() } else { line };
    };
    let mut escaped = false;
    let end = line.char_indices().skip(1).find(|(_, c)| {
        let closes = *c == quote && !escaped;
        escaped = quote == '"' && *c == '\\' && !escaped;
        closes
    });
    end.and_then(|(place, _)| line.get(..=place)).unwrap_or(line)
}
