//! Both brokers end at random moments and the link is cut at random bytes, while
//! messages go both ways: none is lost, and QoS 2 comes exactly once.
//!
//! `MOUSTIQUE_CHAOS_ROUNDS` says how often something happens,
//! `MOUSTIQUE_CHAOS_SEED` what.

mod clients;
mod link;
mod released;
mod scene;

use std::collections::HashSet;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::common::broker::{Broker, Setup};
use crate::common::peers::Peer;
use crate::common::power::{Random, number};
use crate::common::raw::{Connect, Raw};
use crate::common::{Program, oracle_differs};
use crate::far::{Far, connected};
use clients::{Publisher, Received, Subscriber, next, publish_last};
use link::{Direction, Link};
use scene::{Scene, Side};

/// How long anything may take on a machine that does a lot else.
const PATIENCE: Duration = Duration::from_secs(120);

/// Messages that one client publishes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    topic: &'static str,
    from: Side,
    /// What they are published at.
    qos: u8,
    /// They come at QoS 2, too.
    exactly_once: bool,
}

impl Stream {
    const fn new(topic: &'static str, from: Side, qos: u8, exactly_once: bool) -> Self {
        Self {
            topic,
            from,
            qos,
            exactly_once,
        }
    }
}

const STREAMS: [Stream; 6] = [
    Stream::new("up/two", Side::Near, 2, true),
    Stream::new("up/one", Side::Near, 1, false),
    Stream::new("up-once/two", Side::Near, 2, false),
    Stream::new("down/two", Side::Far, 2, true),
    Stream::new("down/one", Side::Far, 1, false),
    Stream::new("down-once/two", Side::Far, 2, false),
];

const TOPICS: &str = "topic up/# out 2\ntopic up-once/# out 1\n\
                      topic down/# in 2\ntopic down-once/# in 1\n";

const PERSISTENT: &str = "listener {port} 127.0.0.1\nallow_anonymous true\n\
                          persistence true\npersistence_location {dir}/\n\
                          max_queued_messages 0\n";

#[test]
fn a_bridge_of_mqtt_31_to_our_broker_loses_nothing() {
    play(Far::Ours, "mqttv31");
}

#[test]
fn a_bridge_of_mqtt_311_to_our_broker_loses_nothing() {
    play(Far::Ours, "mqttv311");
}

#[test]
fn a_bridge_of_mqtt_5_to_our_broker_loses_nothing() {
    play(Far::Ours, "mqttv50");
}

#[test]
fn a_bridge_of_mqtt_31_to_mosquitto_loses_nothing() {
    play(Far::Mosquitto, "mqttv31");
}

#[test]
fn a_bridge_of_mqtt_311_to_mosquitto_loses_nothing() {
    play(Far::Mosquitto, "mqttv311");
}

#[test]
fn a_bridge_of_mqtt_5_to_mosquitto_loses_nothing() {
    play(Far::Mosquitto, "mqttv50");
}

fn play(far: Far, version: &str) {
    if oracle_differs("it doesn't survive kill -9")
        || far == Far::Mosquitto && !Peer::MosquittoBroker.present_for("chaos with Mosquitto")
    {
        return;
    }
    let (rounds, seed) = (
        number("MOUSTIQUE_CHAOS_ROUNDS", 8),
        number("MOUSTIQUE_CHAOS_SEED", 1),
    );
    let (near_setup, far_setup) = (Setup::new(), Setup::new());
    let scene = Scene::new(near_setup.port(), far_setup.port());
    let link = Link::to(far_setup.port(), version == "mqttv50");
    let mut brokers = Brokers {
        near: None,
        far: None,
        kind: far,
        conf: format!(
            "{PERSISTENT}sys_interval 1\nconnection out\naddress 127.0.0.1:{}\n\
             remote_clientid near\nrestart_timeout 1\n\
             bridge_protocol_version {version}\n{TOPICS}",
            link.port
        ),
        scene: &scene,
    };
    brokers.start(Side::Far, far_setup);
    brokers.start(Side::Near, near_setup);
    connected(brokers.near.as_ref().expect("it runs"));
    let there = Subscriber::new(&scene, Side::Far, ["up/#", "up-once/#"]);
    let here = Subscriber::new(&scene, Side::Near, ["down/#", "down-once/#"]);
    thread::scope(|scope| {
        let _guard = scene.guard();
        let scene = &scene;
        let there = scope.spawn(move || there.work(scene, "up/last"));
        let here = scope.spawn(move || here.work(scene, "down/last"));
        let publishers = STREAMS.map(|stream| {
            let publisher = Publisher::new(stream);
            scope.spawn(move || publisher.work(scene))
        });
        // They end with this, if it panics: then everybody is told.
        let mut brokers = brokers;
        let mut random = Random(seed);
        for round in 0..rounds {
            scene.wait_for_deliveries(random.below(4) * random.below(200));
            let what = brokers.disturb(&link, &mut random);
            println!("seed {seed}, round {round}: {what}");
        }
        scene.close();
        for publisher in publishers {
            publisher.join().expect("a publisher");
        }
        publish_last(scene.port(Side::Near), "up/last");
        publish_last(scene.port(Side::Far), "down/last");
        let (there, here) = (there.join(), here.join());
        brokers.wait_until_nothing_waits();
        let (there, here) = (there.expect("a subscriber"), here.expect("a subscriber"));
        check(scene, far, &link, &there, Side::Near);
        check(scene, far, &link, &here, Side::Far);
    });
}

