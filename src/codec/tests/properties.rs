//! Table 2-4: which property stands in which packet, how often, with what
//! values.

use super::super::wire::Reader;
use super::super::{Context, Properties, Property, Side};
use super::hex;
use Context as C;

pub(super) const CONTEXTS: [Context; 11] = [
    C::Connect,
    C::Will,
    C::ConnAck,
    C::Publish(Side::Client),
    C::Publish(Side::Server),
    C::Ack,
    C::Subscribe,
    C::Unsubscribe,
    C::Disconnect(Side::Client),
    C::Disconnect(Side::Server),
    C::Auth,
];

const PUBLISH: &[Context] = &[C::Publish(Side::Client), C::Publish(Side::Server)];
const MESSAGE: &[Context] = &[C::Publish(Side::Client), C::Publish(Side::Server), C::Will];
const CONNECTION: &[Context] = &[C::Connect, C::ConnAck];
const CONNACK: &[Context] = &[C::ConnAck];

/// All 27 properties: identifier, a value on the wire, where they are allowed.
pub(super) const TABLE: [(u8, &str, &[Context]); 27] = [
    (0x01, "01", MESSAGE),
    (0x02, "00000E10", MESSAGE),
    (0x03, "0004 'text'", MESSAGE),
    (0x08, "0001 'r'", MESSAGE),
    (0x09, "0002 00FF", MESSAGE),
    (0x0B, "FF7F", &[C::Publish(Side::Server), C::Subscribe]),
    (
        0x11,
        "0000003C",
        &[C::Connect, C::ConnAck, C::Disconnect(Side::Client)],
    ),
    (0x12, "0004 'auto'", CONNACK),
    (0x13, "003C", CONNACK),
    (0x15, "0005 'PLAIN'", &[C::Connect, C::ConnAck, C::Auth]),
    (0x16, "0001 00", &[C::Connect, C::ConnAck, C::Auth]),
    (0x17, "00", &[C::Connect]),
    (0x18, "00000001", &[C::Will]),
    (0x19, "01", &[C::Connect]),
    (0x1A, "0001 'i'", CONNACK),
    (
        0x1C,
        "0001 's'",
        &[
            C::ConnAck,
            C::Disconnect(Side::Client),
            C::Disconnect(Side::Server),
        ],
    ),
    (
        0x1F,
        "0003 'why'",
        &[
            C::ConnAck,
            C::Ack,
            C::Disconnect(Side::Client),
            C::Disconnect(Side::Server),
            C::Auth,
        ],
    ),
    (0x21, "0014", CONNECTION),
    (0x22, "000A", CONNECTION),
    (0x23, "0001", PUBLISH),
    (0x24, "01", CONNACK),
    (0x25, "00", CONNACK),
    (0x26, "0001 'k' 0001 'v'", &CONTEXTS),
    (0x27, "001E8480", CONNECTION),
    (0x28, "01", CONNACK),
    (0x29, "01", CONNACK),
    (0x2A, "01", CONNACK),
];

/// The properties with their length in front.
fn with_length(properties: &[u8]) -> Vec<u8> {
    let mut bytes = vec![properties.len() as u8];
    bytes.extend_from_slice(properties);
    bytes
}

/// The reason code by which the properties are refused; 0 where they are taken.
fn refusal(properties: &[u8], context: Context) -> u8 {
    Properties::decode(&mut Reader::new(&with_length(properties)), context)
        .map_or_else(|error| error.reason.0, |_| 0)
}

/// Misplaced is malformed to Mosquitto where a client asks for subscriptions.
fn misplaced(context: Context) -> u8 {
    match context {
        C::Subscribe | C::Unsubscribe => 0x81,
        _ => 0x82,
    }
}

#[test]
fn each_property_in_each_packet() {
    for (id, value, allowed) in TABLE {
        let bytes = hex(&format!("{id:02X} {value}"));
        for context in CONTEXTS {
            let expected = if allowed.contains(&context) {
                0
            } else {
                misplaced(context)
            };
            assert_eq!(refusal(&bytes, context), expected, "{id:02X} {context:?}");
        }
    }
}

#[test]
fn each_property_twice() {
    for (id, value, allowed) in TABLE {
        let bytes = hex(&format!("{id:02X} {value} {id:02X} {value}"));
        for &context in allowed {
            let repeatable = id == 0x26 || id == 0x0B && context == C::Publish(Side::Server);
            let expected = if repeatable { 0 } else { 0x82 };
            assert_eq!(refusal(&bytes, context), expected, "{id:02X} {context:?}");
        }
    }
}

#[test]
fn each_property_cut_short() {
    for (id, value, _) in TABLE {
        let bytes = hex(&format!("{id:02X} {value}"));
        for context in CONTEXTS {
            for end in 1..bytes.len() {
                assert_eq!(
                    refusal(&bytes[..end], context),
                    0x81,
                    "{id:02X} after {end}"
                );
            }
        }
    }
}

/// The encoded form of each property, and what is read from it.
#[test]
fn each_property_is_written_as_it_is_read() {
    for (id, value, allowed) in TABLE {
        let bytes = with_length(&hex(&format!("{id:02X} {value}")));
        let properties = Properties::decode(&mut Reader::new(&bytes), allowed[0]).unwrap();
        let read: Vec<_> = properties.iter().collect();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].id(), id);
        let mut written = Vec::new();
        let made = Properties::new().with(read[0]);
        made.encode(&mut written);
        assert_eq!(written, bytes, "{:?}", read[0]);
        assert_eq!(made.encoded_len(), bytes.len());
        assert_eq!(made, properties);
    }
}

