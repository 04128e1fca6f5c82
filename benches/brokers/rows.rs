//! The loads that brokers are put under, one table entry each.

use std::ops::Range;

use crate::{layer::Transport, wire::DIGITS};

/// The name of the one user of a broker that asks for one.
pub(crate) const USER: &str = "load";

/// What one row of the report puts on a broker.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) table: Table,
    pub(crate) shape: Shape,
    pub(crate) qos: u8,
    /// Bytes of payload of each message.
    pub(crate) payload: usize,
    /// How many messages a publisher may have outstanding: not yet with every
    /// subscriber or, above QoS 0, not yet acknowledged to the publisher. It
    /// bounds what queues in the broker, so that none is forced to drop.
    pub(crate) window: u64,
    /// Messages a second of each publisher; without it, as many as go.
    pub(crate) rate: Option<u32>,
    /// `max_inflight_messages` of the broker; without it, the broker's default.
    pub(crate) max_inflight: Option<u32>,
    /// Keeps the contenders and the generator together on one processor.
    pub(crate) one_core: bool,
    pub(crate) transport: Transport,
    /// With an access control list and a password file in force.
    pub(crate) guarded: bool,
    /// Topics that a publisher takes turns with.
    pub(crate) topics: u32,
    /// A subscriber has a subscription with a wildcard to each of its topics,
    /// instead of one to all.
    pub(crate) one_by_one: bool,
    /// Levels of the topics beside the usual two.
    pub(crate) depth: usize,
    /// Connections with a subscription to which nothing comes.
    pub(crate) idle: usize,
    /// Subscribers that read far less than there is for them.
    pub(crate) slow: usize,
}

/// The table that a row belongs to: what is compared in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    Throughput,
    Latency,
    /// Both of them again, of rows that run only if they are asked for.
    Growth,
    Undisturbed,
}

impl Table {
    pub(crate) fn is_about_latency(self) -> bool {
        matches!(self, Self::Latency | Self::Undisturbed)
    }

    pub(crate) fn is_asked_for(self) -> bool {
        matches!(self, Self::Growth | Self::Undisturbed)
    }
}

/// Who talks to whom.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    /// As many publishers as subscribers, each with its own topic.
    Pairs(usize),
    /// One publisher, many subscribers to its topic.
    FanOut(usize),
    /// Many publishers, each with its own topic, and one subscriber to all.
    FanIn(usize),
}

/// The plainest load.
pub(crate) const PLAIN: Row = QOS_0;

/// As steady as telemetry is.
pub(crate) const STEADY: Row = Row {
    window: 2000,
    rate: Some(1000),
    ..LATENCY
};

/// All ways by turns.
pub(crate) const MIXED: &[Row] = &[
    Row {
        shape: Shape::Pairs(50),
        ..QOS_0
    },
    Row {
        shape: Shape::Pairs(50),
        ..QOS_1
    },
    Row {
        shape: Shape::FanOut(50),
        ..QOS_1
    },
    QOS_2,
    Row {
        topics: 1000,
        one_by_one: true,
        ..QOS_1
    },
];

const QOS_0: Row = Row {
    name: "QoS 0, 1 to 1",
    table: Table::Throughput,
    shape: Shape::Pairs(1),
    qos: 0,
    payload: 64,
    window: 2000,
    rate: None,
    max_inflight: None,
    one_core: false,
    transport: Transport::Tcp,
    guarded: false,
    topics: 1,
    one_by_one: false,
    depth: 0,
    idle: 0,
    slow: 0,
};

const QOS_1: Row = Row {
    name: "QoS 1, 1 to 1",
    qos: 1,
    window: 100,
    max_inflight: Some(1000),
    ..QOS_0
};

const QOS_2: Row = Row {
    name: "QoS 2, 1 to 1",
    qos: 2,
    window: 20,
    ..QOS_1
};

const LATENCY: Row = Row {
    name: "Latency, one outstanding",
    table: Table::Latency,
    window: 1,
    ..QOS_0
};

