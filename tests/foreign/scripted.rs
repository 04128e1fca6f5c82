//! paho-mqtt and mqtt.js. Their scripts in `tests/peers` play QoS 0, 1 and 2
//! both ways, retained messages, the will and persistent sessions.

use crate::common::broker::Broker;
use crate::common::peers::Peer;
use crate::common::process::Process;
use std::time::Duration;

/// Plays a script in full.
pub(crate) fn play(peer: Peer, port: u16, version: u8) {
    let prefix = format!("{peer:?}-{version}");
    let mut command = peer.command();
    command.args([&port.to_string(), &version.to_string(), &prefix]);
    // An interpreter that starts on a busy machine takes its time.
    let done = Process::spawn(&mut command)
        .finish_within(Duration::from_secs(60))
        .expect_code(0);
    assert_eq!(done.stdout, "ok\n");
}

fn check(peer: Peer, version: u8) {
    if peer.present_for(&format!(
        "the broker with {peer:?}, protocol level {version}"
    )) {
        let broker = Broker::open();
        play(peer, broker.port, version);
    }
}

#[test]
fn paho_with_mqtt_31() {
    check(Peer::Paho, 3);
}

#[test]
fn paho_with_mqtt_311() {
    check(Peer::Paho, 4);
}

#[test]
fn paho_with_mqtt_5() {
    check(Peer::Paho, 5);
}

#[test]
fn mqttjs_with_mqtt_31() {
    check(Peer::MqttJs, 3);
}

#[test]
fn mqttjs_with_mqtt_311() {
    check(Peer::MqttJs, 4);
}

#[test]
fn mqttjs_with_mqtt_5() {
    check(Peer::MqttJs, 5);
}
