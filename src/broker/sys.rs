//! `$SYS`: the broker's own figures, as retained messages.

use std::collections::HashMap;

use super::Core;
use super::publication::MessageProperties;
use super::stats::Stats;
use super::timers::{Millis, Timer};
use crate::codec::{Frame, QoS};
use crate::config::LogType;

/// What `$SYS` needs to remember between two updates.
#[derive(Debug)]
pub(super) struct Sys {
    started: Millis,
    updated: Millis,
    /// The figures at the last update, for the load averages.
    previous: Stats,
    loads: Vec<Load>,
    /// What was published last: only what changes is published again.
    published: HashMap<&'static str, String>,
    load_topics: HashMap<String, String>,
    /// Bytes of memory in use, and the most there were; the shell knows.
    memory: Option<(u64, u64)>,
}

/// One of the counters.
type Figure = fn(&Stats) -> u64;

/// The averages of one figure over one, five and fifteen minutes, per minute.
#[derive(Debug)]
struct Load {
    name: &'static str,
    figure: Figure,
    averages: [f64; 3],
}

/// The minutes of each average, as the topics name them.
const MINUTES: [(f64, &str); 3] = [(1.0, "1min"), (5.0, "5min"), (15.0, "15min")];

impl Sys {
    pub(super) fn new(now: Millis) -> Self {
        let loads: [(&'static str, Figure); 9] = [
            ("messages/received", |stats| stats.messages_received),
            ("messages/sent", |stats| stats.messages_sent),
            ("publish/received", |stats| stats.publish_received),
            ("publish/sent", |stats| stats.publish_sent),
            ("publish/dropped", |stats| stats.dropped),
            ("bytes/received", |stats| stats.bytes_received),
            ("bytes/sent", |stats| stats.bytes_sent),
            ("sockets", |stats| stats.sockets),
            ("connections", |stats| stats.connects),
        ];
        Self {
            started: now,
            updated: now,
            previous: Stats::default(),
            loads: loads
                .into_iter()
                .map(|(name, figure)| Load {
                    name,
                    figure,
                    averages: [0.0; 3],
                })
                .collect(),
            published: HashMap::new(),
            load_topics: HashMap::new(),
            memory: None,
        }
    }

    /// The retained messages are gone: all is published again.
    pub(super) fn forget_published(&mut self) {
        self.published.clear();
        self.load_topics.clear();
    }

    /// Takes the figures since the last update into the averages: an
    /// exponentially weighted mean, like the load of a system.
    fn update_loads(&mut self, now: Millis, stats: &Stats) -> Vec<(String, String)> {
        let minutes = now.saturating_sub(self.updated) as f64 / 60_000.0;
        let mut lines = Vec::new();
        for load in &mut self.loads {
            let since = (load.figure)(stats) - (load.figure)(&self.previous);
            for (average, (window, name)) in load.averages.iter_mut().zip(MINUTES) {
                if minutes > 0.0 {
                    let rate = since as f64 / minutes;
                    let weight = (-minutes / window).exp();
                    *average = rate + weight * (*average - rate);
                }
                lines.push((
                    format!("$SYS/broker/load/{}/{name}", load.name),
                    format!("{average:.2}"),
                ));
            }
        }
        if minutes > 0.0 {
            self.updated = now;
            self.previous = *stats;
        }
        lines
    }
}

impl Core {
    pub(super) fn start_sys(&mut self) {
        if self.peers.settings.sys_interval > 0 {
            self.update_sys();
            return;
        }
        // Figures that nobody updates would mislead.
        let fixed = self
            .sys
            .published
            .drain()
            .map(|(topic, _)| topic.to_owned());
        let loads = self.sys.load_topics.drain().map(|(topic, _)| topic);
        for topic in fixed.chain(loads) {
            self.retained.clear(&topic);
        }
    }

    /// Takes how many bytes of memory the process uses, for `$SYS`.
    pub fn note_memory(&mut self, bytes: u64) {
        let most = self.sys.memory.map_or(0, |(_, most)| most);
        self.sys.memory = Some((bytes, most.max(bytes)));
    }

    /// Publishes what changed and sets the next update.
    pub(super) fn update_sys(&mut self) {
        let now = self.peers.now;
        let figures = self.figures();
        for (topic, value) in figures {
            if self.sys.published.get(topic) != Some(&value) {
                self.publish_sys(topic, &value);
                self.sys.published.insert(topic, value);
            }
        }
        let stats = self.peers.stats;
        for (topic, value) in self.sys.update_loads(now, &stats) {
            if self.sys.load_topics.get(&topic) != Some(&value) {
                self.publish_sys(&topic, &value);
                self.sys.load_topics.insert(topic, value);
            }
        }
        self.peers
            .timers
            .set(now + self.peers.settings.sys_interval, Timer::Sys);
    }

