//! The rules of an access control list, played against both brokers.

use crate::common::Program;
use crate::common::broker::{Broker, Setup};
use crate::common::peers::Peer;
use crate::common::raw::{Connect, Raw, packet, publish, text};

/// As a course might write it, with what its readers' editors leave behind.
const LIST: &str = "# the list of the course\n\
    topic read public/#\n\
    topic $SYS/broker/version\n\
    \n\
    user ann  \t\n\
    topic readwrite a/#\n\
    topic read two  words\n\
    topic deny a/secret\n\
    topic read shared/+/x\n\
    user bob\r\n\
    topic write b\r\n\
    topic deny\r\n\
    user ann\n\
    topic late\n\
    topic read read\n\
    user Ada Lovelace\n\
    topic write ada/#\n\
    user any\n\
    topic #\n\
    user sys\n\
    topic read $SYS/#\n\
    topic readwrite #\n\
    user a+b\n\
    topic own\n\
    #topic not-a-rule\n\
    pattern read users/%u/#\n\
    pattern write clients/%c/up\n\
    pattern %c/both\n\
    pattern deny clients/%c/off\n\
    pattern read clients/%c/#\n\
    pattern read mixed/%u/%c\n\
    pattern write 100%/%d\n\
    pattern read $SYS/broker/connection/%c/state\n";

/// Clients: identifier and user name.
const CLIENTS: [(&str, Option<&str>); 12] = [
    ("c1", None),
    ("c1", Some("ann")),
    ("c2", Some("bob")),
    ("c3", Some("Ada Lovelace")),
    ("c4", Some("nobody")),
    ("c5", Some("any")),
    ("c6", Some("sys")),
    ("own", Some("a+b")),
    ("+", Some("ann")),
    ("#", None),
    ("c1/x", Some("ann")),
    ("$SYS", Some("ann")),
];

const TOPICS: [&str; 33] = [
    "public/x",
    "public",
    "a",
    "a/b",
    "a/secret",
    "a/secret/x",
    "two  words",
    "two words",
    "shared/1/x",
    "shared/x",
    "b",
    "deny",
    "late",
    "read",
    "ada/x",
    "other",
    "own",
    "users/ann/x",
    "users/bob",
    "users//x",
    "clients/c1/up",
    "clients/c2/up",
    "clients/c1/off",
    "clients/c1/x",
    "clients/+/up",
    "c1/both",
    "c2/both",
    "mixed/ann/c1",
    "100%/%d",
    "%c/both",
    "clients/c1/x/up",
    "users/a/b",
    "not-a-rule",
];

/// What the rights of all clients come to, one line for each.
fn rights(broker: &Broker) -> Vec<String> {
    let mut all = client(broker, "all", Some("any"));
    all.subscribe("#", 0);
    let mut lines = Vec::new();
    for (id, user) in CLIENTS {
        let mut raw = client(broker, id, user);
        raw.subscribe("#", 0);
        raw.send(&packet(
            0x82,
            &[&[0, 2], &text("$SYS/broker/version"), &[0]],
        ));
        let sys = !drained(&mut raw).is_empty();
        // Nobody can publish to a topic with a wildcard.
        let topics = || TOPICS.iter().filter(|topic| !topic.contains(['+', '#']));
        topics().for_each(|topic| raw.send(&publish(topic, "w", false)));
        drained(&mut raw);
        let may_write = drained(&mut all).join(", ");
        topics().for_each(|topic| all.send(&publish(topic, "r", false)));
        drained(&mut all);
        let may_read = drained(&mut raw).join(", ");
        lines.push(format!(
            "{id} {user:?}: sys {sys}; writes {may_write}; reads {may_read}"
        ));
    }
    lines
}

fn client(broker: &Broker, id: &str, user: Option<&str>) -> Raw {
    let connect = Connect {
        user,
        ..Connect::new(id)
    };
    Raw::client(broker.port, &connect).0
}

/// The topics of the messages that came before the answer to a PINGREQ.
fn drained(client: &mut Raw) -> Vec<String> {
    client.send(&[0xC0, 0]);
    let mut topics = Vec::new();
    loop {
        let packet = client.packet();
        match packet[0] >> 4 {
            13 => return topics,
            3 => {
                let length = usize::from(packet[3]);
                topics.push(String::from_utf8_lossy(&packet[4..4 + length]).into_owned());
            }
            _ => {}
        }
    }
}

#[test]
fn both_brokers_read_the_same_list_alike() {
    let check = "rights by one list in both brokers";
    if !Peer::MosquittoBroker.present_for(check) {
        return;
    }
    let conf = "listener {port} 127.0.0.1\nallow_anonymous true\nacl_file {dir}/acl\n";
    let [ours, theirs] =
        [Program::Broker.command(), Program::Broker.mosquitto()].map(|mut command| {
            let setup = Setup::new();
            setup.write("acl", LIST);
            let user = if nix::unistd::geteuid().is_root() {
                "user root\n"
            } else {
                ""
            };
            let conf = setup.write("broker.conf", &format!("{user}{conf}"));
            command.arg("-c").arg(conf);
            rights(&setup.start_command(command))
        });
    assert_eq!(ours, theirs);
}
