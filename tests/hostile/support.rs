//! Looking at the broker's process, and clients for floods.

use crate::common::TIMEOUT;
use crate::common::broker::Broker;
use crate::common::raw::{Connect, Raw};
use socket2::{Domain, Socket, Type};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// A listener for everybody, and nothing but warnings in the log.
pub(crate) const QUIET: &str =
    "listener {port} 127.0.0.1\nallow_anonymous true\nlog_type warning\n";

pub(crate) const PINGREQ: [u8; 2] = [0xC0, 0];
pub(crate) const PINGRESP: [u8; 2] = [0xD0, 0];
pub(crate) const DISCONNECT: [u8; 2] = [0xE0, 0];

/// A figure of the broker's process, in kilobytes where it is memory.
fn status(broker: &Broker, name: &str) -> usize {
    let path = format!("/proc/{}/status", broker.process().pid());
    let text = std::fs::read_to_string(path).expect("the broker's status");
    let line = text.lines().find(|line| line.starts_with(name));
    let figure = line.and_then(|line| line.split_whitespace().nth(1));
    figure.and_then(|figure| figure.parse().ok()).expect(name)
}

/// Resident memory in kilobytes.
pub(crate) fn memory(broker: &Broker) -> usize {
    status(broker, "VmRSS:")
}

pub(crate) fn threads(broker: &Broker) -> usize {
    status(broker, "Threads:")
}

/// How many descriptors the broker has open.
pub(crate) fn descriptors(broker: &Broker) -> usize {
    let path = format!("/proc/{}/fd", broker.process().pid());
    std::fs::read_dir(path).expect("descriptors").count()
}

/// Waits until something holds that no event tells of.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(5)); // between attempts
    }
}

#[track_caller]
pub(crate) fn assert_grew_less(broker: &Broker, before: usize, kilobytes: usize) {
    let grown = memory(broker).saturating_sub(before);
    assert!(grown < kilobytes, "the broker has grown by {grown} kB");
}

pub(crate) fn client(port: u16, id: &str) -> Raw {
    Raw::client(port, &Connect::new(id)).0
}

/// A client whose system takes only little that it doesn't read, so that the
/// broker notices soon.
pub(crate) fn narrow_client(port: u16, connect: &Connect<'_>) -> Raw {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(8192).expect("a socket option");
    socket
        .set_send_buffer_size(16_384)
        .expect("a socket option");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    socket.connect(&address.into()).expect("connecting");
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true).expect("a socket option");
    let mut raw = Raw::from_stream(stream);
    raw.send(&connect.bytes());
    raw.expect(&[0x20, 2, 0, 0]);
    raw
}

/// Asks and is answered: the broker works, and has seen all that came before.
#[track_caller]
pub(crate) fn ping(client: &mut Raw) {
    client.send(&PINGREQ);
    client.expect(&PINGRESP);
}

/// What a PUBLISH of MQTT 3.1.1 carries: packet identifier (0 at QoS 0), topic
/// and payload.
pub(crate) fn message(packet: &[u8]) -> (u16, &[u8], &[u8]) {
    assert_eq!(
        packet[0] >> 4,
        3,
        "no PUBLISH: {:02x?}",
        &packet[..packet.len().min(16)]
    );
    let header = 1
        + packet[1..]
            .iter()
            .take_while(|byte| **byte & 0x80 != 0)
            .count()
        + 1;
    let (length, rest) = packet[header..].split_at(2);
    let (topic, rest) = rest.split_at(usize::from(u16::from_be_bytes([length[0], length[1]])));
    if packet[0] & 6 == 0 {
        return (0, topic, rest);
    }
    let (id, payload) = rest.split_at(2);
    (u16::from_be_bytes([id[0], id[1]]), topic, payload)
}

pub(crate) fn puback(id: u16) -> [u8; 4] {
    let [high, low] = id.to_be_bytes();
    [0x40, 2, high, low]
}