    /// The topic below which lines of a kind are published; `None`: never, one
    /// for each packet would have no end.
    pub fn log_topic(kind: LogType) -> Option<&'static str> {
        match kind {
            LogType::Error => Some("$SYS/broker/log/E"),
            LogType::Warning => Some("$SYS/broker/log/W"),
            LogType::Notice => Some("$SYS/broker/log/N"),
            LogType::Information => Some("$SYS/broker/log/I"),
            LogType::Subscribe => Some("$SYS/broker/log/M/subscribe"),
            LogType::Unsubscribe => Some("$SYS/broker/log/M/unsubscribe"),
            LogType::Websockets => Some("$SYS/broker/log/WS"),
            LogType::Debug | LogType::Internal => None,
        }
    }

    /// Publishes a log line on its [topic](Self::log_topic), for those who
    /// are subscribed now.
    pub fn publish_log(&mut self, now: Millis, topic: &str, line: &str) {
        self.peers.now = now;
        let none = MessageProperties::default();
        self.publish_own(None, topic, line.as_bytes(), QoS::ExactlyOnce, false, &none);
    }

    fn publish_sys(&mut self, topic: &str, value: &str) {
        let none = MessageProperties::default();
        self.publish_own(None, topic, value.as_bytes(), QoS::ExactlyOnce, true, &none);
    }

    fn figures(&self) -> Vec<(&'static str, String)> {
        let stats = &self.peers.stats;
        let total = self.peers.sessions.len();
        let away = total - self.connected;
        let (subscriptions, shared) = self.subscriptions.counts();
        let (retained, retained_bytes) = self.retained.counts();
        let (mut queued, mut inflight, mut queued_bytes) = (0, 0, 0);
        for (_, session) in &self.peers.sessions {
            queued += session.outgoing.queued_len();
            inflight += session.outgoing.inflight_len();
            queued_bytes += session.queued_bytes;
        }
        let stored = retained + queued + inflight;
        let stored_bytes = retained_bytes + queued_bytes;
        let (mut leaving, mut leaving_bytes) = (0, 0);
        for (_, connection) in &self.peers.connections {
            leaving += packets(&connection.outbox);
            leaving_bytes += connection.outbox.len();
        }
        let mut figures = vec![
            ("$SYS/broker/version", self.peers.settings.version.clone()),
            (
                "$SYS/broker/uptime",
                format!("{} seconds", (self.peers.now - self.sys.started) / 1000),
            ),
            ("$SYS/broker/clients/total", total.to_string()),
            (
                "$SYS/broker/clients/maximum",
                stats.clients_maximum.to_string(),
            ),
            ("$SYS/broker/clients/disconnected", away.to_string()),
            ("$SYS/broker/clients/inactive", away.to_string()),
            ("$SYS/broker/clients/connected", self.connected.to_string()),
            ("$SYS/broker/clients/active", self.connected.to_string()),
            ("$SYS/broker/clients/expired", stats.expired.to_string()),
            ("$SYS/broker/messages/stored", stored.to_string()),
            ("$SYS/broker/store/messages/count", stored.to_string()),
            ("$SYS/broker/store/messages/bytes", stored_bytes.to_string()),
            ("$SYS/broker/subscriptions/count", subscriptions.to_string()),
            ("$SYS/broker/shared_subscriptions/count", shared.to_string()),
            ("$SYS/broker/retained messages/count", retained.to_string()),
            (
                "$SYS/broker/messages/received",
                stats.messages_received.to_string(),
            ),
            ("$SYS/broker/messages/sent", stats.messages_sent.to_string()),
            (
                "$SYS/broker/publish/messages/received",
                stats.publish_received.to_string(),
            ),
            (
                "$SYS/broker/publish/messages/sent",
                stats.publish_sent.to_string(),
            ),
            (
                "$SYS/broker/publish/messages/dropped",
                stats.dropped.to_string(),
            ),
            (
                "$SYS/broker/publish/bytes/received",
                stats.publish_bytes_received.to_string(),
            ),
            (
                "$SYS/broker/publish/bytes/sent",
                stats.publish_bytes_sent.to_string(),
            ),
            (
                "$SYS/broker/bytes/received",
                stats.bytes_received.to_string(),
            ),
            ("$SYS/broker/bytes/sent", stats.bytes_sent.to_string()),
            ("$SYS/broker/messages/inflight", inflight.to_string()),
            ("$SYS/broker/packet/out/count", leaving.to_string()),
            ("$SYS/broker/packet/out/bytes", leaving_bytes.to_string()),
            (
                "$SYS/broker/connections/socket/count",
                stats.sockets.to_string(),
            ),
        ];
        if let Some((now, most)) = self.sys.memory {
            figures.push(("$SYS/broker/heap/current", now.to_string()));
            figures.push(("$SYS/broker/heap/maximum", most.to_string()));
        }
        figures
    }
}

/// How many packets an outbox holds.
fn packets(mut outbox: &[u8]) -> usize {
    let mut count = 0;
    while let Ok(Some(frame)) = Frame::split(outbox, usize::MAX) {
        outbox = &outbox[frame.bytes.len()..];
        count += 1;
    }
    count
}
