//! The load: all publishers and subscribers of a row in one thread.
//!
//! It is made to cost far less than any broker: frames are encoded once and
//! stamped, a publisher fills its window with one write, a subscriber reads
//! 256 KiB at once and answers a read with one write. What it costs all the
//! same is measured and reported beside the broker's cost.

use std::{
    io::{self, ErrorKind},
    ops::Range,
    time::{Duration, Instant},
};

use mio::{Events, Poll, Token, event::Event};

use crate::{
    awake,
    connection::{Connection, Greeted},
    flow::{Faults, Flow},
    rows::Row,
    wire::{Packet, Stamp, Template},
};

/// How long the last messages may take before they count as lost.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Load<'r> {
    row: &'r Row,
    poll: Poll,
    events: Events,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    buffer: Vec<u8>,
    began: Instant,
    pub(crate) delivered: u64,
    /// How long it was awake for nothing.
    pub(crate) looked: Duration,
    /// It looks for what comes before it sleeps.
    is_awake: bool,
    /// Nanoseconds from one end to the other, in rows about latency.
    pub(crate) latencies: Vec<u64>,
}

/// What is counted of the messages that one wait brought.
struct Arrivals<'l> {
    size: usize,
    now: u64,
    delivered: &'l mut u64,
    latencies: Option<&'l mut Vec<u64>>,
}

struct Publisher {
    connection: Connection,
    template: Template,
    receivers: Range<usize>,
    sent: u64,
    acknowledged: u64,
}

struct Subscriber {
    connection: Connection,
    /// One for each publisher from `senders.start` on.
    flows: Vec<Flow>,
    senders: Range<usize>,
    strays: u64,
}

impl<'r> Load<'r> {
    pub(crate) fn connect(row: &'r Row, port: u16) -> io::Result<Self> {
        let poll = Poll::new()?;
        // Subscribers first, or they would miss the first messages.
        let subscribers = (0..row.shape.subscribers())
            .map(|index| Subscriber::connect(row, port, index, &poll))
            .collect::<io::Result<_>>()?;
        let publishers = (0..row.shape.publishers())
            .map(|index| Publisher::connect(row, port, index, &poll))
            .collect::<io::Result<_>>()?;
        Ok(Self {
            row,
            poll,
            events: Events::with_capacity(256),
            publishers,
            subscribers,
            buffer: Vec::new(),
            began: Instant::now(),
            delivered: 0,
            looked: Duration::ZERO,
            is_awake: looks(row) && awake::is_worthwhile(),
            latencies: Vec::new(),
        })
    }

    pub(crate) fn run(&mut self, span: Duration) -> io::Result<()> {
        let end = Instant::now() + span;
        loop {
            self.publish()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.exchange(left)?;
        }
    }

    /// Publishes nothing more and waits for what is under way.
    pub(crate) fn drain(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while (0..self.publishers.len()).any(|index| self.outstanding(index) > 0) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.exchange(left)?;
        }
        Ok(())
    }

    pub(crate) fn verdict(&self) -> Faults {
        let flows = self.subscribers.iter().flat_map(|subscriber| {
            let senders = &self.publishers[subscriber.senders.clone()];
            let flows = subscriber.flows.iter().zip(senders);
            flows.map(|(flow, sender)| flow.verdict(sender.sent))
        });
        let strays = self.subscribers.iter().map(|subscriber| Faults {
            damaged: subscriber.strays,
            ..Faults::default()
        });
        flows.chain(strays).sum()
    }

    pub(crate) fn close(self) -> io::Result<()> {
        for publisher in self.publishers {
            publisher.connection.close()?;
        }
        for subscriber in self.subscribers {
            subscriber.connection.close()?;
        }
        Ok(())
    }

    /// Lets every publisher send what it may.
    fn publish(&mut self) -> io::Result<()> {
        let now = self.began.elapsed();
        for index in 0..self.publishers.len() {
            let room = self.row.window.saturating_sub(self.outstanding(index));
            let publisher = &mut self.publishers[index];
            let count = match self.row.rate {
                None => room,
                Some(rate) => {
                    let now = now.saturating_sub(spacing(self.row, rate) * index as u32);
                    room.min(due(now, rate).saturating_sub(publisher.sent))
                }
            };
            if count > 0 && !publisher.connection.blocked() {
                publisher.send(index, count, now)?;
            }
        }
        Ok(())
    }

    /// How many messages of this publisher are still under way.
    fn outstanding(&self, index: usize) -> u64 {
        let publisher = &self.publishers[index];
        let settled = self.subscribers[publisher.receivers.clone()]
            .iter()
            .map(|subscriber| subscriber.flows[index - subscriber.senders.start].progress())
            .min()
            .unwrap_or(0);
        let settled = match self.row.qos {
            0 => settled,
            _ => settled.min(publisher.acknowledged),
        };
        publisher.sent.saturating_sub(settled)
    }

    /// Waits for events, no longer than that, and deals with them.
    fn exchange(&mut self, longest: Duration) -> io::Result<()> {
        let timeout = match self.row.rate {
            Some(rate) => longest.min(spacing(self.row, rate)),
            None => longest,
        };
        let (poll, events) = (&mut self.poll, &mut self.events);
        match awake::poll(self.is_awake, poll, events, timeout) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            looked => self.looked += looked?,
        }
        let now = self.began.elapsed();
        let about_latency = self.row.table.is_about_latency();
        let latencies = about_latency.then_some(&mut self.latencies);
        let mut arrivals = Arrivals {
            size: self.row.payload,
            now: now.as_nanos() as u64,
            delivered: &mut self.delivered,
            latencies,
        };
        for event in &self.events {
            let Token(index) = event.token();
            match self.subscribers.get_mut(index) {
                Some(subscriber) => subscriber.serve(event, &mut self.buffer, &mut arrivals)?,
                None => self.publishers[index - self.row.shape.subscribers()]
                    .serve(event, &mut self.buffer)?,
            }
        }
        Ok(())
    }
}

