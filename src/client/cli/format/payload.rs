//! A payload that is JSON, written anew: without its blanks, numbers as cJSON
//! prints them, keys in their order and as often as they come.
//!
//! cJSON takes more than JSON is (raw control characters, `01`, any bytes in
//! strings, which serde_json refuses), and so does this.

use super::json::Writer;

/// A payload that isn't JSON.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotJson;

type Result<T> = std::result::Result<T, NotJson>;

/// How deep arrays and objects may lie in each other.
const DEEPEST: usize = 1000;

/// Writes the value that `payload` is. What was written of a payload that
/// turns out to be none is the caller's to remove.
pub(super) fn transcribe(payload: &[u8], json: &mut Writer<'_>) -> Result<()> {
    let mut reader = Reader {
        rest: payload.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload),
        deepest: json.depth() + DEEPEST,
    };
    reader.skip_blanks();
    reader.value(json)?;
    reader.skip_blanks();
    // cJSON sees the first NUL as the end, and the caller sees what is behind.
    if reader.rest.is_empty() {
        Ok(())
    } else {
        Err(NotJson)
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    deepest: usize,
}

impl Reader<'_> {
    fn value(&mut self, json: &mut Writer<'_>) -> Result<()> {
        match self.rest.first() {
            Some(b'{') => self.object(json),
            Some(b'[') => self.array(json),
            Some(b'"') => {
                let text = self.string()?;
                json.string(&text);
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => self.number(json),
            _ => self.word(json),
        }
    }

    fn object(&mut self, json: &mut Writer<'_>) -> Result<()> {
        self.descend(json)?;
        json.open_object();
        if !self.takes(b'}') {
            loop {
                let key = self.string()?;
                json.key(&key);
                self.skip_blanks();
                if !self.takes(b':') {
                    return Err(NotJson);
                }
                self.value(json)?;
                if self.ends(b'}')? {
                    break;
                }
            }
        }
        json.close_object();
        Ok(())
    }

    fn array(&mut self, json: &mut Writer<'_>) -> Result<()> {
        self.descend(json)?;
        json.open_array();
        if !self.takes(b']') {
            loop {
                json.element();
                self.value(json)?;
                if self.ends(b']')? {
                    break;
                }
            }
        }
        json.close_array();
        Ok(())
    }

    /// Passes an opening bracket.
    fn descend(&mut self, json: &Writer<'_>) -> Result<()> {
        if json.depth() == self.deepest {
            return Err(NotJson);
        }
        self.rest = &self.rest[1..];
        self.skip_blanks();
        Ok(())
    }

    /// After a member: true at the closing bracket, false at a comma.
    fn ends(&mut self, bracket: u8) -> Result<bool> {
        self.skip_blanks();
        if self.takes(bracket) {
            Ok(true)
        } else if self.takes(b',') {
            Ok(false)
        } else {
            Err(NotJson)
        }
    }

    fn word(&mut self, json: &mut Writer<'_>) -> Result<()> {
        for word in [b"null".as_slice(), b"true", b"false"] {
            if let Some(rest) = self.rest.strip_prefix(word) {
                self.rest = rest;
                json.raw(word);
                return Ok(());
            }
        }
        Err(NotJson)
    }

    fn number(&mut self, json: &mut Writer<'_>) -> Result<()> {
        let part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        let length = self.rest.iter().take_while(|byte| part(byte)).count();
        let (digits, rest) = self.rest.split_at(length);
        let value = str::from_utf8(digits)
            .ok()
            .and_then(|text| text.parse().ok());
        self.rest = rest;
        json.number(value.ok_or(NotJson)?);
        Ok(())
    }

    /// The string at the front, unescaped.
    fn string(&mut self) -> Result<Vec<u8>> {
        if !self.takes_now(b'"') {
            return Err(NotJson);
        }
        let mut text = Vec::new();
        loop {
            let plain = |byte: &u8| *byte != b'"' && *byte != b'\\';
            let length = self.rest.iter().take_while(|byte| plain(byte)).count();
            let (chunk, rest) = self.rest.split_at(length);
            text.extend_from_slice(chunk);
            self.rest = rest;
            if self.takes_now(b'"') {
                return Ok(text);
            }
            let [_, escaped, rest @ ..] = self.rest else {
                return Err(NotJson);
            };
            self.rest = rest;
            text.push(match escaped {
                b'"' | b'\\' | b'/' => *escaped,
                b'b' => 0x08,
                b'f' => 0x0c,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'u' => {
                    let mut buffer = [0; 4];
                    let c = self.unicode()?.encode_utf8(&mut buffer);
                    text.extend_from_slice(c.as_bytes());
                    continue;
                }
                _ => return Err(NotJson),
            });
        }
    }

    /// What follows a `\u`, with the other half of a surrogate pair.
    fn unicode(&mut self) -> Result<char> {
        let first = self.code_unit()?;
        let mut units = vec![first];
        if (0xD800..0xDC00).contains(&first) {
            self.rest = self.rest.strip_prefix(b"\\u").ok_or(NotJson)?;
            units.push(self.code_unit()?);
        }
        let c = char::decode_utf16(units).next();
        c.and_then(std::result::Result::ok).ok_or(NotJson)
    }

    fn code_unit(&mut self) -> Result<u16> {
        let (digits, rest) = self.rest.split_at_checked(4).ok_or(NotJson)?;
        let mut unit = 0;
        for &digit in digits {
            let digit = char::from(digit).to_digit(16).ok_or(NotJson)?;
            unit = unit * 16 + digit as u16;
        }
        self.rest = rest;
        Ok(unit)
    }

    /// Takes a byte, if it is next, and the blanks behind it.
    fn takes(&mut self, byte: u8) -> bool {
        let there = self.takes_now(byte);
        if there {
            self.skip_blanks();
        }
        there
    }

    /// Takes a byte, if it is next.
    fn takes_now(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((&first, rest)) if first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Passes everything up to the blank but NUL.
    fn skip_blanks(&mut self) {
        let blank = |byte: &u8| (1..=b' ').contains(byte);
        let length = self.rest.iter().take_while(|byte| blank(byte)).count();
        self.rest = &self.rest[length..];
    }
}
