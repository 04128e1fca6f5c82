//! Wills: when they are published and when not.

use super::harness::*;
use crate::codec::{Connect, Properties, Property, ReasonCode, SubscriptionOptions, Version, Will};

/// A world with somebody who watches the topic `w`.
fn watched() -> (World, Client) {
    let mut world = World::new();
    let watcher = world.client(V5, "watcher");
    world.subscribe(watcher, "w", Q2);
    (world, watcher)
}

fn mortal(version: Version) -> Connect<'static> {
    Connect {
        will: Some(will("w", "dead")),
        ..hello(version, "a")
    }
}

/// A client whose session and will live that many seconds.
fn delayed(expiry: u32, delay: u32) -> Connect<'static> {
    let properties = Properties::new().with(Property::WillDelayInterval(delay));
    Connect {
        clean_start: false,
        will: Some(Will {
            properties,
            ..will("w", "dead")
        }),
        ..with(hello(V5, "a"), Property::SessionExpiryInterval(expiry))
    }
}

const DEAD: [&str; 1] = ["PUBLISH w 'dead'"];
const NOTHING: [&str; 0] = [];

#[test]
fn a_lost_connection_publishes_the_will_a_normal_end_does_not() {
    for version in VERSIONS {
        let (mut world, watcher) = watched();
        let client = world.connect(&mortal(version));
        world.disconnect(client);
        assert_eq!(world.read(watcher), NOTHING);
        let client = world.connect(&mortal(version));
        world.cut(client);
        assert_eq!(world.read(watcher), DEAD);
        let client = world.connect(&mortal(version));
        world.send_bytes(client, &[0x36, 0]);
        assert_eq!(world.read(watcher), DEAD, "malformed packet");
        world.read(client);
        world.connect(&mortal(version));
        world.connect(&hello(version, "a"));
        assert_eq!(world.read(watcher), DEAD, "take-over");
    }
}

#[test]
fn disconnect_with_will_publishes_it() {
    let (mut world, watcher) = watched();
    for (reason, expected) in [(0x04, &DEAD[..]), (0x00, &[]), (0x81, &DEAD)] {
        let client = world.connect(&mortal(V5));
        world.disconnect_with(client, ReasonCode(reason), Properties::new());
        assert_eq!(world.read(watcher), expected, "{reason}");
    }
}

#[test]
fn a_silent_client_dies() {
    let (mut world, watcher) = watched();
    let client = world.connect(&Connect {
        keep_alive: 2,
        ..mortal(V311)
    });
    world.pass(3_000);
    assert_eq!(world.read(watcher), DEAD);
    assert_eq!(world.read(client), ["END"]);
}

#[test]
fn the_delay_is_waited_for() {
    let (mut world, watcher) = watched();
    let client = world.connect(&delayed(60, 10));
    world.cut(client);
    world.pass(9_999);
    assert_eq!(world.read(watcher), NOTHING);
    world.pass(1);
    assert_eq!(world.read(watcher), DEAD);
    world.pass(100_000);
    assert_eq!(world.read(watcher), NOTHING, "once");
}

#[test]
fn a_return_in_time_cancels_the_will() {
    let (mut world, watcher) = watched();
    let client = world.connect(&delayed(60, 10));
    world.cut(client);
    world.pass(9_000);
    let client = world.try_connect(&delayed(60, 10)).0;
    world.pass(50_000);
    assert_eq!(world.read(watcher), NOTHING);
    world.cut(client);
    world.pass(9_999);
    assert_eq!(world.read(watcher), NOTHING, "the delay starts anew");
    world.pass(1);
    assert_eq!(world.read(watcher), DEAD);
}

#[test]
fn a_take_over_in_time_cancels_a_delayed_will_too() {
    let (mut world, watcher) = watched();
    world.connect(&delayed(60, 10));
    let client = world.try_connect(&delayed(60, 10)).0;
    world.pass(50_000);
    world.disconnect(client);
    world.pass(50_000);
    assert_eq!(world.read(watcher), NOTHING);
}

