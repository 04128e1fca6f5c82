//! The whole tree of `$SYS`.

use crate::common::broker::Broker;
use crate::common::clients::Subscriber;
use crate::common::oracle;
use crate::common::raw::{Connect, Raw, publish};
use std::collections::HashMap;

const LOADS: [&str; 9] = [
    "bytes/received",
    "bytes/sent",
    "connections",
    "messages/received",
    "messages/sent",
    "publish/dropped",
    "publish/received",
    "publish/sent",
    "sockets",
];

/// What Mosquitto 2.0.11 publishes, as it does.
const TOPICS: [&str; 29] = [
    "bytes/received",
    "bytes/sent",
    "clients/active",
    "clients/connected",
    "clients/disconnected",
    "clients/expired",
    "clients/inactive",
    "clients/maximum",
    "clients/total",
    "heap/current",
    "heap/maximum",
    "messages/received",
    "messages/sent",
    "messages/stored",
    "publish/bytes/received",
    "publish/bytes/sent",
    "publish/messages/dropped",
    "publish/messages/received",
    "publish/messages/sent",
    "retained messages/count",
    "shared_subscriptions/count",
    "store/messages/bytes",
    "store/messages/count",
    "subscriptions/count",
    "uptime",
    "version",
    // Since 2.1.
    "connections/socket/count",
    "packet/out/bytes",
    "packet/out/count",
];

#[test]
fn every_topic_of_mosquittos_tree_has_its_figure() {
    let broker = Broker::start("sys_interval 1\nlistener {port}\nallow_anonymous true\n");
    let port = broker.port;
    let (mut one, _) = Raw::client(port, &Connect::new("one"));
    one.subscribe("a", 0);
    one.subscribe("$share/g/a", 0);
    let away = Connect {
        clean: false,
        ..Connect::new("away")
    };
    let (mut away, _) = Raw::client(port, &away);
    away.subscribe("nothing", 1);
    away.send(&[0xe0, 0]);
    away.expect_end();
    for _ in 0..10 {
        one.send(&publish("a", "12345", false));
    }
    one.send(&publish("kept", "12345", true));

    let sub = Subscriber::start(&broker, &["-v", "-t", "$SYS/#"]);
    let mut figures: HashMap<String, String> = HashMap::new();
    let loads = LOADS
        .iter()
        .flat_map(|load| ["1min", "5min", "15min"].map(|time| format!("load/{load}/{time}")));
    let topics: Vec<_> = TOPICS.map(str::to_owned).into_iter().chain(loads).collect();
    let topics: Vec<_> = if oracle() {
        topics
            .into_iter()
            .filter(|t| {
                !["packet", "connections/s"]
                    .iter()
                    .any(|new| t.starts_with(new))
            })
            .collect()
    } else {
        topics
    };
    let expected = [
        ("clients/connected", "2"),
        ("clients/active", "2"),
        ("clients/disconnected", "1"),
        ("clients/inactive", "1"),
        ("clients/total", "3"),
        ("clients/expired", "0"),
        ("publish/messages/received", "11"),
        ("publish/bytes/received", "55"),
        ("publish/messages/dropped", "0"),
        ("shared_subscriptions/count", "1"),
    ];
    // Mosquitto doesn't count the retained one.
    let expected = expected.map(|(topic, value)| match topic {
        "publish/messages/received" if oracle() => (topic, "10"),
        _ => (topic, value),
    });
    // What came within seconds weighs more in the shorter average.
    let is_falling = |figures: &HashMap<String, String>, load: &str| {
        let average = |time: &str| figures[&format!("load/{load}/{time}")].parse::<f64>();
        let averages = ["1min", "5min", "15min"].map(|time| average(time).expect("a number"));
        averages[0] > averages[1] && averages[1] > averages[2] && averages[2] > 0.0
    };
    let recent = [
        "bytes/received",
        "publish/received",
        "connections",
        "sockets",
    ];
    let settled = |figures: &HashMap<String, String>| {
        topics.iter().all(|topic| figures.contains_key(topic))
            && expected
                .iter()
                .all(|(topic, value)| figures[*topic] == *value)
            && recent.iter().all(|load| is_falling(figures, load))
    };
    let mut updates = 0;
    while !settled(&figures) {
        let line = sub.process.stdout.line();
        let (topic, value) = line
            .strip_prefix("$SYS/broker/")
            .and_then(|line| line.rsplit_once(' '))
            .unwrap_or_else(|| panic!("{line:?}"));
        // Two values have blanks; so has a topic.
        let (topic, value) = match (
            topic.strip_prefix("uptime "),
            topic.strip_prefix("version "),
        ) {
            (Some(seconds), _) => ("uptime", format!("{seconds} {value}")),
            (_, Some(name)) => ("version", format!("{name} {value}")),
            _ => (topic, value.to_owned()),
        };
        updates += usize::from(topic == "uptime");
        assert!(updates < 15, "not what was waited for: {figures:?}");
        figures.insert(topic.to_owned(), value);
    }
    let number = |topic: &str| -> f64 {
        figures[topic]
            .parse()
            .unwrap_or_else(|_| panic!("{topic}: {}", figures[topic]))
    };
    for topic in topics
        .iter()
        .filter(|topic| !["uptime", "version"].contains(&&***topic))
    {
        assert!(number(topic) >= 0.0, "{topic}");
    }
    assert!(figures["uptime"].ends_with(" seconds"), "{figures:?}");
    // The retained figures themselves are retained messages too.
    assert!(number("retained messages/count") > 40.0);
    assert!(number("store/messages/count") >= number("retained messages/count"));
    assert!(number("messages/received") >= 18.0);
    assert!(number("bytes/received") > 11.0 * 10.0);
    assert!(number("messages/sent") > number("publish/messages/sent"));
    assert!(number("clients/maximum") >= 2.0);
    assert!(number("heap/current") > 10_000.0);
    assert!(number("heap/maximum") >= number("heap/current") / 2.0);
}
