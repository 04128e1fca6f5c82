//! What is kept, in the broker's terms.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use smol_str::SmolStr;

use crate::codec::{QoS, SubscriptionOptions, Version};

/// Milliseconds since 1970 (UTC).
pub type WallMillis = u64;

/// One change. Sessions have numbers that their maker chooses and never uses
/// again, see [`Recovered::next_session`].
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A session begins, or something in its description changes.
    PutSession {
        /// Its number.
        session: u64,
        /// All of its description.
        description: Box<Session>,
    },
    /// A session ends, with its subscriptions, its queue and all else.
    DropSession {
        /// Its number.
        session: u64,
    },
    /// A subscription begins, or its options change.
    PutSubscription {
        /// Whose.
        session: u64,
        /// The whole of it; its filter is its name.
        subscription: Box<Subscription>,
    },
    /// A subscription ends.
    DropSubscription {
        /// Whose.
        session: u64,
        /// Its filter, as it was put.
        filter: Arc<str>,
    },
    /// A delivery joins the queue of a session.
    Enqueue {
        /// Whose queue.
        session: u64,
        /// Its place: greater than that of all that were ever in this queue,
        /// see [`QueueLength::next`].
        sequence: u64,
        /// What is delivered. Deliveries that share their publication within
        /// what is committed together share it on disk too.
        delivery: Delivery,
    },
    /// A delivery was sent, or the peer has taken it.
    SetStage {
        /// Whose queue.
        session: u64,
        /// Its place.
        sequence: u64,
        /// How far it has come.
        stage: Stage,
    },
    /// A delivery is done, or given up. Nothing happens if it is not there.
    Dequeue {
        /// Whose queue.
        session: u64,
        /// Its place.
        sequence: u64,
    },
    /// A client has sent a message of QoS 2 and will release it (4.3.3).
    PutIncoming {
        /// Whose.
        session: u64,
        /// The client's packet identifier.
        packet_id: u16,
        /// What tells the message from another with the same identifier.
        fingerprint: u64,
    },
    /// A client has released its message of QoS 2.
    DropIncoming {
        /// Whose.
        session: u64,
        /// The client's packet identifier.
        packet_id: u16,
    },
    /// A message is retained, in the place of the last one of its topic.
    Retain {
        /// The message.
        publication: Arc<Publication>,
    },
    /// The retained message of a topic goes.
    Unretain {
        /// The topic name.
        topic: Arc<str>,
    },
    /// Something to remember under a name, like an import that was done.
    Note {
        /// At most 1 KiB.
        name: Box<str>,
        /// Anything; empty: forget it.
        text: Box<str>,
    },
}

/// What describes a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The client identifier.
    pub client_id: Arc<str>,
    /// Who the client is; rights are asked for it while it is away.
    pub username: Option<Arc<str>>,
    /// The number of the listener that it came by.
    pub listener: u32,
    /// The port of that listener, if it was known; what tells it from others
    /// in files of Mosquitto.
    pub port: u16,
    /// The mount point of its topics; empty if there is none.
    pub mount_point: Arc<str>,
    /// What it speaks.
    pub version: Version,
    /// Whether the client is a bridge, by its own account.
    pub is_bridge: bool,
    /// How long it outlives its connection, in milliseconds; `u64::MAX`: for
    /// ever.
    pub expiry: u64,
    /// When its connection ended; `None`: it was connected.
    pub disconnected: Option<WallMillis>,
    /// The will that waits.
    pub will: Option<Will>,
}

/// A will (3.1.2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// The message, published now or later.
    pub publication: Arc<Publication>,
    /// Seconds from its publication until it expires.
    pub expiry: Option<u32>,
    /// Milliseconds from the end of the connection until it is published.
    pub delay: u64,
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The topic filter as the client wrote it, `$share/...` included.
    pub filter: Arc<str>,
    /// What the client wants.
    pub options: SubscriptionOptions,
    /// The subscription identifier.
    pub id: Option<u32>,
}

/// An application message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The topic name.
    pub topic: SmolStr,
    /// What it says.
    pub payload: Bytes,
    /// The properties that travel with it, in whatever form the caller likes.
    pub properties: Bytes,
    /// As it was published.
    pub qos: QoS,
    /// As it was published.
    pub retain: bool,
    /// When the broker got it.
    pub published: WallMillis,
    /// When it expires.
    pub expires: Option<WallMillis>,
    /// The client that published it; `None`: the broker itself.
    pub client_id: Option<Arc<str>>,
    /// The user name of that client.
    pub username: Option<Arc<str>>,
    /// The number of the listener that it came by.
    pub listener: u32,
}

/// A publication on its way to one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// What is delivered.
    pub publication: Arc<Publication>,
    /// At what QoS.
    pub qos: QoS,
    /// With what retain flag.
    pub retain: bool,
    /// The identifiers of the subscriptions that it comes of.
    pub subscription_ids: Box<[u32]>,
    /// The shared subscription that it was chosen for, by its filter.
    pub group: Option<Arc<str>>,
}

/// How far a delivery has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// It waits.
    #[default]
    Waiting,
    /// PUBLISH was sent with this packet identifier.
    Sent(u16),
    /// PUBREC was received for this packet identifier (QoS 2).
    Received(u16),
}

/// A delivery in the queue of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Its place.
    pub sequence: u64,
    /// How far it has come.
    pub stage: Stage,
    /// What is delivered, and how.
    pub delivery: Delivery,
}

/// How much of a queue is read at once. At least one delivery is, if there is
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portion {
    /// No more deliveries than that.
    pub deliveries: usize,
    /// No further delivery once the payloads have so many bytes.
    pub bytes: usize,
}

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovered {
    /// The sessions, by their numbers.
    pub sessions: Vec<RecoveredSession>,
    /// The retained messages, in the order of their topics' bytes (but very
    /// long ones come last).
    pub retained: Vec<Arc<Publication>>,
    /// The notes by their names.
    pub notes: BTreeMap<String, String>,
    /// A number that no session had; nor had any that is greater.
    pub next_session: u64,
}

/// A session that was kept.
#[derive(Clone, Debug, PartialEq)]
pub struct RecoveredSession {
    /// Its number.
    pub number: u64,
    /// What describes it.
    pub description: Session,
    /// Its subscriptions, in the order of their filters' bytes (but very long
    /// ones come last).
    pub subscriptions: Vec<Subscription>,
    /// The deliveries that were sent and not acknowledged, in their order.
    pub inflight: Vec<Queued>,
    /// Packet identifiers of messages of QoS 2 that the client has not
    /// released, with their fingerprints, in the order of the identifiers.
    pub incoming: Vec<(u16, u64)>,
    /// Its queue, unread.
    pub queue: QueueLength,
}

/// What is known of a queue without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLength {
    /// Deliveries, those in flight included.
    pub deliveries: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// No delivery has a smaller sequence number.
    pub first: u64,
    /// The sequence number for the next delivery.
    pub next: u64,
}

impl QueueLength {
    /// A queue that had nothing ever. Sequence numbers start with 1.
    pub const EMPTY: Self = Self {
        deliveries: 0,
        bytes: 0,
        first: 1,
        next: 1,
    };
}
