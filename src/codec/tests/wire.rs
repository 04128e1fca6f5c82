//! Fixed header and data types (1.5, 2.1).

use super::super::wire::{Reader, var_int_len};
use super::super::{Frame, MAX_REMAINING_LENGTH, write_var_int};
use super::hex;

/// The limits of table 2-1.
const VAR_INTS: [(u32, &str); 8] = [
    (0, "00"),
    (127, "7F"),
    (128, "8001"),
    (16_383, "FF7F"),
    (16_384, "808001"),
    (2_097_151, "FFFF7F"),
    (2_097_152, "80808001"),
    (268_435_455, "FFFFFF7F"),
];

#[test]
fn variable_byte_integers() {
    for (value, wire) in VAR_INTS {
        let bytes = hex(wire);
        let mut written = Vec::new();
        write_var_int(&mut written, value);
        assert_eq!(written, bytes, "{value}");
        assert_eq!(var_int_len(value), bytes.len(), "{value}");
        assert_eq!(Reader::new(&bytes).var_int(), Ok(value));
        for end in 0..bytes.len() {
            assert!(Reader::new(&bytes[..end]).var_int().is_err(), "{value}");
        }
    }
}

#[test]
fn variable_byte_integers_that_are_too_long() {
    for wire in [
        "8000",
        "808000",
        "80808000",
        "FF00",
        "8080808001",
        "FFFFFFFF7F",
    ] {
        let error = Reader::new(&hex(wire)).var_int().unwrap_err();
        assert_eq!(error.reason.0, 0x81, "{wire}");
    }
}

#[test]
fn strings() {
    for text in [
        "",
        " ",
        "a",
        "~",
        "1234567",
        "12345678",
        "123456789012345",
        "1234567890123456",
        "12345678901234567",
        "sensors/room7/temp/x",
        "küche/temperatur",
        "A\u{2A6D4}",
        "\u{FEFF}a",
        "\u{A0}",
        "\u{FFFD}",
        "+/#",
    ] {
        let mut bytes = (text.len() as u16).to_be_bytes().to_vec();
        bytes.extend_from_slice(text.as_bytes());
        assert_eq!(Reader::new(&bytes).str(), Ok(text));
    }
}

/// 1.5.4: what is no UTF-8, what must not and what should not be in a string,
/// at each place of strings short and long, because their blocks are looked at
/// in different ways.
#[test]
fn strings_that_are_refused() {
    for bad in [
        "00", "01", "09", "0A", "1F", "7F", "C280", "C29F", // control characters
        "EDA080", "EDBFBF", // surrogates
        "C080", "C0AF", "E08080", "F8", "FF", "80", "C3", "F4908080", // no UTF-8
        "EFBFBE", "EFBFBF", "EFB790", "EFB7AF", "F09FBFBE", "F48FBFBF", // non-characters
    ] {
        for length in 0..40 {
            for at in 0..=length {
                let mut text = vec![b'a'; length];
                text.splice(at..at, hex(bad));
                let mut bytes = (text.len() as u16).to_be_bytes().to_vec();
                bytes.extend_from_slice(&text);
                let error = Reader::new(&bytes).str().unwrap_err();
                assert_eq!(error.reason.0, 0x81, "{bad} at {at} of {length}");
                assert!(Reader::new(&bytes).topic_name("").is_err());
            }
        }
    }
}

#[test]
fn wildcards_are_found_at_every_place_of_a_topic_name() {
    for length in 0..40 {
        for fill in ["a", "ü"] {
            let plain = fill.repeat(length);
            let mut bytes = (plain.len() as u16).to_be_bytes().to_vec();
            bytes.extend_from_slice(plain.as_bytes());
            assert_eq!(Reader::new(&bytes).topic_name(""), Ok(plain.as_str()));
            for at in 0..=length {
                for wildcard in ["+", "#"] {
                    let text = [&fill.repeat(at), wildcard, &fill.repeat(length - at)].concat();
                    let mut bytes = (text.len() as u16).to_be_bytes().to_vec();
                    bytes.extend_from_slice(text.as_bytes());
                    let error = Reader::new(&bytes).topic_name("why").unwrap_err();
                    assert_eq!((error.reason.0, error.what), (0x81, "why"));
                }
            }
        }
    }
}

#[test]
fn a_string_that_is_longer_than_its_packet() {
    for wire in ["", "00", "0001", "0002 'a'", "FFFF 'a'"] {
        let bytes = hex(wire);
        assert_eq!(Reader::new(&bytes).str().unwrap_err().reason.0, 0x81);
        assert_eq!(Reader::new(&bytes).binary().unwrap_err().reason.0, 0x81);
    }
}

#[test]
fn frames_are_found_once_they_are_whole() {
    let bytes = hex("30 05 0001 'a' FFFF C0 00");
    for end in 0..7 {
        assert_eq!(Frame::split(&bytes[..end], 100), Ok(None), "{end} bytes");
    }
    let frame = Frame::split(&bytes, 100).unwrap().unwrap();
    assert_eq!(frame.bytes, &bytes[..7]);
    assert_eq!(frame.header_len, 2);
    assert_eq!(frame.body(), &bytes[2..7]);
    let rest = Frame::split(&bytes[7..], 100).unwrap().unwrap();
    assert_eq!(rest.bytes, [0xC0, 0]);
    assert!(rest.body().is_empty());
}

#[test]
fn remaining_lengths() {
    for (value, wire) in VAR_INTS {
        let mut bytes = vec![0x30];
        bytes.extend(hex(wire));
        let header_len = bytes.len();
        let limit = MAX_REMAINING_LENGTH + 5;
        if value > 0 {
            assert_eq!(Frame::split(&bytes, limit), Ok(None), "{value}");
        }
        if value < 20_000 {
            bytes.resize(header_len + value as usize, 0);
            let frame = Frame::split(&bytes, limit).unwrap().unwrap();
            assert_eq!(frame.header_len, header_len);
            assert_eq!(frame.body().len(), value as usize);
        }
    }
    let error = Frame::split(&hex("30 80808080"), usize::MAX).unwrap_err();
    assert_eq!(error.reason.0, 0x81);
    // Longer than it need be, and taken: see `Frame::split`.
    let bytes = hex("E0 8000");
    let frame = Frame::split(&bytes, 100).unwrap().unwrap();
    assert_eq!((frame.header_len, frame.body()), (3, &[][..]));
}

/// The limit counts the fixed header, and is told from the header alone.
#[test]
fn packets_over_the_maximum_size() {
    assert_eq!(Frame::split(&hex("30 12"), 20), Ok(None));
    assert_eq!(
        Frame::split(&hex("30 12"), 19).unwrap_err().reason.0,
        0x95,
        "18 bytes and the header are 20"
    );
    assert_eq!(
        Frame::split(&hex("30 FFFFFF7F"), 1000)
            .unwrap_err()
            .reason
            .0,
        0x95
    );
}

#[test]
fn a_ping_with_content_is_no_frame() {
    for wire in ["C0 01", "D0 02 0000", "C1 01 00", "C0 FFFFFFFF"] {
        assert_eq!(Frame::split(&hex(wire), 100).unwrap_err().reason.0, 0x81);
    }
    let bytes = hex("C0 8000");
    assert!(Frame::split(&bytes, 100).is_ok(), "0, oddly written");
}
