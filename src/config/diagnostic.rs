//! What is wrong in a configuration file, where, and what to write instead.

use std::fmt;
use std::sync::Arc;

/// A place in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file as it was named when it was opened, or `command line`.
    pub file: Arc<str>,
    /// The line, counted from 1; 0 means the file as a whole.
    pub line: usize,
    /// The column in characters, counted from 1; 0 when `line` is 0.
    pub column: usize,
}

impl Location {
    /// A file as a whole, for what cannot be pinned to a line.
    pub fn whole(file: &str) -> Self {
        Self {
            file: file.into(),
            line: 0,
            column: 0,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}:{}", self.file, self.column),
        }
    }
}

/// Whether the broker can start in spite of a [`Diagnostic`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// The configuration works, but probably not as its author thinks.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One finding about a configuration.
///
/// Its `Display` takes several lines, without a line end after the last:
///
/// ```text
/// mosquitto.conf:2:1: error: unknown option `allow_anonymus`
///   allow_anonymus true
///   ^^^^^^^^^^^^^^
///   help: did you mean `allow_anonymous`?
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// Where the underlined text begins.
    pub location: Location,
    /// What is the matter, in one line.
    pub message: String,
    /// What to write instead, if there is something to say.
    pub help: Option<String>,
    /// The line of the file, and how many characters of it are meant.
    pub excerpt: Option<(String, usize)>,
}

impl Diagnostic {
    /// An error at a place, so far without excerpt and help.
    pub fn error(location: Location, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            location,
            message: message.into(),
            help: None,
            excerpt: None,
        }
    }

    /// A warning at a place, so far without excerpt and help.
    pub fn warning(location: Location, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(location, message)
        }
    }

    /// Adds what to write instead.
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.location, self.severity, self.message)?;
        if let Some((line, length)) = &self.excerpt {
            // Tabs stay tabs, so that the marks stand below what they mean.
            let indent: String = line
                .chars()
                .take(self.location.column.saturating_sub(1))
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            write!(f, "\n  {line}\n  {indent}{}", "^".repeat(*length))?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

/// Everything that keeps a configuration from being used, in the order
/// in which it was found. The broker prints it and exits with 3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            diagnostic.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_underlined_below_tabs_and_accents() {
        let at = Location {
            file: "m.conf".into(),
            line: 4,
            column: 4,
        };
        let mut diagnostic = Diagnostic::error(at, "no").with_help("yes");
        diagnostic.excerpt = Some(("\té xyz".into(), 3));
        assert_eq!(
            diagnostic.to_string(),
            "m.conf:4:4: error: no\n  \té xyz\n  \t  ^^^\n  help: yes"
        );
    }

    #[test]
    fn a_whole_file_has_no_line() {
        let diagnostic = Diagnostic::warning(Location::whole("m.conf"), "gone");
        assert_eq!(diagnostic.to_string(), "m.conf: warning: gone");
    }
}
