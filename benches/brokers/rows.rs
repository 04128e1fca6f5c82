//! The loads that brokers are put under, one table entry each.

use std::ops::Range;

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
}

/// The table that a row belongs to: what is compared in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    Throughput,
    Latency,
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
        window: 2000,
        rate: Some(1000),
        ..LATENCY
    },
];

impl Row {
    /// The relay copies bytes from one publisher to one subscriber and
    /// acknowledges nothing.
    pub(crate) fn suits_a_relay(&self) -> bool {
        self.qos == 0 && matches!(self.shape, Shape::Pairs(1))
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

    pub(crate) fn topic_of(publisher: usize) -> String {
        format!("bench/{publisher}")
    }

    pub(crate) fn filter_of(self, subscriber: usize) -> String {
        match self {
            Self::Pairs(_) => Self::topic_of(subscriber),
            Self::FanOut(_) => Self::topic_of(0),
            Self::FanIn(_) => "bench/+".into(),
        }
    }
}