/// All rows, in the order of the report; those of one table stand together.
pub(crate) const ROWS: &[Row] = &[
    QOS_0,
    QOS_1,
    Row {
        name: "QoS 1, 1 to 1, default inflight",
        max_inflight: None,
        ..QOS_1
    },
    QOS_2,
    Row {
        name: "QoS 0, 1 to 1, 4 KiB",
        payload: 4096,
        // As much as sockets hold; more would measure the memory's speed.
        window: 100,
        ..QOS_0
    },
    Row {
        name: "QoS 0, 1 to 50",
        shape: Shape::FanOut(50),
        ..QOS_0
    },
    Row {
        name: "QoS 1, 1 to 50",
        shape: Shape::FanOut(50),
        ..QOS_1
    },
    Row {
        name: "QoS 0, 50 to 1",
        shape: Shape::FanIn(50),
        ..QOS_0
    },
    Row {
        name: "QoS 0, 50 pairs",
        shape: Shape::Pairs(50),
        ..QOS_0
    },
    Row {
        name: "QoS 1, 50 pairs",
        shape: Shape::Pairs(50),
        ..QOS_1
    },
    Row {
        name: "100 000 wildcard subscriptions, QoS 0",
        topics: 100_000,
        one_by_one: true,
        ..QOS_0
    },
    Row {
        name: "ACL of 1000 rules and passwords, QoS 0, 1 to 1",
        guarded: true,
        ..QOS_0
    },
    Row {
        name: "ACL of 1000 rules and passwords, QoS 1, 50 pairs",
        guarded: true,
        shape: Shape::Pairs(50),
        ..QOS_1
    },
    Row {
        name: "TLS, QoS 0, 1 to 1",
        transport: Transport::Tls,
        ..QOS_0
    },
    Row {
        name: "TLS, QoS 1, 1 to 1",
        transport: Transport::Tls,
        ..QOS_1
    },
    Row {
        name: "TLS, QoS 1, 50 pairs",
        transport: Transport::Tls,
        shape: Shape::Pairs(50),
        ..QOS_1
    },
    Row {
        name: "WebSocket, QoS 0, 1 to 1",
        transport: Transport::WebSocket,
        ..QOS_0
    },
    Row {
        name: "WebSocket, QoS 1, 50 pairs",
        transport: Transport::WebSocket,
        shape: Shape::Pairs(50),
        ..QOS_1
    },
    LATENCY,
    Row {
        // On several, what it takes to wake a sleeping one outweighs any broker,
        // and whether it comes to that is the kernel's mood.
        name: "Latency, one outstanding, one core",
        one_core: true,
        ..LATENCY
    },
    Row {
        name: "Latency, 1000 a second",
        ..STEADY
    },
    Row {
        name: "Latency, 10 pairs, 10 000 a second",
        shape: Shape::Pairs(10),
        window: 2000,
        rate: Some(1000),
        ..LATENCY
    },
    Row {
        name: "Latency, 10 pairs, 10 000 a second, TLS",
        shape: Shape::Pairs(10),
        window: 2000,
        rate: Some(1000),
        transport: Transport::Tls,
        ..LATENCY
    },
    // How it grows: only if asked for.
    on_cores("Growth, one core: QoS 1, 50 pairs", true),
    on_cores("Growth, all cores: QoS 1, 50 pairs", false),
    on_cores_singly(
        "Growth, one core: QoS 1, 50 pairs, one outstanding each",
        true,
    ),
    on_cores_singly(
        "Growth, all cores: QoS 1, 50 pairs, one outstanding each",
        false,
    ),
    subscriptions("Growth, subscriptions: 10", 10),
    subscriptions("Growth, subscriptions: 1000", 1000),
    subscriptions("Growth, subscriptions: 10 000", 10_000),
    subscriptions("Growth, subscriptions: 100 000", 100_000),
    subscriptions("Growth, subscriptions: 1 000 000", 1_000_000),
    topics("Growth, topics: 10", 10),
    topics("Growth, topics: 1000", 1000),
    topics("Growth, topics: 10 000", 10_000),
    topics("Growth, topics: 100 000", 100_000),
    topics("Growth, topics: 1 000 000", 1_000_000),
    depth("Growth, topic levels: 2", 0),
    depth("Growth, topic levels: 10", 8),
    depth("Growth, topic levels: 100", 98),
    connections("Growth, idle connections: 10", 10),
    connections("Growth, idle connections: 1000", 1000),
    connections("Growth, idle connections: 15 000", 15_000),
    pairs("Growth, busy connections: 10", 5),
    pairs("Growth, busy connections: 100", 50),
    pairs("Growth, busy connections: 1000", 500),
    pairs("Growth, busy connections: 15 000", 7500),
    payload("Growth, payload: 16 B", 16),
    payload("Growth, payload: 256 B", 256),
    payload("Growth, payload: 4 KiB", 4096),
    payload("Growth, payload: 64 KiB", 64 * 1024),
    payload("Growth, payload: 1 MiB", 1024 * 1024),
    beside_slow("Growth, 1 to 100, no slow subscriber", 0),
    beside_slow("Growth, 1 to 100, a slow subscriber beside", 1),
];

