//! How a subscriber prints a message: the payload, topic and payload, or what
//! `-F` describes.
//!
//! A format is parsed once, to a row of [`Piece`]s; a message is then printed
//! by appending one after the other. Everything is bytes: widths count bytes,
//! and whatever the payload holds comes out as it is.

mod clock;
mod json;
mod parse;
mod payload;
#[cfg(test)]
mod tests;
mod write;

use std::time::{SystemTime, UNIX_EPOCH};

#[cfg(test)]
use chrono::FixedOffset;
use chrono::{DateTime, Local};
use parking_lot::Mutex;

use super::json_text;
use super::paint::{Paint, Shade};
use crate::codec::{Properties, QoS};
use clock::Clock;

/// A message as a subscriber received it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printed<'a> {
    /// The topic name.
    pub(crate) topic: &'a str,
    /// The payload.
    pub(crate) payload: &'a [u8],
    /// The quality of service of the delivery.
    pub(crate) qos: QoS,
    /// Whether it was a retained message.
    pub(crate) retain: bool,
    /// The packet identifier; 0 with QoS 0.
    pub(crate) packet_id: u16,
    /// The properties of the PUBLISH.
    pub(crate) properties: &'a Properties<'a>,
    /// Whether the connection speaks MQTT 5.
    pub(crate) v5: bool,
}

/// A way to print messages.
#[derive(Debug)]
pub(crate) struct Format {
    layout: Layout,
    newline: bool,
    /// Whether JSON is laid out for the eye.
    pretty: bool,
    /// Whether the time stands in front of each message.
    stamped: bool,
    /// The colours, if there are any.
    paint: Option<Paint>,
    /// Whether a piece asks for the time.
    timed: bool,
    clock: Mutex<Clock>,
}

#[derive(Debug)]
enum Layout {
    Payload,
    TopicAndPayload,
    Pieces(Vec<Piece>),
}

/// A part of a format.
#[derive(Debug, PartialEq)]
enum Piece {
    Text(String),
    Field(Field, Spec),
    /// `@N`.
    Nanoseconds,
    /// `@Z`.
    ZoneName,
    /// Any other `@` that strftime knows, as the clock numbers them.
    Time(usize),
}

/// What a `%` sequence prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    TopicAlias,
    ContentType,
    CorrelationData,
    ExpiryInterval,
    PayloadFormat,
    IsoTime,
    /// The payload as a string.
    Json,
    /// The payload as the JSON that it is.
    JsonPayload,
    Length,
    PacketId,
    UserProperties,
    Payload,
    QoS,
    ResponseTopic,
    Retain,
    SubscriptionId,
    Topic,
    UnixTime,
    LowerHex,
    UpperHex,
    Float,
    Double,
}

impl Field {
    const fn is_timed(self) -> bool {
        matches!(
            self,
            Self::IsoTime | Self::UnixTime | Self::Json | Self::JsonPayload
        )
    }
}

/// What stands between `%` and the letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Spec {
    /// `-`.
    left: bool,
    /// `0`.
    zero: bool,
    /// The minimum; 0 is none.
    width: usize,
    /// The number after the point: a maximum, the digits of a fraction, or how
    /// many hexadecimal digits stand together.
    precision: Option<usize>,
    /// What stands between groups of hexadecimal digits, if no blank.
    separator: Option<u8>,
}

impl Format {
    /// Reads the argument of `-F`. `pretty` is `--pretty`: JSON on many lines.
    ///
    /// # Errors
    /// A sequence that doesn't end or that doesn't exist, in the words of
    /// `mosquitto_sub` without `Error: `.
    pub(crate) fn parse(text: &str, pretty: bool) -> Result<Self, String> {
        let (pieces, times) = parse::pieces(text)?;
        let timed = pieces.iter().any(|piece| match piece {
            Piece::Field(field, _) => field.is_timed(),
            Piece::Nanoseconds | Piece::ZoneName | Piece::Time(_) => true,
            Piece::Text(_) => false,
        });
        Ok(Self {
            layout: Layout::Pieces(pieces),
            newline: true,
            pretty,
            stamped: false,
            paint: None,
            timed,
            clock: Mutex::new(Clock::new(times)),
        })
    }

