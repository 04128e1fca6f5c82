//! The language of `-F`.

use chrono::format::{Item, StrftimeItems};

use super::{Field, Piece, Spec};

const INCOMPLETE: &str = "Incomplete format specifier.";

/// The conversions of strftime in the C library. chrono has more.
const STRFTIME: &str = "aAbBcCdDeFgGhHIjklmMnpPrRsStTuUVwWxXyYz";

/// Takes a format apart. The second list has what the [`Piece::Time`]s number.
pub(super) fn pieces(text: &str) -> Result<(Vec<Piece>, Vec<Vec<Item<'static>>>), String> {
    let mut pieces = Vec::new();
    let mut times = Vec::new();
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let piece = match c {
            '%' => field(&mut rest)?,
            '@' => time(rest.next().ok_or(INCOMPLETE)?, &mut times),
            '\\' => Piece::Text(escape(rest.next())?.into()),
            _ => Piece::Text(c.into()),
        };
        match piece {
            Piece::Text(text) => plain.push_str(&text),
            piece => {
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(piece);
            }
        }
    }
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok((pieces, times))
}

/// What follows a `%`.
fn field(rest: &mut std::str::Chars<'_>) -> Result<Piece, String> {
    let mut spec = Spec {
        left: take(rest, '-'),
        zero: take(rest, '0'),
        width: number(rest),
        ..Spec::default()
    };
    if take(rest, '.') {
        spec.precision = Some(number(rest));
    }
    let mut letter = rest.next().ok_or(INCOMPLETE)?;
    // Only between hexadecimal digits has a separator a meaning; elsewhere the
    // character is no letter.
    if is_separator(letter)
        && let Some(hex @ ('x' | 'X')) = rest.clone().next()
    {
        rest.next();
        spec.separator = Some(letter as u8);
        letter = hex;
    }
    let field = match letter {
        '%' => return Ok(Piece::Text('%'.into())),
        'A' => Field::TopicAlias,
        'C' => Field::ContentType,
        'D' => Field::CorrelationData,
        'E' => Field::ExpiryInterval,
        'F' => Field::PayloadFormat,
        'I' => Field::IsoTime,
        'j' => Field::Json,
        'J' => Field::JsonPayload,
        'l' => Field::Length,
        'm' => Field::PacketId,
        'P' => Field::UserProperties,
        'p' => Field::Payload,
        'q' => Field::QoS,
        'R' => Field::ResponseTopic,
        'r' => Field::Retain,
        'S' => Field::SubscriptionId,
        't' => Field::Topic,
        'U' => Field::UnixTime,
        'x' => Field::LowerHex,
        'X' => Field::UpperHex,
        'f' => Field::Float,
        'd' => Field::Double,
        other => return Err(format!("Invalid format specifier '{other}'.")),
    };
    Ok(Piece::Field(field, spec))
}

/// Whether a character can stand between groups of hexadecimal digits: any
/// mark of ASCII but the percent sign, or a blank.
fn is_separator(c: char) -> bool {
    c == ' ' || c.is_ascii_punctuation() && c != '%'
}

fn take(rest: &mut std::str::Chars<'_>, wanted: char) -> bool {
    let there = rest.as_str().starts_with(wanted);
    if there {
        rest.next();
    }
    there
}

/// The digits at the front; none is 0.
fn number(rest: &mut std::str::Chars<'_>) -> usize {
    let mut value = 0usize;
    while let Some(digit) = rest.clone().next().and_then(|c| c.to_digit(10)) {
        rest.next();
        // The bound of C's int.
        value = (value * 10 + digit as usize).min(i32::MAX as usize);
    }
    value
}

/// What `@` and a character stand for.
fn time(conversion: char, times: &mut Vec<Vec<Item<'static>>>) -> Piece {
    match conversion {
        '@' => Piece::Text('@'.into()),
        '%' => Piece::Text('%'.into()),
        'N' => Piece::Nanoseconds,
        'Z' => Piece::ZoneName,
        // What strftime doesn't know it leaves as it is.
        _ if !STRFTIME.contains(conversion) => Piece::Text(format!("%{conversion}")),
        _ => {
            let text = format!("%{conversion}");
            match StrftimeItems::new(&text).parse_to_owned() {
                Ok(items) => {
                    times.push(items);
                    Piece::Time(times.len() - 1)
                }
                Err(_) => Piece::Text(text),
            }
        }
    }
}

fn escape(c: Option<char>) -> Result<char, String> {
    Ok(match c.ok_or("Incomplete escape specifier.")? {
        '\\' => '\\',
        '0' => '\0',
        'a' => '\x07',
        'e' => '\x1b',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        other => return Err(format!("Invalid escape specifier '{other}'.")),
    })
}
