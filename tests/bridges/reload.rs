//! Bridges that come, go and change while the broker runs.

use crate::common::broker::Broker;
use crate::common::raw::{Connect, Raw, publish};
use crate::common::tap::{From, Tap};
use crate::far::{Far, await_state};
use nix::sys::signal::Signal;
use std::fs;

/// A connection section with this name, to this port.
fn section(name: &str, port: u16, lines: &str) -> String {
    format!(
        "connection {name}\naddress 127.0.0.1:{port}\nremote_clientid {name}\n\
         restart_timeout 1\n{lines}\n"
    )
}

fn conf(sections: &[String]) -> String {
    let sections = sections.concat();
    format!("listener {{port}} 127.0.0.1\nallow_anonymous true\n{sections}")
}

fn reload(broker: &Broker, sections: &[String]) {
    let user = if nix::unistd::geteuid().is_root() {
        "user root\n"
    } else {
        ""
    };
    let text = conf(sections).replace("{port}", &broker.port.to_string());
    fs::write(broker.path("broker.conf"), format!("{user}{text}")).unwrap();
    let told = "The new configuration holds.";
    let before = broker.log().matches(told).count();
    broker.process().send(Signal::SIGHUP);
    let more = |log: &str| log.matches(told).count() > before;
    broker.process().stderr.wait_until(more);
}

fn client(broker: &Broker, id: &str) -> Raw {
    Raw::client(broker.port, &Connect::new(id)).0
}

#[test]
fn bridges_come_and_go_without_touching_others() {
    let far = Far::Ours.open();
    let tap = Tap::before(far.port);
    let stays = section("stays", tap.port, "topic a out 1");
    let near = Broker::start(&conf(std::slice::from_ref(&stays)));
    await_state(&near, "stays", "1");

    let comes = section("comes", far.port, "topic b out 1 \"\" from/");
    reload(&near, &[comes, stays.clone()]);
    await_state(&near, "comes", "1");
    let mut there = client(&far, "f");
    there.subscribe("#", 0);
    let mut here = client(&near, "n");
    here.send(&publish("b", "by the new one", false));
    there.expect(&publish("from/b", "by the new one", false));

    reload(&near, std::slice::from_ref(&stays));
    near.process()
        .stderr
        .wait_for("Bridge comes: disconnects as ordered");
    here.send(&publish("b", "nobody takes it", false));
    here.send(&publish("a", "by the old one", false));
    there.expect(&publish("a", "by the old one", false));
    assert_eq!(tap.packets(From::Client, 1).len(), 1, "it was never cut");
    assert!(tap.packets(From::Client, 14).is_empty());
}

#[test]
fn a_change_comes_at_once_or_with_the_next_connection() {
    for (kind, at_once) in [("immediate", true), ("lazy", false)] {
        let far = Far::Ours.open();
        let tap = Tap::before(far.port);
        let lines = |topic: &str| format!("bridge_reload_type {kind}\ntopic {topic} out 1");
        let near = Broker::start(&conf(&[section("b", tap.port, &lines("old"))]));
        await_state(&near, "b", "1");
        let mut there = client(&far, "f");
        there.subscribe("+", 0);
        let mut here = client(&near, "n");

        reload(&near, &[section("b", tap.port, &lines("new"))]);
        if at_once {
            tap.wait_for_nth(From::Client, 1, 1);
            await_state(&near, "b", "1");
            here.send(&publish("old", "not any more", false));
            here.send(&publish("new", "now", false));
            there.expect(&publish("new", "now", false));
        } else {
            here.send(&publish("new", "not yet", false));
            here.send(&publish("old", "still", false));
            there.expect(&publish("old", "still", false));
            assert_eq!(tap.packets(From::Client, 1).len(), 1);
        }
    }
}

#[test]
fn a_bridge_with_a_bad_file_leaves_all_as_it_was() {
    let far = Far::Ours.open();
    let stays = section("stays", far.port, "topic a out 1");
    let near = Broker::start(&conf(std::slice::from_ref(&stays)));
    await_state(&near, "stays", "1");
    let bad = section(
        "bad",
        far.port,
        "topic # out 0\nbridge_cafile /nonexistent/ca.crt",
    );
    let text = conf(&[bad]).replace("{port}", &near.port.to_string());
    fs::write(near.path("broker.conf"), text).unwrap();
    near.process().send(Signal::SIGHUP);
    near.process().stderr.wait_for("/nonexistent/ca.crt");
    let mut there = client(&far, "f");
    there.subscribe("a", 0);
    let mut here = client(&near, "n");
    here.send(&publish("a", "still", false));
    there.expect(&publish("a", "still", false));
}
