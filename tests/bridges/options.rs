//! Each option of a bridge, seen from the other broker.

use crate::common::broker::{Broker, Setup};
use crate::common::raw::{Connect, Raw, packet, publish, publish_qos, text};
use crate::common::tap::{From, Tap};
use crate::far::{Far, await_state, bridged, conf, connected};

fn client(broker: &Broker, id: &str) -> Raw {
    Raw::client(broker.port, &Connect::new(id)).0
}

fn contains(packet: &[u8], part: &[u8]) -> bool {
    packet.windows(part.len()).any(|window| window == part)
}

/// The CONNECT of a bridge with these lines.
fn connect_with(lines: &str) -> Vec<u8> {
    let far = Far::Ours.open();
    let tap = Tap::before(far.port);
    let _near = Broker::start(&conf(tap.port, &format!("topic x both 1\n{lines}")));
    tap.wait_for(From::Client, 1)
}

#[test]
fn connect_says_who_the_bridge_is() {
    let connect = connect_with(
        "remote_username zoé\nremote_password un secret\n\
         keepalive_interval 77\nnotification_topic my/state",
    );
    // A will of QoS 1 that is retained, user name and password; no clean session.
    assert_eq!(connect[2..10], *b"\x00\x04MQTT\x84\xec", "{connect:02x?}");
    assert_eq!(connect[10..12], [0, 77]);
    let tail = [
        text("near"),
        text("my/state"),
        text("0"),
        text("zoé"),
        text("un secret"),
    ];
    assert!(connect.ends_with(&tail.concat()), "{connect:02x?}");
}

#[test]
fn connect_leaves_out_what_is_switched_off() {
    for lines in ["notifications false", "notifications_local_only true"] {
        let lines = format!("{lines}\ncleansession true\ntry_private false");
        let far = Far::Ours.open();
        let tap = Tap::before(far.port);
        let near = Broker::start(&conf(tap.port, &format!("topic x out 0\n{lines}")));
        let connect = tap.wait_for(From::Client, 1);
        assert_eq!(connect[2..10], *b"\x00\x04MQTT\x04\x02", "{lines}");
        if lines.contains("local_only") {
            connected(&near);
        }
    }
}

#[test]
fn connect_of_mqtt_5_has_the_properties() {
    let connect = connect_with(
        "bridge_protocol_version mqttv50\nbridge_receive_maximum 9\nbridge_max_topic_alias 3\n\
         bridge_session_expiry_interval 60",
    );
    for property in [[0x11, 0, 0, 0, 60].as_slice(), &[0x21, 0, 9], &[0x22, 0, 3]] {
        assert!(
            contains(&connect, property),
            "{property:02x?} in {connect:02x?}"
        );
    }
    let kept = connect_with("bridge_protocol_version mqttv50");
    assert!(
        contains(&kept, &[0x11, 0xff, 0xff, 0xff, 0xff]),
        "{kept:02x?}"
    );
    let clean = connect_with("bridge_protocol_version mqttv50\ncleansession true");
    assert!(contains(&clean, &[0x11, 0, 0, 0, 0]), "{clean:02x?}");
}

#[test]
fn a_far_broker_that_knows_no_bridges_is_asked_again_without_the_bit() {
    let far = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = far.local_addr().unwrap().port();
    let _near = Broker::start(&conf(port, "topic x in 0"));
    let mut first = Raw::adopt(far.accept().unwrap().0);
    assert_eq!(first.packet()[8], 0x84);
    first.send(&[0x20, 2, 0, 1]);
    let mut second = Raw::adopt(far.accept().unwrap().0);
    assert_eq!(second.packet()[8], 0x04);
}

#[test]
fn the_bridge_comes_from_the_address_that_it_is_told() {
    let far = Far::Ours.open();
    let _near = bridged(far.port, "topic x out 0\nbridge_bind_address 127.0.0.2");
    far.process()
        .stderr
        .wait_for("bridge connected from 127.0.0.2:");
}