#[test]
fn the_end_of_the_session_ends_the_delay() {
    let (mut world, watcher) = watched();
    let client = world.connect(&delayed(5, 10));
    world.cut(client);
    world.pass(4_999);
    assert_eq!(world.read(watcher), NOTHING);
    world.pass(1);
    assert_eq!(world.read(watcher), DEAD, "expiry before delay");

    let client = world.connect(&delayed(60, 10));
    world.cut(client);
    world.client(V5, "a");
    assert_eq!(world.read(watcher), DEAD, "clean start ends the session");

    let client = world.try_connect(&delayed(0, 10)).0;
    world.cut(client);
    assert_eq!(world.read(watcher), DEAD, "a session that ends at once");
}

#[test]
fn disconnect_may_end_session_and_delay_together() {
    let (mut world, watcher) = watched();
    let client = world.connect(&delayed(60, 10));
    let expiry = Properties::new().with(Property::SessionExpiryInterval(0));
    world.disconnect_with(client, ReasonCode::DISCONNECT_WITH_WILL, expiry);
    assert_eq!(world.read(watcher), DEAD);
}

#[test]
fn a_return_without_a_will_has_none() {
    let (mut world, watcher) = watched();
    let client = world.connect(&delayed(60, 10));
    world.cut(client);
    let client = world.try_connect(&lasting(V311, "a")).0;
    world.cut(client);
    world.pass(100_000);
    assert_eq!(world.read(watcher), NOTHING);
}

#[test]
fn a_will_is_a_message_like_others() {
    let mut world = World::new();
    let watcher = world.client(V5, "watcher");
    let as_published = SubscriptionOptions {
        retain_as_published: true,
        ..options(Q1)
    };
    world.subscribe_with(watcher, "w", as_published, Some(3));
    let properties = Properties::new()
        .with(Property::MessageExpiryInterval(30))
        .with(Property::WillDelayInterval(10))
        .with(Property::ContentType("text"))
        .with(Property::UserProperty("k", "v"));
    let client = world.connect(&Connect {
        will: Some(Will {
            qos: Q2,
            retain: true,
            properties,
            ..will("w", "dead")
        }),
        ..with(hello(V5, "a"), Property::SessionExpiryInterval(60))
    });
    world.cut(client);
    world.pass(10_000);
    assert_eq!(
        world.read(watcher),
        [
            "PUBLISH q1 m1 retain w 'dead' SubscriptionIdentifier(3) ContentType(\"text\") \
          UserProperty(\"k\", \"v\") MessageExpiryInterval(30)"
        ],
        "the expiry counts from the publication"
    );
    world.pass(29_000);
    let late = world.client(V5, "late");
    assert_eq!(world.subscribe(late, "w", Q0).len(), 1, "retained");
    world.pass(1_000);
    assert_eq!(world.subscribe(late, "w", Q0).len(), 0, "expired");
}

#[test]
fn a_will_does_not_come_back_to_a_subscription_that_wants_nothing_of_its_own() {
    let mut world = World::new();
    let client = world.connect(&delayed(60, 0));
    let no_local = SubscriptionOptions {
        no_local: true,
        ..options(Q1)
    };
    world.subscribe_with(client, "w", no_local, None);
    world.cut(client);
    assert_eq!(world.try_connect(&delayed(60, 0)).1.len(), 1);
}

#[test]
fn the_end_of_the_broker_publishes_wills_and_says_goodbye() {
    let (mut world, watcher) = watched();
    let last = world.connect(&mortal(V311));
    world.core.shut_down(0);
    let told = ["PUBLISH w 'dead'", "DISCONNECT 0x8B", "END"];
    assert_eq!(world.read(watcher), told);
    assert_eq!(world.read(last), ["END"]);
    world.check_empty();
}
