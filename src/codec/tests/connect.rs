//! What of CONNECT is refused, and whether it is answered.

use super::super::{Connect, Frame, ReasonCode, RefusedConnect, Version};
use super::{framed, hex};

#[derive(Debug, PartialEq)]
enum Outcome {
    Taken,
    Silent,
    /// A CONNACK of MQTT 5 with this code.
    Answered(u8),
    /// A CONNACK of the older form with this code.
    AnsweredInOldForm(u8),
}
use Outcome::{Answered, AnsweredInOldForm, Silent, Taken};

fn outcome(first: u8, body: &str) -> Outcome {
    let bytes = framed(first, &hex(body));
    let frame = Frame::split(&bytes, 1000).unwrap().unwrap();
    match Connect::decode(frame) {
        Ok(_) => Taken,
        Err(RefusedConnect { connack: None, .. }) => Silent,
        Err(RefusedConnect {
            connack: Some((Version::V5, ReasonCode(code))),
            error,
        }) => {
            assert_eq!(error.reason.0, code, "log and wire say the same");
            Answered(code)
        }
        Err(RefusedConnect {
            connack: Some((_, ReasonCode(code))),
            ..
        }) => AnsweredInOldForm(code),
    }
}

fn outcomes(cases: &[(Outcome, &str)]) {
    for (expected, body) in cases {
        assert_eq!(outcome(0x10, body), *expected, "{body}");
    }
}

#[test]
fn protocol_name_and_level() {
    outcomes(&[
        (Silent, ""),
        (Silent, "00"),
        (Silent, "0004"),
        (Silent, "0004 'MQT'"),
        (Silent, "0000 04 02 000A 0001 'p'"),
        (Silent, "0003 'MQT' 04 02 000A 0001 'p'"),
        (Silent, "0004 'MQTU' 04 02 000A 0001 'p'"),
        (Silent, "0004 'mqtt' 04 02 000A 0001 'p'"),
        (Silent, "0005 'MQTTT' 04 02 000A 0001 'p'"),
        (Silent, "0004 'MQTT'"),
        (Answered(0x84), "0004 'MQTT' 02 02 000A 0001 'p'"),
        (Answered(0x84), "0004 'MQTT' 06 02 000A 0001 'p'"),
        (Answered(0x84), "0004 'MQTT' 85 02 000A 00 0001 'p'"),
        (Answered(0x84), "0006 'MQIsdp' 02 02 000A 0001 'p'"),
        (Answered(0x84), "0006 'MQIsdp' FF 02 000A 0001 'p'"),
        (AnsweredInOldForm(1), "0004 'MQTT' 03 02 000A 0001 'p'"),
        (AnsweredInOldForm(1), "0006 'MQIsdp' 04 02 000A 0001 'p'"),
        (AnsweredInOldForm(1), "0006 'MQIsdp' 05 02 000A 00 0001 'p'"),
        (Taken, "0006 'MQIsdp' 03 02 000A 0001 'p'"),
        (Taken, "0004 'MQTT' 04 02 000A 0001 'p'"),
        (Taken, "0004 'MQTT' 05 02 000A 00 0001 'p'"),
    ]);
}

#[test]
fn flags_of_the_fixed_header() {
    for flags in 1..16 {
        let first = 0x10 | flags;
        assert_eq!(outcome(first, "0004 'MQTT' 04 02 000A 0001 'p'"), Silent);
        assert_eq!(outcome(first, "0004 'MQTT' 05 02 000A 00 0001 'p'"), Silent);
        assert_eq!(outcome(first, "0006 'MQIsdp' 03 02 000A 0001 'p'"), Taken);
    }
}

/// All 256 connect flags, with every field present that any of them asks for.
#[test]
fn connect_flags() {
    for flags in 0..=255u8 {
        for (level, name, none) in [
            (3, "0006 'MQIsdp' 03", ""),
            (4, "0004 'MQTT' 04", ""),
            (5, "0004 'MQTT' 05", "00"),
        ] {
            let optional = |bit: u8, field: &str| {
                let field = if flags & bit != 0 { field } else { "" };
                field.replace("PROPERTIES", none)
            };
            let body = [
                &format!("{name} {flags:02X} 000A {none} 0001 'p' "),
                &*optional(0x04, "PROPERTIES 0001 'w' 0001 'm' "),
                &optional(0x80, "0001 'u' "),
                &optional(0x40, "0001 'p'"),
            ]
            .concat();
            let will = flags & 0x04 != 0;
            let reserved = level != 3 && flags & 0x01 != 0;
            let qos_3 = will && flags & 0x18 == 0x18;
            let will_bits_alone = level != 3 && !will && flags & 0x38 != 0;
            let password_alone = level != 5 && flags & 0xC0 == 0x40;
            let expected = if reserved || qos_3 || will_bits_alone || password_alone {
                Silent
            } else {
                Taken
            };
            assert_eq!(outcome(0x10, &body), expected, "level {level}, {body}");
        }
    }
}

/// "Server implementations must allow for the possibility that the User Name
/// flag is set, but the User Name string is missing" (MQTT 3.1, 3.1).
#[test]
fn the_end_of_a_packet_of_3_1_has_precedence_over_its_flags() {
    outcomes(&[
        (Taken, "0006 'MQIsdp' 03 82 000A 0001 'p'"),
        (Taken, "0006 'MQIsdp' 03 C2 000A 0001 'p'"),
        (Taken, "0006 'MQIsdp' 03 C2 000A 0001 'p' 0001 'u'"),
        (Silent, "0006 'MQIsdp' 03 82 000A 0001 'p' 0001"),
        (Silent, "0006 'MQIsdp' 03 C2 000A 0001 'p' 0001 'u' 00"),
        (Silent, "0004 'MQTT' 04 82 000A 0001 'p'"),
        (Silent, "0004 'MQTT' 05 C2 000A 00 0001 'p' 0001 'u'"),
    ]);
}

