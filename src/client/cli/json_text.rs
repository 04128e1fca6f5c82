//! JSON as text: laid out anew or as it stands, with colours or without. No
//! number and no string changes by a byte.

use serde::de::IgnoredAny;

use super::paint::{Paint, Shade};

/// Where the blanks of the result come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// They stay.
    AsItIs,
    /// None at all.
    Compact,
    /// One member or element a line.
    Indented,
}

/// Whether a text is one JSON value.
pub(super) fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

/// Appends JSON. What is none comes out as something that is none.
pub(super) fn write(json: &[u8], layout: Layout, paint: Option<&Paint>, out: &mut Vec<u8>) {
    let mut writer = Writer {
        layout,
        depth: 0,
        out,
    };
    let mut rest = json;
    while let Some(&first) = rest.first() {
        let (token, behind) = rest.split_at(token_length(rest));
        rest = behind;
        if first.is_ascii_whitespace() {
            if layout == Layout::AsItIs {
                writer.out.extend_from_slice(token);
            }
            continue;
        }
        let next = rest.trim_ascii_start().first().copied();
        writer.before(first);
        match paint.zip(shade(first, next)) {
            Some((paint, shade)) => paint.write(shade, token, writer.out),
            None => writer.out.extend_from_slice(token),
        }
        writer.after(first, next);
    }
}

fn token_length(text: &[u8]) -> usize {
    let until = |end: fn(&u8) -> bool| text.iter().position(end).unwrap_or(text.len());
    match text[0] {
        b'"' => string_length(text),
        byte if is_mark(byte) => 1,
        byte if byte.is_ascii_whitespace() => until(|byte| !byte.is_ascii_whitespace()),
        _ => until(|&byte| byte == b'"' || is_mark(byte) || byte.is_ascii_whitespace()),
    }
}

/// The length of the string at the front, with its quotes.
fn string_length(text: &[u8]) -> usize {
    let mut escaped = false;
    for (index, &byte) in text.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

fn is_mark(byte: u8) -> bool {
    matches!(byte, b'{' | b'}' | b'[' | b']' | b',' | b':')
}

/// What a token that begins so is; a string before a colon is a key.
fn shade(first: u8, next: Option<u8>) -> Option<Shade> {
    Some(match first {
        b'"' if next == Some(b':') => Shade::Key,
        b'"' => Shade::Text,
        b'-' | b'0'..=b'9' => Shade::Number,
        b't' | b'f' | b'n' => Shade::Word,
        _ => return None,
    })
}

struct Writer<'a> {
    layout: Layout,
    depth: usize,
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    fn before(&mut self, first: u8) {
        if matches!(first, b'}' | b']') {
            self.depth = self.depth.saturating_sub(1);
            // An empty pair stays together.
            if !matches!(self.out.last(), Some(b'{' | b'[')) {
                self.break_line();
            }
        }
    }

    fn after(&mut self, first: u8, next: Option<u8>) {
        match first {
            b'{' | b'[' => {
                self.depth += 1;
                if !matches!(next, Some(b'}' | b']')) {
                    self.break_line();
                }
            }
            b',' => self.break_line(),
            b':' if self.layout == Layout::Indented => self.out.push(b' '),
            _ => {}
        }
    }

    fn break_line(&mut self) {
        if self.layout == Layout::Indented {
            self.out.push(b'\n');
            self.out.resize(self.out.len() + 2 * self.depth, b' ');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(json: &str, layout: Layout, paint: Option<&Paint>) -> String {
        let mut out = Vec::new();
        write(json.as_bytes(), layout, paint, &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    const JSON: &str = " {\"a\\\"b\": [1, -2.50e+7 , {}],\n\"c\":{\"d\" :null}, \"e\": [ ] } ";

    #[test]
    fn blanks_go_where_they_mean_nothing() {
        assert_eq!(
            written(JSON, Layout::Compact, None),
            r#"{"a\"b":[1,-2.50e+7,{}],"c":{"d":null},"e":[]}"#
        );
        assert_eq!(written(JSON, Layout::AsItIs, None), JSON);
    }

    #[test]
    fn members_and_elements_have_their_lines() {
        let expected = r#"{
  "a\"b": [
    1,
    -2.50e+7,
    {}
  ],
  "c": {
    "d": null
  },
  "e": []
}"#;
        assert_eq!(written(JSON, Layout::Indented, None), expected);
    }

    #[test]
    fn each_kind_has_its_colour() {
        let painted = written(
            r#"{"a":["b",1,true]}"#,
            Layout::Compact,
            Some(&Paint::new()),
        );
        let plain = painted.replace("\x1b[0m", "");
        assert_eq!(
            plain,
            "{\x1b[34m\"a\":[\x1b[32m\"b\",\x1b[33m1,\x1b[35mtrue]}"
        );
    }

    #[test]
    fn what_is_no_json_is_told_and_survives() {
        for text in ["", "{", "\"", "\"a\\", "]", "}}", "a b", "1 2", "\u{e9}"] {
            assert!(!is_json(text.as_bytes()), "{text}");
            assert_eq!(written(text, Layout::AsItIs, None), text);
            written(text, Layout::Indented, None);
        }
    }
}
