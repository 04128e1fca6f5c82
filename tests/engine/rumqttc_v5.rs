//! rumqttd with rumqttc and MQTT 5.

use crate::common::broker::OPEN;
use crate::start;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{LastWill, Packet};
use rumqttc::v5::{Client, Event, MqttOptions};

#[allow(clippy::duplicate_mod, dead_code)] // with this version's types
#[path = "../foreign/rumqttc_play.rs"]
mod play;

const NAME: &str = "rumqttc-v5";

fn set_session(options: &mut MqttOptions, keep: bool) {
    options.set_clean_start(!keep);
}

fn will(topic: &str) -> LastWill {
    LastWill::new(topic, "gone", QoS::AtLeastOnce, false, None)
}

#[test]
fn rumqttc_with_mqtt_5() {
    let broker = start(OPEN);
    play::exchange(broker.port);
}