    /// What is printed without `-F`: the payload, with `verbose` (`-v`) the
    /// topic and the payload. `newline` says whether lines are ended.
    pub(crate) fn plain(verbose: bool, newline: bool) -> Self {
        Self {
            layout: if verbose {
                Layout::TopicAndPayload
            } else {
                Layout::Payload
            },
            newline,
            pretty: false,
            stamped: false,
            paint: None,
            timed: false,
            clock: Mutex::default(),
        }
    }

    /// The same format, with or without (`-N`) the end of the line.
    pub(crate) fn with_newline(mut self, newline: bool) -> Self {
        self.newline = newline;
        self
    }

    /// The same format with the time in front (`--timestamp`).
    pub(crate) fn with_timestamp(mut self, stamped: bool) -> Self {
        self.stamped = stamped;
        self.timed |= stamped;
        self
    }

    /// The same format in colours. `highlight` (`--pretty`): those of JSON,
    /// too.
    pub(crate) fn with_paint(mut self, paint: Option<Paint>, highlight: bool) -> Self {
        self.paint = paint;
        self.pretty = highlight;
        self
    }

    /// Appends a message to `out`.
    ///
    /// Returns what is to be said on stderr, after `Error: `, where the payload
    /// isn't what the format asks for; `out` then has all but that piece.
    pub(crate) fn write(&self, message: &Printed<'_>, out: &mut Vec<u8>) -> Option<String> {
        let mut clock = self.clock.lock();
        if self.timed {
            // A clock before 1970 shows 1970.
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let now = now.unwrap_or_default();
            clock.set(now.as_secs() as i64, now.subsec_nanos(), |second| {
                let utc = DateTime::from_timestamp(second, 0).unwrap_or_default();
                utc.with_timezone(&Local).fixed_offset()
            });
        }
        self.write_by(&mut clock, message, out)
    }

    #[cfg(test)]
    fn write_at(
        &self,
        time: DateTime<FixedOffset>,
        message: &Printed<'_>,
        out: &mut Vec<u8>,
    ) -> Option<String> {
        let mut clock = self.clock.lock();
        clock.set(time.timestamp(), time.timestamp_subsec_nanos(), |_| time);
        self.write_by(&mut clock, message, out)
    }

    fn write_by(
        &self,
        clock: &mut Clock,
        message: &Printed<'_>,
        out: &mut Vec<u8>,
    ) -> Option<String> {
        let mut complaint = None;
        // Nothing at all for an empty payload, not even the line's end, but for
        // `-v`, which has a word for it unless there is no line's end.
        let has_word = matches!(self.layout, Layout::TopicAndPayload) && self.newline;
        if message.payload.is_empty() && !matches!(self.layout, Layout::Pieces(_)) && !has_word {
            return None;
        }
        if self.stamped {
            clock.stamp(out);
        }
        match &self.layout {
            Layout::Payload => self.payload(message.payload, out),
            Layout::TopicAndPayload => {
                match &self.paint {
                    None => out.extend_from_slice(message.topic.as_bytes()),
                    Some(paint) => paint.write(Shade::Topic, message.topic.as_bytes(), out),
                }
                out.push(b' ');
                match message.payload {
                    b"" => out.extend_from_slice(b"(null)"),
                    payload => self.payload(payload, out),
                }
            }
            Layout::Pieces(pieces) => {
                for piece in pieces {
                    let start = out.len();
                    let wrong = write::piece(piece, message, clock, self.pretty, out).err();
                    complaint = complaint.or(wrong);
                    if let (Some(paint), Piece::Field(Field::Json | Field::JsonPayload, _)) =
                        (&self.paint, piece)
                        && self.pretty
                    {
                        let json = out.split_off(start);
                        json_text::write(&json, json_text::Layout::AsItIs, Some(paint), out);
                    }
                }
            }
        }
        if self.newline {
            out.push(b'\n');
        }
        complaint
    }

    fn payload(&self, payload: &[u8], out: &mut Vec<u8>) {
        match &self.paint {
            None => out.extend_from_slice(payload),
            Some(paint) if self.pretty && json_text::is_json(payload) => {
                json_text::write(payload, json_text::Layout::AsItIs, Some(paint), out);
            }
            Some(paint) => paint.write(Shade::Payload, payload, out),
        }
    }
}
