//! All clients and all versions on one port at the same time.

use crate::common::Program;
use crate::common::broker::Broker;
use crate::common::clients::{Subscriber, at};
use crate::common::peers::Peer;
use crate::common::process::run;
use crate::{rumqttc_v4, rumqttc_v5, scripted};
use std::thread;

#[test]
fn every_client_at_once_on_one_port() {
    let broker = Broker::open();
    let port = broker.port;
    thread::scope(|scope| {
        for peer in [Peer::Paho, Peer::MqttJs] {
            if peer.present_for("all clients at once") {
                for version in [3, 4, 5] {
                    scope.spawn(move || scripted::play(peer, port, version));
                }
            }
        }
        scope.spawn(move || rumqttc_v4::play(port));
        scope.spawn(move || rumqttc_v5::play(port));
    });
}

#[test]
fn a_message_passes_between_all_versions() {
    if !Peer::MosquittoClients.present_for("messages between all versions") {
        return;
    }
    let broker = Broker::open();
    let versions = ["mqttv31", "mqttv311", "mqttv5"];
    let subscribers = versions.map(|version| {
        let args = ["-V", version, "-t", "bus/#", "-q", "2", "-F", "%q %t %p"];
        Subscriber::with(Program::Sub.mosquitto(), &broker, &args)
    });
    for version in versions {
        for qos in ["0", "1", "2"] {
            let mut program = Program::Pub.mosquitto();
            let topic = format!("bus/{version}");
            at(&mut program, broker.port).args(["-V", version, "-q", qos]);
            run(program.args(["-t", &topic, "-m", "hé"])).expect_code(0);
            for subscriber in &subscribers {
                subscriber.expect(&format!("{qos} bus/{version} hé"));
            }
        }
    }
}
