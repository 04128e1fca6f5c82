//! Clients that we did not write, played by order.
//!
//! A test is a play for one broker and some clients of one kind. Commands and
//! events are the same JSON for all kinds; [`Kind`] says who has them:
//!
//! | command | fields beside `as` (who) and `do` (what) |
//! |---|---|
//! | `connect` | `port`, `id`, `version`, `clean`, `keepalive`, `username`, `password`, `will`, `manual` (acknowledge by order), `inflight`, `properties` |
//! | `subscribe` | `filters` of `filter`, `qos`, `noLocal`, `retainAsPublished`, `retainHandling`; `properties` |
//! | `unsubscribe` | `filters` |
//! | `publish` | `topic`, `payload`, `qos`, `retain`, `properties` |
//! | `acknowledge` | the oldest message that isn't |
//! | `disconnect` | `code`, `properties` |
//! | `vanish` | |
//!
//! | event | fields beside `as` and `got` |
//! |---|---|
//! | `connack` | `present`, `code`, `properties` |
//! | `suback`, `unsuback` | `codes` |
//! | `published` | `code` of the PUBACK, PUBCOMP or refusing PUBREC |
//! | `message` | `topic`, `sent` (the topic in the packet), `payload`, `qos`, `retain`, `dup`, `properties` |
//! | `disconnect` | `code`, `properties` |
//! | `closed` | |

use crate::common::broker::Broker;
use crate::common::peers::Peer;
use crate::common::process::Process;
use crate::rumqttc::Rumqttc;
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Paho,
    MqttJs,
    /// Can't choose the reason of its DISCONNECT, nor speaks 3.x here.
    Rumqttc,
}

pub(crate) const ALL: &[Kind] = &[Kind::Paho, Kind::MqttJs, Kind::Rumqttc];
/// Those with DISCONNECT properties and reasons.
pub(crate) const SCRIPTED: &[Kind] = &[Kind::Paho, Kind::MqttJs];
/// Those that acknowledge by order.
pub(crate) const MANUAL: &[Kind] = &[Kind::Paho, Kind::Rumqttc];

/// One who takes commands and tells events.
pub(crate) trait Troupe {
    fn order(&mut self, command: Value);
    fn event(&mut self) -> Value;
}

struct Script(Process, Kind);

impl Troupe for Script {
    fn order(&mut self, command: Value) {
        self.0.write(&format!("{command}\n"));
    }

    fn event(&mut self) -> Value {
        serde_json::from_str(&self.0.stdout.line()).expect("an event in JSON")
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = self.0.stderr.text();
            eprintln!("--- this was with {:?}, which said: {said}---", self.1);
        }
    }
}

/// A broker and the clients of one kind.
pub(crate) struct Stage {
    pub(crate) broker: Broker,
    pub(crate) kind: Kind,
    troupe: RefCell<Box<dyn Troupe>>,
    /// Events that somebody has not asked for yet.
    waiting: RefCell<HashMap<String, VecDeque<Value>>>,
    /// How often each client identifier has left.
    departures: RefCell<HashMap<String, usize>>,
}

/// One client on the stage.
pub(crate) struct Client<'a> {
    stage: &'a Stage,
    name: String,
    id: String,
    pub(crate) connack: Value,
}

/// Plays with each of these kinds of client that the machine has, each with a
/// broker of its own. `conf` comes after a listener that lets everybody in.
pub(crate) fn each(kinds: &[Kind], conf: &str, play: impl Fn(&Stage) + Sync) {
    each_with(kinds, &|| Broker::start(&open(conf)), play);
}

/// The same with brokers that `start` starts. All kinds play at the same time.
pub(crate) fn each_with(
    kinds: &[Kind],
    start: &(dyn Fn() -> Broker + Sync),
    play: impl Fn(&Stage) + Sync,
) {
    std::thread::scope(|scope| {
        for &kind in kinds {
            let play = &play;
            scope.spawn(move || play_with(kind, start, play));
        }
    });
}

/// A configuration that lets everybody in, and these lines.
pub(crate) fn open(conf: &str) -> String {
    format!("listener {{port}}\nallow_anonymous true\nlog_type all\n{conf}\n")
}

