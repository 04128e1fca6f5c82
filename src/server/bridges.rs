//! The bridges of this broker: started with it, changed by a reload.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::DuplexStream;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::StartError;
use super::hub::Hub;
use super::link;
use crate::bridge::{self, Home, Identity, Orders, live};
use crate::broker::Policy;
use crate::config::{Bridge, LogType, ReloadType};

/// How long bridges may take to leave the other brokers when this one ends.
const GOODBYE: Duration = Duration::from_secs(2);

/// All bridges, by their names.
#[derive(Debug)]
pub(super) struct Bridges {
    hub: Arc<Hub>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Where they run; none before the broker does.
    runtime: Option<Handle>,
    running: HashMap<String, Running>,
    /// Seconds between figures in `$SYS`; 0: none.
    sys_interval: u32,
}

#[derive(Debug)]
struct Running {
    identity: Identity,
    orders: watch::Sender<Orders>,
    task: JoinHandle<()>,
}

impl Bridges {
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        let state = Mutex::default();
        Self { hub, state }
    }

    /// Whether the files of all bridges can be used. Reads them.
    pub(super) fn check(bridges: &[Bridge]) -> Result<(), StartError> {
        for bridge in bridges {
            bridge::connector(bridge).map_err(|error| {
                let (name, place) = (&bridge.name, &bridge.source);
                StartError(format!("{place}: TLS of connection `{name}`: {error}"))
            })?;
        }
        Ok(())
    }

    /// Starts them. Called within a tokio runtime.
    pub(super) fn start(self: &Arc<Self>, bridges: &[Bridge], sys_interval: u32) {
        self.state.lock().runtime = Some(Handle::current());
        self.change(bridges, sys_interval);
        tokio::spawn(Arc::clone(self).report());
    }

    /// Runs these from now on: starts, changes and ends bridges, and doesn't
    /// touch those that are as they were.
    pub(super) fn change(&self, bridges: &[Bridge], sys_interval: u32) {
        let mut state = self.state.lock();
        state.sys_interval = sys_interval;
        let Some(runtime) = state.runtime.clone() else {
            return;
        };
        let mut before = std::mem::take(&mut state.running);
        for bridge in bridges {
            let identity = Identity::of(bridge, &host());
            let known = before.remove(&bridge.name);
            let running = match known {
                Some(running) if running.identity == identity => {
                    running.change(bridge);
                    running
                }
                known => self.begin(&runtime, bridge, identity, known),
            };
            state.running.insert(bridge.name.clone(), running);
        }
        for (name, gone) in before {
            let text = format!("Bridge {name}: removed, it is gone from the configuration");
            self.hub.log(LogType::Notice, &text);
            runtime.spawn(Arc::clone(&self.hub).without(gone));
        }
    }

    /// Starts a bridge, after another one of its name has ended.
    fn begin(
        &self,
        runtime: &Handle,
        bridge: &Bridge,
        identity: Identity,
        before: Option<Running>,
    ) -> Running {
        let (orders, taken) = watch::channel(Orders {
            bridge: Arc::new(bridge.clone()),
            urgent: 0,
            end: false,
        });
        let home = Arc::new(Neighbour {
            hub: Arc::clone(&self.hub),
            name: format!("bridge {}", bridge.name),
        });
        let hub = Arc::clone(&self.hub);
        let task = runtime.spawn(async move {
            if let Some(before) = before {
                hub.without(before).await;
            }
            live(home, host(), taken).await;
        });
        Running {
            identity,
            orders,
            task,
        }
    }

    /// Tells all bridges to leave and waits for it.
    pub(super) async fn end(&self) {
        let running = std::mem::take(&mut self.state.lock().running);
        for bridge in running.values() {
            bridge.orders.send_modify(|orders| orders.end = true);
        }
        let all = async {
            for bridge in running.into_values() {
                // One that panicked has said so.
                let _ = bridge.task.await;
            }
        };
        let _ = timeout(GOODBYE, all).await;
    }

    /// Publishes how many messages wait for each bridge, again and again.
    async fn report(self: Arc<Self>) {
        let mut published = HashMap::new();
        loop {
            let interval = self.state.lock().sys_interval;
            sleep(Duration::from_secs(interval.max(1).into())).await;
            if interval == 0 {
                continue;
            }
            let state = self.state.lock();
            let identities: Vec<_> = state.running.values().map(|r| r.identity.clone()).collect();
            drop(state);
            for identity in identities {
                let count = self.hub.enter(None, |core, _| core.queued(&identity.local));
                let count = count.unwrap_or(0).to_string();
                let topic = format!("$SYS/broker/connection/{}/messages/queued", identity.remote);
                if published.get(&topic) != Some(&count) {
                    self.hub.notify(&topic, &count);
                    published.insert(topic, count);
                }
            }
        }
    }
}

impl Running {
    fn change(&self, bridge: &Bridge) {
        self.orders.send_if_modified(|orders| {
            let is_same = orders.bridge.is_like(bridge);
            if !is_same {
                orders.bridge = Arc::new(bridge.clone());
                orders.urgent += u64::from(bridge.reload_type == ReloadType::Immediate);
            }
            !is_same
        });
    }
}

impl Hub {
    /// Ends a bridge, and what this broker keeps for it.
    async fn without(self: Arc<Self>, bridge: Running) {
        bridge.orders.send_modify(|orders| orders.end = true);
        let _ = bridge.task.await;
        let Identity {
            local, state_topic, ..
        } = bridge.identity;
        self.enter(None, |core, now| core.remove_session(now, &local));
        self.notify(&state_topic, "");
    }

    fn notify(&self, topic: &str, payload: &str) {
        self.enter(None, |core, now| {
            core.publish_notification(now, topic, payload, true);
        });
    }
}

/// The name of this machine, which identifies its bridges.
fn host() -> String {
    let name = nix::unistd::gethostname().ok();
    let name = name.and_then(|name| name.into_string().ok());
    name.unwrap_or_else(|| "localhost".to_owned())
}

/// This broker, as one of its bridges sees it.
struct Neighbour {
    hub: Arc<Hub>,
    /// What its connections are called in the log.
    name: String,
}

impl Home for Neighbour {
    fn open(&self) -> DuplexStream {
        link::pipe(&self.hub, Policy::bridge(), &self.name)
    }

    fn log(&self, kind: LogType, text: &str) {
        self.hub.log(kind, text);
    }

    fn window(&self) -> u16 {
        self.hub.enter(None, |core, _| core.max_inflight_messages())
    }

    fn waiting(&self, client_id: &str) -> usize {
        let waiting = self.hub.enter(None, |core, _| core.queued(client_id));
        waiting.unwrap_or(0)
    }

    fn subscribed(&self, client_id: &str) -> Vec<String> {
        self.hub.enter(None, |core, _| core.subscribed(client_id))
    }

    fn unused_id(&self, client_id: &str) -> u16 {
        let id = self.hub.enter(None, |core, _| core.unused_id(client_id));
        id.unwrap_or(u16::MAX)
    }

    fn forget_received(&self, client_id: &str) {
        self.hub
            .enter(None, |core, now| core.forget_received(now, client_id));
    }

    fn notify(&self, topic: &str, payload: &str) {
        self.hub.notify(topic, payload);
    }
}
