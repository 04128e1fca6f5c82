//! `--encode` and `--decode`: payloads that are written for people on one side
//! and for machines on the other.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use clap::ArgMatches;
use serde_json::{Map, Number, Value};

use super::connection::text;
use super::json_text::{self, Layout};

/// How deep arrays and maps may lie in each other, as in `serde_json`.
const DEEPEST: usize = 128;

/// The names of the forms.
pub(super) const FORMS: [&str; 5] = ["json", "hex", "base64", "cbor", "msgpack"];

/// A form of payloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Json,
    Hex,
    Base64,
    Cbor,
    MsgPack,
}

impl Coding {
    /// The value of `--encode` or `--decode`.
    pub(super) fn of(matches: &ArgMatches, option: &str) -> Option<Self> {
        Some(match text(matches, option)? {
            "hex" => Self::Hex,
            "base64" => Self::Base64,
            "cbor" => Self::Cbor,
            "msgpack" => Self::MsgPack,
            _ => Self::Json,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Hex => "hexadecimal",
            Self::Base64 => "base64",
            Self::Cbor => "CBOR",
            Self::MsgPack => "MessagePack",
        }
    }

    /// From what a person writes to the payload: for JSON, CBOR and
    /// MessagePack that is JSON, for the others any bytes.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn encode(self, input: &[u8]) -> Result<Vec<u8>, String> {
        let value =
            || serde_json::from_slice::<Value>(input).map_err(|error| format!("not JSON: {error}"));
        Ok(match self {
            Self::Json => {
                value()?;
                compact(input)
            }
            Self::Hex => hex(input),
            Self::Base64 => STANDARD.encode(input).into_bytes(),
            Self::Cbor => {
                let mut payload = Vec::new();
                ciborium::into_writer(&value()?, &mut payload)
                    .map_err(|error| error.to_string())?;
                payload
            }
            Self::MsgPack => {
                let mut payload = Vec::new();
                rmpv::encode::write_value(&mut payload, &to_msgpack(value()?))
                    .map_err(|error| error.to_string())?;
                payload
            }
        })
    }

    /// From the payload to what a person reads.
    ///
    /// # Errors
    /// The payload isn't of this form; what it is instead.
    pub(super) fn decode(self, payload: &[u8], indented: bool) -> Result<Vec<u8>, String> {
        let json = match self {
            Self::Json => json_text::is_json(payload).then(|| payload.to_vec()),
            Self::Cbor => from_cbor(payload).map(|value| value.to_string().into_bytes()),
            Self::MsgPack => from_msgpack(payload).map(|value| value.to_string().into_bytes()),
            Self::Hex => return unhex(payload).ok_or_else(|| self.complaint()),
            Self::Base64 => {
                let text = payload.trim_ascii();
                return STANDARD.decode(text).map_err(|_| self.complaint());
            }
        };
        let json = json.ok_or_else(|| self.complaint())?;
        let layout = if indented {
            Layout::Indented
        } else {
            Layout::Compact
        };
        let mut out = Vec::with_capacity(json.len());
        json_text::write(&json, layout, None, &mut out);
        Ok(out)
    }

    fn complaint(self) -> String {
        format!("Message payload is not valid {}", self.name())
    }
}

fn compact(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    json_text::write(json, Layout::Compact, None, &mut out);
    out
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| DIGITS[usize::from(digit)])
        .collect()
}

/// Bytes from digits of either case; blanks may part them.
fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|&byte| char::from(byte).to_digit(16).map(|digit| digit as u8))
        .collect();
    let digits = digits?;
    let pairs = digits.chunks_exact(2);
    let whole = pairs.remainder().is_empty();
    whole.then(|| pairs.map(|pair| pair[0] << 4 | pair[1]).collect())
}

fn from_cbor(payload: &[u8]) -> Option<Value> {
    let mut rest = payload;
    let value = ciborium::de::from_reader_with_recursion_limit(&mut rest, DEEPEST).ok()?;
    rest.is_empty().then(|| cbor_to_json(value))
}

/// JSON for CBOR, as RFC 8949 (6.1) advises: bytes in base64 for URLs, tags
/// left out, `null` for what JSON has no word for.
fn cbor_to_json(value: ciborium::Value) -> Value {
    use ciborium::Value as Cbor;
    match value {
        Cbor::Integer(number) => integer(number.into()),
        Cbor::Float(number) => Number::from_f64(number).into(),
        Cbor::Bool(yes) => yes.into(),
        Cbor::Text(text) => text.into(),
        Cbor::Bytes(bytes) => URL_SAFE_NO_PAD.encode(bytes).into(),
        Cbor::Tag(_, inner) => cbor_to_json(*inner),
        Cbor::Array(items) => items.into_iter().map(cbor_to_json).collect(),
        Cbor::Map(members) => members
            .into_iter()
            .map(|(key, value)| (key_of(cbor_to_json(key)), cbor_to_json(value)))
            .collect(),
        _ => Value::Null,
    }
}

fn integer(number: i128) -> Value {
    match (u64::try_from(number), i64::try_from(number)) {
        (Ok(number), _) => number.into(),
        (_, Ok(number)) => number.into(),
        // CBOR's negative numbers have a bit more.
        _ => Number::from_f64(number as f64).into(),
    }
}

