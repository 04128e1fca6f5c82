//! What is refused after CONNECT, with the reason code.

use super::super::{Side, Version};
use super::{SIDES, VERSIONS, framed, hex, refusal};
use Version::{V5, V31, V311};

/// A client's packet, in all versions that see the same bytes.
fn refused(versions: &[Version], first: u8, cases: &[(u8, &str)]) {
    refused_from(Side::Client, versions, first, cases);
}

fn refused_from(sender: Side, versions: &[Version], first: u8, cases: &[(u8, &str)]) {
    for &version in versions {
        for (code, body) in cases {
            let bytes = framed(first, &hex(body));
            assert_eq!(
                refusal(&bytes, version, sender),
                *code,
                "{version:?} {first:02X}, {body}"
            );
        }
    }
}

#[test]
fn publish() {
    let before_5 = [
        (0x81, ""),
        (0x81, "00"),
        (0x81, "0005 'top'"),
        (0x81, "0000 'payload'"),
        (0x81, "0001 '+' 'payload'"),
        (0x81, "0003 'a/#' 'payload'"),
        (0x81, "0002 C0AF 'payload'"),
        (0, "0001 'a'"),
    ];
    refused(&VERSIONS[..2], 0x30, &before_5);
    refused(
        &[V5],
        0x30,
        &[
            (0x81, ""),
            (0x81, "0001 'a'"),
            (0x81, "0000 00 'payload'"),
            (0x81, "0000 02 01 01"),
            (0x81, "0001 '+' 00"),
            (0x81, "0003 'a/#' 00"),
            (0x81, "0001 'a' 01"),
            (0x81, "0001 'a' 8000"),
            (0x81, "0001 'a' 80808080 00"),
            (0, "0001 'a' 00"),
            (0, "0000 03 23 0001"),
        ],
    );
    // QoS 3, and DUP where nothing can be repeated.
    for first in [0x36, 0x37, 0x3E, 0x3F, 0x38, 0x39] {
        refused(&VERSIONS, first, &[(0x81, "0001 'a' 0001 00")]);
    }
    for first in [0x32, 0x34, 0x3B, 0x3D] {
        refused(
            &VERSIONS,
            first,
            &[
                (0x81, "0001 'a'"),
                (0x81, "0001 'a' 00"),
                (0x82, "0001 'a' 0000 00"),
                (0, "0001 'a' 0001 00"),
            ],
        );
    }
}

#[test]
fn acknowledgements() {
    for first in [0x40, 0x50, 0x62, 0x70] {
        for sender in SIDES {
            refused_from(
                sender,
                &VERSIONS,
                first,
                &[(0x81, ""), (0x81, "00"), (0x82, "0000"), (0, "0001")],
            );
            refused_from(
                sender,
                &VERSIONS[..2],
                first,
                &[(0x81, "0001 00"), (0x81, "0001 00 00")],
            );
            refused_from(
                sender,
                &[V5],
                first,
                &[
                    (0x82, "0000 00"),
                    (0x82, "0001 01"),
                    (0x82, "0001 FF 00"),
                    (0x81, "0001 00 01"),
                    (0x81, "0001 00 8000"),
                    (0x81, "0001 00 00 00"),
                    (0x81, "0001 00 05 1F 0001"),
                    (0x81, "0001 00 03 1F 0001 'x'"),
                    (0x81, "0001 00 04 1F 0001 'x' 00"),
                ],
            );
        }
    }
}