#[test]
fn identifiers_that_do_not_exist() {
    for id in 0..=255u8 {
        if TABLE.iter().any(|(known, ..)| *known == id) {
            continue;
        }
        let wire = if id < 0x80 {
            vec![id, 1]
        } else {
            vec![id, 1, 1]
        };
        for context in CONTEXTS {
            assert_eq!(refusal(&wire, context), 0x81, "{id:02X}");
        }
    }
    for wire in [
        "8000 01",
        "8100 01",
        "FF7F 01",
        "808001 01",
        "80808001 01",
        "8080808001 01",
        "FFFFFF7F 01",
    ] {
        assert_eq!(refusal(&hex(wire), C::Connect), 0x81, "{wire}");
    }
}

#[test]
fn values_out_of_range() {
    let cases: &[(Context, u8, &str)] = &[
        (C::Will, 0x82, "01 02"),
        (C::Publish(Side::Client), 0x82, "01 FF"),
        (C::Connect, 0x82, "17 02"),
        (C::Connect, 0x82, "19 02"),
        (C::ConnAck, 0x82, "24 02"),
        (C::ConnAck, 0x82, "25 02"),
        (C::ConnAck, 0x82, "28 02"),
        (C::ConnAck, 0x82, "29 02"),
        (C::ConnAck, 0x82, "2A 02"),
        (C::Connect, 0x82, "21 0000"),
        (C::Connect, 0x82, "27 00000000"),
        (C::Publish(Side::Client), 0x82, "23 0000"),
        (C::Publish(Side::Server), 0x82, "0B 00"),
        (C::Subscribe, 0x82, "0B 00"),
        (C::Subscribe, 0x81, "0B 8000"),
        (C::Publish(Side::Client), 0x82, "08 0000"),
        (C::Publish(Side::Client), 0x82, "08 0003 'a/#'"),
        (C::Will, 0x82, "08 0001 '+'"),
        // Misplaced goes before out of range.
        (C::Unsubscribe, 0x81, "0B 00"),
        (C::Subscribe, 0x81, "01 02"),
        // All others are free.
        (C::Publish(Side::Client), 0, "02 00000000"),
        (C::Connect, 0, "11 00000000"),
        (C::Connect, 0, "11 FFFFFFFF"),
        (C::Connect, 0, "22 0000"),
        (C::Connect, 0, "27 FFFFFFFF"),
        (C::Connect, 0, "26 0000 0000"),
        (C::ConnAck, 0, "13 0000"),
        (C::ConnAck, 0, "1A 0000"),
        (C::Publish(Side::Client), 0, "03 0000"),
        (C::Publish(Side::Client), 0, "09 0000"),
        (C::Publish(Side::Server), 0, "0B FFFFFF7F"),
        (C::Will, 0, "18 FFFFFFFF"),
        (C::Ack, 0, "1F 0000"),
    ];
    for (context, code, wire) in cases {
        assert_eq!(refusal(&hex(wire), *context), *code, "{wire} {context:?}");
    }
}

/// Strings in properties are strings of 1.5.4 like all others.
#[test]
fn strings_in_properties() {
    for bad in ["0002 C0AF", "0001 00", "0001 0A", "0003 EDA080"] {
        for (id, context) in [
            (0x03, C::Will),
            (0x08, C::Will),
            (0x12, C::ConnAck),
            (0x15, C::Auth),
            (0x1A, C::ConnAck),
            (0x1C, C::ConnAck),
            (0x1F, C::Ack),
        ] {
            assert_eq!(refusal(&hex(&format!("{id:02X} {bad}")), context), 0x81);
        }
        assert_eq!(
            refusal(&hex(&format!("26 {bad} 0001 'v'")), C::Connect),
            0x81
        );
        assert_eq!(
            refusal(&hex(&format!("26 0001 'k' {bad}")), C::Connect),
            0x81
        );
        assert_eq!(refusal(&hex(&format!("09 {bad}")), C::Will), 0);
    }
}

#[test]
fn the_length_is_the_length() {
    for (wire, code) in [
        ("", 0x81),
        ("80", 0x81),
        ("8000", 0x81),
        ("01", 0x81),
        ("03 22 0001", 0),
        ("04 22 0001", 0x81),
        ("02 22 0001", 0x81),
    ] {
        let bytes = hex(wire);
        let decoded = Properties::decode(&mut Reader::new(&bytes), C::Connect);
        assert_eq!(decoded.map_or_else(|e| e.reason.0, |_| 0), code, "{wire}");
    }
    let bytes = hex("03 22 0001 'rest'");
    let mut reader = Reader::new(&bytes);
    assert!(Properties::decode(&mut reader, C::Connect).is_ok());
    assert_eq!(reader.rest(), b"rest");
}

#[test]
fn looking_up_properties() {
    let properties = Properties::new()
        .with(Property::UserProperty("a", "1"))
        .with(Property::TopicAlias(7))
        .with(Property::UserProperty("b", "2"));
    assert_eq!(crate::property!(properties, TopicAlias), Some(7));
    assert_eq!(crate::property!(properties, ContentType), None);
    assert_eq!(properties.iter().count(), 3);
    let copy = Properties::from_encoded(properties.as_bytes()).into_owned();
    assert_eq!(copy, properties);
    assert!(!copy.is_empty() && Properties::new().is_empty());
}

/// `from_encoded` trusts its caller; bytes that deserve no trust do no harm.
#[test]
fn bytes_that_are_no_properties_end_the_iteration() {
    let bytes = hex("22 000A 04 01 22 0001");
    let properties = Properties::from_encoded(&bytes);
    let first = properties.iter().next();
    assert_eq!(first, Some(Property::TopicAliasMaximum(10)));
    assert!(properties.iter().take(10).count() < 10);
}
