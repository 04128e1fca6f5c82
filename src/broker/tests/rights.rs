//! Access control and the topics that are the broker's own.

use std::sync::Arc;

use super::harness::*;
use crate::auth::Acl;
use crate::codec::{AckKind, Connect, Property};
use crate::config::LogTypes;

fn guarded(rules: &str) -> World {
    let mut world = World::new();
    world.policy.acl = Some(acl(rules));
    world
}

fn acl(rules: &str) -> Arc<Acl> {
    Arc::new(Acl::parse(rules.as_bytes(), "acl").unwrap())
}

const RULES: &str = "topic read open\ntopic readwrite both\ntopic write drop\n";

#[test]
fn what_may_not_be_published_is_not_and_5_is_told() {
    for version in VERSIONS {
        let mut world = guarded(RULES);
        let client = world.client(version, "a");
        let watcher = world.client(V311, "w");
        world.subscribe(watcher, "open", Q0);
        for qos in [Q0, Q1, Q2] {
            world.publish(client, &message("open", "x", qos));
        }
        world.ack(client, AckKind::PubRel, 7);
        let why = r#"ReasonString("no rule of the access control list allows it")"#;
        let expected = match version {
            V5 => [
                &format!("PUBACK m7 0x87 {why}"),
                &format!("PUBREC m7 0x87 {why}"),
                "PUBCOMP m7 0x92",
            ],
            _ => ["PUBACK m7", "PUBREC m7", "PUBCOMP m7"],
        };
        assert_eq!(world.read(client), expected);
        assert_eq!(world.read(watcher), Vec::<String>::new());
        world.publish(client, &retained("open", "x", Q0));
        assert_eq!(world.core.retained.counts().0, 0);
    }
}

#[test]
fn what_may_not_be_read_is_subscribed_but_not_delivered() {
    let mut world = guarded(RULES);
    let client = world.client(V5, "a");
    world.subscribe(client, "#", Q1);
    for topic in ["open", "both", "drop", "other"] {
        world.inject(topic, "x", Q1);
    }
    assert_eq!(
        world.read(client),
        ["PUBLISH q1 m1 open 'x'", "PUBLISH q1 m2 both 'x'"]
    );
    world.publish(client, &retained("drop", "x", Q0));
    assert_eq!(world.core.retained.counts().0, 1);
    assert_eq!(world.subscribe(client, "drop", Q0), Vec::<String>::new());
}

#[test]
fn rights_are_asked_for_a_client_that_is_away() {
    let mut world = guarded("user ann\ntopic read t\n");
    let ann = Connect {
        username: Some("ann"),
        ..lasting(V311, "a")
    };
    let client = world.connect(&ann);
    world.subscribe(client, "#", Q1);
    world.cut(client);
    world.inject("t", "x", Q1);
    world.inject("u", "x", Q1);
    let (client, answer) = world.try_connect(&ann);
    assert_eq!(answer[1..], ["PUBLISH q1 m1 t 'x'"]);
    world.cut(client);
    world.inject("t", "y", Q1);
    let (_, answer) = world.try_connect(&lasting(V311, "a"));
    assert_eq!(
        answer[1..],
        ["PUBLISH q1 m1 dup t 'x'"],
        "who comes as somebody else gets what was begun and nothing new"
    );
}

#[test]
fn a_will_that_may_not_be_published_refuses_the_client() {
    let mut world = guarded(RULES);
    let why = r#"ReasonString("no rule of the access control list allows it")"#;
    for (version, expected) in [(V311, "CONNACK 0x05"), (V5, &format!("CONNACK 0x87 {why}"))] {
        let connect = Connect {
            will: Some(will("open", "x")),
            ..hello(version, "a")
        };
        assert_eq!(world.try_connect(&connect).1, [expected, "END"]);
    }
}

