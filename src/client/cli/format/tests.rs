//! Formats against what `mosquitto_sub` prints.

mod oracle;

use chrono::Utc;

use super::*;
use crate::codec::Property;

/// The messages that were sent to the oracle.
#[derive(Clone, Copy, Debug)]
enum Sample {
    Hello,
    Empty,
    Retained,
    Binary,
    Accents,
    Marks,
    /// MQTT 5 without properties.
    Bare5,
    /// MQTT 5 with every property that a server may send once.
    Full5,
    /// MQTT 5 with empty strings and user properties here and there.
    Mixed5,
}

fn properties(sample: Sample) -> Properties<'static> {
    let properties = Properties::new();
    match sample {
        Sample::Full5 => properties
            .with(Property::PayloadFormatIndicator(1))
            .with(Property::MessageExpiryInterval(3600))
            .with(Property::ContentType("text/plain"))
            .with(Property::ResponseTopic("re/ply"))
            .with(Property::CorrelationData(b"co\0rr"))
            .with(Property::SubscriptionIdentifier(268_435_455))
            .with(Property::UserProperty("k", "v"))
            .with(Property::UserProperty("k", "w"))
            .with(Property::UserProperty("n\"", "x")),
        Sample::Mixed5 => properties
            .with(Property::UserProperty("", "v"))
            .with(Property::ContentType(""))
            .with(Property::UserProperty("a:b", "c d")),
        _ => properties,
    }
}

fn message<'a>(topic: &'a str, payload: &'a [u8], properties: &'a Properties<'a>) -> Printed<'a> {
    Printed {
        topic,
        payload,
        qos: QoS::AtMostOnce,
        retain: false,
        packet_id: 0,
        properties,
        v5: false,
    }
}

fn sample<'a>(sample: Sample, properties: &'a Properties<'a>) -> Printed<'a> {
    let plain = |topic, payload| message(topic, payload, properties);
    match sample {
        Sample::Hello => plain("a/b", b"hello"),
        Sample::Empty => plain("a/b", b""),
        Sample::Retained => Printed {
            qos: QoS::AtLeastOnce,
            retain: true,
            packet_id: 77,
            ..plain("home/t", b"{\"x\": 27.0}")
        },
        Sample::Binary => Printed {
            qos: QoS::ExactlyOnce,
            packet_id: 65535,
            ..plain("t", b"a\xff\xfe\0b")
        },
        Sample::Accents => plain("té", "hé €".as_bytes()),
        Sample::Marks => plain("t\"\\", b"q\"\\\n\r\t\x08\x0c\x01\x1f\x7f/"),
        Sample::Bare5 | Sample::Mixed5 => Printed {
            v5: true,
            ..plain("a/b", b"hello")
        },
        Sample::Full5 => Printed {
            qos: QoS::AtLeastOnce,
            retain: true,
            packet_id: 5,
            v5: true,
            ..plain("a/b", b"[1]")
        },
    }
}

fn time() -> DateTime<FixedOffset> {
    let summer = FixedOffset::east_opt(7200).expect("an offset");
    let time = DateTime::from_timestamp(1_588_803_120, 1_234_567).expect("a time");
    time.with_timezone(&summer)
}

fn show(format: &Format, message: &Printed<'_>) -> (Vec<u8>, Option<String>) {
    let mut out = b">".to_vec();
    let complaint = format.write_at(time(), message, &mut out);
    assert_eq!(out.remove(0), b'>', "what was there stays");
    (out, complaint)
}

/// Prints with `-N -F format`.
fn print(format: &str, message: &Printed<'_>) -> String {
    let format = Format::parse(format, false).expect("a good format");
    let (out, complaint) = show(&format.with_newline(false), message);
    assert_eq!(complaint, None);
    String::from_utf8(out).expect("UTF-8")
}

fn check(format: &Format, name: Sample, expected: &[u8]) {
    let properties = properties(name);
    let (out, _) = show(format, &sample(name, &properties));
    assert_eq!(
        out.escape_ascii().to_string(),
        expected.escape_ascii().to_string(),
        "{name:?} by {format:?}"
    );
}

#[test]
fn plain_output_is_mosquittos() {
    for &(sample, verbose, newline, expected) in oracle::PLAIN {
        check(&Format::plain(verbose, newline), sample, expected);
    }
}

#[test]
fn formats_are_mosquittos() {
    for &(text, sample, expected) in oracle::FORMATS {
        let format = Format::parse(text, false).expect("a good format");
        let mut line = expected.to_vec();
        line.push(b'\n');
        check(&format, sample, &line);
        check(&format.with_newline(false), sample, expected);
    }
}

#[test]
fn pretty_json_is_mosquittos() {
    for &(text, sample, expected) in oracle::PRETTY {
        let format = Format::parse(text, true).expect("a good format");
        check(&format.with_newline(false), sample, expected);
    }
}

#[test]
fn bad_formats_are_refused_in_mosquittos_words() {
    for &(text, words) in oracle::BAD {
        assert_eq!(Format::parse(text, false).err().as_deref(), Some(words));
    }
}

