//! rumqttc with MQTT 5.

use crate::common::broker::Broker;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{LastWill, Packet};
use rumqttc::v5::{Client, Event, MqttOptions};

#[path = "rumqttc_play.rs"]
#[allow(clippy::duplicate_mod)] // the same play with this version's types
mod play;
pub(crate) use play::play;

const NAME: &str = "rumqttc-v5";

fn set_session(options: &mut MqttOptions, keep: bool) {
    options.set_clean_start(!keep);
    options.set_session_expiry_interval(keep.then_some(100));
}

fn will(topic: &str) -> LastWill {
    LastWill::new(topic, "gone", QoS::AtLeastOnce, false, None)
}

#[test]
fn rumqttc_with_mqtt_5() {
    let broker = Broker::open();
    play(broker.port);
}
