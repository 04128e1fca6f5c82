//! The grammar of a line: a name, blanks, and a value up to the end of the line.

use std::ops::Range;
use std::sync::Arc;

use super::{Diagnostic, Location};

/// A line that is neither blank nor a comment.
pub(super) struct Line<'a> {
    file: &'a Arc<str>,
    number: usize,
    text: &'a str,
    name: Range<usize>,
    value: Range<usize>,
}

impl<'a> Line<'a> {
    /// The lines of a file that say something. A byte order mark, carriage
    /// returns and blanks around lines are passed over; tabs count as blanks.
    pub(super) fn all(file: &'a Arc<str>, text: &'a str) -> impl Iterator<Item = Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        text.lines()
            .enumerate()
            .filter_map(|(index, line)| Self::parse(file, index + 1, line))
    }

    fn parse(file: &'a Arc<str>, number: usize, line: &'a str) -> Option<Self> {
        let text = line.trim_end_matches(is_blank);
        let start = text.find(|c| !is_blank(c))?;
        if text[start..].starts_with('#') {
            return None;
        }
        let end = text[start..]
            .find(is_blank)
            .map_or(text.len(), |length| start + length);
        let value = text[end..]
            .find(|c| !is_blank(c))
            .map_or(text.len(), |length| end + length);
        Some(Self {
            file,
            number,
            text,
            name: start..end,
            value: value..text.len(),
        })
    }

    /// The first word.
    pub(super) fn name(&self) -> &'a str {
        &self.text[self.name.clone()]
    }

    /// Everything after it, without the blanks around; may be empty.
    pub(super) fn value(&self) -> &'a str {
        &self.text[self.value.clone()]
    }

    /// The place of the name.
    pub(super) fn location(&self) -> Location {
        self.place(self.name.start)
    }

    fn place(&self, byte: usize) -> Location {
        Location {
            file: Arc::clone(self.file),
            line: self.number,
            column: self.text[..byte].chars().count() + 1,
        }
    }

    /// An error that underlines the name.
    pub(super) fn error(&self, message: impl Into<String>) -> Diagnostic {
        self.mark(self.name.clone(), message)
    }

    /// A warning that underlines the name.
    pub(super) fn warning(&self, message: impl Into<String>) -> Diagnostic {
        let location = self.location();
        Diagnostic {
            excerpt: self.error("").excerpt,
            ..Diagnostic::warning(location, message)
        }
    }

    /// An error that underlines a part of the value, or where it should be.
    pub(super) fn value_error(&self, part: Range<usize>, message: impl Into<String>) -> Diagnostic {
        let start = self.value.start;
        self.mark(start + part.start..start + part.end, message)
    }

    fn mark(&self, range: Range<usize>, message: impl Into<String>) -> Diagnostic {
        let marked = self.text[range.clone()].chars().count().max(1);
        // Messages end up in logs, passwords must not.
        let shown = if is_secret(self.name()) || self.value().contains('@') {
            &self.text[..self.name.end]
        } else {
            self.text
        };
        Diagnostic {
            excerpt: Some((shown.to_owned(), marked)),
            ..Diagnostic::error(self.place(range.start), message)
        }
    }
}

/// Whether an option of that name holds a password or key.
pub(super) fn is_secret(name: &str) -> bool {
    name.contains("pass") && !name.contains("file") || name.ends_with("psk")
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_blanks_and_foreign_line_ends_are_passed_over() {
        let file = "t".into();
        let text = "\u{feff}a 1\r\n\r\n# no\n  # no\n\tb\t two words \nc";
        let pairs: Vec<_> = Line::all(&file, text)
            .map(|line| (line.name(), line.value()))
            .collect();
        assert_eq!(pairs, [("a", "1"), ("b", "two words"), ("c", "")]);
    }

    #[test]
    fn passwords_are_not_shown() {
        let file = "t".into();
        let line = Line::all(&file, "remote_password hunter2").next().unwrap();
        assert!(!line.error("no").to_string().contains("hunter2"));
        let line = Line::all(&file, "address ws://me:hunter2@host").next();
        assert!(!line.unwrap().error("no").to_string().contains("hunter2"));
    }
}
