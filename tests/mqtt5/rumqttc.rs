//! rumqttc by order, in this process. `stage.rs` lists commands and events.

use crate::common::TIMEOUT;
use crate::stage::Troupe;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectProperties, Filter, LastWill, LastWillProperties, Packet, Publish,
    PublishProperties, RetainForwardRule, SubscribeProperties,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tokio::sync::Notify;

pub(crate) struct Rumqttc {
    players: HashMap<String, Player>,
    sender: Sender<Value>,
    events: Receiver<Value>,
}

impl Default for Rumqttc {
    fn default() -> Self {
        let (sender, events) = channel();
        Self {
            players: HashMap::new(),
            sender,
            events,
        }
    }
}

struct Player {
    client: AsyncClient,
    vanish: Arc<Notify>,
    unacknowledged: Arc<Mutex<Vec<Publish>>>,
}

impl Troupe for Rumqttc {
    fn order(&mut self, command: Value) {
        let name = command["as"].as_str().expect("a name").to_owned();
        if command["do"] == "connect" {
            let player = Player::connect(name.clone(), &command, self.sender.clone());
            self.players.insert(name, player);
        } else {
            self.players[&name].obey(&command);
        }
    }

    fn event(&mut self) -> Value {
        self.events.recv_timeout(TIMEOUT).expect("an event in time")
    }
}

impl Player {
    fn connect(name: String, order: &Value, events: Sender<Value>) -> Self {
        let id = order["id"].as_str().unwrap_or(&name);
        let port = order["port"].as_u64().expect("a port") as u16;
        let mut options = MqttOptions::new(id, "127.0.0.1", port);
        options.set_clean_start(order["clean"].as_bool().unwrap_or(true));
        options.set_keep_alive(Duration::from_secs(
            number(&order["keepalive"]).unwrap_or(60),
        ));
        options.set_connect_properties(connect_properties(&order["properties"]));
        options.set_manual_acks(order["manual"].as_bool().unwrap_or(false));
        if let Some(user) = order["username"].as_str() {
            options.set_credentials(user, order["password"].as_str().unwrap_or(""));
        }
        if let will @ Value::Object(_) = &order["will"] {
            options.set_last_will(last_will(will));
        }
        let (client, connection) = AsyncClient::new(options, 1000);
        let driver = Driver {
            name,
            events,
            vanish: Arc::default(),
            unacknowledged: Arc::default(),
            aliases: HashMap::new(),
        };
        let player = Self {
            client,
            vanish: Arc::clone(&driver.vanish),
            unacknowledged: Arc::clone(&driver.unacknowledged),
        };
        thread::spawn(move || driver.drive(connection));
        player
    }

    fn obey(&self, order: &Value) {
        let client = &self.client;
        let done = match order["do"].as_str().expect("a command") {
            "subscribe" => {
                let filters = items(&order["filters"]).map(filter);
                let properties = SubscribeProperties {
                    id: number(&order["properties"]["subscriptionIdentifier"]).map(|n| n as usize),
                    user_properties: pairs(&order["properties"]["userProperties"]),
                };
                client.try_subscribe_many_with_properties(filters, properties)
            }
            // It has no UNSUBSCRIBE with several filters.
            "unsubscribe" => client.try_unsubscribe(string(&order["filters"][0])),
            "publish" => client.try_publish_with_properties(
                string(&order["topic"]),
                level(&order["qos"]),
                order["retain"].as_bool().unwrap_or(false),
                string(&order["payload"]),
                publish_properties(&order["properties"]),
            ),
            "acknowledge" => client.try_ack(&self.unacknowledged.lock().unwrap().remove(0)),
            "disconnect" => client.try_disconnect(),
            "vanish" => {
                self.vanish.notify_one();
                Ok(())
            }
            other => panic!("unknown command {other}"),
        };
        done.expect("a command that rumqttc can follow");
    }
}

/// The thread on which a client's connection runs.
struct Driver {
    name: String,
    events: Sender<Value>,
    vanish: Arc<Notify>,
    unacknowledged: Arc<Mutex<Vec<Publish>>>,
    aliases: HashMap<u16, String>,
}

