//! A file of pre-shared keys for TLS: `identity:hexkey`, one a line.
//!
//! Lines that begin with `#` and blank lines are remarks. Blanks around
//! identity and key do not count.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use super::problem::{self, LoadError, Problem};

/// The longest identity and key, in bytes, that every TLS library takes.
const MAX_IDENTITY: usize = 128;
const MAX_KEY: usize = 256;

/// The identities of a file and their keys.
#[derive(Clone, Default)]
pub struct PskFile {
    keys: HashMap<String, Vec<u8>>,
}

impl PskFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// It cannot be read, or lines of it make no sense: all of them.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        Self::parse(&problem::read(path)?, &path.display().to_string())
    }

    /// Reads the text of such a file; `file` is its name in messages.
    ///
    /// # Errors
    /// All lines that make no sense.
    pub fn parse(text: &[u8], file: &str) -> Result<Self, LoadError> {
        let (mut keys, mut first_lines) = (HashMap::new(), HashMap::new());
        let mut problems = Vec::new();
        for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let outcome = entry(line).and_then(|(identity, key)| {
                match first_lines.insert(identity.to_owned(), number) {
                    None => Ok((identity, key)),
                    Some(first) => Err((
                        format!("identity '{identity}' is already in line {first}"),
                        "remove one of the lines",
                    )),
                }
            });
            match outcome {
                Ok((identity, key)) => {
                    keys.insert(identity.to_owned(), key);
                }
                Err((text, remedy)) => problems.push(Problem {
                    file: file.into(),
                    line: number,
                    text,
                    remedy: remedy.into(),
                }),
            }
        }
        if problems.is_empty() {
            Ok(Self { keys })
        } else {
            Err(LoadError::Problems(problems))
        }
    }

    /// The key of an identity.
    pub fn key(&self, identity: &str) -> Option<&[u8]> {
        self.keys.get(identity).map(Vec::as_slice)
    }

    /// The number of identities.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether the file has no identity at all.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// Without the keys, so that no log shows them by accident.
impl fmt::Debug for PskFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.keys.keys()).finish()
    }
}

/// Identity and key of a line; or what is wrong, and the remedy. A key is
/// never part of a message.
fn entry(line: &[u8]) -> Result<(&str, Vec<u8>), (String, &'static str)> {
    const FORM: &str = "write: IDENTITY:KEY, the key in hexadecimal digits";
    let line = std::str::from_utf8(line).map_err(|_| {
        let text = "the line is not UTF-8".to_string();
        (text, "save the file with that encoding")
    })?;
    let Some((identity, key)) = line.split_once(':') else {
        return Err(("there is no colon in this line".into(), FORM));
    };
    let (identity, key) = (identity.trim(), key.trim());
    if identity.is_empty() {
        return Err(("the identity is missing".into(), FORM));
    }
    if identity.len() > MAX_IDENTITY {
        let text = format!("the identity is longer than {MAX_IDENTITY} bytes");
        return Err((text, "choose a shorter one, in the client too"));
    }
    if key.is_empty() {
        return Err((format!("identity '{identity}' has no key"), FORM));
    }
    let key = bytes(key).ok_or_else(|| {
        let text =
            format!("the key of identity '{identity}' is not an even number of hexadecimal digits");
        (text, "make one with: openssl rand -hex 32")
    })?;
    if key.len() > MAX_KEY {
        let text = format!("the key of identity '{identity}' is longer than {MAX_KEY} bytes");
        return Err((text, "make one with: openssl rand -hex 32"));
    }
    Ok((identity, key))
}

/// The key that hexadecimal digits stand for; none if they are not such digits,
/// not an even number of them, none, or too many (256 bytes are the most).
pub fn psk_key(digits: &str) -> Option<Vec<u8>> {
    bytes(digits).filter(|key| (1..=MAX_KEY).contains(&key.len()))
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    hex.as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some((digit(high)? << 4 | digit(low)?) as u8),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_have_their_keys() {
        let text = b"# keys\n\nann:00fF10\r\n b b : a0 \n\xc3\xa9:01";
        let file = PskFile::parse(text, "psk").unwrap();
        assert_eq!(file.key("ann"), Some(&[0, 0xFF, 0x10][..]));
        assert_eq!(file.key("b b"), Some(&[0xA0][..]));
        assert_eq!(file.key("é"), Some(&[1][..]));
        assert_eq!(file.key("# keys"), None);
        assert_eq!(file.len(), 3);
    }

    #[test]
    fn every_line_that_is_wrong_is_told_and_no_key_is() {
        let long = "x".repeat(129);
        let text = format!(
            "nocolon\n:01\nann:\nann:0g\nbob:012\nbob:01\nbob:02\n{long}:01\nc:{}\n",
            "ab".repeat(257)
        );
        let text = [text.as_bytes(), b"\xff:01"].concat();
        let error = PskFile::parse(&text, "psk").unwrap_err();
        let told: Vec<_> = error.problems().iter().map(ToString::to_string).collect();
        let form = "write: IDENTITY:KEY, the key in hexadecimal digits";
        let make = "make one with: openssl rand -hex 32";
        let digits = "is not an even number of hexadecimal digits";
        assert_eq!(
            told,
            [
                format!("psk:1: there is no colon in this line; {form}"),
                format!("psk:2: the identity is missing; {form}"),
                format!("psk:3: identity 'ann' has no key; {form}"),
                format!("psk:4: the key of identity 'ann' {digits}; {make}"),
                format!("psk:5: the key of identity 'bob' {digits}; {make}"),
                "psk:7: identity 'bob' is already in line 6; remove one of the lines".into(),
                "psk:8: the identity is longer than 128 bytes; \
                 choose a shorter one, in the client too"
                    .into(),
                format!("psk:9: the key of identity 'c' is longer than 256 bytes; {make}"),
                "psk:10: the line is not UTF-8; save the file with that encoding".into(),
            ]
        );
    }

    #[test]
    fn a_key_alone_is_digits_in_pairs() {
        assert_eq!(psk_key("00fF"), Some(vec![0, 0xFF]));
        let long = "00".repeat(257);
        for wrong in ["", "0", "0x12", "zz", "é0", &long] {
            assert_eq!(psk_key(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn debug_output_keeps_the_keys_secret() {
        let file = PskFile::parse(b"ann:00ff", "psk").unwrap();
        assert_eq!(format!("{file:?}"), r#"{"ann"}"#);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = PskFile::load(Path::new("no/psk")).unwrap_err();
        assert!(error.to_string().starts_with("cannot read no/psk: "));
    }
}