#[test]
fn the_local_side_has_its_own_name() {
    let far = Far::Ours.open();
    let near = bridged(
        far.port,
        "topic x out 0\nlocal_clientid here\nlocal_username bridge-user",
    );
    near.process()
        .stderr
        .wait_for("as here (p5, c0, k0, u'bridge-user')");
}

#[test]
fn a_wrong_password_is_told_with_the_next_attempt() {
    let setup = Setup::new();
    let file = setup.write("passwd", "");
    let conf = format!(
        "listener {{port}} 127.0.0.1\npassword_file {}\n",
        file.display()
    );
    let far = Far::Ours.start(setup, &conf);
    let near = Broker::start(&crate::far::conf(
        far.port,
        "topic x out 0\nremote_username u\nremote_password p",
    ));
    let told = format!("Bridge out: 127.0.0.1:{}: ", far.port);
    near.process().stderr.wait_for(&told);
    near.process().stderr.wait_for("next attempt in 1.0 s");
    await_state(&near, "near", "0");
}

#[test]
fn another_address_serves_until_the_first_is_back() {
    let (first, second) = (Setup::new(), Far::Ours.open());
    let addresses = format!("127.0.0.1:{} 127.0.0.1:{}", first.port(), second.port);
    let conf =
        conf(0, "topic x out 1").replace("address 127.0.0.1:0", &format!("addresses {addresses}"));
    let near = Broker::start(&conf);
    connected(&near);
    let mut there = client(&second, "f");
    there.subscribe("$SYS/broker/connection/near/state", 0);
    there.expect(&state("1", true));
    let first = Far::Ours.start(first, "listener {port} 127.0.0.1\nallow_anonymous true\n");
    let mut there = client(&first, "f");
    there.subscribe("$SYS/broker/connection/near/state", 0);
    there.expect(&state("1", false));
}

fn state(value: &str, retained: bool) -> Vec<u8> {
    let topic = text("$SYS/broker/connection/near/state");
    packet(0x30 | u8::from(retained), &[&topic, value.as_bytes()])
}

#[test]
fn round_robin_goes_on_to_the_next_address() {
    let (first, second) = (Far::Ours.open(), Far::Ours.open());
    let addresses = format!("127.0.0.1:{} 127.0.0.1:{}", first.port, second.port);
    let conf = conf(0, "topic x out 1\nround_robin true")
        .replace("address 127.0.0.1:0", &format!("addresses {addresses}"));
    let near = Broker::start(&conf);
    connected(&near);
    let mut there = client(&second, "f");
    there.subscribe("$SYS/broker/connection/near/state", 0);
    first.stop();
    there.expect(&state("1", false));
}

#[test]
fn messages_that_are_too_large_do_not_hold_up_others() {
    for qos in [0, 1, 2] {
        let far = Far::Ours.open();
        let near = bridged(far.port, "topic # out 2\nbridge_max_packet_size 100");
        let (mut here, mut there) = (client(&near, "n"), client(&far, "f"));
        there.subscribe("#", 0);
        here.send(&publish_qos("a", &"x".repeat(200), qos, 1));
        if qos == 2 {
            here.expect(&[0x50, 2, 0, 1]);
            here.send(&[0x62, 2, 0, 1]);
        }
        here.send(&publish("a", "small", false));
        there.expect(&publish("a", "small", false));
        near.process()
            .stderr
            .wait_for("is too large for the other broker");
    }
}

#[test]
fn retain_flags_stay_here_if_they_shall() {
    let far = Far::Ours.open();
    let near = bridged(far.port, "topic # out 1\nbridge_outgoing_retain false");
    let (mut here, mut there) = (client(&near, "n"), client(&far, "f"));
    here.send(&publish("a", "kept here", true));
    here.send(&publish("b", "end", true));
    there.subscribe("#", 0);
    // What is retained would come first.
    here.send(&publish("c", "new", true));
    while there.packet() != publish("c", "new", false) {}
    let (mut late, _) = Raw::client(far.port, &Connect::new("late"));
    late.subscribe("+", 0);
    late.send(&publish("z", "nothing before", false));
    late.expect(&publish("z", "nothing before", false));
}

