//! The language of `-F`.
//!
//! `%[-][0][width][.precision][separator]letter` is something of the message,
//! `@letter` something of the time, `\letter` a character that is hard to type.

use std::io::Write as _;

use chrono::{DateTime, FixedOffset, Local};

use super::failure::complain;
use super::json;
use super::strftime::TimeFormat;
use crate::client::Message;
use crate::codec::Property;
use crate::property;

const SEPARATORS: &[u8] = b"!\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~ ";

/// A format, ready to print messages in.
#[derive(Debug)]
pub(super) struct Format {
    pieces: Vec<Piece>,
    pretty: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Literal(Vec<u8>),
    /// `%…`
    Field(Field),
    /// `@…`, and `%` sequences that tell the time.
    Time(TimeFormat),
    /// `%I` has a width.
    Padded(Field, TimeFormat),
}

/// One `%` sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Field {
    letter: u8,
    left: bool,
    zero: bool,
    width: usize,
    precision: usize,
    separator: Option<u8>,
}

impl Format {
    /// Parses a format.
    ///
    /// # Errors
    /// Mosquitto's text for the error.
    pub(super) fn parse(text: &str, pretty: bool) -> Result<Self, String> {
        Ok(Self {
            pieces: parse_pieces(text.as_bytes())?,
            pretty,
        })
    }

    /// Appends a message in this format.
    pub(super) fn render(&self, message: &Message, out: &mut Vec<u8>) {
        // One moment for the whole line.
        let now = Local::now().fixed_offset();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(bytes) => out.extend_from_slice(bytes),
                Piece::Time(format) => format.write(&now, out),
                Piece::Padded(field, format) => {
                    let mut text = Vec::with_capacity(24);
                    format.write(&now, &mut text);
                    field.text(&text, out);
                }
                Piece::Field(field) => field.render(message, &now, self.pretty, out),
            }
        }
    }
}

fn parse_pieces(mut rest: &[u8]) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut literal = Vec::new();
    while let [first, tail @ ..] = rest {
        let piece = match first {
            b'%' => {
                let (field, after) = parse_field(tail)?;
                rest = after;
                match field.letter {
                    b'%' => {
                        literal.push(b'%');
                        continue;
                    }
                    b'I' => Piece::Padded(field, TimeFormat::iso_8601()),
                    b'U' => Piece::Time(TimeFormat::unix()),
                    _ => Piece::Field(field),
                }
            }
            b'@' | b'\\' => {
                let [letter, after @ ..] = tail else {
                    return Err("Incomplete format specifier.".to_owned());
                };
                rest = after;
                if *first == b'@' && *letter != b'@' {
                    Piece::Time(TimeFormat::conversion(char::from(*letter)))
                } else {
                    literal.push(if *first == b'@' {
                        b'@'
                    } else {
                        escape(*letter)?
                    });
                    continue;
                }
            }
            byte => {
                literal.push(*byte);
                rest = tail;
                continue;
            }
        };
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
        }
        pieces.push(piece);
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

fn escape(letter: u8) -> Result<u8, String> {
    Ok(match letter {
        b'\\' => b'\\',
        b'0' => 0,
        b'a' => 0x07,
        b'e' => 0x1B,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0B,
        other => return Err(format!("Invalid escape specifier '{}'.", char::from(other))),
    })
}

/// What follows a `%`, and the rest after it.
fn parse_field(mut rest: &[u8]) -> Result<(Field, &[u8]), String> {
    let mut field = Field::default();
    let skip = |byte: u8, rest: &mut &[u8]| match rest.strip_prefix(&[byte]) {
        Some(after) => {
            *rest = after;
            true
        }
        None => false,
    };
    field.left = skip(b'-', &mut rest);
    field.zero = skip(b'0', &mut rest);
    field.width = parse_number(&mut rest);
    if skip(b'.', &mut rest) {
        field.precision = parse_number(&mut rest);
    }
    let [letter, after @ ..] = rest else {
        return Err("Incomplete format specifier.".to_owned());
    };
    // A separator means something to %x and %X only.
    if let [hex @ (b'x' | b'X'), after @ ..] = after
        && field.precision > 0
        && SEPARATORS.contains(letter)
    {
        field.separator = Some(*letter);
        field.letter = *hex;
        return Ok((field, after));
    }
    if !b"%ACDEFIJPRSUXjlmpqrtx".contains(letter) {
        return Err(format!(
            "Invalid format specifier '{}'.",
            char::from(*letter)
        ));
    }
    field.letter = *letter;
    Ok((field, after))
}

fn parse_number(rest: &mut &[u8]) -> usize {
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, after) = rest.split_at(digits);
    *rest = after;
    // Nobody wants a line of a million blanks.
    number.iter().fold(0usize, |value, digit| {
        (value * 10 + usize::from(digit - b'0')).min(1_000_000)
    })
}

