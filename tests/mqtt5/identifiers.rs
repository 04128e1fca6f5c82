//! Who a client is, which versions it may speak, and its keep alive.

use crate::common::broker::{Broker, Setup};
use crate::common::oracle_differs;
use crate::stage::{ALL, Kind, SCRIPTED, each, each_with, open};
use serde_json::{Value, json};

fn assigned(connack: &Value) -> String {
    let id = &connack["properties"]["assignedClientIdentifier"];
    id.as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_client_without_identifier_is_told_the_one_it_gets() {
    each(ALL, "auto_id_prefix robot-", |stage| {
        let nameless = |who: &str| assigned(&stage.connect_with(who, &json!({"id": ""})).connack);
        let (one, two) = (nameless("one"), nameless("two"));
        assert!(one.starts_with("robot-") && one.len() > 12, "{one}");
        assert_ne!(one, two);
        let named = stage.connect("named");
        assert_eq!(assigned(&named.connack), "", "it has one");
    });
}

#[test]
fn an_assigned_identifier_names_a_session_to_return_to() {
    each(ALL, "", |stage| {
        let properties = json!({"sessionExpiryInterval": 100});
        let first = json!({"id": "", "properties": properties});
        let first = stage.connect_with("first", &first);
        first.subscribe("t", 1);
        let id = assigned(&first.connack);
        assert!(id.starts_with("auto-"), "{id}");
        let again = json!({"id": id, "clean": false, "properties": properties});
        let again = stage.connect_with("again", &again);
        assert_eq!(again.connack["present"], true);
        stage.connect("sender").publish("t", "x");
        again.payload("x");
    });
}

#[test]
fn identifiers_can_be_required() {
    each(ALL, "allow_zero_length_clientid false", |stage| {
        let nameless = stage.attempt("nameless", &json!({"id": ""}));
        if !oracle_differs("Mosquitto answers 0x80, unspecified error") {
            assert_eq!(nameless.connack["code"], 0x85);
        }
        nameless.expect(json!({"got": "closed"}));
        stage.connect("named");
    });
}

#[test]
fn the_user_name_can_be_the_identifier() {
    each(ALL, "use_username_as_clientid true", |stage| {
        let user = json!({
            "id": "whatever", "username": "ana", "password": "p", "clean": false,
            "properties": {"sessionExpiryInterval": 100},
        });
        let first = stage.connect_with("first", &user);
        first.subscribe("t", 1);
        stage.broker.process().stderr.wait_for(" as ana (p5,");
        let second = stage.connect_with("second", &user);
        assert_eq!(second.connack["present"], true);
        let nobody = stage.attempt("nobody", &json!({}));
        assert_eq!(nobody.connack["code"], 0x87);
    });
}

#[test]
fn identifiers_can_be_required_to_begin_alike() {
    each(ALL, "clientid_prefixes house-", |stage| {
        stage.connect("house-lamp");
        let stranger = stage.attempt("stranger", &json!({}));
        assert_eq!(stranger.connack["code"], 0x87);
        stranger.expect(json!({"got": "closed"}));
    });
}

#[test]
fn a_listener_can_refuse_versions() {
    if oracle_differs("Mosquitto 2.0 has no accept_protocol_versions") {
        return;
    }
    each(&[Kind::MqttJs], "accept_protocol_versions 3,5", |stage| {
        for (version, code) in [(3, 0), (4, 1), (5, 0)] {
            let client = stage.attempt(&format!("v{version}"), &json!({"version": version}));
            assert_eq!(client.connack["code"], code, "version {version}");
        }
    });
    each(ALL, "accept_protocol_versions 3,4", |stage| {
        assert_eq!(stage.attempt("c", &json!({})).connack["code"], 0x84);
    });
}

#[test]
fn the_broker_sets_the_keep_alive_of_those_that_want_a_longer_one() {
    each(SCRIPTED, "max_keepalive 60", |stage| {
        let told = |seconds: u64| {
            let client = stage.connect_with("c", &json!({"keepalive": seconds}));
            let told = client.connack["properties"]["serverKeepAlive"].clone();
            client.leave();
            told
        };
        assert_eq!(told(61), 60);
        assert_eq!(told(60), json!(null));
        assert_eq!(told(10), json!(null));
        assert_eq!(told(0), 60);
        if oracle_differs("Mosquitto refuses MQTT 3.1 by closing") {
            return;
        }
        let old = stage.attempt("old", &json!({"version": 4, "keepalive": 100}));
        assert_ne!(old.connack["code"], 0);
    });
}

#[test]
fn a_client_uses_the_keep_alive_that_it_is_told() {
    // rumqttc refuses a keep alive that would not be told to a broker.
    each(&[Kind::Rumqttc], "max_keepalive 10", |stage| {
        let client = stage.connect_with("c", &json!({"keepalive": 100}));
        assert_eq!(client.connack["properties"]["serverKeepAlive"], 10);
    });
}

#[test]
fn credentials_are_asked_for() {
    let start = || -> Broker {
        let setup = Setup::new();
        let file = setup.write("passwords", "");
        let tool = [
            "-b",
            file.to_str().expect("a printable path"),
            "ana",
            "secret",
        ];
        let mut passwd = crate::common::Program::Passwd.command();
        crate::common::process::run(passwd.args(tool)).expect_code(0);
        setup.start(
            &open("password_file {dir}/passwords").replace("anonymous true", "anonymous false"),
        )
    };
    each_with(ALL, &start, |stage| {
        let code = |password: &str| {
            let options = json!({"username": "ana", "password": password});
            stage.attempt(password, &options).connack["code"].clone()
        };
        assert_eq!((code("secret"), code("wrong")), (json!(0), json!(0x87)));
        assert_eq!(stage.attempt("anonymous", &json!({})).connack["code"], 0x87);
    });
}
