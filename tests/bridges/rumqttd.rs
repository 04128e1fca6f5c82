//! A bridge to rumqttd, which our program serves with the feature `peers`.

use crate::common::broker::{OPEN, Setup};
use crate::common::raw::{Connect, Raw, publish, publish_qos};
use crate::far::bridged;

fn client(port: u16, id: &str) -> Raw {
    Raw::client(port, &Connect::new(id)).0
}

#[test]
fn messages_go_to_rumqttd_and_come_from_it() {
    for version in ["mqttv311", "mqttv50"] {
        let setup = Setup::new();
        let mut command = setup.command(OPEN);
        command.args(["--engine", "rumqttd"]);
        let far = setup.start_command(command);
        let lines = format!(
            "bridge_protocol_version {version}\ntopic up/# out 1\ntopic down/# in 1\ntopic twice/# out 2\n"
        );
        let near = bridged(far.port, &lines);
        let (mut here, mut there) = (client(near.port, "n"), client(far.port, "f"));
        there.subscribe("#", 0);
        here.subscribe("down/#", 0);
        for id in 1..=100 {
            let payload = format!("message {id}");
            here.send(&publish_qos("up/a", &payload, 1, id));
            here.expect(&[0x40, 2, 0, id as u8]);
            there.expect(&publish("up/a", &payload, false));
            there.send(&publish("down/a", &payload, false));
            there.expect(&publish("down/a", &payload, false));
            here.expect(&publish("down/a", &payload, false));
        }
        here.send(&publish_qos("twice/a", "exactly once", 2, 1));
        here.expect(&[0x50, 2, 0, 1]);
        here.send(&[0x62, 2, 0, 1]);
        here.expect(&[0x70, 2, 0, 1]);
        there.expect(&publish("twice/a", "exactly once", false));
    }
}