#[test]
fn json_payloads_are_mosquittos() {
    let compact = Format::parse("%J", false).expect("a good format");
    let pretty = Format::parse("%J", true).expect("a good format");
    let none = Properties::new();
    for &(payload, short, long) in oracle::PAYLOADS {
        for (format, key, end, expected) in [
            (&compact, &b",\"payload\":"[..], &b"}\n"[..], short),
            (&pretty, b",\n\t\"payload\":\t", b"\n}\n", long),
        ] {
            let (out, complaint) = show(format, &message("t", payload, &none));
            let shown = payload.escape_ascii().to_string();
            let Some(expected) = expected else {
                assert_eq!(out, b"\n", "{shown}");
                assert_eq!(
                    complaint.as_deref(),
                    Some("Message payload is not valid JSON on topic t.")
                );
                continue;
            };
            assert_eq!(complaint, None, "{shown}");
            let tail = [key, expected, end].concat();
            let out = out.escape_ascii().to_string();
            let tail = tail.escape_ascii().to_string();
            assert!(out.ends_with(&tail), "{shown}: {out} should end in {tail}");
        }
    }
}

#[test]
fn json_may_be_a_thousand_deep() {
    let none = Properties::new();
    let nested = |depth: usize| [b"[".repeat(depth), b"]".repeat(depth)].concat();
    let format = Format::parse("%J", false).expect("a good format");
    let (out, complaint) = show(&format, &message("t", &nested(1000), &none));
    assert!(complaint.is_none() && out.len() > 2000);
    let (out, complaint) = show(&format, &message("t", &nested(1001), &none));
    assert!(complaint.is_some() && out == b"\n");
}

#[test]
fn a_wrong_payload_leaves_the_rest_of_the_line() {
    let none = Properties::new();
    let format = Format::parse("%q %J %t", false).expect("a good format");
    let (out, complaint) = show(&format, &message("a/b", b"[1,", &none));
    assert_eq!(out, b"0  a/b\n");
    assert!(complaint.is_some());
}

#[test]
fn a_topic_alias_and_many_subscriptions() {
    let properties = Properties::new()
        .with(Property::TopicAlias(9))
        .with(Property::SubscriptionIdentifier(7))
        .with(Property::SubscriptionIdentifier(300))
        .with(Property::MessageExpiryInterval(u32::MAX));
    let message = Printed {
        v5: true,
        ..message("t", b"1", &properties)
    };
    assert_eq!(print("%A|%03A|%S|%E", &message), "9|009|7|4294967295");
    let json = print("%j", &message);
    let expected = concat!(
        r#""properties":{"topic-alias":9,"subscription-identifier":7,"#,
        r#""subscription-identifier":300,"message-expiry-interval":4294967295},"payload":"1"}"#
    );
    assert!(json.ends_with(expected), "{json}");
}

/// Groups and separators came with Mosquitto 2.1.
#[test]
fn hexadecimal_digits_in_groups() {
    let none = Properties::new();
    let message = message("t", b"hello", &none);
    for (format, expected) in [
        ("%x", "68656c6c6f"),
        ("%.2x", "68 65 6c 6c 6f"),
        ("%.2:X", "68:65:6C:6C:6F"),
        ("%.4-x", "6865-6c6c-6f"),
        ("%.0:x", "68656c6c6f"),
        ("%:x", "68656c6c6f"),
        ("%3x", "68656c"),
        ("%12x", "  68656c6c6f"),
        ("%-12x|", "68656c6c6f  |"),
        ("%012.2:x", "00:68:65:6c:6c:6f"),
    ] {
        assert_eq!(print(format, &message), expected, "{format}");
    }
}

/// `%f` and `%d` came with Mosquitto 2.1.
#[test]
fn payloads_as_fractions() {
    let none = Properties::new();
    let float = |format, value: f32| print(format, &message("t", &value.to_ne_bytes(), &none));
    let double = |format, value: f64| print(format, &message("t", &value.to_ne_bytes(), &none));
    assert_eq!(float("%f", 1.5), "1.500000");
    assert_eq!(float("[%7.2f]", -1.5), "[  -1.50]");
    assert_eq!(double("%d", -0.1), "-0.100000");
    assert_eq!(double("[%07.2d]", -1.5), "[-001.50]");
    assert_eq!(double("[%-7.0d]", 2.0), "[2      ]");
    assert_eq!(double("%d %05d", f64::INFINITY), "inf   inf");
    assert_eq!(double("%d", -f64::NAN), "nan");
    assert!(double("%.99999d", 0.1).starts_with("0.1000000000000000055"));

    let format = Format::parse("<%d>", false).expect("a good format");
    let (out, complaint) = show(&format, &message("t", b"1234", &none));
    assert_eq!(out, b"<>\n");
    let words = "requested double printing, but non-double data received";
    assert_eq!(complaint.as_deref(), Some(words));
}

#[test]
fn live_messages_have_the_time_of_day() {
    let none = Properties::new();
    let format = Format::parse("%U", false).expect("a good format");
    let before = Utc::now();
    let mut out = Vec::new();
    format.write(&message("t", b"", &none), &mut out);
    let text = String::from_utf8(out).expect("UTF-8");
    let (seconds, nanos) = text.trim_end().split_once('.').expect("a point");
    assert_eq!(nanos.len(), 9);
    let seconds: i64 = seconds.parse().expect("seconds");
    assert!((before.timestamp()..=Utc::now().timestamp()).contains(&seconds));
}
