//! Colours on a terminal.

use std::io::IsTerminal;

use clap::ArgMatches;
use colored::{Color, Colorize};

use super::connection::text;

/// The values of `--color`.
pub(super) const CHOICES: [&str; 3] = ["auto", "always", "never"];

/// What is told apart by its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shade {
    Topic,
    Payload,
    /// The name of a member in JSON.
    Key,
    /// A string in JSON.
    Text,
    Number,
    /// `true`, `false` and `null`.
    Word,
}

impl Shade {
    const ALL: [Self; 6] = [
        Self::Topic,
        Self::Payload,
        Self::Key,
        Self::Text,
        Self::Number,
        Self::Word,
    ];

    fn color(self) -> Color {
        match self {
            Self::Topic => Color::Cyan,
            Self::Payload | Self::Text => Color::Green,
            Self::Key => Color::Blue,
            Self::Number => Color::Yellow,
            Self::Word => Color::Magenta,
        }
    }
}

/// What the terminal is told before and after each shade.
#[derive(Debug)]
pub(super) struct Paint {
    codes: [(String, String); 6],
}

impl Paint {
    pub(super) fn new() -> Self {
        colored::control::set_override(true);
        let codes = Shade::ALL.map(|shade| {
            let sample = "-".color(shade.color()).to_string();
            let (before, after) = sample.split_once('-').unwrap_or_default();
            (before.to_owned(), after.to_owned())
        });
        colored::control::unset_override();
        Self { codes }
    }

    /// `--color`; by itself only for a terminal whose user has not said
    /// otherwise.
    pub(super) fn wanted(matches: &ArgMatches) -> Option<Self> {
        let wanted = match text(matches, "color") {
            Some("always") => true,
            Some("never") => false,
            _ => suits(&std::io::stdout()),
        };
        wanted.then(Self::new)
    }

    /// Appends bytes in a colour.
    pub(super) fn write(&self, shade: Shade, bytes: &[u8], out: &mut Vec<u8>) {
        let (before, after) = &self.codes[shade as usize];
        out.extend_from_slice(before.as_bytes());
        out.extend_from_slice(bytes);
        out.extend_from_slice(after.as_bytes());
    }
}

/// Whether a stream shows colours to somebody who wants them: see no-color.org.
pub(super) fn suits(stream: &impl IsTerminal) -> bool {
    let is = |name, value: &str| std::env::var_os(name).is_some_and(|found| found == value);
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !unwanted && !is("TERM", "dumb")
}
