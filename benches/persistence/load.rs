//! The load: publishers of QoS 1 in one thread, each with so many messages in
//! flight.

use std::{
    io::{self, ErrorKind},
    time::{Duration, Instant},
};

use mio::{Events, Poll, Token};

use crate::{
    awake,
    connection::{Connection, Greeted},
    layer::Transport,
    wire::{Packet, Stamp, Template},
};

/// Messages of one publisher that are not acknowledged.
const WINDOW: u64 = 16;
/// Bytes of payload of each message.
const PAYLOAD: usize = 64;

pub(crate) struct Load {
    poll: Poll,
    events: Events,
    publishers: Vec<Publisher>,
    buffer: Vec<u8>,
    is_awake: bool,
    /// Messages that were acknowledged.
    pub(crate) acknowledged: u64,
}

struct Publisher {
    connection: Connection,
    template: Template,
    sent: u64,
    acknowledged: u64,
}

impl Load {
    pub(crate) fn connect(port: u16, publishers: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let publishers = (0..publishers).map(|index| {
            let client = format!("publisher-{index}");
            let token = Token(index);
            let greeted = Greeted::open(port, Transport::Tcp, &client, None)?;
            Ok(Publisher {
                connection: greeted.join(poll.registry(), token)?,
                template: Template::new(&format!("bench/{index}"), 1, 1, PAYLOAD),
                sent: 0,
                acknowledged: 0,
            })
        });
        Ok(Self {
            publishers: publishers.collect::<io::Result<_>>()?,
            poll,
            events: Events::with_capacity(256),
            buffer: Vec::new(),
            is_awake: awake::is_worthwhile(),
            acknowledged: 0,
        })
    }

    /// Publishes for so long.
    pub(crate) fn run(&mut self, span: Duration) -> io::Result<()> {
        let end = Instant::now() + span;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.publish(u64::MAX)?;
            self.hear(left)?;
        }
        Ok(())
    }

    /// Publishes until so many are acknowledged in all.
    pub(crate) fn run_to(&mut self, acknowledged: u64) -> io::Result<()> {
        while self.acknowledged < acknowledged {
            self.publish(acknowledged)?;
            self.hear(Duration::from_secs(60))?;
        }
        Ok(())
    }

    /// Publishes nothing more and waits for what is under way.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        let sent = self.sent();
        while self.acknowledged < sent {
            self.hear(Duration::from_secs(60))?;
        }
        let mut publishers = self.publishers.into_iter();
        publishers.try_for_each(|publisher| publisher.connection.close())
    }

    pub(crate) fn sent(&self) -> u64 {
        self.publishers.iter().map(|publisher| publisher.sent).sum()
    }

    /// Has every publisher fill its window, up to so many in all.
    pub(crate) fn publish(&mut self, most: u64) -> io::Result<()> {
        let mut left = most - self.sent().min(most);
        for publisher in &mut self.publishers {
            let room = WINDOW - (publisher.sent - publisher.acknowledged);
            if publisher.connection.blocked() {
                continue;
            }
            for _ in 0..room.min(left) {
                let stamp = Stamp {
                    publisher: 0,
                    sequence: publisher.sent as u32,
                    sent: 0,
                };
                publisher.template.append(stamp, publisher.connection.out());
                publisher.sent += 1;
            }
            left -= room.min(left);
            publisher.connection.flush()?;
        }
        Ok(())
    }

    /// Waits for acknowledgements, no longer than that.
    pub(crate) fn hear(&mut self, longest: Duration) -> io::Result<()> {
        match awake::poll(self.is_awake, &mut self.poll, &mut self.events, longest) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            result => _ = result?,
        }
        for event in &self.events {
            let Token(index) = event.token();
            let publisher = &mut self.publishers[index];
            let mut count = 0;
            let handle = |packet: &Packet| count += u64::from(packet.completes());
            publisher
                .connection
                .serve(event, &mut self.buffer, handle)?;
            publisher.acknowledged += count;
            self.acknowledged += count;
        }
        Ok(())
    }
}