/// All that was published came, in its order; what came at QoS 2, once.
fn check(scene: &Scene, far: Far, link: &Link, received: &Received, from: Side) {
    for stream in STREAMS.iter().filter(|stream| stream.from == from) {
        let (topic, published) = (stream.topic, scene.count(*stream));
        let numbers = received.get(topic).cloned().unwrap_or_default();
        let mut seen = HashSet::new();
        let (first, mut again): (Vec<_>, Vec<_>) =
            numbers.into_iter().partition(|number| seen.insert(*number));
        let lost: Vec<_> = (0..published).filter(|n| !seen.contains(n)).collect();
        assert!(lost.is_empty(), "{topic}: lost of {published}: {lost:?}");
        assert_eq!(first.len() as u64, published, "{topic}: nobody sent some");
        let late = first.windows(2).find(|pair| pair[0] > pair[1]);
        // Where it has messages waiting, Mosquitto sends a new one before them.
        if from == Side::Near || far == Far::Ours {
            assert_eq!(late, None, "{topic}: not in order");
        }
        println!("{topic}: {published} messages, {} repeated", again.len());
        if stream.exactly_once {
            // See `released`: ours has to do it right.
            again.retain(|number| far == Far::Ours || !link.saw_again(topic, *number));
            assert!(again.is_empty(), "{topic}: came again: {again:?}");
        }
    }
}

/// The two brokers.
struct Brokers<'a> {
    near: Option<Broker>,
    far: Option<Broker>,
    kind: Far,
    /// What the near one reads.
    conf: String,
    scene: &'a Scene,
}

impl Brokers<'_> {
    fn start(&mut self, side: Side, setup: Setup) {
        let command = self.command(side, &setup);
        *self.place(side) = Some(setup.start_command(command));
        self.scene.set_up(side, true);
    }

    fn command(&self, side: Side, setup: &Setup) -> Command {
        if side == Side::Near {
            return setup.quiet_command(&self.conf);
        }
        let ours = setup.quiet_command(PERSISTENT);
        if self.kind == Far::Ours {
            return ours;
        }
        let mut command = Program::Broker.mosquitto();
        command.arg("-c").arg(setup.path("broker.conf"));
        command
    }

    fn place(&mut self, side: Side) -> &mut Option<Broker> {
        match side {
            Side::Near => &mut self.near,
            Side::Far => &mut self.far,
        }
    }

    /// Ends a broker: ours without a warning. Mosquitto stores nothing before
    /// its end, so it needs one.
    fn end(&mut self, side: Side) -> Setup {
        self.scene.set_up(side, false);
        let signal = if side == Side::Far && self.kind == Far::Mosquitto {
            Signal::SIGTERM
        } else {
            Signal::SIGKILL
        };
        let broker = self.place(side).take().expect("it runs");
        broker.end(signal)
    }

    /// Does something that a bridge has to survive, and says what.
    fn disturb(&mut self, link: &Link, random: &mut Random) -> String {
        match random.below(8) {
            0 | 1 => {
                let setup = self.end(Side::Near);
                self.start(Side::Near, setup);
                "the near broker ended".to_owned()
            }
            2 => {
                let setup = self.end(Side::Far);
                self.start(Side::Far, setup);
                "the far broker ended".to_owned()
            }
            3 => {
                let (far, near) = (self.end(Side::Far), self.end(Side::Near));
                self.start(Side::Near, near);
                self.start(Side::Far, far);
                "both brokers ended".to_owned()
            }
            4 => {
                link.stall();
                self.scene.wait_for_standstill();
                link.sever();
                "nothing passed for a while, and what was on its way is lost".to_owned()
            }
            5 => {
                link.stall();
                self.scene.wait_for_standstill();
                link.resume();
                "nothing passed for a while".to_owned()
            }
            _ => {
                let directions = [Direction::Out, Direction::In];
                let direction = directions[random.below(2) as usize];
                let most = [300, 30_000][random.below(2) as usize];
                let bytes = random.below(most) as usize;
                assert!(link.cut_after(direction, bytes), "traffic over the link");
                format!("the link was cut after {bytes} bytes {direction:?}")
            }
        }
    }

    /// All flows have come to their end: the near broker says so.
    fn wait_until_nothing_waits(&self) {
        let port = self.scene.port(Side::Near);
        let (mut watch, _) = Raw::client(port, &Connect::new("watch-queue"));
        watch.subscribe("$SYS/broker/connection/near/messages/queued", 0);
        while !next(&mut watch)
            .expect("a broker that lives")
            .ends_with(b"queued0")
        {}
    }
}
