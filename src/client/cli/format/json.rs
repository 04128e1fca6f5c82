//! `%j` and `%J`: a message as JSON, byte for byte as cJSON prints it.

use std::io::Write as _;

use super::Printed;
use super::clock::Clock;
use super::payload::{self, NotJson};
use super::write::decimal;
use crate::codec::{Property, QoS};

/// Appends a message as JSON, its payload as a string (`escaped`) or as the
/// JSON that it is. Where it is none nothing is appended.
pub(super) fn message(
    message: &Printed<'_>,
    clock: &Clock,
    escaped: bool,
    pretty: bool,
    out: &mut Vec<u8>,
) -> Result<(), NotJson> {
    let start = out.len();
    let mut json = Writer::new(out, pretty);
    json.open_object();
    json.member("tst");
    json.time(clock);
    json.member("topic");
    json.string(message.topic.as_bytes());
    json.member("qos");
    json.integer(message.qos as u32);
    json.member("retain");
    json.integer(message.retain.into());
    json.member("payloadlen");
    json.integer(message.payload.len() as u32);
    if message.qos != QoS::AtMostOnce {
        json.member("mid");
        json.integer(message.packet_id.into());
    }
    if message.v5 && !message.properties.is_empty() {
        json.member("properties");
        properties(message, &mut json);
    }
    json.member("payload");
    let result = if message.payload.is_empty() {
        json.raw(b"null");
        Ok(())
    } else if escaped {
        json.string(message.payload);
        Ok(())
    } else {
        payload::transcribe(message.payload, &mut json)
    };
    json.close_object();
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn properties(message: &Printed<'_>, json: &mut Writer<'_>) {
    json.open_object();
    let mut users_done = false;
    for property in message.properties.iter() {
        match property {
            Property::PayloadFormatIndicator(value) => {
                json.member("payload-format-indicator");
                json.integer(value.into());
            }
            Property::MessageExpiryInterval(value) => {
                json.member("message-expiry-interval");
                json.integer(value);
            }
            Property::ContentType(value) => {
                json.member("content-type");
                json.string(value.as_bytes());
            }
            Property::ResponseTopic(value) => {
                json.member("response-topic");
                json.string(value.as_bytes());
            }
            Property::CorrelationData(value) => {
                json.member("correlation-data");
                json.string(value);
            }
            Property::SubscriptionIdentifier(value) => {
                json.member("subscription-identifier");
                json.integer(value);
            }
            Property::TopicAlias(value) => {
                json.member("topic-alias");
                json.integer(value.into());
            }
            // All of them stand where the first one is.
            Property::UserProperty(..) if !users_done => {
                users_done = true;
                json.member("user-properties");
                user_properties(message, json);
            }
            _ => {}
        }
    }
    json.close_object();
}

fn user_properties(message: &Printed<'_>, json: &mut Writer<'_>) {
    json.open_object();
    for property in message.properties.iter() {
        if let Property::UserProperty(name, value) = property {
            json.key(name.as_bytes());
            json.string(value.as_bytes());
        }
    }
    json.close_object();
}

/// What stands behind the backslash for each byte; 0 where the byte stays as it
/// is, `u` for its number, `0` for the end of the string.
const ESCAPES: [u8; 256] = {
    let mut letters = [0; 256];
    let mut control = 1;
    while control < 0x20 {
        letters[control] = b'u';
        control += 1;
    }
    letters[0] = b'0';
    letters[0x08] = b'b';
    letters[0x0c] = b'f';
    letters[b'\n' as usize] = b'n';
    letters[b'\r' as usize] = b'r';
    letters[b'\t' as usize] = b't';
    letters[b'"' as usize] = b'"';
    letters[b'\\' as usize] = b'\\';
    letters
};

/// Appends JSON, value after value. The caller sees to it that each key has a
/// value and that what is opened is closed.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    pretty: bool,
    depth: usize,
    /// Whether a comma belongs before the next member or element.
    comma: bool,
}

impl<'a> Writer<'a> {
    fn new(out: &'a mut Vec<u8>, pretty: bool) -> Self {
        Self {
            out,
            pretty,
            depth: 0,
            comma: false,
        }
    }

    pub(super) fn open_object(&mut self) {
        self.open(b'{');
    }

    pub(super) fn close_object(&mut self) {
        self.depth -= 1;
        self.indent();
        self.raw(b"}");
    }