/// Whether it looks before it sleeps: where it waits for answers, and where it
/// could not sleep as briefly as it had to.
fn looks(row: &Row) -> bool {
    match row.rate {
        Some(rate) => spacing(row, rate) < Duration::from_millis(1),
        None => row.qos > 0 && !row.table.is_about_latency(),
    }
}

/// The time between one publisher's turn and the next one's, so that not all
/// publish at the same instant.
fn spacing(row: &Row, rate: u32) -> Duration {
    Duration::from_secs(1) / (rate * row.shape.publishers() as u32)
}

/// How many messages should have been sent by now.
fn due(now: Duration, rate: u32) -> u64 {
    (now * rate).as_secs()
}

impl Publisher {
    fn connect(row: &Row, port: u16, index: usize, poll: &Poll) -> io::Result<Self> {
        let token = Token(row.shape.subscribers() + index);
        let client = format!("publisher-{index}");
        let greeted = Greeted::open(port, row.transport, &client, row.user())?;
        Ok(Self {
            connection: greeted.join(poll.registry(), token)?,
            template: Template::new(&row.topic_of(index), row.topics, row.qos, row.payload),
            receivers: row.shape.receivers_of(index),
            sent: 0,
            acknowledged: 0,
        })
    }

    fn send(&mut self, index: usize, count: u64, now: Duration) -> io::Result<()> {
        for sequence in self.sent..self.sent + count {
            let stamp = Stamp {
                publisher: index as u32,
                sequence: sequence as u32,
                sent: now.as_nanos() as u64,
            };
            self.template.append(stamp, self.connection.out());
        }
        self.sent += count;
        self.connection.flush()
    }

    fn serve(&mut self, event: &Event, buffer: &mut Vec<u8>) -> io::Result<()> {
        self.connection.serve(event, buffer, |packet| {
            self.acknowledged += u64::from(packet.completes());
        })
    }
}

impl Subscriber {
    fn connect(row: &Row, port: u16, index: usize, poll: &Poll) -> io::Result<Self> {
        let client = format!("subscriber-{index}");
        let senders = row.shape.senders_to(index);
        let mut greeted = Greeted::open(port, row.transport, &client, row.user())?;
        greeted.subscribe(row.filters_of(index), row.qos)?;
        Ok(Self {
            connection: greeted.join(poll.registry(), Token(index))?,
            flows: senders.clone().map(|_| Flow::default()).collect(),
            senders,
            strays: 0,
        })
    }

    fn serve(
        &mut self,
        event: &Event,
        buffer: &mut Vec<u8>,
        arrivals: &mut Arrivals,
    ) -> io::Result<()> {
        self.connection.serve(event, buffer, |packet| {
            let Packet::Publish { payload, .. } = packet else {
                return;
            };
            let stamp = Stamp::read(payload).filter(|_| payload.len() == arrivals.size);
            let flow = stamp.and_then(|stamp| {
                let sender = (stamp.publisher as usize).checked_sub(self.senders.start)?;
                Some((self.flows.get_mut(sender)?, stamp))
            });
            let Some((flow, stamp)) = flow else {
                self.strays += 1;
                return;
            };
            flow.arrived(u64::from(stamp.sequence));
            *arrivals.delivered += 1;
            if let Some(latencies) = &mut arrivals.latencies {
                latencies.push(arrivals.now.saturating_sub(stamp.sent));
            }
        })
    }
}
