//! How the broker of one run is configured: as it is told, and as the model
//! asks it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use super::model::Who;
use super::random::Random;
use crate::auth::Acl;
use crate::broker::{Millis, Policy, Settings};
use crate::codec::QoS;
use crate::config::LogTypes;
use crate::topic;

/// Topics beginning with `$s/` and `$t/` are for shared subscriptions alone, and
/// each for one group: who gets which copy could not be told otherwise.
pub(super) const TOPICS: [&str; 8] = ["a", "a/b", "a/c", "b", "b/c", "$x", "$s/1", "$t/1"];

pub(super) const FILTERS: [&str; 13] = [
    "a",
    "a/b",
    "a/+",
    "a/#",
    "#",
    "+/c",
    "+",
    "b/c",
    "$x",
    "w/+",
    "$share/g/$s/#",
    "$share/g/$t/+",
    "$share/h/none",
];

/// Where a client's will goes; nobody else publishes there.
pub(super) fn will_topic(who: Who) -> String {
    format!("w/{who}")
}

pub(super) struct Rules {
    pub(super) settings: Settings,
    pub(super) listeners: Vec<Listener>,
}

pub(super) struct Listener {
    pub(super) max_qos: QoS,
    pub(super) max_topic_alias: u16,
    max_topic_alias_broker: u16,
    /// Whether subscriptions in vain are refused.
    check_subscribe: bool,
    /// `None`: everything is allowed.
    pub(super) rights: Option<Rights>,
}

/// The topics that clients may read, and those that they may write.
#[derive(Clone, Debug)]
pub(super) struct Rights {
    read: BTreeSet<String>,
    write: BTreeSet<String>,
}

impl Rules {
    pub(super) fn new(random: &mut Random) -> Self {
        let narrow = random.chance(25);
        let mut settings = Settings {
            max_inflight_messages: random.pick(&[1, 2, 5, 20]),
            queue_qos0_messages: random.chance(50),
            upgrade_outgoing_qos: random.chance(20),
            allow_duplicate_messages: random.chance(70),
            retain_available: random.chance(90),
            check_retain_source: random.chance(70),
            sys_interval: random.pick(&[0, 10_000]),
            max_queued_messages: usize::MAX,
            log: LogTypes::NONE,
            ..Settings::default()
        };
        if narrow {
            settings.max_queued_messages = random.pick(&[1, 3, 10]);
            settings.max_queued_bytes = random.pick(&[usize::MAX, 3_000]);
        }
        if random.chance(20) {
            settings.max_inflight_bytes = 2_050;
        }
        if random.chance(20) {
            settings.max_session_expiry = 30_000;
        }
        if random.chance(20) {
            settings.max_keep_alive = 20;
        }
        if random.chance(20) {
            settings.message_size_limit = 5_000;
        }
        if random.chance(50) {
            settings.retain_expiry_interval = Some(7_000);
        }
        let open = Listener {
            max_qos: QoS::ExactlyOnce,
            max_topic_alias: 10,
            max_topic_alias_broker: random.pick(&[0, 2, 10]),
            check_subscribe: false,
            rights: None,
        };
        let strict = Listener {
            max_qos: random.pick(&[QoS::ExactlyOnce, QoS::ExactlyOnce, QoS::AtLeastOnce]),
            max_topic_alias: random.pick(&[0, 2]),
            max_topic_alias_broker: random.pick(&[0, 2, 10]),
            check_subscribe: random.chance(30),
            rights: Some(Rights::new(random)),
        };
        Self {
            settings,
            listeners: vec![open, strict],
        }
    }

    /// Rights of clients of the second listener change, or settings that hold
    /// from the next message on.
    pub(super) fn change(&mut self, random: &mut Random) {
        if random.chance(50) {
            self.listeners[1].rights = Some(Rights::new(random));
            return;
        }
        let settings = &mut self.settings;
        settings.queue_qos0_messages = random.chance(50);
        settings.upgrade_outgoing_qos = random.chance(20);
        settings.allow_duplicate_messages = random.chance(70);
        settings.check_retain_source = random.chance(70);
        settings.message_size_limit = random.pick(&[5_000, u32::MAX]);
        if settings.max_queued_messages < usize::MAX {
            settings.max_queued_messages = random.pick(&[1, 3, 10]);
        }
    }

    pub(super) fn policy(&self, number: usize) -> Policy {
        let listener = &self.listeners[number];
        Policy {
            listener: number,
            max_qos: listener.max_qos as u8,
            max_topic_alias: listener.max_topic_alias,
            max_topic_alias_broker: listener.max_topic_alias_broker,
            acl_check_subscribe: listener.check_subscribe,
            acl: listener
                .rights
                .as_ref()
                .map(|rights| Arc::new(rights.acl())),
            ..Policy::default()
        }
    }

    pub(super) fn may_read(&self, listener: usize, topic: &str) -> bool {
        let rights = &self.listeners[listener].rights;
        rights.as_ref().is_none_or(|r| r.read.contains(topic))
    }

    pub(super) fn may_write(&self, listener: usize, topic: &str) -> bool {
        let rights = &self.listeners[listener].rights;
        rights.as_ref().is_none_or(|r| r.write.contains(topic))
    }

    /// Whether a subscription could bring something.
    pub(super) fn may_subscribe(&self, listener: usize, filter: &str) -> bool {
        let listener = &self.listeners[listener];
        let rights = listener.rights.as_ref();
        let rights = rights.filter(|_| listener.check_subscribe);
        rights.is_none_or(|r| r.read.iter().any(|name| topic::matches(filter, name)))
    }

    /// 0 is none at all.
    pub(super) fn keep_alive(&self, wanted: u16) -> u16 {
        match (wanted, self.settings.max_keep_alive) {
            (wanted, u16::MAX) => wanted,
            (0, longest) => longest,
            (wanted, longest) => wanted.min(longest),
        }
    }

    pub(super) fn session_expiry(&self, wanted: Millis) -> Millis {
        wanted.min(self.settings.max_session_expiry)
    }

    pub(super) fn granted(&self, subscribed: QoS, published: QoS) -> QoS {
        if self.settings.upgrade_outgoing_qos {
            subscribed
        } else {
            subscribed.min(published)
        }
    }
}

impl Rights {
    fn new(random: &mut Random) -> Self {
        let topics = TOPICS.map(String::from).into_iter();
        let all: Vec<_> = topics.chain((1..10).map(will_topic)).collect();
        let mut some = || {
            let chosen = all.iter().filter(|_| random.chance(70));
            chosen.cloned().collect()
        };
        Self {
            read: some(),
            write: some(),
        }
    }

    fn acl(&self) -> Acl {
        let mut text = String::new();
        for (access, topics) in [("read", &self.read), ("write", &self.write)] {
            for topic in topics {
                writeln!(text, "topic {access} {topic}").unwrap();
            }
        }
        Acl::parse(text.as_bytes(), "rights").unwrap()
    }
}
