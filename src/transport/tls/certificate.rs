//! What a certificate says: names, dates, and how to tell of it.

use std::fmt::Write as _;

use chrono::DateTime;
use x509_parser::prelude::{
    ASN1Time, AttributeTypeAndValue, FromDer, GeneralName, X509Certificate, X509Name,
};

/// Parses a certificate that stands alone in `der`.
pub(super) fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Some(certificate),
        _ => None,
    }
}

/// A certificate in words: whom it is for, who issued it, when it is valid.
pub(super) fn describe(der: &[u8]) -> String {
    let Some(certificate) = parse(der) else {
        return "a certificate that cannot be read".to_owned();
    };
    let validity = certificate.validity();
    format!(
        "'{}', issued by '{}', valid from {} to {}",
        name(certificate.subject()),
        name(certificate.issuer()),
        day(validity.not_before),
        day(validity.not_after),
    )
}

/// The day of a time, in UTC.
pub(super) fn day(time: ASN1Time) -> String {
    DateTime::from_timestamp(time.timestamp(), 0).map_or_else(
        || time.to_string(),
        |time| time.format("%Y-%m-%d").to_string(),
    )
}

/// The first common name of the subject. None where there is none, or where it
/// is no text that could be a user name.
pub(super) fn common_name(certificate: &X509Certificate<'_>) -> Option<String> {
    let attribute = certificate.subject().iter_common_name().next()?;
    let text = text(attribute)?;
    (!text.is_empty() && !text.contains('\0')).then_some(text)
}

/// The DNS names and addresses of the extension subject alternative name.
pub(super) fn alternative_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let names = extension.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => Some(address(bytes)),
            _ => None,
        })
        .collect()
}

fn address(bytes: &[u8]) -> String {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return std::net::Ipv4Addr::from(bytes).to_string();
    }
    <[u8; 16]>::try_from(bytes).map_or_else(
        |_| "an address of odd length".to_owned(),
        |bytes| std::net::Ipv6Addr::from(bytes).to_string(),
    )
}

/// A distinguished name in the form of RFC 2253, to the byte as OpenSSL's
/// `XN_FLAG_RFC2253` and with it Mosquitto writes it: the last part comes first,
/// what is not ASCII is escaped.
pub(super) fn name(name: &X509Name<'_>) -> String {
    let parts: Vec<_> = name.iter().collect();
    let mut written = String::new();
    for (index, part) in parts.iter().rev().enumerate() {
        let attributes: Vec<_> = part.iter().collect();
        for (position, attribute) in attributes.iter().rev().enumerate() {
            match (index, position) {
                (0, 0) => {}
                (_, 0) => written.push(','),
                _ => written.push('+'),
            }
            write_attribute(&mut written, attribute);
        }
    }
    written
}

fn write_attribute(written: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    let oid = attribute.attr_type().to_id_string();
    let known = SHORT_NAMES.iter().find(|(known, _)| *known == oid);
    written.push_str(known.map_or(oid.as_str(), |(_, short)| short));
    written.push('=');
    if let (Some(_), Some(text)) = (known, text(attribute)) {
        escape(written, &text);
    } else {
        written.push('#');
        for byte in dump(attribute) {
            let _ = write!(written, "{byte:02X}");
        }
    }
}

/// The value with its tag and length.
fn dump(attribute: &AttributeTypeAndValue<'_>) -> Vec<u8> {
    let value = attribute.attr_value();
    let mut bytes = vec![value.header.tag().0 as u8];
    let length = value.data.len();
    match length {
        0..0x80 => bytes.push(length as u8),
        0x80..0x100 => bytes.extend([0x81, length as u8]),
        _ => bytes.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    bytes.extend_from_slice(value.data);
    bytes
}

/// The text of a value, whichever kind of string it is.
fn text(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let value = attribute.attr_value();
    let wide = |bytes: &[u8], width: usize| {
        let characters = bytes.chunks(width).map(|unit| {
            let code = unit
                .iter()
                .fold(0, |code, byte| code << 8 | u32::from(*byte));
            char::from_u32(code)
        });
        characters.collect::<Option<String>>()
    };
    match value.header.tag().0 {
        12 => String::from_utf8(value.data.to_vec()).ok(),
        // Numeric, printable, IA5 and visible strings; T.61 as Latin-1.
        18 | 19 | 20 | 22 | 26 => Some(value.data.iter().copied().map(char::from).collect()),
        28 => wide(value.data, 4),
        30 => wide(value.data, 2),
        _ => None,
    }
}

fn escape(written: &mut String, text: &str) {
    let last = text.len().saturating_sub(1);
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => {
                written.push('\\');
                written.push(char::from(byte));
            }
            b'#' if index == 0 => written.push_str("\\#"),
            b' ' if index == 0 || index == last => written.push_str("\\ "),
            0x20..0x7f => written.push(char::from(byte)),
            _ => {
                let _ = write!(written, "\\{byte:02X}");
            }
        }
    }
}

/// The names that OpenSSL has for attributes.
const SHORT_NAMES: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.13", "description"),
    ("2.5.4.15", "businessCategory"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.20", "telephoneNumber"),
    ("2.5.4.41", "name"),
    ("2.5.4.42", "GN"),
    ("2.5.4.43", "initials"),
    ("2.5.4.44", "generationQualifier"),
    ("2.5.4.45", "x500UniqueIdentifier"),
    ("2.5.4.46", "dnQualifier"),
    ("2.5.4.65", "pseudonym"),
    ("2.5.4.97", "organizationIdentifier"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.3", "mail"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("1.2.840.113549.1.9.2", "unstructuredName"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// The same certificate by OpenSSL: names with everything that is escaped.
    #[test]
    fn names_are_written_as_openssl_writes_them() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        for subject in [
            "/C=GB/ST=Nottinghamshire/L=Nottingham/O=Server/OU=Production/CN=test client",
            "/CN=#a, \"b\"\\+<c>;\\\\ ",
            "/CN= é\u{1}ü漢/emailAddress=a@b.example/DC=example/UID=x",
            "/CN=one+OU=two/serialNumber=7/GN=Ada/SN=L",
            "/2.5.4.77=odd/CN=x",
        ] {
            let made = Command::new("openssl")
                .args([
                    "req",
                    "-x509",
                    "-newkey",
                    "ed25519",
                    "-nodes",
                    "-utf8",
                    "-multivalue-rdn",
                ])
                .args(["-days", "1", "-outform", "der", "-subj", subject])
                .arg("-keyout")
                .arg(path("key"))
                .arg("-out")
                .arg(path("crt"))
                .output()
                .expect("openssl runs");
            assert!(made.status.success(), "{made:?}");
            let told = Command::new("openssl")
                .args([
                    "x509", "-inform", "der", "-noout", "-subject", "-nameopt", "RFC2253",
                ])
                .arg("-in")
                .arg(path("crt"))
                .output()
                .expect("openssl runs");
            let told = String::from_utf8(told.stdout).expect("text");
            let der = std::fs::read(path("crt")).expect("a certificate");
            let certificate = parse(&der).expect("a certificate");
            assert_eq!(format!("subject={}\n", name(certificate.subject())), told);
        }
    }
}