    /// Begins a member with any key.
    pub(super) fn key(&mut self, key: &[u8]) {
        self.begin_member();
        self.string(key);
        self.end_key();
    }

    /// Begins a member with a key that has nothing to escape.
    fn member(&mut self, key: &'static str) {
        self.begin_member();
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.push(b'"');
        self.end_key();
    }

    fn begin_member(&mut self) {
        if self.comma {
            self.out.push(b',');
        }
        self.indent();
    }

    fn end_key(&mut self) {
        self.out.push(b':');
        if self.pretty {
            self.out.push(b'\t');
        }
    }

    pub(super) fn open_array(&mut self) {
        self.open(b'[');
    }

    pub(super) fn close_array(&mut self) {
        self.depth -= 1;
        self.raw(b"]");
    }

    /// Begins an element.
    pub(super) fn element(&mut self) {
        if self.comma {
            self.out
                .extend_from_slice(if self.pretty { b", " } else { b"," });
        }
    }

    /// How many objects and arrays are open.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// A string. The bytes need not be UTF-8; they end with the first NUL, as
    /// strings in C do.
    pub(super) fn string(&mut self, bytes: &[u8]) {
        self.out.push(b'"');
        let mut rest = bytes;
        let plain = |byte: &u8| ESCAPES[usize::from(*byte)] == 0;
        while let Some(length) = rest.iter().position(|byte| !plain(byte)) {
            self.out.extend_from_slice(&rest[..length]);
            let byte = rest[length];
            rest = &rest[length + 1..];
            match ESCAPES[usize::from(byte)] {
                b'0' => rest = b"",
                b'u' => {
                    let _ = write!(self.out, "\\u{byte:04x}");
                }
                letter => self.out.extend_from_slice(&[b'\\', letter]),
            }
        }
        self.out.extend_from_slice(rest);
        self.raw(b"\"");
    }

    /// A value that is JSON already.
    pub(super) fn raw(&mut self, json: &[u8]) {
        self.out.extend_from_slice(json);
        self.comma = true;
    }

    /// A number in C's `%1.15g`, or in `%1.17g` where that isn't close enough;
    /// `null` for what JSON has no number for.
    pub(super) fn number(&mut self, value: f64) {
        if !value.is_finite() {
            return self.raw(b"null");
        }
        // The usual case, whose digits are known without a search.
        if value.fract() == 0.0 && value.is_sign_positive() && value < 1e15 {
            decimal(self.out, value as u64, 0);
            self.comma = true;
            return;
        }
        let short = general(value, 15);
        let close = short.parse().is_ok_and(|read: f64| {
            (read - value).abs() <= read.abs().max(value.abs()) * f64::EPSILON
        });
        if close {
            self.raw(short.as_bytes());
        } else {
            self.raw(general(value, 17).as_bytes());
        }
    }

    fn integer(&mut self, value: u32) {
        decimal(self.out, value.into(), 0);
        self.comma = true;
    }

    /// The time with microseconds and offset. Mosquitto 2.0 writes a `Z` between
    /// them, against its manual; later versions don't.
    fn time(&mut self, clock: &Clock) {
        let (time, offset) = clock.iso_parts();
        self.out.push(b'"');
        self.out.extend_from_slice(time.as_bytes());
        self.out.push(b'.');
        decimal(self.out, (clock.nanoseconds() / 1000).into(), 6);
        self.out.extend_from_slice(offset.as_bytes());
        self.out.push(b'"');
        self.comma = true;
    }

    fn open(&mut self, bracket: u8) {
        self.out.push(bracket);
        self.depth += 1;
        self.comma = false;
    }

    fn indent(&mut self) {
        if self.pretty {
            self.out.push(b'\n');
            self.out.resize(self.out.len() + self.depth, b'\t');
        }
    }
}

/// printf's `%g` with so many significant digits.
fn general(value: f64, digits: usize) -> String {
    let scientific = format!("{:.*e}", digits - 1, value);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let last = digits as i32 - 1;
    if (-4..=last).contains(&exponent) {
        let text = format!("{:.*}", (last - exponent) as usize, value);
        return without_zeros(&text).into();
    }
    let mantissa = without_zeros(mantissa);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

/// A number without the zeros at the end of its fraction.
fn without_zeros(number: &str) -> &str {
    if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        number
    }
}
