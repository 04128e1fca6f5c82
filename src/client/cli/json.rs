//! `%j` and `%J`: messages as JSON, in the layout of Mosquitto's clients.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::LazyLock;

use chrono::{DateTime, FixedOffset};
use serde::ser::{Serialize, SerializeMap as _};
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};

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
        [] => Payload::None,
        bytes => Payload::Text(String::from_utf8_lossy(bytes)),
    };
    Printed::new(message, now, payload).write(pretty, out);
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
        [] => Payload::None,
        bytes => match serde_json::from_slice(bytes) {
            Ok(value) => Payload::Parsed(value),
            Err(_) => return false,
        },
    };
    Printed::new(message, now, payload).write(pretty, out);
    true
}

/// What is printed of a message.
struct Printed<'a> {
    message: &'a Message,
    timestamp: String,
    payload: Payload<'a>,
}

enum Payload<'a> {
    None,
    Text(Cow<'a, str>),
    Parsed(Value),
}

impl<'a> Printed<'a> {
    fn new(message: &'a Message, now: &DateTime<FixedOffset>, payload: Payload<'a>) -> Self {
        Self {
            message,
            timestamp: timestamp(now),
            payload,
        }
    }

    fn write(&self, pretty: bool, out: &mut Vec<u8>) {
        // Neither these values nor a vector can fail.
        let _ = if pretty {
            self.serialize(&mut Serializer::with_formatter(out, Pretty::default()))
        } else {
            self.serialize(&mut Serializer::with_formatter(out, Compact))
        };
    }
}

impl Serialize for Printed<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let message = self.message;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("tst", &self.timestamp)?;
        map.serialize_entry("topic", &message.topic)?;
        map.serialize_entry("qos", &(message.qos as u8))?;
        map.serialize_entry("retain", &u8::from(message.retain))?;
        map.serialize_entry("payloadlen", &message.payload.len())?;
        if message.qos != QoS::AtMostOnce {
            map.serialize_entry("mid", &message.packet_id)?;
        }
        if !message.properties.is_empty() {
            map.serialize_entry("properties", &PropertyMap(&message.properties))?;
        }
        match &self.payload {
            Payload::None => map.serialize_entry("payload", &())?,
            Payload::Text(text) => map.serialize_entry("payload", text.as_ref())?,
            Payload::Parsed(value) => map.serialize_entry("payload", value)?,
        }
        map.end()
    }
}

/// `2020-05-06T22:12:00.000000+0100`
fn timestamp(now: &DateTime<FixedOffset>) -> String {
    static FORMAT: LazyLock<TimeFormat> = LazyLock::new(TimeFormat::precise);
    let mut text = Vec::with_capacity(32);
    FORMAT.write(now, &mut text);
    String::from_utf8(text).unwrap_or_default()
}

/// The properties in their order; those that may come again together, where
/// the first of them stands.
struct PropertyMap<'a>(&'a Properties<'a>);

impl Serialize for PropertyMap<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let mut users = false;
        let mut subscriptions = false;
        for property in self.0.iter() {
            match property {
                Property::UserProperty(..) if std::mem::replace(&mut users, true) => {}
                Property::UserProperty(..) => {
                    map.serialize_entry("user-properties", &UserProperties(self.0))?;
                }
                Property::SubscriptionIdentifier(_)
                    if std::mem::replace(&mut subscriptions, true) => {}
                Property::SubscriptionIdentifier(_) => {
                    match subscription_identifiers(self.0).as_slice() {
                        [one] => map.serialize_entry("subscription-identifier", one)?,
                        all => map.serialize_entry("subscription-identifier", all)?,
                    }
                }
                Property::PayloadFormatIndicator(v) => {
                    map.serialize_entry("payload-format-indicator", &v)?;
                }
                Property::MessageExpiryInterval(v) => {
                    map.serialize_entry("message-expiry-interval", &v)?;
                }
                Property::ContentType(v) => map.serialize_entry("content-type", v)?,
                Property::ResponseTopic(v) => map.serialize_entry("response-topic", v)?,
                Property::CorrelationData(v) => {
                    map.serialize_entry("correlation-data", &String::from_utf8_lossy(v))?;
                }
                Property::TopicAlias(v) => map.serialize_entry("topic-alias", &v)?,
                // Nothing else can stand in a PUBLISH.
                _ => {}
            }
        }
        map.end()
    }
}

/// All user properties as one object, in which a name may come again.
struct UserProperties<'a>(&'a Properties<'a>);

impl Serialize for UserProperties<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().filter_map(|property| match property {
            Property::UserProperty(name, value) => Some((name, value)),
            _ => None,
        }))
    }
}

/// The identifiers of the subscriptions that a message came by.
pub(super) fn subscription_identifiers(properties: &Properties<'_>) -> Vec<u32> {
    properties
        .iter()
        .filter_map(|property| match property {
            Property::SubscriptionIdentifier(id) => Some(id),
            _ => None,
        })
        .collect()
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
    /// The object that was begun last has no members yet.
    empty: bool,
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
        self.empty = true;
        out.write_all(b"{\n")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.empty = false;
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
        if !std::mem::take(&mut self.empty) {
            out.write_all(b"\n")?;
        }
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