#[test]
fn nobody_speaks_for_the_broker() {
    let mut world = World::new();
    let client = world.client(V5, "a");
    let state = "$SYS/broker/connection";
    let [deep, other, no] = ["a/b/state", "a/x", "state"].map(|end| format!("{state}/{end}"));
    for topic in [
        "$SYS/x",
        "$SYS/broker/uptime",
        "$share/g/t",
        "$CONTROL/x",
        &deep,
        &other,
        &no,
    ] {
        world.publish(client, &message(topic, "x", Q1));
        assert_eq!(world.read(client), ["PUBACK m7 0x87"], "{topic}");
    }
    let told = denials(&mut world);
    assert!(
        told[0].ends_with("may not publish to '$SYS/x': only the broker itself publishes there.")
    );
    for topic in [
        "$SYS/broker/connection/b/state",
        "$SYS/broker/connection//state",
        "$other/x",
        "$SYSTEM",
    ] {
        world.publish(client, &message(topic, "x", Q1));
        assert_eq!(world.read(client), ["PUBACK m7 0x10"], "{topic}");
    }
}

#[test]
fn sys_tells_what_changed_and_keeps_the_rest() {
    let mut world = World::with(|settings| settings.sys_interval = 10_000);
    let client = world.client(V311, "a");
    world.subscribe(client, "$SYS/broker/clients/#", Q0);
    world.pass(10_000);
    let told = world.read(client);
    assert!(told.contains(&"PUBLISH $SYS/broker/clients/connected '1'".to_string()));
    world.pass(10_000);
    assert_eq!(world.read(client), Vec::<String>::new());
    let other = world.connect(&lasting(V311, "b"));
    world.cut(other);
    world.pass(10_000);
    let told = world.read(client).join("\n");
    assert!(told.contains("clients/total '2'"), "{told}");
    assert!(told.contains("clients/disconnected '1'"), "{told}");
    assert!(!told.contains("clients/connected"), "{told}");
    let kept = world.subscribe(client, "$SYS/broker/subscriptions/count", Q0);
    assert_eq!(kept, ["PUBLISH retain $SYS/broker/subscriptions/count '1'"]);
}

/// Denials, as the log tells them; without debug lines.
fn denials(world: &mut World) -> Vec<String> {
    let log = world.log();
    log.into_iter()
        .filter(|line| line.contains(" may not "))
        .collect()
}

#[test]
fn the_log_tells_who_was_denied_what_by_which_rule() {
    let mut world = guarded("topic deny secret\ntopic write open\nuser ann\ntopic read a\n");
    let client = world.client(V311, "dev");
    for qos in [Q0, Q1, Q2] {
        world.publish(client, &message("secret", "x", qos));
    }
    world.publish(client, &message("open", "x", Q1));
    let ann = Connect {
        username: Some("ann"),
        will: Some(will("a", "x")),
        ..hello(V5, "")
    };
    world.try_connect(&ann);
    assert_eq!(
        denials(&mut world),
        [
            "Client dev [test] may not publish to 'secret': denied by acl:1 (topic deny secret).",
            "Client <unknown> [test, user ann] may not leave a will for 'a': \
             no rule of acl allows it.",
        ]
    );
    world.pass(60_000);
    world.publish(client, &message("secret", "x", Q0));
    let told = denials(&mut world);
    assert!(
        told[0].ends_with("(2 more denials of this client were not told)"),
        "{told:?}"
    );
}

#[test]
fn a_will_that_is_denied_when_it_is_due_is_told() {
    let mut world = guarded("topic write w\n");
    let connect = Connect {
        will: Some(will("w", "x")),
        ..hello(V311, "dev")
    };
    let client = world.connect(&connect);
    let session = world.core.clients["dev"];
    let empty = Acl::parse(b"", "new").unwrap();
    let policy = crate::broker::Policy {
        acl: Some(Arc::new(empty)),
        ..world.policy.clone()
    };
    world.core.peers.session(session).unwrap().policy = Arc::new(policy);
    world.cut(client);
    assert_eq!(
        denials(&mut world),
        ["Client dev [away] may not leave a will for 'w': no rule of new allows it."]
    );
}

#[test]
fn words_only_for_clients_that_take_them() {
    let mut world = guarded(RULES);
    let silent = with(hello(V5, "a"), Property::RequestProblemInformation(0));
    let client = world.connect(&silent);
    world.publish(client, &message("open", "x", Q1));
    assert_eq!(world.read(client), ["PUBACK m7 0x87"]);
    let small = with(hello(V5, "b"), Property::MaximumPacketSize(30));
    let client = world.connect(&small);
    world.publish(client, &message("open", "x", Q1));
    assert_eq!(world.read(client), ["PUBACK m7 0x87"]);
    let silent = Connect {
        will: Some(will("open", "x")),
        ..silent
    };
    assert_eq!(world.try_connect(&silent).1, ["CONNACK 0x87", "END"]);
}