impl Driver {
    fn drive(mut self, mut connection: EventLoop) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let vanish = Arc::clone(&self.vanish);
        let mut why = String::new();
        runtime.block_on(async {
            loop {
                let event = tokio::select! {
                    () = vanish.notified() => break,
                    event = connection.poll() => event,
                };
                match event {
                    Ok(Event::Incoming(packet)) => self.packet(packet),
                    Ok(Event::Outgoing(_)) => {}
                    Err(ConnectionError::ConnectionRefused(code)) => {
                        self.tell("connack", json!({"present": false, "code": reason(&code)}));
                        break;
                    }
                    Err(error) => {
                        why = error.to_string();
                        break;
                    }
                }
            }
        });
        drop(connection);
        // Only for whoever reads of a test that failed.
        self.tell("closed", json!({"why": why}));
    }

    fn tell(&self, got: &str, mut event: Value) {
        event["as"] = self.name.as_str().into();
        event["got"] = got.into();
        let _ = self.events.send(event); // the test may be over
    }

    fn packet(&mut self, packet: Packet) {
        match packet {
            Packet::ConnAck(ack) => {
                let (present, properties) = (ack.session_present, connack_properties(&ack));
                let event = json!({"present": present, "code": reason(&ack.code), "properties": properties});
                self.tell("connack", event);
            }
            Packet::SubAck(ack) => {
                let codes: Vec<_> = ack.return_codes.iter().map(reason).collect();
                self.tell("suback", json!({"codes": codes}));
            }
            Packet::UnsubAck(ack) => {
                let codes: Vec<_> = ack.reasons.iter().map(reason).collect();
                self.tell("unsuback", json!({"codes": codes}));
            }
            Packet::PubAck(ack) => self.tell("published", json!({"code": reason(&ack.reason)})),
            Packet::PubComp(ack) => self.tell("published", json!({"code": reason(&ack.reason)})),
            Packet::PubRec(ack) if reason(&ack.reason) >= 0x80 => {
                self.tell("published", json!({"code": reason(&ack.reason)}));
            }
            Packet::Publish(publish) => self.message(publish),
            _ => {}
        }
    }

    fn message(&mut self, publish: Publish) {
        let sent = String::from_utf8_lossy(&publish.topic).into_owned();
        let mut topic = sent.clone();
        let properties = publish.properties.clone().unwrap_or_default();
        if let Some(alias) = properties.topic_alias {
            if sent.is_empty() {
                topic.clone_from(&self.aliases[&alias]);
            } else {
                self.aliases.insert(alias, sent.clone());
            }
        }
        let event = json!({
            "topic": topic,
            "sent": sent,
            "payload": String::from_utf8_lossy(&publish.payload),
            "qos": publish.qos as u8,
            "retain": publish.retain,
            "dup": publish.dup,
            "properties": message_properties(&properties),
        });
        if publish.qos != QoS::AtMostOnce {
            self.unacknowledged.lock().unwrap().push(publish);
        }
        self.tell("message", event);
    }
}

fn connect_properties(of: &Value) -> ConnectProperties {
    ConnectProperties {
        session_expiry_interval: number(&of["sessionExpiryInterval"]).map(|n| n as u32),
        receive_maximum: number(&of["receiveMaximum"]).map(|n| n as u16),
        max_packet_size: number(&of["maximumPacketSize"]).map(|n| n as u32),
        topic_alias_max: number(&of["topicAliasMaximum"]).map(|n| n as u16),
        request_response_info: number(&of["requestResponseInformation"]).map(|n| n as u8),
        request_problem_info: number(&of["requestProblemInformation"]).map(|n| n as u8),
        user_properties: pairs(&of["userProperties"]),
        authentication_method: text(&of["authenticationMethod"]),
        authentication_data: None,
    }
}

fn publish_properties(of: &Value) -> PublishProperties {
    PublishProperties {
        payload_format_indicator: number(&of["payloadFormatIndicator"]).map(|n| n as u8),
        message_expiry_interval: number(&of["messageExpiryInterval"]).map(|n| n as u32),
        topic_alias: number(&of["topicAlias"]).map(|n| n as u16),
        response_topic: text(&of["responseTopic"]),
        correlation_data: text(&of["correlationData"]).map(Into::into),
        user_properties: pairs(&of["userProperties"]),
        subscription_identifiers: Vec::new(),
        content_type: text(&of["contentType"]),
    }
}

