//! MQTT by hand over a TCP socket.

use super::TIMEOUT;
use super::tap::packet_length;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

/// A CONNECT packet in parts.
pub(crate) struct Connect<'a> {
    /// 3 for MQTT 3.1, 4 for 3.1.1, 5.
    pub(crate) version: u8,
    pub(crate) id: &'a str,
    pub(crate) clean: bool,
    pub(crate) keep_alive: u16,
    /// Topic, payload, QoS, retain.
    pub(crate) will: Option<(&'a str, &'a str, u8, bool)>,
    pub(crate) user: Option<&'a str>,
    pub(crate) password: Option<&'a str>,
    /// The properties of MQTT 5, without their length.
    pub(crate) properties: &'a [u8],
}

impl<'a> Connect<'a> {
    /// A clean session with MQTT 3.1.1.
    pub(crate) fn new(id: &'a str) -> Self {
        Self {
            version: 4,
            id,
            clean: true,
            keep_alive: 60,
            will: None,
            user: None,
            password: None,
            properties: &[],
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut flags = u8::from(self.clean) << 1;
        let (properties, no_properties): (Vec<u8>, &[u8]) = if self.version == 5 {
            let length = [self.properties.len() as u8];
            ([&length, self.properties].concat(), &[0])
        } else {
            (Vec::new(), &[])
        };
        let mut payload = text(self.id);
        if let Some((topic, message, qos, retain)) = self.will {
            flags |= 0x04 | qos << 3 | u8::from(retain) << 5;
            payload.extend_from_slice(no_properties);
            payload.extend(text(topic));
            payload.extend(text(message));
        }
        if let Some(user) = self.user {
            flags |= 0x80;
            payload.extend(text(user));
        }
        if let Some(password) = self.password {
            flags |= 0x40;
            payload.extend(text(password));
        }
        let name = if self.version == 3 { "MQIsdp" } else { "MQTT" };
        let keep_alive = self.keep_alive.to_be_bytes();
        packet(
            0x10,
            &[
                &text(name),
                &[self.version, flags],
                &keep_alive,
                &properties,
                &payload,
            ],
        )
    }
}

/// A connection whose bytes the test writes and reads itself.
pub(crate) struct Raw {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Raw {
    pub(crate) fn open(port: u16) -> Self {
        let stream =
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connecting to the broker");
        Self::adopt(stream)
    }

    /// Speaks on a connection that is there already, as its server perhaps.
    pub(crate) fn adopt(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a socket option");
        Self {
            stream,
            received: Vec::new(),
        }
    }

    /// Connects as a client that the broker accepts; true when a session was
    /// present.
    pub(crate) fn client(port: u16, connect: &Connect<'_>) -> (Self, bool) {
        let mut raw = Self::open(port);
        raw.send(&connect.bytes());
        let answer = raw.packet();
        assert!(
            answer[0] == 0x20 && answer[3] == 0,
            "not accepted: {answer:02x?}"
        );
        (raw, answer[2] & 1 == 1)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("writing to the broker");
    }

    /// For a connection with socket options of its own.
    pub(crate) fn from_stream(stream: TcpStream) -> Self {
        Self {
            stream,
            received: Vec::new(),
        }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// As [`Raw::send`], for when the broker may have closed already.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Subscribes with MQTT 3.x and expects the same QoS to be granted.
    pub(crate) fn subscribe(&mut self, filter: &str, qos: u8) {
        self.send(&packet(0x82, &[&[0, 1], &text(filter), &[qos]]));
        self.expect(&[0x90, 3, 0, 1, qos]);
    }

    /// The broker's next packet.
    pub(crate) fn packet(&mut self) -> Vec<u8> {
        match self.packet_or_end(TIMEOUT) {
            Ok(Some(packet)) => packet,
            Ok(None) => panic!("the broker closed the connection"),
            Err(error) => panic!("no packet from the broker: {error}"),
        }
    }

    /// The broker's next packet must be these bytes.
    #[track_caller]
    pub(crate) fn expect(&mut self, bytes: &[u8]) {
        let packet = self.packet();
        assert!(
            packet == bytes,
            "expected {bytes:02x?}, the broker sent {packet:02x?}"
        );
    }

    /// The broker must close the connection without another packet.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        match self.packet_or_end(TIMEOUT) {
            Ok(None) => {}
            Ok(Some(packet)) => panic!("expected the end, the broker sent {packet:02x?}"),
            Err(error) => panic!("the broker does not close the connection: {error}"),
        }
    }

    /// The next packet, or `None` when the broker closed the connection. A
    /// packet that the end cuts off is returned as far as it came.
    pub(crate) fn packet_or_end(&mut self, limit: Duration) -> std::io::Result<Option<Vec<u8>>> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(length) = packet_length(&self.received) {
                return Ok(Some(self.received.drain(..length).collect()));
            }
            if self.read_some(deadline)? == 0 {
                let rest = std::mem::take(&mut self.received);
                return Ok((!rest.is_empty()).then_some(rest));
            }
        }
    }

    /// The next `count` bytes, or fewer when the broker sends no more.
    pub(crate) fn take(&mut self, count: usize, limit: Duration) -> Vec<u8> {
        let deadline = Instant::now() + limit;
        while self.received.len() < count && matches!(self.read_some(deadline), Ok(1..)) {}
        let count = count.min(self.received.len());
        self.received.drain(..count).collect()
    }

    /// Reads what is there, waiting for the first byte; 0 at the end.
    fn read_some(&mut self, deadline: Instant) -> std::io::Result<usize> {
        let mut buffer = [0; 4096];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = left.max(Duration::from_millis(1));
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut buffer) {
                Ok(count) => {
                    self.received.extend_from_slice(&buffer[..count]);
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(0),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A packet of this first byte and these parts.
pub(crate) fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut bytes = vec![first];
    let mut length = body.len();
    loop {
        let digit = (length % 128) as u8;
        length /= 128;
        bytes.push(if length > 0 { digit | 0x80 } else { digit });
        if length == 0 {
            break;
        }
    }
    bytes.extend(body);
    bytes
}

/// A string with its length in front.
pub(crate) fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u16).to_be_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// A PUBLISH of QoS 0 for MQTT 3.x.
pub(crate) fn publish(topic: &str, payload: &str, retain: bool) -> Vec<u8> {
    packet(0x30 | u8::from(retain), &[&text(topic), payload.as_bytes()])
}

/// A PUBLISH of QoS 1 or 2 for MQTT 3.x.
pub(crate) fn publish_qos(topic: &str, payload: &str, qos: u8, id: u16) -> Vec<u8> {
    packet(
        0x30 | qos << 1,
        &[&text(topic), &id.to_be_bytes(), payload.as_bytes()],
    )
}