#[test]
fn topics_that_only_go_out_are_unsubscribed_when_the_bridge_is_known() {
    for (line, expected) in [("", 1), ("bridge_attempt_unsubscribe false", 0)] {
        let far = Far::Ours.open();
        let tap = Tap::before(far.port);
        let lines = format!("topic a out 1\ntopic b in 1\n{line}");
        let near = bridged(tap.port, &lines);
        near.stop();
        let near = bridged(tap.port, &lines);
        tap.wait_for_nth(From::Broker, 9, 1);
        near.stop();
        assert_eq!(tap.packets(From::Client, 10).len(), expected, "{line}");
    }
}

#[test]
fn a_lazy_bridge_connects_for_enough_messages_and_leaves_when_idle() {
    let far = Far::Ours.open();
    let tap = Tap::before(far.port);
    let lines = "topic # out 1\nstart_type lazy\nthreshold 3\nidle_timeout 1";
    let near = Broker::start(&conf(tap.port, lines));
    await_state(&near, "near", "0");
    let mut there = client(&far, "f");
    there.subscribe("#", 0);
    let mut here = client(&near, "n");
    for id in 1..=2 {
        here.send(&publish_qos("a", "waits", 1, id));
        here.expect(&[0x40, 2, 0, id as u8]);
    }
    assert_eq!(tap.packets(From::Client, 1).len(), 0, "two are too few");
    here.send(&publish_qos("a", "goes", 1, 3));
    for payload in ["waits", "waits", "goes"] {
        there.expect(&publish("a", payload, false));
    }
    assert_eq!(tap.goodbyes(), [[0xe0, 0]], "it leaves with a word");
}

#[test]
fn a_bridge_that_starts_once_stays_away_after_a_failure() {
    let far = Far::Ours.open();
    let near = bridged(far.port, "topic # out 1\nstart_type once");
    far.stop();
    near.process().stderr.wait_for("it connects once only");
}

#[test]
fn messages_wait_while_the_far_broker_is_away_unless_they_shall_not() {
    for (line, waits) in [("", true), ("local_cleansession true", false)] {
        let setup = Setup::new();
        let port = setup.port();
        let near = Broker::start(&conf(port, &format!("topic # out 1\n{line}")));
        await_state(&near, "near", "0");
        near.process().stderr.wait_for("next attempt in");
        let mut here = client(&near, "n");
        here.send(&publish_qos("a", "early", 1, 1));
        here.expect(&[0x40, 2, 0, 1]);
        let far = Far::Ours.start(
            setup,
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n",
        );
        let mut there = client(&far, "f");
        there.subscribe("a", 0);
        connected(&near);
        here.send(&publish_qos("a", "late", 1, 2));
        if waits {
            there.expect(&publish("a", "early", false));
        }
        there.expect(&publish("a", "late", false));
    }
}

#[test]
fn a_far_broker_that_is_silent_is_left() {
    let far = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = far.local_addr().unwrap().port();
    let near = Broker::start(&conf(port, "topic x out 0\nkeepalive_interval 5"));
    let mut first = Raw::adopt(far.accept().unwrap().0);
    assert_eq!(first.packet()[0], 0x10);
    first.send(&[0x20, 2, 0, 0]);
    near.process().stderr.wait_for("connected");
    let mut ping = first.packet();
    while ping[0] != 0xc0 {
        ping = first.packet();
    }
    let mut second = Raw::adopt(far.accept().unwrap().0);
    assert_eq!(second.packet()[0], 0x10, "it comes again");
    let log = &near.process().stderr;
    log.wait_for("the other broker doesn't answer");
}

#[test]
fn sys_tells_how_much_waits() {
    let port = crate::common::broker::free_port();
    let near = Broker::start(&format!("sys_interval 1\n{}", conf(port, "topic # out 1")));
    await_state(&near, "near", "0");
    let mut here = client(&near, "n");
    here.subscribe("$SYS/broker/connection/near/messages/queued", 0);
    here.send(&publish_qos("a", "waits", 1, 1));
    while !here.packet().ends_with(b"queued1") {}
}