impl Field {
    fn render(
        &self,
        message: &Message,
        now: &DateTime<FixedOffset>,
        pretty: bool,
        out: &mut Vec<u8>,
    ) {
        let properties = &message.properties;
        match self.letter {
            b'A' => self.number(property!(properties, TopicAlias).map(u32::from), out),
            b'C' => self.text(
                property!(properties, ContentType).unwrap_or("").as_bytes(),
                out,
            ),
            b'D' => {
                out.extend_from_slice(property!(properties, CorrelationData).unwrap_or_default());
            }
            b'E' => self.number(property!(properties, MessageExpiryInterval), out),
            b'F' => self.number(
                property!(properties, PayloadFormatIndicator).map(u32::from),
                out,
            ),
            b'j' => json::write(message, now, pretty, out),
            b'J' if json::write_parsed(message, now, pretty, out) => {}
            b'J' => complain(format_args!(
                "Error: Message payload is not valid JSON on topic {}.",
                message.topic
            )),
            b'l' => self.number(Some(message.payload.len() as u32), out),
            b'm' => self.number(Some(message.packet_id.into()), out),
            b'P' => user_properties(message, out),
            b'p' => self.payload(&message.payload, out),
            b'q' => out.push(b'0' + message.qos as u8),
            b'R' => self.text(
                property!(properties, ResponseTopic)
                    .unwrap_or("")
                    .as_bytes(),
                out,
            ),
            b'r' => out.push(b'0' + u8::from(message.retain)),
            b'S' => self.subscription_identifiers(message, out),
            b't' => self.text(message.topic.as_bytes(), out),
            b'x' | b'X' => self.hex(&message.payload, out),
            // The parser lets nothing else through.
            _ => {}
        }
    }

    /// Bytes within the width, and not longer than the precision.
    fn text(&self, text: &[u8], out: &mut Vec<u8>) {
        let text = match self.precision {
            0 => text,
            precision => &text[..text.len().min(precision)],
        };
        self.pad(text, b' ', out);
    }

    fn number(&self, number: Option<u32>, out: &mut Vec<u8>) {
        let text = number.map(|number| number.to_string()).unwrap_or_default();
        // There is no number to put zeros in front of if it's missing.
        let filler = if self.zero && number.is_some() {
            b'0'
        } else {
            b' '
        };
        self.pad(text.as_bytes(), filler, out);
    }

    /// A payload is as long as the width, if there is one: no longer, either.
    fn payload(&self, payload: &[u8], out: &mut Vec<u8>) {
        let payload = match self.width {
            0 => payload,
            width => &payload[..payload.len().min(width)],
        };
        self.pad(payload, b' ', out);
    }

    fn hex(&self, payload: &[u8], out: &mut Vec<u8>) {
        let payload = match self.width {
            0 => payload,
            width => &payload[..payload.len().min(width / 2)],
        };
        let digits: &[u8; 16] = if self.letter == b'x' {
            b"0123456789abcdef"
        } else {
            b"0123456789ABCDEF"
        };
        let mut text = Vec::with_capacity(payload.len() * 2);
        let nibbles = payload.iter().flat_map(|byte| [byte >> 4, byte & 0x0F]);
        for (index, nibble) in nibbles.enumerate() {
            if let Some(separator) = self.separator
                && index > 0
                && index % self.precision == 0
            {
                text.push(separator);
            }
            text.push(digits[usize::from(nibble)]);
        }
        self.pad(&text, if self.zero { b'0' } else { b' ' }, out);
    }

    fn subscription_identifiers(&self, message: &Message, out: &mut Vec<u8>) {
        let identifiers: Vec<_> = message
            .properties
            .iter()
            .filter_map(|property| match property {
                Property::SubscriptionIdentifier(id) => Some(id),
                _ => None,
            })
            .collect();
        if let [one] = identifiers[..] {
            return self.number(Some(one), out);
        }
        let texts: Vec<_> = identifiers.iter().map(u32::to_string).collect();
        self.pad(texts.join(" ").as_bytes(), b' ', out);
    }

    fn pad(&self, text: &[u8], filler: u8, out: &mut Vec<u8>) {
        let missing = self.width.saturating_sub(text.len());
        if self.left {
            out.extend_from_slice(text);
            out.resize(out.len() + missing, b' ');
        } else {
            out.resize(out.len() + missing, filler);
            out.extend_from_slice(text);
        }
    }
}

