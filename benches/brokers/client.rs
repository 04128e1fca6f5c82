//! A client that does one thing after the other, and waits for each.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpStream},
    os::fd::AsRawFd,
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, recv},
};

use crate::awake;
use crate::wire::{self, Packet};

const PATIENCE: Duration = Duration::from_secs(30);
const BITE: usize = 256 * 1024;

pub(crate) struct Client {
    stream: TcpStream,
    is_awake: bool,
    /// What came and was not looked at yet.
    unread: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(port: u16, connect: &[u8]) -> io::Result<Self> {
        Self::greet(port, connect, &wire::CONNACK)
    }

    /// Comes back to a session.
    pub(crate) fn reconnect(port: u16, connect: &[u8]) -> io::Result<Self> {
        Self::greet(port, connect, &wire::CONNACK_PRESENT)
    }

    fn greet(port: u16, connect: &[u8], connack: &[u8]) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut client = Self {
            stream,
            is_awake: awake::is_worthwhile(),
            unread: Vec::new(),
        };
        client.send(connect)?;
        client.expect(connack)?;
        Ok(client)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub(crate) fn expect(&mut self, answer: &[u8]) -> io::Result<()> {
        while self.unread.len() < answer.len() {
            self.read()?;
        }
        if self.unread.starts_with(answer) {
            self.unread.drain(..answer.len());
            Ok(())
        } else {
            Err(io::Error::other("the broker answered something else"))
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let kept = self.unread.len();
        self.unread.resize(kept + BITE, 0);
        let count = self.read_into(kept)?;
        self.unread.truncate(kept + count);
        if count == 0 {
            return Err(io::Error::other("the broker closed a connection"));
        }
        Ok(())
    }

    fn read_into(&mut self, kept: usize) -> io::Result<usize> {
        let Self { stream, unread, .. } = self;
        let buffer = &mut unread[kept..];
        if self.is_awake {
            let look = || match recv(stream.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EAGAIN) => Ok(None),
                outcome => Ok(Some(outcome?)),
            };
            if let (Some(count), _) = awake::look(PATIENCE, look)? {
                return Ok(count);
            }
        }
        self.stream.read(&mut unread[kept..])
    }

    /// Waits for acknowledgements; returns how many came.
    pub(crate) fn await_acknowledgements(&mut self) -> io::Result<usize> {
        let mut count = 0;
        while count == 0 {
            self.read()?;
            self.digest(|packet| count += usize::from(packet.completes()))?;
        }
        Ok(count)
    }

    /// Receives so many messages and acknowledges them; each is told by the
    /// number that its payload begins with.
    pub(crate) fn receive(&mut self, count: usize, mut got: impl FnMut(usize)) -> io::Result<()> {
        let mut left = count;
        loop {
            let answers = self.digest(|packet| {
                if let Packet::Publish { payload, .. } = packet
                    && let Some(number) = payload.first_chunk()
                {
                    got(u64::from_ne_bytes(*number) as usize);
                    left = left.saturating_sub(1);
                }
            })?;
            self.send(&answers)?;
            if left == 0 {
                return Ok(());
            }
            self.read()?;
        }
    }

    /// Looks at all whole packets that are there; returns what to answer.
    fn digest(&mut self, mut handle: impl FnMut(&Packet)) -> io::Result<Vec<u8>> {
        let (mut answers, mut done) = (Vec::new(), 0);
        while let Some((packet, length)) = Packet::parse(&self.unread[done..]) {
            if matches!(packet, Packet::Unexpected) {
                return Err(io::Error::other("the broker sent an unexpected packet"));
            }
            handle(&packet);
            packet.answer(&mut answers);
            done += length;
        }
        self.unread.drain(..done);
        Ok(answers)
    }

    /// Says goodbye and waits until the broker has heard it.
    pub(crate) fn leave(mut self) -> io::Result<()> {
        self.send(&wire::DISCONNECT)?;
        while self.stream.read(&mut [0; 64])? > 0 {}
        Ok(())
    }
}
