//! PEM files (RFC 7468), and the older form with headers (RFC 1421) that
//! OpenSSL has for encrypted keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What stands between a `BEGIN` and its `END`.
pub(super) struct Section {
    /// What it is, as in `BEGIN CERTIFICATE`.
    pub(super) label: String,
    headers: Vec<(String, String)>,
    pub(super) content: Vec<u8>,
}

impl Section {
    /// A header of the older form.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// The sections of a file. Text around them is passed over, as by OpenSSL.
///
/// # Errors
/// A section that has no end, or that is no base64; the words name its label.
pub(super) fn sections(text: &[u8]) -> Result<Vec<Section>, String> {
    let text = String::from_utf8_lossy(text);
    let mut lines = text.lines().map(str::trim);
    let mut sections = Vec::new();
    while let Some(line) = lines.next() {
        let Some(label) = boundary(line, "BEGIN") else {
            continue;
        };
        let (mut headers, mut body) = (Vec::new(), String::new());
        loop {
            let line = lines
                .next()
                .ok_or_else(|| format!("its section '{label}' has no END line"))?;
            if boundary(line, "END").is_some() {
                break;
            }
            match line.split_once(':') {
                Some((name, value)) => headers.push((name.into(), value.trim().into())),
                None => body.extend(line.split_whitespace()),
            }
        }
        let content = STANDARD
            .decode(body)
            .map_err(|_| format!("its section '{label}' is damaged: not base64"))?;
        sections.push(Section {
            label: label.into(),
            headers,
            content,
        });
    }
    Ok(sections)
}

fn boundary<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    line.strip_prefix("-----")?
        .strip_prefix(word)?
        .strip_prefix(' ')?
        .strip_suffix("-----")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_found_between_other_text() {
        let text = "subject=x\r\n-----BEGIN A B-----\r\nAQID\r\nBA==\r\n-----END A B-----\n\
                    -----BEGIN C-----\nProc-Type: 4,ENCRYPTED\n\nAQ==\n-----END C-----\n";
        let sections = sections(text.as_bytes()).expect("two sections");
        assert_eq!(sections[0].label, "A B");
        assert_eq!(sections[0].content, [1, 2, 3, 4]);
        assert_eq!(sections[1].header("Proc-Type"), Some("4,ENCRYPTED"));
        assert_eq!(sections[1].content, [1]);
    }

    #[test]
    fn damage_is_told() {
        for (text, word) in [
            ("-----BEGIN X-----\nAQ==\n", "no END"),
            ("-----BEGIN X-----\n!!\n-----END X-----\n", "damaged"),
        ] {
            let error = sections(text.as_bytes()).err().expect("an error");
            assert!(error.contains(word), "{error}");
        }
    }
}
