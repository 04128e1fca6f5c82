//! The pieces of a format, printed.

use std::io::Write as _;

use super::clock::Clock;
use super::{Field, Piece, Printed, Spec, json};
use crate::codec::Property;
use crate::property;

/// Appends a piece; a complaint where the payload isn't what it should be.
pub(super) fn piece(
    piece: &Piece,
    message: &Printed<'_>,
    clock: &mut Clock,
    pretty: bool,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    match piece {
        Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
        Piece::Nanoseconds => decimal(out, clock.nanoseconds().into(), 9),
        Piece::ZoneName => out.extend_from_slice(clock.zone().as_bytes()),
        Piece::Time(index) => out.extend_from_slice(clock.text(*index).as_bytes()),
        Piece::Field(kind, spec) => return field(*kind, spec, message, clock, pretty, out),
    }
    Ok(())
}

fn field(
    field: Field,
    spec: &Spec,
    message: &Printed<'_>,
    clock: &Clock,
    pretty: bool,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let properties = message.properties;
    match field {
        Field::TopicAlias => number(out, spec, property!(properties, TopicAlias)),
        Field::ContentType => {
            text(out, spec, property!(properties, ContentType).unwrap_or(""));
        }
        Field::CorrelationData => {
            out.extend_from_slice(property!(properties, CorrelationData).unwrap_or_default());
        }
        Field::ExpiryInterval => number(out, spec, property!(properties, MessageExpiryInterval)),
        Field::PayloadFormat => number(out, spec, property!(properties, PayloadFormatIndicator)),
        Field::IsoTime => text(out, spec, clock.iso()),
        Field::Json | Field::JsonPayload => {
            let escaped = field == Field::Json;
            return json::message(message, clock, escaped, pretty, out).map_err(|_| {
                let topic = message.topic;
                format!("Message payload is not valid JSON on topic {topic}.")
            });
        }
        Field::Length => number(out, spec, Some(message.payload.len() as u64)),
        Field::PacketId => number(out, spec, Some(message.packet_id)),
        Field::UserProperties => user_properties(out, message),
        Field::Payload => {
            let end = match spec.width {
                0 => message.payload.len(),
                width => width.min(message.payload.len()),
            };
            pad(out, spec, &message.payload[..end], spec.zero);
        }
        Field::QoS => out.push(b'0' + message.qos as u8),
        Field::ResponseTopic => {
            // Without one there is nothing, not even blanks, unlike elsewhere.
            if let Some(topic) = property!(properties, ResponseTopic) {
                text(out, spec, topic);
            }
        }
        Field::Retain => out.push(b'0' + u8::from(message.retain)),
        Field::SubscriptionId => number(out, spec, property!(properties, SubscriptionIdentifier)),
        Field::Topic => text(out, spec, message.topic),
        Field::UnixTime => {
            // To write to a Vec cannot fail.
            let _ = write!(out, "{}.", clock.second());
            decimal(out, clock.nanoseconds().into(), 9);
        }
        Field::LowerHex => hex(out, spec, message.payload, b"0123456789abcdef"),
        Field::UpperHex => hex(out, spec, message.payload, b"0123456789ABCDEF"),
        Field::Float => {
            let bytes = message.payload.try_into();
            let bytes =
                bytes.map_err(|_| "requested float printing, but non-float data received")?;
            fraction(out, spec, f32::from_ne_bytes(bytes).into());
        }
        Field::Double => {
            let bytes = message.payload.try_into();
            let bytes =
                bytes.map_err(|_| "requested double printing, but non-double data received")?;
            fraction(out, spec, f64::from_ne_bytes(bytes));
        }
    }
    Ok(())
}

/// A number; what isn't there is blank, or zeros.
fn number<N: Into<u64>>(out: &mut Vec<u8>, spec: &Spec, value: Option<N>) {
    match value {
        Some(value) if spec.width == 0 => decimal(out, value.into(), 0),
        Some(value) => pad(out, spec, value.into().to_string().as_bytes(), spec.zero),
        None => fill(out, spec.width, spec.zero),
    }
}

/// A number with at least so many digits, faster than by `write!`.
pub(super) fn decimal(out: &mut Vec<u8>, mut value: u64, least: usize) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    while value > 0 || start == digits.len() {
        start -= 1;
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    let start = start.min(digits.len().saturating_sub(least));
    out.extend_from_slice(&digits[start..]);
}

/// A string. It may be cut within a character, as printf does.
fn text(out: &mut Vec<u8>, spec: &Spec, text: &str) {
    let longest = spec.precision.unwrap_or(usize::MAX);
    pad(
        out,
        spec,
        &text.as_bytes()[..longest.min(text.len())],
        false,
    );
}

/// printf's `%f`.
fn fraction(out: &mut Vec<u8>, spec: &Spec, value: f64) {
    let text = if value.is_nan() {
        "nan".into()
    } else {
        // Rust prints no more digits; a double hasn't so many.
        let digits = spec.precision.unwrap_or(6).min(u16::MAX.into());
        format!("{value:.digits$}")
    };
    // Zeros go between the sign and the number.
    match text.strip_prefix('-') {
        Some(digits) if spec.zero && !spec.left && value.is_finite() => {
            let width = spec.width.saturating_sub(1);
            out.push(b'-');
            pad(out, &Spec { width, ..*spec }, digits.as_bytes(), true);
        }
        _ => pad(out, spec, text.as_bytes(), spec.zero && value.is_finite()),
    }
}

/// Bytes in a field; zeros stand only before them.
fn pad(out: &mut Vec<u8>, spec: &Spec, bytes: &[u8], zero: bool) {
    let room = spec.width.saturating_sub(bytes.len());
    if !spec.left {
        fill(out, room, zero);
    }
    out.extend_from_slice(bytes);
    if spec.left {
        fill(out, room, false);
    }
}

fn fill(out: &mut Vec<u8>, count: usize, zero: bool) {
    out.resize(out.len() + count, if zero { b'0' } else { b' ' });
}

/// Two digits for each byte; a width is the greatest number of bytes too.
fn hex(out: &mut Vec<u8>, spec: &Spec, payload: &[u8], digits: &[u8; 16]) {
    let shown = match spec.width {
        0 => payload,
        width => &payload[..width.min(payload.len())],
    };
    let room = spec.width.saturating_sub(shown.len() * 2);
    let start = out.len();
    if !spec.left {
        fill(out, room, spec.zero);
    }
    for &byte in shown {
        let digit = |nibble: u8| digits[usize::from(nibble)];
        out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    // Blanks and zeros in front are counted and parted like digits.
    if let Some(group) = spec.precision.filter(|&group| group > 0) {
        let separator = [spec.separator.unwrap_or(b' ')];
        let ungrouped = out.split_off(start);
        for (index, digits) in ungrouped.chunks(group).enumerate() {
            out.extend_from_slice(if index > 0 { &separator } else { b"" });
            out.extend_from_slice(digits);
        }
    }
    if spec.left {
        fill(out, room, false);
    }
}

fn user_properties(out: &mut Vec<u8>, message: &Printed<'_>) {
    let mut first = true;
    for property in message.properties.iter() {
        if let Property::UserProperty(name, value) = property {
            if !first {
                out.push(b' ');
            }
            first = false;
            out.extend_from_slice(name.as_bytes());
            out.push(b':');
            out.extend_from_slice(value.as_bytes());
        }
    }
}
