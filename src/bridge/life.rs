//! A bridge from its start to its end: it connects when its configuration says
//! so, again after each failure, and takes new orders at any time.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::Home;
use super::hello::{self, Identity, Manner};
use super::joining::{Joining, answers};
use super::pause::Pauses;
use super::traffic::Traffic;
use crate::codec::ReasonCode;
use crate::config::{Bridge, LogType, StartType};

/// How often a lazy bridge looks whether there is enough to do.
const GLANCE: Duration = Duration::from_millis(250);

/// How often a bridge that had to take another address tries the first one.
const RETURN: Duration = Duration::from_secs(5);

/// What a bridge is told to do.
#[derive(Clone, Debug)]
pub(crate) struct Orders {
    /// What it shall be from its next connection on.
    pub(crate) bridge: Arc<Bridge>,
    /// Counts the changes that want a new connection at once.
    pub(crate) urgent: u64,
    /// It shall end.
    pub(crate) end: bool,
}

/// Runs a bridge until it is ordered to end. `host` is the name of this machine.
pub(crate) async fn live(home: Arc<dyn Home>, host: String, orders: watch::Receiver<Orders>) {
    let bridge = Arc::clone(&orders.borrow().bridge);
    let mut life = Life {
        pauses: Pauses::new(bridge.restart_timeout),
        joining: Joining {
            home,
            identity: Identity::of(&bridge, &host),
            manner: Manner::of(&bridge),
            bridge,
            is_new_here: false,
        },
        orders,
        address: 0,
    };
    life.say("0");
    while !life.shall_end() {
        life.take_orders(&host);
        match life.joining.prepare().await {
            Ok(()) => life.serve().await,
            Err(why) => life.fail(&why).await,
        }
    }
}

/// Why a connection has ended, or none came about.
enum Ending {
    /// It is ordered.
    Orders,
    /// A lazy bridge has nothing to do.
    Idle,
    /// The first address can be had again.
    Return,
    /// What it says.
    Failure(String),
}

struct Life {
    joining: Joining,
    orders: watch::Receiver<Orders>,
    pauses: Pauses,
    /// The address that comes next or serves now.
    address: usize,
}

impl Life {
    fn take_orders(&mut self, host: &str) {
        let bridge = Arc::clone(&self.orders.borrow_and_update().bridge);
        if bridge.restart_timeout != self.joining.bridge.restart_timeout {
            self.pauses = Pauses::new(bridge.restart_timeout);
        }
        self.joining.identity = Identity::of(&bridge, host);
        self.joining.manner = Manner::of(&bridge);
        self.joining.bridge = bridge;
        self.address = 0;
    }

    fn bridge(&self) -> &Bridge {
        &self.joining.bridge
    }

    fn log(&self, kind: LogType, text: &str) {
        let line = format!("Bridge {}: {text}", self.bridge().name);
        self.joining.home.log(kind, &line);
    }

    /// Publishes the state of the bridge on this broker.
    fn say(&self, state: &str) {
        if self.bridge().notifications {
            let topic = &self.joining.identity.state_topic;
            self.joining.home.notify(topic, state);
        }
    }

    fn shall_end(&self) -> bool {
        // Who gave the orders may be gone.
        self.orders.borrow().end || self.orders.has_changed().is_err()
    }

    /// Whether there are orders that were not taken yet.
    fn has_orders(&self) -> bool {
        self.shall_end() || !Arc::ptr_eq(&self.orders.borrow().bridge, &self.joining.bridge)
    }

    /// Connects again and again until there are other orders.
    async fn serve(&mut self) {
        loop {
            if self.bridge().start_type == StartType::Lazy {
                self.await_work().await;
            }
            if self.has_orders() {
                return;
            }
            match self.connection().await {
                Ending::Orders => return,
                Ending::Idle => {}
                Ending::Return => self.address = 0,
                Ending::Failure(why) => self.fail(&why).await,
            }
        }
    }

    /// Waits after a failure, unless there are other orders.
    async fn fail(&mut self, why: &str) {
        if self.bridge().start_type == StartType::Once {
            let text = format!("{why}; it connects once only (start_type once)");
            self.log(LogType::Warning, &text);
            while !self.has_orders() {
                let _ = self.orders.changed().await;
            }
            return;
        }
        let pause = self.pauses.next(getrandom::u32().unwrap_or_default());
        let seconds = pause.as_secs_f64();
        self.log(
            LogType::Warning,
            &format!("{why}; next attempt in {seconds:.1} s"),
        );
        let end = Instant::now() + pause;
        while !self.has_orders()
            && timeout(end - Instant::now(), self.orders.changed())
                .await
                .is_ok()
        {}
    }