fn play_with(kind: Kind, start: &dyn Fn() -> Broker, play: &dyn Fn(&Stage)) {
    let check = format!("a feature of MQTT 5 with {kind:?}");
    let script = |peer: Peer| -> Box<dyn Troupe> {
        Box::new(Script(Process::spawn(&mut peer.by_order()), kind))
    };
    let troupe: Box<dyn Troupe> = match kind {
        Kind::Paho if Peer::Paho.present_for(&check) => script(Peer::Paho),
        Kind::MqttJs if Peer::MqttJs.present_for(&check) => script(Peer::MqttJs),
        Kind::Rumqttc => Box::new(Rumqttc::default()),
        _ => return,
    };
    play(&Stage {
        broker: start(),
        kind,
        troupe: RefCell::new(troupe),
        waiting: RefCell::default(),
        departures: RefCell::default(),
    });
}

impl Stage {
    fn order(&self, name: &str, what: &str, fields: &Value) {
        let mut command = fields.as_object().cloned().unwrap_or_else(Map::new);
        command.insert("as".into(), name.into());
        command.insert("do".into(), what.into());
        self.troupe.borrow_mut().order(command.into());
    }

    /// The next event of a client that is `wanted`.
    fn event(&self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let mut waiting = self.waiting.borrow_mut();
            let events = waiting.entry(name.to_owned()).or_default();
            if let Some(index) = events.iter().position(&wanted) {
                return events.remove(index).expect("an event at its index");
            }
            let over = events.back().is_some_and(|event| event["got"] == "closed");
            assert!(!over, "{name} has ended: {events:?}");
            let event = self.troupe.borrow_mut().event();
            let who = event["as"].as_str().expect("a name").to_owned();
            waiting.entry(who).or_default().push_back(event);
        }
    }

    /// A client that connects with these fields, whatever the broker says.
    pub(crate) fn attempt(&self, name: &str, fields: &Value) -> Client<'_> {
        let mut fields = fields.clone();
        fields["port"] = self.broker.port.into();
        self.order(name, "connect", &fields);
        let id = fields["id"].as_str().unwrap_or(name).to_owned();
        Client {
            stage: self,
            name: name.to_owned(),
            id,
            connack: self.event(name, |_| true),
        }
    }

    /// A client that the broker takes.
    #[track_caller]
    pub(crate) fn connect_with(&self, name: &str, fields: &Value) -> Client<'_> {
        let client = self.attempt(name, fields);
        check(&client.connack, &json!({"got": "connack", "code": 0}));
        client
    }

    /// A client with clean start.
    #[track_caller]
    pub(crate) fn connect(&self, name: &str) -> Client<'_> {
        self.connect_with(name, &json!({}))
    }

    /// A client that takes its session up, if there is one, and keeps it for
    /// an hour.
    #[track_caller]
    pub(crate) fn resume(&self, name: &str) -> Client<'_> {
        let properties = json!({"sessionExpiryInterval": 3600});
        self.connect_with(name, &json!({"clean": false, "properties": properties}))
    }

    /// Waits until the broker knows that one more connection of a client is over.
    fn wait_for_departure(&self, id: &str) {
        let mut departures = self.departures.borrow_mut();
        let count = departures.entry(id.to_owned()).or_default();
        *count += 1;
        let starts = [
            format!("Client {id} disconnected"),
            format!("Client {id} closed its connection"),
            format!("Socket error on client {id}, disconnecting"),
        ];
        self.broker.process().stderr.wait_until(|log| {
            let over = |line: &&str| starts.iter().any(|start| line.contains(start));
            log.lines().filter(over).count() >= *count
        });
    }
}

