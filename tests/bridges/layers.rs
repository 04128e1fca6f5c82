//! Bridges over TLS and WebSocket.

use crate::ca::Ca;
use crate::common::broker::{Broker, Setup};
use crate::common::raw::{Connect, Raw, publish};
use crate::far::{Far, conf, connected};

fn client(port: u16, id: &str) -> Raw {
    Raw::client(port, &Connect::new(id)).0
}

/// A far broker with a second listener of these lines, on its own port.
fn far(kind: Far, setup: Setup, lines: &str) -> (Broker, u16) {
    let port = crate::common::broker::free_port();
    let conf = format!(
        "per_listener_settings false\nallow_anonymous true\n\
         listener {{port}} 127.0.0.1\nlistener {port} 127.0.0.1\n{lines}\n"
    );
    (kind.start(setup, &conf), port)
}

fn passes(near: &Broker, far: &Broker) {
    let (mut here, mut there) = (client(near.port, "n"), client(far.port, "f"));
    there.subscribe("up/#", 0);
    here.subscribe("down/#", 0);
    here.send(&publish("up/é", "1", false));
    there.expect(&publish("up/é", "1", false));
    there.send(&publish("down/é", "2", false));
    here.expect(&publish("down/é", "2", false));
}

const TOPICS: &str = "topic up/# out 1\ntopic down/# in 1\n";

#[test]
fn a_bridge_speaks_tls_and_shows_its_certificate() {
    for kind in Far::all("a bridge to Mosquitto over TLS") {
        let setup = Setup::new();
        let ca = Ca::new(setup.path("").as_path(), "an authority");
        let server = ca.issue(&["localhost", "127.0.0.1"]);
        let mine = ca.issue_to("bridge");
        let lines = format!(
            "cafile {}\n{}\nrequire_certificate true\n",
            ca.path(),
            server.lines()
        );
        let (far_broker, port) = far(kind, setup, &lines);
        let lines = format!(
            "{TOPICS}bridge_cafile {}\n{}\nbridge_alpn mqtt\nbridge_tls_version tlsv1.2\n",
            ca.path(),
            mine.lines()
                .replace("certfile", "bridge_certfile")
                .replace("keyfile", "bridge_keyfile"),
        );
        let near = Broker::start(&conf(port, &lines));
        connected(&near);
        passes(&near, &far_broker);
    }
}

#[test]
fn whom_to_trust_and_which_ciphers_may_be_told_in_every_way() {
    let setup = Setup::new();
    let ca = Ca::new(setup.path("").as_path(), "an authority");
    let server = ca.issue(&["localhost", "127.0.0.1"]);
    let trusted = setup.path("trusted");
    std::fs::create_dir(&trusted).expect("a directory");
    std::fs::copy(&ca.file, trusted.join("ca.crt")).expect("a copy");
    let (far_broker, port) = far(Far::Ours, setup, &server.lines());
    let trusted = trusted.display();
    for lines in [
        format!("bridge_capath {trusted}\nbridge_tls_version tlsv1.3\n"),
        format!(
            "bridge_capath {trusted}\nbridge_ciphers ECDHE-ECDSA-AES128-GCM-SHA256\n\
             bridge_ciphers_tls1.3 TLS_AES_128_GCM_SHA256\n"
        ),
    ] {
        let near = Broker::start(&conf(port, &format!("{TOPICS}{lines}")));
        connected(&near);
        passes(&near, &far_broker);
    }
    // The system trusts no authority of a test.
    let lines = format!("{TOPICS}bridge_tls_use_os_certs true\n");
    let near = Broker::start(&conf(port, &lines));
    near.process().stderr.wait_for("next attempt in");
    assert!(near.log().contains("certificate"), "the log says why");
}

#[test]
fn a_certificate_for_another_name_is_refused_unless_told_otherwise() {
    let setup = Setup::new();
    let ca = Ca::new(setup.path("").as_path(), "an authority");
    let server = ca.issue(&["elsewhere.example"]);
    let (far_broker, port) = far(Far::Ours, setup, &server.lines());
    let lines = format!("{TOPICS}bridge_cafile {}\n", ca.path());
    let near = Broker::start(&conf(port, &lines));
    near.process().stderr.wait_for("next attempt in");
    assert!(
        near.log().contains("elsewhere.example"),
        "the log says which name"
    );
    drop(near);
    let near = Broker::start(&conf(port, &format!("{lines}bridge_insecure true\n")));
    connected(&near);
    passes(&near, &far_broker);
}

#[test]
fn a_bridge_goes_over_websocket() {
    let (far_broker, port) = far(Far::Ours, Setup::new(), "protocol websockets");
    let conf = conf(port, TOPICS).replace(
        &format!("address 127.0.0.1:{port}"),
        &format!("address ws://127.0.0.1:{port}/mqtt"),
    );
    let near = Broker::start(&conf);
    connected(&near);
    passes(&near, &far_broker);
}

#[test]
fn a_bridge_goes_over_websocket_and_tls() {
    let setup = Setup::new();
    let ca = Ca::new(setup.path("").as_path(), "an authority");
    let server = ca.issue(&["localhost", "127.0.0.1"]);
    let lines = format!("protocol websockets\n{}", server.lines());
    let (far_broker, port) = far(Far::Ours, setup, &lines);
    let lines = format!("{TOPICS}bridge_cafile {}\n", ca.path());
    let conf = conf(port, &lines).replace(
        &format!("address 127.0.0.1:{port}"),
        &format!("address wss://127.0.0.1:{port}"),
    );
    let near = Broker::start(&conf);
    connected(&near);
    passes(&near, &far_broker);
}

#[cfg(feature = "psk")]
#[test]
fn a_bridge_has_a_key_in_common_with_the_other_broker() {
    for kind in Far::all("a bridge to Mosquitto by a pre-shared key") {
        let setup = Setup::new();
        let keys = setup.write("keys", "bridge:00112233445566778899aabbccddeeff\n");
        let lines = format!("psk_hint hint\npsk_file {}\n", keys.display());
        let (far_broker, port) = far(kind, setup, &lines);
        let lines = format!(
            "{TOPICS}bridge_identity bridge\nbridge_psk 00112233445566778899aabbccddeeff\n"
        );
        let near = Broker::start(&conf(port, &lines));
        connected(&near);
        passes(&near, &far_broker);
    }
}