    /// Waits until so many messages wait that a lazy bridge connects.
    async fn await_work(&mut self) {
        let enough = self.bridge().threshold as usize;
        let identity = self.joining.identity.local.clone();
        while self.joining.home.waiting(&identity) < enough && !self.has_orders() {
            let _ = timeout(GLANCE, self.orders.changed()).await;
        }
    }

    /// One connection, from its beginning to its end.
    async fn connection(&mut self) -> Ending {
        let mut traffic = match self.connect().await {
            Ok(traffic) => traffic,
            Err(why) => return Ending::Failure(why),
        };
        let since = Instant::now();
        let ending = self.relay(&mut traffic).await;
        self.pauses.lasted(since.elapsed());
        self.say("0");
        let reason = match ending {
            Ending::Failure(_) => ReasonCode::DISCONNECT_WITH_WILL,
            Ending::Orders | Ending::Idle | Ending::Return => {
                if hello::tells_remote(self.bridge()) {
                    let retain = self.joining.manner.retain;
                    traffic.announce(&self.joining.identity.state_topic, "0", retain);
                }
                ReasonCode::SUCCESS
            }
        };
        traffic.leave(reason).await;
        ending
    }

    /// Connects to the first address that takes the bridge.
    async fn connect(&mut self) -> Result<Traffic, String> {
        let bridge = Arc::clone(&self.joining.bridge);
        let count = bridge.addresses.len();
        let first = if bridge.round_robin { self.address } else { 0 };
        let mut failures = Vec::new();
        for index in (first..first + count).map(|index| index % count) {
            let address = &bridge.addresses[index];
            let name = format!("{}:{}", address.host, address.port);
            self.log(LogType::Notice, &format!("connecting to {name}"));
            match self.joining.join(address).await {
                Ok(traffic) => {
                    self.address = if bridge.round_robin {
                        (index + 1) % count
                    } else {
                        index
                    };
                    return Ok(traffic);
                }
                Err(why) => failures.push(format!("{name}: {why}")),
            }
            if self.has_orders() {
                break;
            }
        }
        self.address = (first + 1) % count;
        Err(failures.join("; "))
    }

    /// Messages go both ways: says so everywhere.
    fn tell_of(&self, traffic: &mut Traffic) {
        self.log(LogType::Notice, "connected");
        self.say("1");
        if hello::tells_remote(self.bridge()) {
            let retain = self.joining.manner.retain;
            traffic.announce(&self.joining.identity.state_topic, "1", retain);
        }
    }

    /// Passes messages on as long as nothing speaks against it.
    async fn relay(&mut self, traffic: &mut Traffic) -> Ending {
        let bridge = Arc::clone(&self.joining.bridge);
        let urgent = self.orders.borrow().urgent;
        let is_lazy = bridge.start_type == StartType::Lazy;
        let mut first_is_back = pin!(async {
            if bridge.round_robin || self.address == 0 {
                return pending().await;
            }
            answers(Arc::clone(&bridge), &bridge.addresses[0], RETURN).await;
        });
        let mut orders = self.orders.clone();
        let mut is_told = false;
        loop {
            if !is_told && traffic.relay.is_ready() {
                is_told = true;
                self.tell_of(traffic);
            }
            let idle = traffic.last + bridge.idle_timeout;
            let ending = tokio::select! {
                step = traffic.step() => step.err().map(|end| Ending::Failure(end.to_string())),
                changed = orders.changed() => {
                    let is_urgent = orders.borrow().end || orders.borrow().urgent != urgent;
                    (is_urgent || changed.is_err()).then_some(Ending::Orders)
                }
                () = sleep_until(idle), if is_lazy => {
                    traffic.last = Instant::now();
                    let waiting = self.joining.home.waiting(&self.joining.identity.local);
                    (waiting == 0).then_some(Ending::Idle)
                }
                () = &mut first_is_back => Some(Ending::Return),
            };
            for warning in traffic.relay.warnings.drain(..) {
                self.log(LogType::Warning, &warning);
            }
            let words = match &ending {
                None => continue,
                Some(Ending::Failure(_)) => "",
                Some(Ending::Orders) => "disconnects as ordered",
                Some(Ending::Idle) => "disconnects, there is nothing to do",
                Some(Ending::Return) => "disconnects, the first address is back",
            };
            if !words.is_empty() {
                self.log(LogType::Notice, words);
            }
            return ending.unwrap_or(Ending::Orders);
        }
    }
}
