//! `mosquitto.db` from a Mosquitto that runs here.

use moustique::store::import::{self, Counts};
use moustique::store::{Record, Stage, Store, open};
use nix::sys::signal::Signal;

use crate::common::Program;
use crate::common::broker::{Broker, Setup};
use crate::common::clients::at;
use crate::common::peers::Peer;
use crate::common::process::run;
use crate::common::raw::{Connect, Raw, packet, text};

fn mosquitto() -> (Broker, std::path::PathBuf) {
    let setup = Setup::new();
    let mut conf = String::from(
        "listener {port}\nallow_anonymous true\nmax_queued_messages 0\n\
         persistence true\npersistence_location {dir}/\n",
    );
    if nix::unistd::geteuid().is_root() {
        conf.push_str("user root\n");
    }
    let path = setup.write("mosquitto.conf", &conf);
    let file = setup.path("mosquitto.db");
    let mut command = Program::Broker.mosquitto();
    command.arg("-c").arg(path);
    (setup.start_command(command), file)
}

fn publish(broker: &Broker, args: &[&str]) {
    let mut program = Program::Pub.mosquitto();
    run(at(&mut program, broker.port).args(args)).expect_code(0);
}

fn subscribe(broker: &Broker, args: &[&str]) {
    let mut program = Program::Sub.mosquitto();
    run(at(&mut program, broker.port).args(args).args(["-c", "-E"])).expect_code(0);
}

#[test]
fn all_that_mosquitto_knows_comes_over() {
    let check = "importing a file that Mosquitto has just written";
    if !Peer::MosquittoBroker.present_for(check) || !Peer::MosquittoClients.present_for(check) {
        return;
    }
    let (broker, file) = mosquitto();
    subscribe(
        &broker,
        &["-i", "away", "-q", "2", "-t", "a/#", "-t", "b/+"],
    );
    subscribe(
        &broker,
        &[
            "-V", "5", "-x", "7200", "-i", "modern", "-u", "anna", "-q", "1", "-t", "a/+",
        ],
    );
    for number in 0..50 {
        let (topic, payload) = (format!("a/{number}"), format!("message {number}"));
        publish(&broker, &["-q", "2", "-t", &topic, "-m", &payload]);
    }
    publish(
        &broker,
        &["-q", "1", "-r", "-t", "b/kept", "-m", "retained"],
    );
    // A client that has sent a message of QoS 2 and not released it.
    let persistent = Connect {
        clean: false,
        ..Connect::new("halfway")
    };
    let (mut client, _) = Raw::client(broker.port, &persistent);
    client.send(&packet(0x34, &[&text("a/half"), &[0, 9], b"half"]));
    client.expect(&[0x50, 2, 0, 9]);
    broker.process().send(Signal::SIGTERM);
    broker.process().wait_end();

    let imported = import::read(&file, 1, 1_800_000_000_000).expect("a readable file");
    let counts = Counts {
        sessions: 3,
        subscriptions: 3,
        deliveries: 101,
        retained: 1,
    };
    assert_eq!(imported.counts, counts, "{:?}", imported.remarks);
    let [half] = &imported.unrouted[..] else {
        panic!("{:?}", imported.unrouted)
    };
    assert_eq!(
        (half.packet_id, &half.publication.payload[..]),
        (9, &b"half"[..])
    );

    // Through the store and back.
    let path = broker.path("store");
    let mut store = open(&path, 0).expect("a new store").store;
    store.commit(&imported.records).expect("a commit");
    store.sync().expect("a sync");
    drop(store);
    let mut opened = open(&path, 0).expect("the same store");
    assert_eq!(opened.remarks, [""; 0]);
    assert!(opened.recovered.notes.contains_key(import::NOTE));
    let find = |name: &str| {
        let mut sessions = opened.recovered.sessions.iter();
        sessions.find(|session| &*session.description.client_id == name)
    };
    let modern = find("modern").expect("its session");
    assert_eq!(modern.description.username.as_deref(), Some("anna"));
    assert_eq!(modern.description.expiry, 7_200_000);
    let away = find("away").expect("its session").number;
    let portion = moustique::store::Portion {
        deliveries: 1000,
        bytes: usize::MAX,
    };
    let queue = opened
        .store
        .read_queue(away, 0, portion)
        .expect("its queue");
    let said = |number: usize| String::from_utf8_lossy(&queue[number].delivery.publication.payload);
    assert_eq!(queue.len(), 51);
    assert!((0..50).all(|number| said(number) == format!("message {number}")));
    assert!(queue.iter().all(|queued| queued.stage == Stage::Waiting));
    let retained = &opened.recovered.retained;
    assert!(retained.len() == 1 && &*retained[0].topic == "b/kept");
    assert!(matches!(imported.records.last(), Some(Record::Note { .. })));
}
