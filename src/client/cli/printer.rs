//! Messages on standard output.

use std::io::{self, Write};

use clap::ArgMatches;

use super::coding::Coding;
use super::connection::{Connection, text};
use super::failure::{Failure, complain};
use super::format::{Format, Printed};
use super::paint::Paint;
use super::watch::Watch;
use crate::client::Message;
use crate::codec::Version;

/// More than this is written at once, even if more is to come.
const FULL: usize = 64 * 1024;

/// Prints messages, all that arrived together with one write.
#[derive(Debug)]
pub(super) struct Printer {
    format: Format,
    v5: bool,
    buffer: Vec<u8>,
    /// Write each message at once: debug lines come in between.
    eager: bool,
    decode: Option<Coding>,
    /// `--pretty`: what is decoded to JSON is laid out for the eye.
    pretty: bool,
    watch: Option<Watch>,
    quiet: bool,
}

impl Printer {
    pub(super) fn new(matches: &ArgMatches, connection: &Connection) -> Result<Self, Failure> {
        let newline = !matches.get_flag("no-newline");
        let format = match text(matches, "format") {
            Some(format) => Format::parse(format, matches.get_flag("pretty"))
                .map_err(Failure::Usage)?
                .with_newline(newline),
            None => Format::plain(matches.get_flag("verbose"), newline),
        };
        let pretty = matches.get_flag("pretty");
        Ok(Self {
            format: format
                .with_timestamp(matches.get_flag("timestamp"))
                .with_paint(Paint::wanted(matches), pretty),
            decode: Coding::of(matches, "decode"),
            pretty,
            // mqtt-rr has none.
            watch: match matches.try_get_one("watch") {
                Ok(Some(true)) => Some(Watch::new()?),
                _ => None,
            },
            v5: connection.options.version == Version::V5,
            buffer: Vec::new(),
            eager: connection.debug,
            quiet: connection.quiet,
        })
    }

    /// Prints one message.
    pub(super) fn print(&mut self, message: &Message) -> io::Result<()> {
        let decoded = self
            .decode
            .map(|coding| coding.decode(&message.payload, self.pretty));
        let printed = Printed {
            topic: &message.topic,
            payload: match &decoded {
                Some(Ok(decoded)) => decoded,
                _ => &message.payload,
            },
            qos: message.qos,
            retain: message.retain,
            packet_id: message.packet_id,
            properties: &message.properties,
            v5: self.v5,
        };
        let start = self.buffer.len();
        let mut complaint = self.format.write(&printed, &mut self.buffer);
        if let Some(Err(what)) = decoded {
            complaint = Some(format!("{what} on topic {}.", message.topic));
        }
        if let Some(watch) = &mut self.watch {
            watch.put(&message.topic, &self.buffer[start..]);
            self.buffer.clear();
            return Ok(());
        }
        if self.eager || complaint.is_some() || self.buffer.len() >= FULL {
            self.flush()?;
        }
        if let Some(complaint) = complaint.filter(|_| !self.quiet) {
            complain(format_args!("Error: {complaint}"));
        }
        Ok(())
    }

    /// Prints a line of our own.
    pub(super) fn line(&mut self, line: impl std::fmt::Display) -> io::Result<()> {
        writeln!(self.buffer, "{line}")?;
        self.flush()
    }

    /// Writes the last there is, and leaves the lines of a watch alone.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.flush()?;
        if self.watch.is_some() {
            self.line("")?;
        }
        Ok(())
    }

    /// Writes what there is.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if let Some(watch) = &mut self.watch {
            self.buffer.extend(watch.draw());
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        out.write_all(&self.buffer)?;
        self.buffer.clear();
        out.flush()
    }
}
