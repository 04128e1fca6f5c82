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
//! | `reset` | all clients vanish; answered with the event `reset` |
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
use std::sync::Mutex;

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

/// Scripts that no test uses now. An interpreter takes longer to start than
/// most tests take.
static IDLE: Mutex<Vec<(Kind, Process)>> = Mutex::new(Vec::new());

struct Script {
    kind: Kind,
    /// Always there, until it is dropped.
    process: Option<Process>,
}

impl Script {
    fn take(kind: Kind, peer: Peer) -> Self {
        let mut idle = IDLE.lock().unwrap();
        let found = idle.iter().position(|(other, _)| *other == kind);
        let process = match found {
            Some(index) => idle.remove(index).1,
            None => Process::spawn(&mut peer.by_order()),
        };
        let process = Some(process);
        Self { kind, process }
    }
}

impl Troupe for Script {
    fn order(&mut self, command: Value) {
        let process = self.process.as_mut().expect("a script");
        process.write(&format!("{command}\n"));
    }

    fn event(&mut self) -> Value {
        let line = self.process.as_ref().expect("a script").stdout.line();
        serde_json::from_str(&line).expect("an event in JSON")
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = self.process.as_ref().map(|process| process.stderr.text());
            eprintln!("--- this was with {:?}, which said: {said:?}---", self.kind);
            return;
        }
        self.order(json!({"do": "reset", "as": ""}));
        while self.event()["got"] != "reset" {}
        let process = self.process.take().expect("a script");
        IDLE.lock().unwrap().push((self.kind, process));
    }
}

/// A broker and the clients of one kind.
pub(crate) struct Stage {
    pub(crate) broker: Broker,
    pub(crate) kind: Kind,
    troupe: RefCell<Box<dyn Troupe>>,
    /// Events that somebody has not asked for yet.
    waiting: RefCell<HashMap<String, VecDeque<Value>>>,
    /// How often each of these was waited for in the log.
    seen: RefCell<HashMap<String, usize>>,
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
    let script = |peer: Peer| -> Box<dyn Troupe> { Box::new(Script::take(kind, peer)) };
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
        seen: RefCell::default(),
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
        self.wait_for_one_more(&[
            format!("Client {id} disconnected"),
            format!("Client {id} closed its connection"),
            format!("Socket error on client {id}, disconnecting"),
        ]);
    }

    /// Waits until one of these is once more in the broker's log.
    fn wait_for_one_more(&self, texts: &[String]) {
        let mut seen = self.seen.borrow_mut();
        let count = seen.entry(texts[0].clone()).or_default();
        *count += 1;
        self.broker.process().stderr.wait_until(|log| {
            let mine = |line: &&str| texts.iter().any(|text| line.contains(text));
            log.lines().filter(mine).count() >= *count
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

    /// Acknowledges the oldest message, of QoS 1, and waits until the broker
    /// knows.
    pub(crate) fn acknowledge(&self) {
        self.order("acknowledge", &json!({}));
        self.acknowledged();
    }

    /// Waits until the broker knows of one more acknowledgement of QoS 1.
    pub(crate) fn acknowledged(&self) {
        let line = format!("Received PUBACK from {} ", self.id);
        self.stage.wait_for_one_more(&[line]);
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

    /// The broker must end the connection with this reason. Only mqtt.js reads
    /// a reason without properties after it: paho overlooks it, and rumqttc
    /// takes the DISCONNECT for half a packet.
    #[track_caller]
    pub(crate) fn expelled(&self, code: u8) {
        match self.stage.kind {
            Kind::MqttJs => drop(self.expect(json!({"got": "disconnect", "code": code}))),
            Kind::Paho => drop(self.expect(json!({"got": "disconnect"}))),
            Kind::Rumqttc => {}
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