fn last_will(will: &Value) -> LastWill {
    let of = &will["properties"];
    let same = publish_properties(of);
    let properties = LastWillProperties {
        delay_interval: number(&of["willDelayInterval"]).map(|n| n as u32),
        payload_format_indicator: same.payload_format_indicator,
        message_expiry_interval: same.message_expiry_interval,
        content_type: same.content_type,
        response_topic: same.response_topic,
        correlation_data: same.correlation_data,
        user_properties: same.user_properties,
    };
    let retain = will["retain"].as_bool().unwrap_or(false);
    let (topic, payload) = (string(&will["topic"]), string(&will["payload"]));
    LastWill::new(
        topic,
        payload,
        level(&will["qos"]),
        retain,
        Some(properties),
    )
}

fn filter(of: &Value) -> Filter {
    let flag = |name: &str| of[name].as_bool().unwrap_or(false);
    let mut filter = Filter::new(string(&of["filter"]), level(&of["qos"]));
    filter.nolocal = flag("noLocal");
    filter.preserve_retain = flag("retainAsPublished");
    filter.retain_forward_rule = match number(&of["retainHandling"]) {
        Some(1) => RetainForwardRule::OnNewSubscribe,
        Some(2) => RetainForwardRule::Never,
        _ => RetainForwardRule::OnEverySubscribe,
    };
    filter
}

fn connack_properties(ack: &ConnAck) -> Value {
    let Some(of) = &ack.properties else {
        return json!({});
    };
    without_null(json!({
        "sessionExpiryInterval": of.session_expiry_interval,
        "receiveMaximum": of.receive_max,
        "maximumQoS": of.max_qos,
        "retainAvailable": of.retain_available,
        "maximumPacketSize": of.max_packet_size,
        "assignedClientIdentifier": of.assigned_client_identifier,
        "topicAliasMaximum": of.topic_alias_max,
        "reasonString": of.reason_string,
        "serverKeepAlive": of.server_keep_alive,
    }))
}

fn message_properties(of: &PublishProperties) -> Value {
    let some = |list: Value| if list == json!([]) { Value::Null } else { list };
    let data = of.correlation_data.as_deref().map(String::from_utf8_lossy);
    without_null(json!({
        "payloadFormatIndicator": of.payload_format_indicator,
        "messageExpiryInterval": of.message_expiry_interval,
        "topicAlias": of.topic_alias,
        "responseTopic": of.response_topic,
        "correlationData": data,
        "userProperties": some(json!(of.user_properties)),
        "subscriptionIdentifier": some(json!(of.subscription_identifiers)),
        "contentType": of.content_type,
    }))
}

fn without_null(value: Value) -> Value {
    let Value::Object(fields) = value else {
        return value;
    };
    let present = fields.into_iter().filter(|(_, value)| !value.is_null());
    present.collect::<Map<_, _>>().into()
}

/// The number of a reason code, from the name that rumqttc has for it.
fn reason(code: &impl std::fmt::Debug) -> u8 {
    match format!("{code:?}").as_str() {
        "Success" | "Success(AtMostOnce)" => 0x00,
        "Success(AtLeastOnce)" => 0x01,
        "Success(ExactlyOnce)" => 0x02,
        "NoMatchingSubscribers" => 0x10,
        "NoSubscriptionExisted" => 0x11,
        "UnspecifiedError" => 0x80,
        "ClientIdentifierNotValid" => 0x85,
        "NotAuthorized" => 0x87,
        "BadAuthenticationMethod" => 0x8c,
        "PacketIdentifierNotFound" => 0x92,
        "QuotaExceeded" => 0x97,
        "RetainNotSupported" => 0x9a,
        "QoSNotSupported" => 0x9b,
        "UnsupportedProtocolVersion" => 0x84,
        other => panic!("which reason code is {other}?"),
    }
}

fn level(qos: &Value) -> QoS {
    match number(qos) {
        Some(1) => QoS::AtLeastOnce,
        Some(2) => QoS::ExactlyOnce,
        _ => QoS::AtMostOnce,
    }
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(Into::into)
}

fn string(value: &Value) -> String {
    text(value).expect("a text")
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn pairs(value: &Value) -> Vec<(String, String)> {
    items(value)
        .map(|pair| (string(&pair[0]), string(&pair[1])))
        .collect()
}
