//! Brokers of ours that are bridged in a ring, with MQTT 5.

use crate::common::broker::{Broker, Setup};
use crate::common::raw::{Connect, Raw, publish, publish_qos};
use crate::far::await_state;

/// Three brokers, each with a bridge to the next one that shares everything.
fn ring(qos: u8) -> [Broker; 3] {
    let setups = [Setup::new(), Setup::new(), Setup::new()];
    let ports = [0, 1, 2].map(|index: usize| setups[index].port());
    let mut index = 0;
    let brokers = setups.map(|setup| {
        index += 1;
        let next = ports[index % 3];
        setup.start(&format!(
            "listener {{port}} 127.0.0.1\nallow_anonymous true\nconnection b\n\
             address 127.0.0.1:{next}\nremote_clientid from{index}\nrestart_timeout 1\n\
             bridge_protocol_version mqttv50\ntopic t/# both {qos}\ntopic end/# both 1\n"
        ))
    });
    for (index, broker) in (1..).zip(&brokers) {
        await_state(broker, &format!("from{index}"), "1");
    }
    brokers
}

#[test]
fn in_a_ring_of_three_each_message_is_delivered_once_on_each_broker() {
    for qos in [0, 1, 2] {
        let brokers = ring(qos);
        let mut clients = brokers.each_ref().map(|broker| {
            let (mut raw, _) = Raw::client(broker.port, &Connect::new("watch"));
            raw.subscribe("#", 0);
            raw
        });
        for source in 0..3 {
            let payload = format!("from {source}");
            clients[source].send(&match qos {
                0 => publish("t/é", &payload, false),
                qos => publish_qos("t/é", &payload, qos, 1),
            });
            let own = match qos {
                1 => vec![0x40, 2, 0, 1],
                2 => vec![0x50, 2, 0, 1],
                _ => Vec::new(),
            };
            for (index, client) in clients.iter_mut().enumerate() {
                let message = publish("t/é", &payload, false);
                let mut expected = vec![message];
                if index == source && qos > 0 {
                    expected.push(own.clone());
                }
                while !expected.is_empty() {
                    let got = client.packet();
                    let known = expected.iter().position(|packet| *packet == got);
                    expected.remove(known.unwrap_or_else(|| panic!("QoS {qos}: {got:02x?}")));
                }
            }
            if qos == 2 {
                clients[source].send(&[0x62, 2, 0, 1]);
                clients[source].expect(&[0x70, 2, 0, 1]);
            }
        }
        // What still went around would come before one that follows it around.
        for source in 0..3 {
            let topic = format!("end/{source}");
            clients[source].send(&publish(&topic, "x", false));
            for client in &mut clients {
                client.expect(&publish(&topic, "x", false));
            }
        }
    }
}
