//! A relay between a client and a broker that notes the packets that pass.
//!
//! It tells from outside what neither program prints: that a subscription has
//! been granted, whether a session was present, whether a client said goodbye.

use super::TIMEOUT;
use super::output::Watched;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Client,
    Broker,
}

#[derive(Default)]
struct Seen {
    packets: Vec<(From, Vec<u8>)>,
    client_closed: bool,
    broker_closed: bool,
}

pub(crate) struct Tap {
    pub(crate) port: u16,
    seen: Arc<Watched<Seen>>,
}

impl Tap {
    /// A relay in front of the broker on `broker`. It ends with the test.
    pub(crate) fn before(broker: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port for the relay");
        let port = listener.local_addr().expect("the relay's port").port();
        let seen = Arc::new(Watched::default());
        let watched = Arc::clone(&seen);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, broker)) else {
                    continue;
                };
                for stream in [&client, &server] {
                    let _ = stream.set_nodelay(true);
                }
                let (client2, server2) = (client.try_clone(), server.try_clone());
                let (Ok(client2), Ok(server2)) = (client2, server2) else {
                    continue;
                };
                let (up, down) = (Arc::clone(&watched), Arc::clone(&watched));
                thread::spawn(move || relay(From::Client, client, server, &up));
                thread::spawn(move || relay(From::Broker, server2, client2, &down));
            }
        });
        Self { port, seen }
    }

    /// Waits for a packet whose first byte has this packet type in its upper
    /// four bits, and returns it.
    pub(crate) fn wait_for(&self, from: From, packet_type: u8) -> Vec<u8> {
        self.wait_for_nth(from, packet_type, 0)
    }

    /// As [`Tap::wait_for`], but the packet after `skip` others of its type.
    pub(crate) fn wait_for_nth(&self, from: From, packet_type: u8, skip: usize) -> Vec<u8> {
        let found = self.seen.wait(TIMEOUT, |seen| {
            let mut those = seen
                .packets
                .iter()
                .filter(|(whose, packet)| *whose == from && packet[0] >> 4 == packet_type);
            those.nth(skip).map(|(_, packet)| packet.clone())
        });
        found.unwrap_or_else(|| panic!("no packet of type {packet_type} came from {from:?}"))
    }

    /// All packets of one type so far.
    pub(crate) fn packets(&self, from: From, packet_type: u8) -> Vec<Vec<u8>> {
        self.seen.read(|seen| {
            let those = seen.packets.iter();
            those
                .filter(|(whose, packet)| *whose == from && packet[0] >> 4 == packet_type)
                .map(|(_, packet)| packet.clone())
                .collect()
        })
    }

    /// Waits until both sides have closed a connection, and returns the
    /// client's DISCONNECTs.
    pub(crate) fn goodbyes(&self) -> Vec<Vec<u8>> {
        self.seen
            .wait(TIMEOUT, |seen| {
                (seen.client_closed && seen.broker_closed).then_some(())
            })
            .expect("the connection is not closed by both sides");
        self.packets(From::Client, 14)
    }
}

/// Passes bytes on, noting whole packets before they leave.
fn relay(whose: From, mut from: TcpStream, mut to: TcpStream, seen: &Watched<Seen>) {
    let mut pending = Vec::new();
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        pending.extend_from_slice(&buffer[..count]);
        while let Some(length) = packet_length(&pending) {
            let packet = pending.drain(..length).collect();
            seen.update(|seen| seen.packets.push((whose, packet)));
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    seen.update(|seen| match whose {
        From::Client => seen.client_closed = true,
        From::Broker => seen.broker_closed = true,
    });
}

/// The length of the packet at the start of `bytes`, if it is complete.
pub(crate) fn packet_length(bytes: &[u8]) -> Option<usize> {
    let mut remaining = 0;
    for (index, byte) in bytes.iter().skip(1).take(4).enumerate() {
        remaining |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let length = 2 + index + remaining;
            return (bytes.len() >= length).then_some(length);
        }
    }
    None
}
