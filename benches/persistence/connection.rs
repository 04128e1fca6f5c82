//! A client's connection: a blocking handshake, then bytes without waiting.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use mio::{Interest, Registry, Token, event::Event};

use crate::wire::{self, Packet};

const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Connection {
    stream: mio::net::TcpStream,
    /// The start of a packet whose rest is still to come.
    partial: Vec<u8>,
    out: Vec<u8>,
    /// How much of `out` is sent already.
    sent: usize,
    /// The socket takes no more for now; an event will say when it does.
    blocked: bool,
}

impl Connection {
    /// Connects and joins the poll.
    pub(crate) fn open(
        port: u16,
        client: &str,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Self> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        exchange(&mut stream, &wire::connect(client), &wire::CONNACK)?;
        stream.set_nonblocking(true)?;
        let mut stream = mio::net::TcpStream::from_std(stream);
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            stream,
            partial: Vec::new(),
            out: Vec::new(),
            sent: 0,
            blocked: false,
        })
    }

    pub(crate) fn blocked(&self) -> bool {
        self.blocked
    }

    /// What is to be sent at the next flush.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Writes what waits, in one go if the socket takes it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while !self.blocked && self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.blocked = true,
                Err(error) => return Err(error),
            }
        }
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
        }
        Ok(())
    }

    /// Deals with an event: reads all that has come, in bites of the buffer,
    /// and sends the answers to each bite with one write. The buffer is lent so
    /// that all connections share one that stays in the processor's cache.
    pub(crate) fn serve(
        &mut self,
        event: &Event,
        buffer: &mut [u8],
        mut handle: impl FnMut(&Packet),
    ) -> io::Result<()> {
        if event.is_writable() {
            self.blocked = false;
        }
        // Readiness is told once, so read until a bite comes short.
        let mut more = event.is_readable();
        while more {
            more = self.read(buffer, &mut handle)?;
            self.flush()?;
        }
        self.flush()
    }

    fn read(&mut self, buffer: &mut [u8], handle: &mut impl FnMut(&Packet)) -> io::Result<bool> {
        let kept = self.partial.len();
        buffer[..kept].copy_from_slice(&self.partial);
        let count = match self.stream.read(&mut buffer[kept..]) {
            Ok(0) => return Err(io::Error::other("the broker closed a connection")),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        let mut bytes = &buffer[..kept + count];
        while let Some((packet, length)) = Packet::parse(bytes) {
            if matches!(packet, Packet::Unexpected) {
                return Err(io::Error::other("the broker sent an unexpected packet"));
            }
            handle(&packet);
            packet.answer(&mut self.out);
            bytes = &bytes[length..];
        }
        self.partial.clear();
        self.partial.extend_from_slice(bytes);
        Ok(kept + count == buffer.len())
    }

    /// Says goodbye, so that the broker need not wonder.
    pub(crate) fn close(mut self) -> io::Result<()> {
        self.out.extend(wire::DISCONNECT);
        self.flush()
    }
}

fn exchange(stream: &mut TcpStream, request: &[u8], expected: &[u8]) -> io::Result<()> {
    stream.write_all(request)?;
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer)?;
    if answer == expected {
        Ok(())
    } else {
        Err(io::Error::other("the broker refused to connect"))
    }
}
