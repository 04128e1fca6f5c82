//! How a tool ends when it cannot do its work.

use std::fmt::Display;
use std::io::{self, Write as _};

/// A reason to end, with what is printed and the exit code.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The command line is wrong: `Error: …` and where to find help; exit
    /// code 1.
    Usage(String),
    /// Something else: the whole text as it is printed, and the exit code.
    Other(String, u8),
    /// All was said already.
    Silent(u8),
}

impl Failure {
    pub(super) fn usage(what: impl Display) -> Self {
        Self::Usage(what.to_string())
    }

    /// `Error: …` on one line, exit code 1.
    pub(super) fn plain(what: impl Display) -> Self {
        Self::Other(format!("Error: {what}"), 1)
    }

    /// Prints what there is to print and gives the exit code. `--quiet`
    /// doesn't reach errors of usage.
    pub(super) fn report(&self, program: &str, quiet: bool) -> u8 {
        match self {
            Self::Usage(what) => {
                complain(format_args!(
                    "Error: {what}\n\nUse '{program} --help' to see usage."
                ));
                1
            }
            Self::Other(text, code) => {
                if !quiet {
                    complain(text);
                }
                *code
            }
            Self::Silent(code) => *code,
        }
    }
}

/// A line on standard error. Nobody is told if that cannot be written.
pub(super) fn complain(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}