/// 3.4.2.1 to 3.7.2.1: the codes of each acknowledgement, and no others.
#[test]
fn reason_codes_of_acknowledgements() {
    let first_step = [0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
    let second_step = [0, 0x92];
    for (first, legal) in [
        (0x40, &first_step[..]),
        (0x50, &first_step),
        (0x62, &second_step),
        (0x70, &second_step),
    ] {
        for code in 0..=255 {
            let expected = if legal.contains(&code) { 0 } else { 0x82 };
            let bytes = [first, 3, 0, 1, code];
            assert_eq!(refusal(&bytes, V5, Side::Client), expected, "{bytes:02X?}");
        }
    }
}

#[test]
fn subscribe() {
    refused(
        &VERSIONS[..2],
        0x82,
        &[
            (0x81, ""),
            (0x81, "12"),
            (0x81, "1234"),
            (0x81, "1234 00"),
            (0x81, "1234 0000"),
            (0x81, "1234 0001 'p'"),
            (0x81, "1234 0000 00"),
            (0x81, "1234 0000 00 0001 'q' 00"),
            (0x81, "1234 0001 'q' 00 0000 00"),
            (0x81, "0000 0001 'p' 00"),
            (0x81, "1234 0001 'p' 00 00"),
            (0x81, "1234 0001 'p' 03"),
            (0x81, "1234 0001 'p' 04"),
            (0x81, "1234 0001 'p' 08"),
            (0x81, "1234 0001 'p' 10"),
            (0x81, "1234 0001 'p' 80"),
            (0x81, "1234 0003 'a' 0000 'b' 00"),
            (0, "1234 0001 'p' 02"),
        ],
    );
    refused(
        &[V5],
        0x82,
        &[
            (0x81, ""),
            (0x81, "1234"),
            (0x81, "1234 00"),
            (0x81, "1234 00 0001 'p'"),
            (0x81, "1234 00 0000 00"),
            (0x81, "0000 00 0001 'p' 00"),
            (0x81, "1234 00 0001 'p' 00 00"),
            (0x81, "1234 00 0001 'p' 03"),
            (0x81, "1234 00 0001 'p' 30"),
            (0x81, "1234 00 0001 'p' 40"),
            (0x81, "1234 00 0001 'p' 80"),
            (0x81, "1234 8000 0001 'p' 00"),
            (0x82, "1234 02 0B 00 0001 'p' 00"),
            (0x81, "1234 03 0B 8000 0001 'p' 00"),
            (0x81, "1234 06 0B 8080808001 0001 'p' 00"),
            (0x82, "1234 04 0B 01 0B 02 0001 'p' 00"),
            (0, "1234 00 0001 'p' 2E"),
        ],
    );
}

#[test]
fn unsubscribe() {
    refused(
        &VERSIONS[..2],
        0xA2,
        &[
            (0x81, ""),
            (0x81, "12"),
            (0x81, "1234"),
            (0x81, "1234 00"),
            (0x81, "1234 0000"),
            (0x81, "1234 0000 0001 'q'"),
            (0x81, "1234 0001 'q' 0000"),
            (0x81, "1234 0001 'q' 00"),
            (0x81, "0000 0001 'p'"),
            (0, "1234 0001 'p' 0001 'q'"),
        ],
    );
    refused(
        &[V5],
        0xA2,
        &[
            (0x81, "1234"),
            (0x81, "1234 00"),
            (0x81, "1234 00 00"),
            (0x81, "1234 00 0000"),
            (0x81, "1234 00 0001 'q' 0000"),
            (0x81, "0000 00 0001 'p'"),
            (0x81, "1234 02 0B 00 0001 'p'"),
            (0x81, "1234 02 0B 01 0001 'p'"),
            (0, "1234 00 0001 'p'"),
        ],
    );
}

#[test]
fn disconnect() {
    refused(&VERSIONS[..2], 0xE0, &[(0, ""), (0x81, "00")]);
    refused(
        &[V5],
        0xE0,
        &[
            (0, ""),
            (0, "00"),
            (0, "05"),
            (0, "82 00"),
            (0x81, "00 01"),
            (0x81, "00 01 00"),
            (0x81, "00 01 11"),
            (0x81, "00 04 11 000000"),
            (0x81, "00 00 00"),
        ],
    );
    // 3.14.2.2.2: never from a server.
    let bytes = hex("E0 07 00 05 11 00000001");
    assert_eq!(refusal(&bytes, V5, Side::Client), 0);
    assert_eq!(refusal(&bytes, V5, Side::Server), 0x82);
}

#[test]
fn auth() {
    refused(
        &[V5],
        0xF0,
        &[
            (0x82, "01"),
            (0x82, "80"),
            (0x81, "18 01"),
            (0x81, "18 00 00"),
            (0x82, "18 02 01 01"),
            (0, "18"),
            (0, "18 00"),
        ],
    );
    refused(&VERSIONS[..2], 0xF0, &[(0x82, ""), (0x82, "18")]);
}

#[test]
fn packets_of_a_server() {
    refused_from(
        Side::Server,
        &VERSIONS,
        0x20,
        &[(0x81, ""), (0x81, "00"), (0x81, "02 00"), (0x81, "80 00")],
    );
    refused_from(Side::Server, &[V311], 0x20, &[(0x81, "00 00 00")]);
    refused_from(
        Side::Server,
        &[V5],
        0x20,
        &[(0x81, "00 00 01"), (0x81, "00 00 00 00")],
    );
    refused_from(
        Side::Server,
        &VERSIONS,
        0x90,
        &[(0x81, ""), (0x81, "0000 00 00")],
    );
    refused_from(Side::Server, &[V5], 0x90, &[(0x81, "0001")]);
    refused_from(
        Side::Server,
        &VERSIONS,
        0xB0,
        &[(0x81, ""), (0x81, "0000 00")],
    );
    refused_from(Side::Server, &[V311], 0xB0, &[(0x81, "0001 00")]);
    refused_from(Side::Server, &[V5], 0xB0, &[(0x81, "0001")]);
}

/// Before its content is looked at, and whatever its flags are.
#[test]
fn packets_of_the_wrong_side() {
    let from_server_only: &[u8] = &[0x20, 0x21, 0x90, 0x92, 0xB0, 0xD0, 0xD1];
    let from_client_only: &[u8] = &[0x10, 0x82, 0x80, 0xA2, 0xC0, 0xC1];
    for version in VERSIONS {
        for (sender, firsts) in [
            (Side::Client, from_server_only),
            (Side::Server, from_client_only),
        ] {
            for &first in firsts {
                assert_eq!(refusal(&[first, 0], version, sender), 0x82, "{first:02X}");
            }
        }
    }
    assert_eq!(refusal(&[0xE0, 0], V311, Side::Server), 0x82);
}

#[test]
fn reserved_types() {
    for version in VERSIONS {
        for sender in SIDES {
            for flags in 0..16 {
                assert_eq!(refusal(&[flags, 0], version, sender), 0x82);
                assert_eq!(refusal(&[flags, 2, 0, 1], version, sender), 0x82);
            }
        }
    }
    for version in [V31, V311] {
        assert_eq!(refusal(&[0xF0, 0], version, Side::Client), 0x82);
    }
}

/// 2.1.3: table 2-2, one legal value for every packet but PUBLISH.
#[test]
fn flags_of_the_fixed_header() {
    for (sender, legal, body) in [
        (Side::Client, 0x40, "0001"),
        (Side::Client, 0x50, "0001"),
        (Side::Client, 0x62, "0001"),
        (Side::Client, 0x70, "0001"),
        (Side::Client, 0xC0, ""),
        (Side::Client, 0xE0, ""),
        (Side::Server, 0x20, "00 00"),
        (Side::Server, 0xD0, ""),
    ] {
        for flags in 0..16 {
            let first = legal & 0xF0 | flags;
            let bytes = framed(first, &hex(body));
            let expected = match first {
                _ if first == legal => 0,
                0xE0..=0xEF => 0x82,
                _ => 0x81,
            };
            for version in [V311, V5] {
                let code = refusal(&bytes, version, sender);
                assert_eq!(code, expected, "{version:?} {first:02X}");
            }
            // Not reserved in MQTT 3.1, only not used.
            assert_eq!(refusal(&bytes, V31, sender), 0, "{first:02X}");
        }
    }
    for flags in 0..16 {
        let expected = if flags == 2 { 0 } else { 0x81 };
        refused(&[V311], 0x80 | flags, &[(expected, "0001 0001 'p' 00")]);
        refused(&[V311], 0xA0 | flags, &[(expected, "0001 0001 'p'")]);
        refused(&[V5], 0x80 | flags, &[(expected, "0001 00 0001 'p' 00")]);
        refused(&[V5], 0xA0 | flags, &[(expected, "0001 00 0001 'p'")]);
        refused(&[V31], 0x80 | flags, &[(0, "0001 0001 'p' 00")]);
        refused(&[V31], 0xA0 | flags, &[(0, "0001 0001 'p'")]);
    }
}
