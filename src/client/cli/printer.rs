//! Messages on standard output.

use std::io::{self, Write};

use clap::ArgMatches;

use super::connection::text;
use super::failure::Failure;
use super::format::Format;
use crate::client::Message;

/// More than this is written at once, even if more is to come.
const FULL: usize = 64 * 1024;

/// How a message is printed.
#[derive(Debug)]
enum Style {
    /// The payload.
    Plain,
    /// `-v`: topic and payload.
    Verbose,
    /// `-F`
    Formatted(Format),
}

/// Prints messages, all that arrived together with one write.
#[derive(Debug)]
pub(super) struct Printer {
    style: Style,
    newline: bool,
    buffer: Vec<u8>,
    /// Write each message at once: debug lines come in between.
    eager: bool,
}

impl Printer {
    pub(super) fn new(matches: &ArgMatches, eager: bool) -> Result<Self, Failure> {
        let style = match text(matches, "format") {
            Some(format) => Style::Formatted(
                Format::parse(format, matches.get_flag("pretty")).map_err(Failure::Usage)?,
            ),
            None if matches.get_flag("verbose") => Style::Verbose,
            None => Style::Plain,
        };
        Ok(Self {
            style,
            newline: !matches.get_flag("no-newline"),
            buffer: Vec::new(),
            eager,
        })
    }

    /// Prints one message.
    pub(super) fn print(&mut self, message: &Message) -> io::Result<()> {
        if self.render(message) && self.newline {
            self.buffer.push(b'\n');
        }
        if self.eager || self.buffer.len() >= FULL {
            self.flush()?;
        }
        Ok(())
    }

    /// Appends a message to the buffer. False: there is nothing to print.
    fn render(&mut self, message: &Message) -> bool {
        let out = &mut self.buffer;
        match &self.style {
            Style::Formatted(format) => format.render(message, out),
            Style::Verbose if message.payload.is_empty() => {
                if !self.newline {
                    return false;
                }
                out.extend_from_slice(message.topic.as_bytes());
                out.extend_from_slice(b" (null)");
            }
            Style::Verbose => {
                out.extend_from_slice(message.topic.as_bytes());
                out.push(b' ');
                out.extend_from_slice(&message.payload);
            }
            Style::Plain => out.extend_from_slice(&message.payload),
        }
        !(matches!(self.style, Style::Plain) && message.payload.is_empty())
    }

    /// Writes what there is.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        out.write_all(&self.buffer)?;
        self.buffer.clear();
        out.flush()
    }
}
