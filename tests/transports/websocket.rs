//! WebSocket by hand, from the client's side.

use crate::common::TIMEOUT;
use crate::common::broker::{Broker, Setup, free_port};
use crate::common::raw::Connect;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

/// The first byte of a frame that is a message of its own: text, binary,
/// close, ping, pong.
pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8A;

/// The example of RFC 6455, 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A broker for everybody with a port for MQTT and one for WebSocket, and these
/// lines below the second.
pub(crate) fn broker(lines: &str) -> (Broker, u16) {
    let port = free_port();
    let conf = format!(
        "allow_anonymous true\nlistener {port}\nprotocol websockets\n{lines}\nlistener {{port}}\n"
    );
    (Setup::new().start(&conf), port)
}

/// A connection whose bytes the test writes and reads itself.
pub(crate) struct Socket {
    stream: TcpStream,
}

impl Socket {
    pub(crate) fn open(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection");
        stream.set_nodelay(true).expect("a socket option");
        stream
            .set_read_timeout(Some(TIMEOUT))
            .expect("a time limit");
        Self { stream }
    }

    /// A request for a WebSocket connection with these further header lines.
    pub(crate) fn request(headers: &[&str]) -> String {
        let lines: Vec<_> = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let lines = lines.concat();
        format!(
            "GET /any/path?at=all HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
             Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: {KEY}\r\n\
             Sec-WebSocket-Version: 13\r\n{lines}\r\n"
        )
    }

    /// Asks, and returns the head of the answer.
    pub(crate) fn ask(&mut self, request: &str) -> String {
        self.send(request.as_bytes());
        self.head()
    }

    /// The head of an answer, to its empty line.
    pub(crate) fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.take(1));
        }
        String::from_utf8(head).expect("text")
    }

    /// A WebSocket connection of subprotocol `mqtt`.
    pub(crate) fn upgraded(port: u16) -> Self {
        let mut socket = Self::open(port);
        let answer = socket.ask(&Self::request(&["Sec-WebSocket-Protocol: mqtt"]));
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        assert!(answer.contains(&format!("Sec-WebSocket-Accept: {ACCEPT}\r\n")));
        assert!(
            answer.contains("Sec-WebSocket-Protocol: mqtt\r\n"),
            "{answer}"
        );
        socket
    }

    /// A client that the broker has accepted, with MQTT 3.1.1.
    pub(crate) fn client(port: u16, id: &str) -> Self {
        let mut socket = Self::upgraded(port);
        socket.send(&frame(BINARY, &Connect::new(id).bytes()));
        socket.expect(BINARY, &[0x20, 2, 0, 0]);
        socket
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("writing to the broker");
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream
            .read_exact(&mut bytes)
            .expect("more from the broker");
        bytes
    }

    /// The broker's next frame: its first byte and its payload.
    pub(crate) fn frame(&mut self) -> (u8, Vec<u8>) {
        let head = self.take(2);
        assert!(head[1] & 0x80 == 0, "a server doesn't mask");
        let length = match head[1] {
            126 => u16::from_be_bytes(self.take(2).try_into().expect("two bytes")).into(),
            127 => u64::from_be_bytes(self.take(8).try_into().expect("eight bytes")),
            short => short.into(),
        };
        (head[0], self.take(length as usize))
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, first: u8, payload: &[u8]) {
        let got = self.frame();
        assert!(
            got == (first, payload.to_vec()),
            "expected {first:02x} {payload:02x?}, the broker sent {got:02x?}"
        );
    }

    /// All that the broker sends until it closes.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
            Err(error) => panic!("the broker does not close: {error}"),
        }
        rest
    }

    /// The broker says goodbye with this code, and closes.
    #[track_caller]
    pub(crate) fn expect_close(&mut self, code: u16) {
        self.expect(CLOSE, &code.to_be_bytes());
        assert!(self.rest().is_empty());
    }
}

/// A masked frame.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..126 => bytes.push(0x80 | short as u8),
        medium @ 126..65536 => {
            bytes.push(0xFE);
            bytes.extend((medium as u16).to_be_bytes());
        }
        long => {
            bytes.push(0xFF);
            bytes.extend((long as u64).to_be_bytes());
        }
    }
    bytes.extend(key);
    bytes.extend(
        payload
            .iter()
            .zip(key.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    bytes
}