const fn growth(name: &'static str) -> Row {
    Row {
        name,
        table: Table::Growth,
        ..QOS_0
    }
}

const fn on_cores(name: &'static str, one_core: bool) -> Row {
    Row {
        shape: Shape::Pairs(50),
        qos: 1,
        window: 100,
        max_inflight: Some(1000),
        one_core,
        ..growth(name)
    }
}

/// Nothing is batched, so that the broker's system calls are most of the work.
const fn on_cores_singly(name: &'static str, one_core: bool) -> Row {
    Row {
        window: 1,
        ..on_cores(name, one_core)
    }
}

const fn subscriptions(name: &'static str, topics: u32) -> Row {
    Row {
        topics,
        one_by_one: true,
        ..growth(name)
    }
}

const fn topics(name: &'static str, topics: u32) -> Row {
    Row {
        topics,
        ..growth(name)
    }
}

const fn depth(name: &'static str, depth: usize) -> Row {
    Row {
        depth,
        ..growth(name)
    }
}

const fn connections(name: &'static str, idle: usize) -> Row {
    Row {
        idle,
        ..growth(name)
    }
}

/// One message outstanding in each pair.
const fn pairs(name: &'static str, count: usize) -> Row {
    Row {
        shape: Shape::Pairs(count),
        window: 1,
        ..growth(name)
    }
}

const fn payload(name: &'static str, payload: usize) -> Row {
    // No more outstanding than sockets hold, and what a broker keeps for one
    // client of QoS 0 without losing any.
    let window = 3 * 1024 * 1024 / payload as u64;
    Row {
        payload,
        window: if window > 2000 { 2000 } else { window },
        ..growth(name)
    }
}

const fn beside_slow(name: &'static str, slow: usize) -> Row {
    Row {
        table: Table::Undisturbed,
        shape: Shape::FanOut(100),
        payload: 1024,
        window: 2000,
        // Far above what the slow one reads, and not too much for any broker.
        rate: Some(200),
        slow,
        ..growth(name)
    }
}

impl Row {
    /// The relay copies bytes from one publisher to one subscriber and
    /// acknowledges nothing.
    pub(crate) fn suits_a_relay(&self) -> bool {
        self.qos == 0
            && matches!(self.shape, Shape::Pairs(1))
            && self.transport == Transport::Tcp
            && !self.guarded
            && self.topics == 1
            && self.idle == 0
            && !self.table.is_asked_for()
    }

    /// The user name of all clients, which is their password too.
    pub(crate) fn user(&self) -> Option<&'static str> {
        self.guarded.then_some(USER)
    }

    /// The topic of a publisher. One of several ends with their number, which
    /// the generator puts in.
    pub(crate) fn topic_of(&self, publisher: usize) -> String {
        let number = match self.topics {
            1 => String::new(),
            _ => format!("/{}", "0".repeat(DIGITS)),
        };
        format!("bench/{publisher}{}{number}", "/level".repeat(self.depth))
    }

    /// What a subscriber subscribes to.
    pub(crate) fn filters_of(&self, subscriber: usize) -> impl Iterator<Item = String> {
        let (count, row) = (if self.one_by_one { self.topics } else { 1 }, *self);
        (0..count).map(move |number| match row.shape {
            _ if row.one_by_one => format!("bench/+/{number:0DIGITS$}"),
            Shape::Pairs(_) if row.topics > 1 => format!("bench/{subscriber}/#"),
            Shape::Pairs(_) => row.topic_of(subscriber),
            Shape::FanOut(_) => row.topic_of(0),
            Shape::FanIn(_) => "bench/+".into(),
        })
    }
}

impl Shape {
    pub(crate) fn publishers(self) -> usize {
        match self {
            Self::Pairs(count) | Self::FanIn(count) => count,
            Self::FanOut(_) => 1,
        }
    }

    pub(crate) fn subscribers(self) -> usize {
        match self {
            Self::Pairs(count) | Self::FanOut(count) => count,
            Self::FanIn(_) => 1,
        }
    }

    /// The subscribers that get what this publisher sends.
    pub(crate) fn receivers_of(self, publisher: usize) -> Range<usize> {
        match self {
            Self::Pairs(_) => publisher..publisher + 1,
            Self::FanOut(_) | Self::FanIn(_) => 0..self.subscribers(),
        }
    }

    /// The publishers whose messages this subscriber gets.
    pub(crate) fn senders_to(self, subscriber: usize) -> Range<usize> {
        match self {
            Self::Pairs(_) => subscriber..subscriber + 1,
            Self::FanOut(_) | Self::FanIn(_) => 0..self.publishers(),
        }
    }
}
