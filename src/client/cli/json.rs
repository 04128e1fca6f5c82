//! `%j` and `%J`: messages as JSON, in the layout of Mosquitto's clients.

use std::io::{self, Write};
use std::sync::LazyLock;

use chrono::{DateTime, FixedOffset};
use serde_json::ser::{Formatter, Serializer};
use serde_json::{Map, Value};

use super::strftime::TimeFormat;
use crate::client::Message;
use crate::codec::{Properties, Property, QoS};

/// Appends a message with its payload as a JSON string.
pub(super) fn write(
    message: &Message,
    now: &DateTime<FixedOffset>,
    pretty: bool,
    out: &mut Vec<u8>,
) {
    let payload = match message.payload.as_ref() {
        [] => Value::Null,
        bytes => String::from_utf8_lossy(bytes).into(),
    };
    serialize(&object(message, now, payload), pretty, out);
}

/// Appends a message with its payload, which is JSON itself. False, and
/// nothing appended: it isn't.
pub(super) fn write_parsed(
    message: &Message,
    now: &DateTime<FixedOffset>,
    pretty: bool,
    out: &mut Vec<u8>,
) -> bool {
    let payload = match message.payload.as_ref() {
        [] => Value::Null,
        bytes => match serde_json::from_slice(bytes) {
            Ok(value) => value,
            Err(_) => return false,
        },
    };
    serialize(&object(message, now, payload), pretty, out);
    true
}

fn object(message: &Message, now: &DateTime<FixedOffset>, payload: Value) -> Value {
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("tst", timestamp(now).into());
    put("topic", message.topic.as_str().into());
    put("qos", (message.qos as u8).into());
    put("retain", u8::from(message.retain).into());
    put("payloadlen", message.payload.len().into());
    if message.qos != QoS::AtMostOnce {
        put("mid", message.packet_id.into());
    }
    if !message.properties.is_empty() {
        put("properties", properties(&message.properties));
    }
    put("payload", payload);
    Value::Object(object)
}

/// `2020-05-06T22:12:00.000000+0100`
fn timestamp(now: &DateTime<FixedOffset>) -> String {
    static FORMAT: LazyLock<TimeFormat> = LazyLock::new(TimeFormat::precise);
    let mut text = Vec::with_capacity(32);
    FORMAT.write(now, &mut text);
    String::from_utf8(text).unwrap_or_default()
}

/// The properties in their order; all user properties in one object, where the
/// first of them stands.
fn properties(properties: &Properties<'_>) -> Value {
    let mut object = Map::new();
    for property in properties.iter() {
        let (key, value): (_, Value) = match property {
            Property::UserProperty(name, value) => {
                let users = object
                    .entry("user-properties")
                    .or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(users) = users {
                    users.insert(name.to_owned(), value.into());
                }
                continue;
            }
            Property::SubscriptionIdentifier(id) => match object.get_mut("subscription-identifier")
            {
                Some(Value::Array(ids)) => {
                    ids.push(id.into());
                    continue;
                }
                Some(first) => {
                    *first = Value::Array(vec![first.take(), id.into()]);
                    continue;
                }
                None => ("subscription-identifier", id.into()),
            },
            Property::PayloadFormatIndicator(v) => ("payload-format-indicator", v.into()),
            Property::MessageExpiryInterval(v) => ("message-expiry-interval", v.into()),
            Property::ContentType(v) => ("content-type", v.into()),
            Property::ResponseTopic(v) => ("response-topic", v.into()),
            Property::CorrelationData(v) => ("correlation-data", String::from_utf8_lossy(v).into()),
            Property::TopicAlias(v) => ("topic-alias", v.into()),
            // Nothing else can stand in a PUBLISH.
            _ => continue,
        };
        object.insert(key.to_owned(), value);
    }
    Value::Object(object)
}

fn serialize(value: &Value, pretty: bool, out: &mut Vec<u8>) {
    use serde::Serialize as _;
    // Neither a value nor a vector can fail.
    let _ = if pretty {
        value.serialize(&mut Serializer::with_formatter(out, Pretty::default()))
    } else {
        value.serialize(&mut Serializer::with_formatter(out, Compact))
    };
}

/// No blanks, and numbers as Mosquitto's clients print them.
struct Compact;

impl Formatter for Compact {
    fn write_f64<W: ?Sized + Write>(&mut self, out: &mut W, value: f64) -> io::Result<()> {
        write_number(out, value)
    }
}

