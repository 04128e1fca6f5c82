//! Messages on standard output.

use std::io::{self, Write};

use clap::ArgMatches;

use super::connection::{Connection, text};
use super::failure::{Failure, complain};
use super::format::{Format, Printed};
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
        Ok(Self {
            format,
            v5: connection.options.version == Version::V5,
            buffer: Vec::new(),
            eager: connection.debug,
            quiet: connection.quiet,
        })
    }

    /// Prints one message.
    pub(super) fn print(&mut self, message: &Message) -> io::Result<()> {
        let printed = Printed {
            topic: &message.topic,
            payload: &message.payload,
            qos: message.qos,
            retain: message.retain,
            packet_id: message.packet_id,
            properties: &message.properties,
            v5: self.v5,
        };
        let complaint = self.format.write(&printed, &mut self.buffer);
        if self.eager || complaint.is_some() || self.buffer.len() >= FULL {
            self.flush()?;
        }
        if let Some(complaint) = complaint.filter(|_| !self.quiet) {
            complain(format_args!("Error: {complaint}"));
        }
        Ok(())
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
