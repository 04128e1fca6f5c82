//! What the broker counts.

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stats {
    /// Packets of any kind.
    pub(super) messages_received: u64,
    pub(super) messages_sent: u64,
    /// PUBLISH packets and their payload bytes.
    pub(super) publish_received: u64,
    pub(super) publish_sent: u64,
    pub(super) publish_bytes_received: u64,
    pub(super) publish_bytes_sent: u64,
    /// Messages that found a full queue.
    pub(super) dropped: u64,
    /// Bytes on the wire.
    pub(super) bytes_received: u64,
    pub(super) bytes_sent: u64,
    /// Connections that were accepted, and CONNECT packets.
    pub(super) sockets: u64,
    pub(super) connects: u64,
    /// Sessions that ended while their client was away.
    pub(super) expired: u64,
    /// The most clients that were connected at once.
    pub(super) clients_maximum: usize,
}

impl Stats {
    pub(super) fn count_publish_sent(&mut self, payload: usize) {
        self.count_publishes_sent(1, payload);
    }

    /// `payloads`: of all together, in bytes.
    pub(super) fn count_publishes_sent(&mut self, count: u64, payloads: usize) {
        self.messages_sent += count;
        self.publish_sent += count;
        self.publish_bytes_sent += payloads as u64;
    }
}
