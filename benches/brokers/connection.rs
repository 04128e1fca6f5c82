//! A client's connection: a blocking handshake, then bytes without waiting.

use std::{
    io::{self, ErrorKind, Write},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use mio::{Interest, Registry, Token, event::Event};

use crate::{
    layer::{Layer, Transport},
    wire::{self, Packet},
};

const PATIENCE: Duration = Duration::from_secs(5);

/// How many filters a SUBSCRIBE has.
const FILTERS: usize = 500;

pub(crate) struct Connection {
    stream: mio::net::TcpStream,
    layer: Layer,
    /// The start of a packet whose rest is still to come.
    partial: Vec<u8>,
    /// What is to be said, and the same as the socket is given it.
    out: Vec<u8>,
    sealed: Vec<u8>,
    /// How much of `sealed` is sent already.
    sent: usize,
    /// The socket takes no more for now; an event will say when it does.
    blocked: bool,
}

/// A connection that still blocks.
pub(crate) struct Greeted {
    pub(crate) stream: TcpStream,
    layer: Layer,
}

impl Greeted {
    /// Connects; with a name, that is user name and password.
    pub(crate) fn open(
        port: u16,
        transport: Transport,
        client: &str,
        name: Option<&str>,
    ) -> io::Result<Self> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let layer = Layer::open(transport, &mut stream)?;
        let mut greeted = Self { stream, layer };
        greeted.exchange(&wire::connect(client, name), &wire::CONNACK)?;
        Ok(greeted)
    }

    pub(crate) fn subscribe(
        &mut self,
        filters: impl IntoIterator<Item = String>,
        qos: u8,
    ) -> io::Result<()> {
        let mut filters = filters.into_iter();
        loop {
            let some: Vec<_> = filters.by_ref().take(FILTERS).collect();
            if some.is_empty() {
                return Ok(());
            }
            let subscribe = wire::subscribe(some.iter().map(String::as_str), qos);
            self.exchange(&subscribe, &wire::suback(some.len(), qos))?;
        }
    }

    fn exchange(&mut self, request: &[u8], expected: &[u8]) -> io::Result<()> {
        let mut answer = vec![0; expected.len()];
        let stream = &mut self.stream;
        self.layer.exchange(stream, request, &mut answer)?;
        if answer == expected {
            Ok(())
        } else {
            Err(io::Error::other(
                "the broker refused to connect or subscribe",
            ))
        }
    }

    /// Blocks no more, and joins the poll.
    pub(crate) fn join(self, registry: &Registry, token: Token) -> io::Result<Connection> {
        self.stream.set_nonblocking(true)?;
        let mut stream = mio::net::TcpStream::from_std(self.stream);
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Connection {
            stream,
            layer: self.layer,
            partial: Vec::new(),
            out: Vec::new(),
            sealed: Vec::new(),
            sent: 0,
            blocked: false,
        })
    }
}

impl Connection {
    pub(crate) fn blocked(&self) -> bool {
        self.blocked
    }

    /// What is to be sent at the next flush.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Writes what waits, in one go if the socket takes it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.layer.seal(&mut self.out, &mut self.sealed)?;
        while !self.blocked && self.sent < self.sealed.len() {
            match self.stream.write(&self.sealed[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.blocked = true,
                Err(error) => return Err(error),
            }
        }
        if self.sent == self.sealed.len() {
            self.sealed.clear();
            self.sent = 0;
        }
        Ok(())
    }

    /// Deals with an event: reads all that has come, in bites, and sends the
    /// answers to each bite with one write. The buffer is lent so that all
    /// connections share one that stays in the processor's cache.
    pub(crate) fn serve(
        &mut self,
        event: &Event,
        buffer: &mut Vec<u8>,
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

    fn read(&mut self, buffer: &mut Vec<u8>, handle: &mut impl FnMut(&Packet)) -> io::Result<bool> {
        let kept = self.partial.len();
        if buffer.len() < kept {
            buffer.resize(kept, 0);
        }
        buffer[..kept].copy_from_slice(&self.partial);
        let (end, more) = match self.layer.receive(&self.stream, buffer, kept) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            outcome => outcome?,
        };
        let mut bytes = &buffer[..end];
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
        Ok(more)
    }

    /// Says goodbye, so that the broker need not wonder.
    pub(crate) fn close(mut self) -> io::Result<()> {
        self.out.extend(wire::DISCONNECT);
        self.flush()
    }
}