fn user_properties(message: &Message, out: &mut Vec<u8>) {
    let mut first = true;
    for property in message.properties.iter() {
        if let Property::UserProperty(name, value) = property {
            let blank = if std::mem::take(&mut first) { "" } else { " " };
            let _ = write!(out, "{blank}{name}:{value}");
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::codec::{Properties, QoS};

    fn message() -> Message {
        Message {
            topic: "fmt/x".to_owned(),
            payload: Bytes::from_static("{\"a\": 1.0, \"b\":\"é\\n\"}".as_bytes()),
            qos: QoS::AtLeastOnce,
            retain: true,
            dup: false,
            packet_id: 1,
            properties: Properties::new()
                .with(Property::ContentType("application/json"))
                .with(Property::UserProperty("k1", "v1"))
                .with(Property::UserProperty("k2", "v2"))
                .with(Property::ResponseTopic("re/t"))
                .with(Property::CorrelationData(b"abc"))
                .with(Property::PayloadFormatIndicator(1))
                .with(Property::MessageExpiryInterval(1000)),
        }
    }

    fn render(format: &str) -> String {
        let mut out = Vec::new();
        Format::parse(format, false)
            .expect("a format")
            .render(&message(), &mut out);
        String::from_utf8(out).expect("text")
    }

    /// What mosquitto_sub 2.0.11 printed for the same message.
    #[test]
    fn fields_are_printed_as_mosquitto_prints_them() {
        for (format, expected) in [
            ("%A|%5A|%05A|", "|     |     |"),
            (
                "%C|%20C|%-20C|",
                "application/json|    application/json|application/json    |",
            ),
            (
                "%.5C|%20.5C|%020C|",
                "appli|               appli|    application/json|",
            ),
            ("%D|%10D|", "abc|abc|"),
            ("%E|%6E|%06E|%-6E|", "1000|  1000|001000|1000  |"),
            ("%F|%3F|%03F|", "1|  1|001|"),
            ("%l|%5l|%05l|%-5l|", "22|   22|00022|22   |"),
            ("%m|%5m|%05m|", "1|    1|00001|"),
            ("%P|%20P|", "k1:v1 k2:v2|k1:v1 k2:v2|"),
            ("%p|", "{\"a\": 1.0, \"b\":\"é\\n\"}|"),
            ("%5p|", "{\"a\":|"),
            ("%30p|", "        {\"a\": 1.0, \"b\":\"é\\n\"}|"),
            ("%-30p|", "{\"a\": 1.0, \"b\":\"é\\n\"}        |"),
            ("%q%r|%5q|", "11|1|"),
            ("%R|%10R|%.2R|", "re/t|      re/t|re|"),
            ("%S|%5S|", "|     |"),
            (
                "%t|%10t|%-10t|%.2t|%010t|",
                "fmt/x|     fmt/x|fmt/x     |fm|     fmt/x|",
            ),
            ("%x|", "7b2261223a20312e302c202262223a22c3a95c6e227d|"),
            ("%X|", "7B2261223A20312E302C202262223A22C3A95C6E227D|"),
            (
                "%5x|%.2x|",
                " 7b22|7b2261223a20312e302c202262223a22c3a95c6e227d|",
            ),
            ("%%a@@\\\\", "%a@\\"),
            ("é%5%|", "é%|"),
        ] {
            assert_eq!(render(format), expected, "{format}");
        }
    }

    #[test]
    fn hexadecimals_can_be_grouped() {
        assert_eq!(&render("%.2:x")[..8], "7b:22:61");
        assert_eq!(&render("%.4 X")[..9], "7B22 6122");
        assert_eq!(render("%6.2:x"), "7b:22:61");
    }

    #[test]
    fn escapes_are_characters() {
        assert_eq!(render("\\0\\a\\e\\n\\r\\t\\v"), "\0\x07\x1b\n\r\t\x0b");
    }

    #[test]
    fn times_have_their_form() {
        assert_eq!(render("%I").len(), "2016-08-10T09:47:38+0100".len());
        assert_eq!(render("%.10I").len(), 10);
        assert_eq!(render("@N").len(), 9);
        let stamp = render("%U");
        let (seconds, nanoseconds) = stamp.split_once('.').expect("a point");
        assert!(seconds.parse::<u64>().is_ok() && nanoseconds.len() == 9);
    }

    #[test]
    fn errors_are_mosquittos() {
        for (format, expected) in [
            ("%z", "Invalid format specifier 'z'."),
            ("%0", "Incomplete format specifier."),
            ("%", "Incomplete format specifier."),
            ("@", "Incomplete format specifier."),
            ("abc\\q", "Invalid escape specifier 'q'."),
            ("%--5l", "Invalid format specifier '-'."),
            ("%:p", "Invalid format specifier ':'."),
        ] {
            assert_eq!(
                Format::parse(format, false).expect_err(format),
                expected,
                "{format}"
            );
        }
    }
}