#[test]
fn payload_of_3_1_1_is_never_answered() {
    outcomes(&[
        (Silent, "0004 'MQTT' 04"),
        (Silent, "0004 'MQTT' 04 02"),
        (Silent, "0004 'MQTT' 04 02 00"),
        (Silent, "0004 'MQTT' 04 02 000A"),
        (Silent, "0004 'MQTT' 04 02 000A 0001"),
        (Silent, "0004 'MQTT' 04 02 000A 0001 'p' 00"),
        (Silent, "0004 'MQTT' 04 02 000A 0001 'p' 0001 'p'"),
        (Silent, "0004 'MQTT' 04 06 000A 0001 'p'"),
        (Silent, "0004 'MQTT' 04 06 000A 0001 'p' 0001 'w'"),
        (Silent, "0004 'MQTT' 04 06 000A 0001 'p' 0000 0001 'm'"),
        (Silent, "0004 'MQTT' 04 06 000A 0001 'p' 0001 '#' 0001 'm'"),
        (
            Silent,
            "0004 'MQTT' 04 06 000A 0001 'p' 000B '$CONTROL/v1' 0001 'm'",
        ),
        (Silent, "0004 'MQTT' 04 02 000A 0005 'top' 0000"),
        (Silent, "0004 'MQTT' 04 82 000A 0001 'p'"),
        (Silent, "0004 'MQTT' 04 82 000A 0001 'p' 0001 0A"),
        (Silent, "0004 'MQTT' 04 C2 000A 0001 'p' 0001 'u'"),
        (Silent, "0004 'MQTT' 04 C2 003C 000B 'te'"),
        (Taken, "0004 'MQTT' 04 02 000A 0000"),
        (Taken, "0004 'MQTT' 04 82 000A 0001 'p' 0000"),
        (
            Taken,
            "0004 'MQTT' 04 C2 000A 0001 'p' 0001 'u' 0003 00FF00",
        ),
        (Taken, "0004 'MQTT' 04 06 000A 0001 'p' 0001 'w' 0000"),
    ]);
}

/// MQTT 5: silent up to the keep alive and in the credentials, answered in
/// properties, client identifier, will and behind the end, as Mosquitto does.
#[test]
fn payload_of_5() {
    outcomes(&[
        (Silent, "0004 'MQTT' 05"),
        (Silent, "0004 'MQTT' 05 02"),
        (Silent, "0004 'MQTT' 05 02 00"),
        (Answered(0x81), "0004 'MQTT' 05 02 000A"),
        (Answered(0x81), "0004 'MQTT' 05 02 000A 01"),
        (Answered(0x81), "0004 'MQTT' 05 02 000A 8000 0001 'p'"),
        (Answered(0x81), "0004 'MQTT' 05 02 000A 01 11 0001 'p'"),
        (Answered(0x82), "0004 'MQTT' 05 02 000A 03 21 0000 0001 'p'"),
        (
            Answered(0x82),
            "0004 'MQTT' 05 02 000A 05 27 00000000 0001 'p'",
        ),
        (
            Answered(0x82),
            "0004 'MQTT' 05 02 000A 04 16 0001 'd' 0001 'p'",
        ),
        (
            Taken,
            "0004 'MQTT' 05 02 000A 08 16 0001 'd' 15 0001 'm' 0001 'p'",
        ),
        (Answered(0x85), "0004 'MQTT' 05 02 000A 00"),
        (Answered(0x85), "0004 'MQTT' 05 02 000A 00 0002 'p'"),
        (Answered(0x85), "0004 'MQTT' 05 02 000A 00 0002 'p' 0A"),
        (Answered(0x81), "0004 'MQTT' 05 02 000A 00 0001 'p' 00"),
        (Answered(0x81), "0004 'MQTT' 05 06 000A 00 0001 'p'"),
        (Answered(0x81), "0004 'MQTT' 05 06 000A 00 0001 'p' 00"),
        (
            Answered(0x81),
            "0004 'MQTT' 05 06 000A 00 0001 'p' 00 0001 'w'",
        ),
        (
            Answered(0x81),
            "0004 'MQTT' 05 06 000A 00 0001 'p' 00 0000 0001 'm'",
        ),
        (
            Answered(0x81),
            "0004 'MQTT' 05 06 000A 00 0001 'p' 00 0001 '+' 0001 'm'",
        ),
        (
            Answered(0x81),
            "0004 'MQTT' 05 06 000A 00 0001 'p' 00 0001 7F 0001 'm'",
        ),
        (
            Answered(0x81),
            "0004 'MQTT' 05 06 000A 00 0001 'p' 00 000B '$CONTROL/v1' 0001 'm'",
        ),
        (
            Answered(0x82),
            "0004 'MQTT' 05 06 000A 00 0001 'p' 03 08 0000 0001 'w' 0001 'm'",
        ),
        (Silent, "0004 'MQTT' 05 82 000A 00 0001 'p'"),
        (Silent, "0004 'MQTT' 05 82 000A 00 0001 'p' 0001 00"),
        (Silent, "0004 'MQTT' 05 C2 000A 00 0001 'p' 0001 'u'"),
        (Silent, "0004 'MQTT' 05 42 000A 00 0001 'p' 0002 'u'"),
        (Taken, "0004 'MQTT' 05 42 000A 00 0001 'p' 0001 'u'"),
    ]);
}