#[test]
fn other_refusals_have_no_words() {
    let mut world = World::with(|settings| settings.message_size_limit = 1);
    let client = world.client(V5, "a");
    world.publish(client, &message("t", "xx", Q1));
    assert_eq!(world.read(client), ["PUBACK m7 0x97"]);
    assert_eq!(denials(&mut world), Vec::<String>::new());
}

#[test]
fn deliveries_that_are_denied_are_told_to_who_debugs() {
    let mut world = World::with(|settings| settings.log = LogTypes::ALL);
    world.policy.acl = Some(Arc::new(Acl::parse(b"topic read open\n", "acl").unwrap()));
    let client = world.client(V311, "a");
    world.subscribe(client, "#", Q0);
    world.log();
    world.inject("open", "x", Q0);
    world.inject("shut", "x", Q0);
    let log = world.log();
    let denied: Vec<_> = log.iter().filter(|line| line.contains("enied")).collect();
    assert_eq!(
        denied,
        ["Denied delivery to a ('shut'): no rule of acl allows it"]
    );
}

#[test]
fn a_subscription_in_vain_is_refused_where_that_is_asked_for() {
    let mut world = guarded("topic read a/+\ntopic deny a/x\n");
    let filters = ["a/#", "b", "a/x", "$share/g/c", "a/y"];
    let requests = filters.map(|filter| (filter, options(Q1)));
    let client = world.client(V5, "off");
    world.send_subscribe(client, &requests, None);
    assert_eq!(world.read(client), ["SUBACK m1 [1, 1, 1, 1, 1]"]);
    world.policy.acl_check_subscribe = true;
    let client = world.client(V5, "on");
    world.send_subscribe(client, &requests, None);
    assert_eq!(
        world.read(client),
        [
            "SUBACK m1 [1, 135, 135, 135, 1] ReasonString(\"no rule of the access control list \
             allows it (the first of 3 that are refused)\")"
        ]
    );
    let told = denials(&mut world);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].starts_with("Client on [test] may not subscribe to 'b': no rule of "));
    assert!(told[1].contains(" may not subscribe to 'a/x': denied by "));
    assert!(told[2].contains(" may not subscribe to '$share/g/c': "));
    world.send_subscribe(client, &[("a/x", options(Q0))], None);
    assert_eq!(
        world.read(client),
        ["SUBACK m1 [135] ReasonString(\"line 2 of the access control list denies it\")"]
    );
    for version in [V31, V311] {
        let client = world.client(version, "old");
        world.send_subscribe(client, &requests, None);
        assert_eq!(world.read(client), ["SUBACK m1 [1, 128, 128, 128, 1]"]);
    }
    world.check();
}

#[test]
fn a_retained_message_is_kept_back_while_its_publisher_may_not_write_it() {
    for check in [true, false] {
        let mut world = World::with(|settings| settings.check_retain_source = check);
        let rules = "topic read #\nuser u\ntopic write #\n";
        world.policy.acl = Some(acl(rules));
        world.policy.listener = 3;
        world.core.set_policy(Arc::new(world.policy.clone()));
        let known = Connect {
            username: Some("u"),
            will: Some(crate::codec::Will {
                retain: true,
                ..will("will", "gone")
            }),
            ..hello(V5, "known")
        };
        let publisher = world.connect(&known);
        world.publish(publisher, &retained("t", "kept", Q0));
        world.cut(publisher);
        let reader = world.client(V311, "reader");
        assert_eq!(world.subscribe(reader, "#", Q0).len(), 2);

        let now = |world: &mut World, rules| {
            world.policy.acl = Some(acl(rules));
            world.core.set_policy(Arc::new(world.policy.clone()));
            world.subscribe(reader, "#", Q0)
        };
        let found = now(&mut world, "topic read #\nuser u\ntopic write will\n");
        if check {
            assert_eq!(found, ["PUBLISH retain will 'gone'"]);
        } else {
            assert_eq!(found.len(), 2);
        }
        assert_eq!(now(&mut world, rules).len(), 2, "it was kept");
        assert_eq!(world.core.retained.counts().0, 2);
    }
}