impl Client<'_> {
    fn order(&self, what: &str, fields: &Value) {
        self.stage.order(&self.name, what, fields);
    }

    /// What happens to the client next.
    pub(crate) fn next(&self) -> Value {
        self.stage.event(&self.name, |_| true)
    }

    /// The answer to a command, with messages that come before it left for later.
    #[track_caller]
    fn answer(&self, got: &str) -> Value {
        self.stage.event(&self.name, |event| event["got"] == got)
    }

    /// The next event must have these fields and values.
    #[track_caller]
    pub(crate) fn expect(&self, fields: Value) -> Value {
        let event = self.next();
        check(&event, &fields);
        event
    }

    /// The next event must be a message with these fields and values.
    #[track_caller]
    pub(crate) fn message(&self, mut fields: Value) -> Value {
        fields["got"] = "message".into();
        self.expect(fields)
    }

    /// The next event must be a message with this payload.
    #[track_caller]
    pub(crate) fn payload(&self, payload: &str) -> Value {
        self.message(json!({"payload": payload}))
    }

    /// Subscribes without waiting for an answer.
    pub(crate) fn order_subscription(&self, filter: Value) {
        self.order("subscribe", &json!({"filters": [filter]}));
    }

    /// Subscribes as `fields` say; returns the reason codes.
    #[track_caller]
    pub(crate) fn subscribe_with(&self, fields: Value) -> Value {
        self.order("subscribe", &fields);
        self.answer("suback")["codes"].clone()
    }

    /// Subscribes, with this QoS granted.
    #[track_caller]
    pub(crate) fn subscribe(&self, filter: &str, qos: u8) {
        self.subscribe_to(json!({"filter": filter, "qos": qos}));
    }

    /// Subscribes with options; the QoS must be granted.
    #[track_caller]
    pub(crate) fn subscribe_to(&self, filter: Value) {
        let qos = filter["qos"].clone();
        let codes = self.subscribe_with(json!({"filters": [filter]}));
        assert_eq!(codes, json!([qos]));
    }

    /// Returns the reason codes.
    #[track_caller]
    pub(crate) fn unsubscribe(&self, filters: &[&str]) -> Value {
        self.order("unsubscribe", &json!({"filters": filters}));
        self.answer("unsuback")["codes"].clone()
    }

    /// Publishes without waiting for an answer.
    pub(crate) fn send(&self, fields: &Value) {
        self.order("publish", fields);
    }

    /// Publishes; returns the reason code of the answer, 0 for QoS 0.
    #[track_caller]
    pub(crate) fn publish_with(&self, fields: &Value) -> u64 {
        self.send(fields);
        match fields["qos"].as_u64() {
            Some(1..) => self.answer("published")["code"]
                .as_u64()
                .expect("a reason code"),
            _ => 0,
        }
    }

    /// Publishes with QoS 1; somebody must be there to receive it.
    #[track_caller]
    pub(crate) fn publish(&self, topic: &str, payload: &str) {
        let fields = json!({"topic": topic, "payload": payload, "qos": 1});
        assert_eq!(self.publish_with(&fields), 0);
    }

    pub(crate) fn acknowledge(&self) {
        self.order("acknowledge", &json!({}));
    }

    /// Says goodbye as `fields` say, and waits until the broker has heard it.
    pub(crate) fn leave_with(self, fields: Value) {
        self.order("disconnect", &fields);
        self.stage.wait_for_departure(&self.id);
        while self.next()["got"] != "closed" {}
    }

    pub(crate) fn leave(self) {
        self.leave_with(json!({}));
    }

    /// Closes the connection without DISCONNECT.
    pub(crate) fn vanish(self) {
        self.order("vanish", &json!({}));
        self.stage.wait_for_departure(&self.id);
        while self.next()["got"] != "closed" {}
    }

    /// The broker must end the connection with this reason.
    #[track_caller]
    pub(crate) fn expelled(&self, code: u8) {
        let event = self.expect(json!({"got": "disconnect"}));
        // paho overlooks a reason without properties after it.
        if self.stage.kind != Kind::Paho {
            check(&event, &json!({"code": code}));
        }
        self.expect(json!({"got": "closed"}));
    }
}

/// All of `fields` must be in the event.
#[track_caller]
fn check(event: &Value, fields: &Value) {
    for (name, value) in fields.as_object().expect("fields") {
        assert!(event[name] == *value, "expected {fields}, got {event}");
    }
}
