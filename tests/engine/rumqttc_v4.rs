//! rumqttd with rumqttc, which comes from the same house: MQTT 3.1.1.

use crate::common::broker::OPEN;
use crate::start;
use rumqttc::{Client, Event, LastWill, MqttOptions, Packet, QoS};

#[allow(clippy::duplicate_mod, dead_code)] // rumqttd does not stand the whole play
#[path = "../foreign/rumqttc_play.rs"]
mod play;

const NAME: &str = "rumqttc-v4";

fn set_session(options: &mut MqttOptions, keep: bool) {
    options.set_clean_session(!keep);
}

fn will(topic: &str) -> LastWill {
    LastWill::new(topic, "gone", QoS::AtLeastOnce, false)
}

#[test]
fn rumqttc_with_mqtt_311() {
    let broker = start(OPEN);
    play::exchange(broker.port);
}
