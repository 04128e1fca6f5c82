//! The PROXY protocol: what a proxy in front tells of its client.
//!
//! The header stands in front of everything else on the connection. Whoever
//! may connect directly can claim anything there: so it is read only where it
//! was asked for, and then it must be there.

use std::io;

use ppp::{v1, v2};
use tokio::io::AsyncReadExt;

use super::Stream;

/// Which version of the header comes first on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary, with facts of TLS.
    V2,
}

/// What the header says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The client's address as log lines name it; none if the connection is the
    /// proxy's own, as for a health check.
    pub client: Option<String>,
    /// The facts of TLS between client and proxy; none without TLS.
    pub tls: Option<TlsFacts>,
}

/// TLS between client and proxy (2.2.5 of the specification).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// The version, such as `TLSv1.3`.
    pub version: Option<String>,
    /// The cipher.
    pub cipher: Option<String>,
    /// The client showed a certificate that the proxy found valid.
    pub verified: bool,
    /// The common name in that certificate.
    pub common_name: Option<String>,
}

/// The longest line of version 1, with its end.
const MAX_LINE: usize = 107;
const PREFIX_V1: &[u8] = b"PROXY ";
/// The part of version 2 that always has the same length; its last two bytes
/// are the length of what follows.
const FIXED_PART: usize = 16;

/// The type of the TLV with facts of TLS, and of those within it.
const SSL: u8 = 0x20;
const SSL_VERSION: u8 = 0x21;
const SSL_CN: u8 = 0x22;
const SSL_CIPHER: u8 = 0x23;
/// The client connected over TLS; it showed a certificate in this connection,
/// or in the session that this one resumes.
const CLIENT_SSL: u8 = 0x01;
const CLIENT_CERT: u8 = 0x02 | 0x04;

/// Reads the header; the stream goes on behind it.
///
/// # Errors
/// The stream failed, or no valid header of this version came: then the error
/// is of kind [`io::ErrorKind::InvalidData`].
pub async fn read(mut stream: Stream, version: Version) -> io::Result<(Stream, Header)> {
    let mut received = Vec::new();
    loop {
        let length = match version {
            Version::V1 => length_v1(&received)?,
            Version::V2 => length_v2(&received)?,
        };
        if let Some(length) = length.filter(|length| received.len() >= *length) {
            let rest = received.split_off(length);
            let header = match version {
                Version::V1 => parse_v1(&received)?,
                Version::V2 => parse_v2(&received)?,
            };
            return Ok((stream.put_back(rest), header));
        }
        if stream.read_buf(&mut received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn missing() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no PROXY header")
}

fn corrupt() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "corrupt PROXY header")
}

/// The length of the header, once it is known.
fn length_v1(bytes: &[u8]) -> io::Result<Option<usize>> {
    expect(bytes, PREFIX_V1)?;
    let line = &bytes[..bytes.len().min(MAX_LINE)];
    let end = line.windows(2).position(|pair| pair == b"\r\n");
    if end.is_none() && line.len() == MAX_LINE {
        return Err(corrupt());
    }
    Ok(end.map(|end| end + 2))
}

fn length_v2(bytes: &[u8]) -> io::Result<Option<usize>> {
    expect(bytes, v2::PROTOCOL_PREFIX)?;
    let length = bytes.get(14..FIXED_PART);
    Ok(length.map(|pair| FIXED_PART + usize::from(u16::from_be_bytes([pair[0], pair[1]]))))
}

/// Whether the bytes begin as they should, as far as they are there.
fn expect(bytes: &[u8], prefix: &[u8]) -> io::Result<()> {
    let known = bytes.len().min(prefix.len());
    if bytes[..known] == prefix[..known] {
        Ok(())
    } else {
        Err(missing())
    }
}

fn parse_v1(line: &[u8]) -> io::Result<Header> {
    let header = v1::Header::try_from(line).map_err(|_| corrupt())?;
    let client = match header.addresses {
        v1::Addresses::Unknown => None,
        v1::Addresses::Tcp4(ip) => Some(address(ip.source_address, ip.source_port)),
        v1::Addresses::Tcp6(ip) => Some(address(ip.source_address, ip.source_port)),
    };
    Ok(Header { client, tls: None })
}

fn parse_v2(bytes: &[u8]) -> io::Result<Header> {
    let header = v2::Header::try_from(bytes).map_err(|_| corrupt())?;
    if header.command == v2::Command::Local {
        return Ok(Header::default());
    }
    let client = match header.addresses {
        v2::Addresses::Unspecified => None,
        v2::Addresses::IPv4(ip) => Some(address(ip.source_address, ip.source_port)),
        v2::Addresses::IPv6(ip) => Some(address(ip.source_address, ip.source_port)),
        v2::Addresses::Unix(unix) => Some(format!("{}:0", path(&unix.source))),
    };
    let mut tls = None;
    for tlv in header.tlvs() {
        let tlv = tlv.map_err(|_| corrupt())?;
        if tlv.kind == SSL {
            tls = tls_facts(&tlv.value)?;
        }
    }
    Ok(Header { client, tls })
}

fn address(ip: impl Into<std::net::IpAddr>, port: u16) -> String {
    std::net::SocketAddr::new(ip.into(), port).to_string()
}

/// A path as far as its first zero byte, fit for a line of the log.
fn path(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    printable(&bytes[..end.unwrap_or(bytes.len())])
}

fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "?")
}

fn tls_facts(value: &[u8]) -> io::Result<Option<TlsFacts>> {
    let (fixed, mut rest) = value.split_first_chunk::<5>().ok_or_else(corrupt)?;
    let [client, verdict @ ..] = *fixed;
    if client & CLIENT_SSL == 0 {
        return Ok(None);
    }
    let mut facts = TlsFacts {
        verified: verdict == [0; 4] && client & CLIENT_CERT != 0,
        ..TlsFacts::default()
    };
    while let [kind, high, low, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (text, next) = tail.split_at_checked(length).ok_or_else(corrupt)?;
        match *kind {
            SSL_VERSION => facts.version = Some(printable(text)),
            SSL_CIPHER => facts.cipher = Some(printable(text)),
            SSL_CN => {
                let name = std::str::from_utf8(text).map_err(|_| corrupt())?;
                facts.common_name = Some(name.to_owned());
            }
            _ => {}
        }
        rest = next;
    }
    if rest.is_empty() {
        Ok(Some(facts))
    } else {
        Err(corrupt())
    }
}