/// The keys of JSON are strings; others become the text of their value.
fn key_of(key: Value) -> String {
    match key {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn from_msgpack(payload: &[u8]) -> Option<Value> {
    let mut rest = payload;
    let value = rmpv::decode::read_value_with_max_depth(&mut rest, DEEPEST).ok()?;
    rest.is_empty().then(|| msgpack_to_json(value))
}

/// JSON for MessagePack: bytes, also those of extensions, in base64 for URLs,
/// as with CBOR.
fn msgpack_to_json(value: rmpv::Value) -> Value {
    use rmpv::Value as Pack;
    match value {
        Pack::Nil => Value::Null,
        Pack::Boolean(yes) => yes.into(),
        Pack::Integer(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => number.into(),
            (None, number) => number.into(),
        },
        Pack::F32(number) => Number::from_f64(number.into()).into(),
        Pack::F64(number) => Number::from_f64(number).into(),
        Pack::String(text) => match text.into_str() {
            Some(text) => text.into(),
            None => Value::Null,
        },
        Pack::Binary(bytes) | Pack::Ext(_, bytes) => URL_SAFE_NO_PAD.encode(bytes).into(),
        Pack::Array(items) => items.into_iter().map(msgpack_to_json).collect(),
        Pack::Map(members) => members
            .into_iter()
            .map(|(key, value)| (key_of(msgpack_to_json(key)), msgpack_to_json(value)))
            .collect::<Map<_, _>>()
            .into(),
    }
}

fn to_msgpack(value: Value) -> rmpv::Value {
    match value {
        Value::Null => rmpv::Value::Nil,
        Value::Bool(yes) => yes.into(),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => number.into(),
            (None, Some(number)) => number.into(),
            (None, None) => number.as_f64().unwrap_or(f64::NAN).into(),
        },
        Value::String(text) => text.into(),
        Value::Array(items) => rmpv::Value::Array(items.into_iter().map(to_msgpack).collect()),
        Value::Object(members) => rmpv::Value::Map(
            members
                .into_iter()
                .map(|(key, value)| (key.into(), to_msgpack(value)))
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Coding; 5] = [
        Coding::Json,
        Coding::Hex,
        Coding::Base64,
        Coding::Cbor,
        Coding::MsgPack,
    ];

    #[test]
    fn what_is_encoded_can_be_decoded() {
        let json =
            r#"{"z":[1,-2,2.5,18446744073709551615,-9223372036854775808],"a":{"é":null,"b":true}}"#;
        for coding in ALL {
            let payload = coding.encode(json.as_bytes()).expect("encoded");
            assert_eq!(
                coding.decode(&payload, false),
                Ok(json.into()),
                "{coding:?}"
            );
        }
    }

    /// The examples of RFC 8949 and of the MessagePack specification.
    #[test]
    fn bytes_are_those_of_the_specifications() {
        assert_eq!(Coding::Hex.encode(b"a\xff"), Ok(b"61ff".to_vec()));
        assert_eq!(Coding::Base64.encode(b"a\xff"), Ok(b"Yf8=".to_vec()));
        assert_eq!(
            Coding::Cbor.encode(br#"{"a": 1, "b": [2, 3]}"#),
            Ok(b"\xa2\x61a\x01\x61b\x82\x02\x03".to_vec())
        );
        assert_eq!(
            Coding::MsgPack.encode(br#"{"compact":true,"schema":0}"#),
            Ok(b"\x82\xa7compact\xc3\xa6schema\x00".to_vec())
        );
        for (payload, json) in [
            (&b"\x1a\x00\x0f\x42\x40"[..], "1000000"),
            (
                b"\x3b\xff\xff\xff\xff\xff\xff\xff\xff",
                "-1.8446744073709552e+19",
            ),
            (b"\xf9\x7c\x00", "null"),
            (b"\xc1\x1a\x51\x4b\x67\xb0", "1363896240"),
            (b"\x44\x01\x02\x03\x04", "\"AQIDBA\""),
            (b"\xa2\x01\x02\x03\x04", r#"{"1":2,"3":4}"#),
            (b"\x7f\x65strea\x64ming\xff", "\"streaming\""),
        ] {
            assert_eq!(Coding::Cbor.decode(payload, false), Ok(json.into()));
        }
        for (payload, json) in [
            (&b"\xc4\x02\x01\x02"[..], "\"AQI\""),
            (b"\xd4\x05\x07", "\"Bw\""),
            (b"\xd0\x80", "-128"),
            (b"\x81\xc0\xc2", r#"{"null":false}"#),
        ] {
            assert_eq!(Coding::MsgPack.decode(payload, false), Ok(json.into()));
        }
    }

    #[test]
    fn numbers_of_json_stay_as_they_are_written() {
        let text = b" [1.0, 12345678901234567890123, 1e2] ";
        let compact = Ok(b"[1.0,12345678901234567890123,1e2]".to_vec());
        assert_eq!(Coding::Json.encode(text), compact);
        assert_eq!(Coding::Json.decode(text, false), compact);
        assert_eq!(Coding::Json.decode(b"[1]", true), Ok(b"[\n  1\n]".to_vec()));
    }

    #[test]
    fn what_is_of_another_form_is_told() {
        for coding in ALL {
            let complaint = format!("Message payload is not valid {}", coding.name());
            for payload in [&b"\xff!"[..], b"\x1f\x1f", b"5 g"] {
                assert_eq!(coding.decode(payload, false), Err(complaint.clone()));
            }
        }
        assert_eq!(
            Coding::Hex.decode(b"0aF\n1 \n", false),
            Ok(vec![0x0a, 0xf1])
        );
        let error = Coding::Cbor.encode(b"{]").expect_err("no JSON");
        assert!(error.starts_with("not JSON: "), "{error}");
        // Deeper than any stack should have to bear.
        assert!(Coding::Cbor.decode(&vec![0x81; 100_000], false).is_err());
        assert!(Coding::MsgPack.decode(&vec![0x91; 100_000], false).is_err());
    }
}
