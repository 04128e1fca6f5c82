//! rumqttc with MQTT 3.1.1.

use crate::common::broker::Broker;
use rumqttc::{Client, Event, LastWill, MqttOptions, Packet, QoS};

#[path = "rumqttc_play.rs"]
mod play;
pub(crate) use play::play;

const NAME: &str = "rumqttc-v4";

fn set_session(options: &mut MqttOptions, keep: bool) {
    options.set_clean_session(!keep);
}

fn will(topic: &str) -> LastWill {
    LastWill::new(topic, "gone", QoS::AtLeastOnce, false)
}

#[test]
fn rumqttc_with_mqtt_311() {
    let broker = Broker::open();
    play(broker.port);
}
