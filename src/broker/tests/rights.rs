//! Access control and the topics that are the broker's own.

use std::io::Write as _;
use std::sync::Arc;

use super::harness::*;
use crate::auth::Acl;
use crate::codec::{AckKind, Connect};

fn guarded(rules: &str) -> World {
    let mut world = World::new();
    world.policy.acl = Some(acl(rules));
    world
}

fn acl(rules: &str) -> Arc<Acl> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(rules.as_bytes()).unwrap();
    Arc::new(Acl::load(file.path()).unwrap())
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
        let expected = match version {
            V5 => ["PUBACK m7 0x87", "PUBREC m7 0x87", "PUBCOMP m7 0x92"],
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
    for (version, expected) in [(V311, "CONNACK 0x05"), (V5, "CONNACK 0x87")] {
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
    for topic in ["$SYS/x", "$SYS/broker/uptime", "$share/g/t", "$CONTROL/x"] {
        world.publish(client, &message(topic, "x", Q1));
        assert_eq!(world.read(client), ["PUBACK m7 0x87"], "{topic}");
    }
    for topic in ["$SYS/broker/connection/b/state", "$other/x", "$SYSTEM"] {
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
