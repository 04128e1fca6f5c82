//! Rights that are denied: why, for the log and for the client, and how often
//! the log hears of it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::peers::Peers;
use super::timers::Millis;
use crate::auth::{Decision, Reason};
use crate::config::LogType;

/// How long the log hears nothing more of the same client and topic.
const SILENCE: Millis = 60_000;

/// Topics of one client, and clients, that the log hears of within that time.
const TOPICS: usize = 8;
const CLIENTS: usize = 1024;

/// The characters of a topic that a line shows.
const LONG_TOPIC: usize = 256;

/// How long a full table is taken for full without another look at it.
const FULL: Millis = 1000;

/// Why a client may not do something. Its text is for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial<'a> {
    /// A topic on which only the broker itself speaks.
    Reserved,
    /// The access control list says so.
    Listed(Decision<'a>),
}

impl Denial<'_> {
    /// The words for the client, which need not know where our files are.
    /// Mosquitto refuses what is reserved without a word.
    fn for_client(&self) -> Option<String> {
        let Self::Listed(decision) = self else {
            return None;
        };
        Some(match decision.reason {
            Reason::Rule(rule) => {
                format!("line {} of the access control list denies it", rule.line)
            }
            Reason::NoRule { .. } => "no rule of the access control list allows it".into(),
            Reason::WildcardInName { .. } => decision.reason.to_string(),
        })
    }

    pub(super) fn explain(&self) -> Explanation {
        Explanation {
            for_log: self.to_string(),
            for_client: self.for_client(),
        }
    }
}

impl fmt::Display for Denial<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reserved => f.write_str("only the broker itself publishes there"),
            Self::Listed(decision) => write!(f, "{}", decision.reason),
        }
    }
}

/// The words of a [`Denial`], without its rules.
#[derive(Clone, Debug)]
pub(super) struct Explanation {
    pub(super) for_log: String,
    pub(super) for_client: Option<String>,
}

/// What somebody was denied.
pub(super) struct Denied<'a> {
    pub(super) client_id: &'a str,
    pub(super) username: Option<&'a str>,
    /// `None`: it is not connected any more.
    pub(super) address: Option<&'a str>,
    pub(super) attempt: Attempt,
    pub(super) topic: &'a str,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Attempt {
    Publish,
    Will,
    Subscribe,
}

impl Attempt {
    const fn verb(self) -> &'static str {
        match self {
            Self::Publish => "publish to",
            Self::Will => "leave a will for",
            Self::Subscribe => "subscribe to",
        }
    }
}

impl Peers {
    /// Tells the log of a denial, unless it heard the same a short while ago.
    pub(super) fn tell_denied(&mut self, denied: &Denied<'_>, why: &str) {
        if !self.settings.log.contains(LogType::Notice) {
            return;
        }
        let what = fingerprint(denied.attempt.verb(), denied.topic);
        let Some(left_out) = self.denials.admit(denied.client_id, what, self.now) else {
            return;
        };
        self.log(LogType::Notice, |_| {
            let user = denied
                .username
                .map(|name| format!(", user {name}"))
                .unwrap_or_default();
            let more = match left_out {
                0 => String::new(),
                count => format!(" ({count} more denials of this client were not told)"),
            };
            format!(
                "Client {} [{}{user}] may not {} '{}': {why}.{more}",
                denied.client_id,
                denied.address.unwrap_or("away"),
                denied.attempt.verb(),
                abbreviated(denied.topic),
            )
        });
    }
}

/// A topic may be 64 KiB long; a log line had better not.
fn abbreviated(topic: &str) -> Cow<'_, str> {
    match topic.char_indices().nth(LONG_TOPIC) {
        None => topic.into(),
        Some((end, _)) => format!("{}…", &topic[..end]).into(),
    }
}

/// Of which denials the log was told.
#[derive(Debug, Default)]
pub(super) struct Denials {
    clients: HashMap<Arc<str>, Told>,
    full_until: Millis,
}

#[derive(Debug, Default)]
struct Told {
    /// What was told, and when.
    topics: Vec<(u64, Millis)>,
    /// Denials that were not told since the last that was.
    left_out: u64,
}

impl Denials {
    /// Whether the log may hear of another denial; with how many of the same
    /// client were left out before it.
    fn admit(&mut self, client_id: &str, what: u64, now: Millis) -> Option<u64> {
        if let Some(told) = self.clients.get_mut(client_id) {
            return told.admit(what, now);
        }
        if self.clients.len() >= CLIENTS {
            if now < self.full_until {
                return None;
            }
            self.clients
                .retain(|_, told| told.topics.iter().any(|(_, at)| at + SILENCE > now));
            if self.clients.len() >= CLIENTS {
                self.full_until = now + FULL;
                return None;
            }
        }
        let told = self.clients.entry(client_id.into()).or_default();
        told.admit(what, now)
    }
}

impl Told {
    fn admit(&mut self, what: u64, now: Millis) -> Option<u64> {
        self.topics.retain(|(_, at)| at + SILENCE > now);
        let is_known = self.topics.iter().any(|(known, _)| *known == what);
        if is_known || self.topics.len() >= TOPICS {
            self.left_out += 1;
            return None;
        }
        self.topics.push((what, now));
        Some(std::mem::take(&mut self.left_out))
    }
}

/// Tells one attempt from another (FNV-1a). A collision only means that one is
/// not told for a minute.
fn fingerprint(verb: &str, topic: &str) -> u64 {
    let bytes = verb.bytes().chain(topic.bytes());
    bytes.fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_told_once_a_minute_with_what_was_left_out() {
        let mut denials = Denials::default();
        assert_eq!(denials.admit("a", 1, 0), Some(0));
        assert_eq!(denials.admit("a", 1, 1), None);
        assert_eq!(denials.admit("a", 1, SILENCE - 1), None);
        assert_eq!(denials.admit("a", 2, SILENCE - 1), Some(2));
        assert_eq!(denials.admit("b", 1, SILENCE - 1), Some(0));
        assert_eq!(denials.admit("a", 1, SILENCE), Some(0));
    }

    #[test]
    fn a_client_that_tries_every_topic_fills_no_log() {
        let mut denials = Denials::default();
        let told = (0..1000).filter_map(|what| denials.admit("a", what, 0));
        assert_eq!(told.count(), TOPICS);
        assert_eq!(denials.admit("a", 1, SILENCE), Some(1000 - TOPICS as u64));
    }

    #[test]
    fn ever_new_clients_fill_no_memory() {
        let mut denials = Denials::default();
        let mut told = 0;
        for now in 0..200_000 {
            let admitted = denials.admit(&format!("c{now}"), 0, now);
            told += usize::from(admitted.is_some());
            assert!(denials.clients.len() <= CLIENTS);
        }
        assert!(told <= 4 * CLIENTS, "{told}");
        assert!(told >= 3 * CLIENTS, "{told}");
    }
}