/// A number without a needless fraction: 1.0 is 1, 2.50 is 2.5.
fn write_number<W: ?Sized + Write>(out: &mut W, value: f64) -> io::Result<()> {
    let exponent = if value == 0.0 {
        0.0
    } else {
        value.abs().log10().floor()
    };
    if (-5.0..15.0).contains(&exponent) {
        return write!(out, "{value}");
    }
    // The form of C: 1e+20, 1e-07.
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            write!(out, "{digits}e{sign}{exponent:0>2}")
        }
        None => out.write_all(text.as_bytes()),
    }
}

/// One member of an object a line, tabs before and after its name; arrays on
/// the line where they begin.
#[derive(Default)]
struct Pretty {
    depth: usize,
}

impl Pretty {
    fn indent<W: ?Sized + Write>(&self, out: &mut W) -> io::Result<()> {
        for _ in 0..self.depth {
            out.write_all(b"\t")?;
        }
        Ok(())
    }
}

impl Formatter for Pretty {
    fn write_f64<W: ?Sized + Write>(&mut self, out: &mut W, value: f64) -> io::Result<()> {
        write_number(out, value)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.depth += 1;
        out.write_all(b"{\n")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if !first {
            out.write_all(b",\n")?;
        }
        self.indent(out)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b":\t")
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.depth -= 1;
        out.write_all(b"\n")?;
        self.indent(out)?;
        out.write_all(b"}")
    }

    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.depth += 1;
        out.write_all(b"[")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.depth -= 1;
        out.write_all(b"]")
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn message(payload: &'static [u8]) -> Message {
        Message {
            topic: "fmt/x".to_owned(),
            payload: Bytes::from_static(payload),
            qos: QoS::AtMostOnce,
            retain: true,
            dup: false,
            packet_id: 0,
            properties: Properties::new(),
        }
    }

    fn now() -> DateTime<FixedOffset> {
        DateTime::parse_from_rfc3339("2020-05-06T22:12:00.000123456+01:00").expect("a time")
    }

    #[test]
    fn a_message_has_its_keys_in_order() {
        let mut message = message(b"not json \xff\x01 \"q\" \\ \t / \x7f");
        message.qos = QoS::AtLeastOnce;
        message.packet_id = 3;
        message.properties = Properties::new()
            .with(Property::ContentType("text"))
            .with(Property::UserProperty("k1", "v1"))
            .with(Property::ResponseTopic("re/t"))
            .with(Property::UserProperty("k2", "v2"))
            .with(Property::SubscriptionIdentifier(1))
            .with(Property::SubscriptionIdentifier(2));
        let mut out = Vec::new();
        write(&message, &now(), false, &mut out);
        assert_eq!(
            String::from_utf8(out).expect("text"),
            concat!(
                r#"{"tst":"2020-05-06T22:12:00.000123+0100","topic":"fmt/x","qos":1,"retain":1,"#,
                r#""payloadlen":23,"mid":3,"properties":{"content-type":"text","#,
                r#""user-properties":{"k1":"v1","k2":"v2"},"response-topic":"re/t","#,
                r#""subscription-identifier":[1,2]},"payload":"not json "#,
                "\u{FFFD}",
                r#"\u0001 \"q\" \\ \t / "#,
                "\x7f",
                r#""}"#
            )
        );
    }

    #[test]
    fn a_parsed_payload_is_laid_out_anew() {
        let message = message(br#" [1, 2.50, 1e3, 1e20, true, null, {"z":1.0,"a":"\u00e9"}] "#);
        let mut out = Vec::new();
        assert!(write_parsed(&message, &now(), false, &mut out));
        let text = String::from_utf8(out).expect("text");
        assert!(
            text.ends_with(r#""payload":[1,2.5,1000,1e+20,true,null,{"z":1,"a":"é"}]}"#),
            "{text}"
        );

        let mut out = Vec::new();
        assert!(write_parsed(&message, &now(), true, &mut out));
        let text = String::from_utf8(out).expect("text");
        assert!(text.starts_with("{\n\t\"tst\":\t\"2020"), "{text}");
        assert!(
            text.ends_with(
                "\t\"payload\":\t[1, 2.5, 1000, 1e+20, true, null, {\n\t\t\t\"z\":\t1,\n\t\t\t\"a\":\t\"é\"\n\t\t}]\n}"
            ),
            "{text}"
        );
    }

    #[test]
    fn what_is_no_json_is_told() {
        let mut out = Vec::new();
        assert!(!write_parsed(&message(b"{"), &now(), false, &mut out));
        assert!(out.is_empty());
        assert!(write_parsed(&message(b""), &now(), false, &mut out));
        assert!(out.ends_with(br#""payload":null}"#));
    }
}
