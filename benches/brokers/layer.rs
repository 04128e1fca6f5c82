//! What may lie between MQTT and the socket: TLS or WebSocket. On purpose not
//! the library's own, and only as much as a load needs.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    sync::{Arc, LazyLock},
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, Stream, crypto::ring, pki_types::ServerName,
};

const HOST: &str = "localhost";

/// As much is read at once.
const BITE: usize = 256 * 1024;

/// More than a record of TLS holds.
const RECORD: usize = 32 * 1024;

/// What the brokers show, and all that the generator trusts.
static CERTIFICATE: LazyLock<CertifiedKey<rcgen::KeyPair>> = LazyLock::new(|| {
    generate_simple_self_signed([HOST.to_owned()]).expect("a certificate can be made")
});

/// Certificate and key, as files have them.
pub(crate) fn certificate() -> (String, String) {
    (
        CERTIFICATE.cert.pem(),
        CERTIFICATE.signing_key.serialize_pem(),
    )
}

/// What MQTT is spoken over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Tls,
    WebSocket,
}

pub(crate) enum Layer {
    None,
    Tls(Box<ClientConnection>),
    WebSocket(Frames),
}

impl Layer {
    /// Puts the layer over a connection, which still blocks.
    pub(crate) fn open(transport: Transport, stream: &mut TcpStream) -> io::Result<Self> {
        match transport {
            Transport::Tcp => Ok(Self::None),
            Transport::Tls => {
                let name = ServerName::try_from(HOST).map_err(io::Error::other)?;
                let tls = ClientConnection::new(tls_config()?, name);
                let mut tls = tls.map_err(io::Error::other)?;
                // One write may be as long as a whole window of messages.
                tls.set_buffer_limit(None);
                while tls.is_handshaking() {
                    tls.complete_io(stream)?;
                }
                Ok(Self::Tls(Box::new(tls)))
            }
            Transport::WebSocket => {
                upgrade(stream)?;
                Ok(Self::WebSocket(Frames::default()))
            }
        }
    }

    /// Sends a packet and reads its answer, while the connection blocks.
    pub(crate) fn exchange(
        &mut self,
        stream: &mut TcpStream,
        request: &[u8],
        answer: &mut [u8],
    ) -> io::Result<()> {
        match self {
            Self::None => {
                stream.write_all(request)?;
                stream.read_exact(answer)
            }
            Self::Tls(tls) => {
                let mut stream = Stream::new(&mut **tls, stream);
                stream.write_all(request)?;
                stream.flush()?;
                stream.read_exact(answer)
            }
            Self::WebSocket(frames) => {
                let mut bytes = Vec::new();
                wrap(request, &mut bytes);
                stream.write_all(&bytes)?;
                let mut filled = 0;
                while filled < answer.len() {
                    let count = stream.read(&mut answer[filled..])?;
                    if count == 0 {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                    filled += frames.unwrap(&mut answer[filled..filled + count]);
                }
                Ok(())
            }
        }
    }

    /// Turns what MQTT has to say into what the socket is given.
    pub(crate) fn seal(&mut self, plain: &mut Vec<u8>, out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::None => out.append(plain),
            Self::Tls(tls) => {
                tls.writer().write_all(plain)?;
                while tls.wants_write() {
                    tls.write_tls(out)?;
                }
            }
            Self::WebSocket(_) if plain.is_empty() => {}
            Self::WebSocket(_) => wrap(plain, out),
        }
        plain.clear();
        Ok(())
    }

    /// One read of the socket into the buffer, behind what is in it already up
    /// to `end`. Returns the new end, and whether there may be more.
    pub(crate) fn receive(
        &mut self,
        mut stream: impl Read,
        buffer: &mut Vec<u8>,
        end: usize,
    ) -> io::Result<(usize, bool)> {
        // Plain text behind the old end, as it came behind that: at most a
        // record of TLS more was there before than comes now.
        let middle = end + BITE + RECORD;
        if buffer.len() < middle + BITE {
            buffer.resize(middle + BITE, 0);
        }
        let (plain, sealed) = buffer.split_at_mut(middle);
        let plain = &mut plain[end..];
        let target = match self {
            Self::Tls(_) => &mut sealed[..BITE],
            _ => &mut plain[..BITE],
        };
        let count = stream.read(target)?;
        if count == 0 {
            return Err(io::Error::other("the broker closed a connection"));
        }
        let gained = match self {
            Self::None => count,
            Self::Tls(tls) => unseal(tls, &sealed[..count], plain)?,
            Self::WebSocket(frames) => frames.unwrap(&mut plain[..count]),
        };
        Ok((end + gained, count == BITE))
    }
}

fn unseal(tls: &mut ClientConnection, mut sealed: &[u8], plain: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while !sealed.is_empty() {
        tls.read_tls(&mut sealed)?;
        tls.process_new_packets().map_err(io::Error::other)?;
        loop {
            match tls.reader().read(&mut plain[filled..]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                outcome => filled += outcome?,
            }
        }
    }
    Ok(filled)
}

fn tls_config() -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let certificate = CERTIFICATE.cert.der().clone();
    roots.add(certificate).map_err(io::Error::other)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn upgrade(stream: &mut TcpStream) -> io::Result<()> {
    let request = format!(
        "GET /mqtt HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    if head.starts_with(b"HTTP/1.1 101") {
        Ok(())
    } else {
        Err(io::Error::other("the broker speaks no WebSocket"))
    }
}

/// One binary frame, masked as a client's must be.
fn wrap(payload: &[u8], out: &mut Vec<u8>) {
    const KEY: [u8; 8] = *b"\x37\xFA\x21\x3D\x37\xFA\x21\x3D";
    out.push(0x82);
    match payload.len() {
        length @ ..126 => out.push(0x80 | length as u8),
        length @ ..0x1_0000 => {
            out.push(0x80 | 0x7E);
            out.extend((length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 0x7F);
            out.extend((length as u64).to_be_bytes());
        }
    }
    out.extend(&KEY[..4]);
    let start = out.len();
    out.extend_from_slice(payload);
    for chunk in out[start..].chunks_mut(KEY.len()) {
        for (byte, key) in chunk.iter_mut().zip(KEY) {
            *byte ^= key;
        }
    }
}

/// Where a stream of a server's frames stands.
#[derive(Default)]
pub(crate) struct Frames {
    /// The beginning of a head.
    head: Vec<u8>,
    /// What is left of the payload behind the last head.
    left: usize,
}

impl Frames {
    /// Takes the heads out; returns how many bytes are left.
    fn unwrap(&mut self, bytes: &mut [u8]) -> usize {
        let (mut from, mut to) = (0, 0);
        while from < bytes.len() {
            if self.left > 0 {
                let count = self.left.min(bytes.len() - from);
                bytes.copy_within(from..from + count, to);
                (from, to, self.left) = (from + count, to + count, self.left - count);
                continue;
            }
            self.head.push(bytes[from]);
            from += 1;
            if let Some(length) = payload_length(&self.head) {
                self.left = length;
                self.head.clear();
            }
        }
        to
    }
}

/// The length that a whole head tells.
fn payload_length(head: &[u8]) -> Option<usize> {
    let (width, first) = match *head.get(1)? & 0x7F {
        126 => (2, 0),
        127 => (8, 0),
        length => (0, usize::from(length)),
    };
    let bytes = head.get(2..2 + width)?;
    Some(
        bytes
            .iter()
            .fold(first, |sum, &byte| sum << 8 | usize::from(byte)),
    )
}
