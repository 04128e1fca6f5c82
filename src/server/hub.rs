//! The core behind its lock, and what leaves it: wake-ups and log lines.

use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::exchange::Methods;
use super::log::Logger;
use crate::broker::{ConnectionId, Core, Millis};

/// The core, shared by all tasks. Under its lock is only routing; waking and
/// logging happen after it is released, once for each entry.
#[derive(Debug)]
pub(super) struct Hub {
    state: Mutex<State>,
    started: Instant,
    logger: Logger,
    methods: Methods,
    /// Tells the timer task of a deadline before the one it sleeps for.
    earlier: Notify,
}

#[derive(Debug)]
struct State {
    core: Core,
    /// The task of each connection, by its slot.
    wakers: Vec<Option<(ConnectionId, Waker)>>,
    /// The deadline that the timer task sleeps for.
    armed: Millis,
}

impl Hub {
    pub(super) fn new(core: Core, started: Instant, logger: Logger) -> Self {
        let state = Mutex::new(State {
            core,
            wakers: Vec::new(),
            armed: 0,
        });
        Self {
            state,
            started,
            logger,
            methods: Methods::default(),
            earlier: Notify::new(),
        }
    }

    pub(super) fn logger(&self) -> &Logger {
        &self.logger
    }

    /// The authentication methods that were plugged in.
    pub(super) fn methods(&self) -> &Methods {
        &self.methods
    }

    fn now(&self) -> Millis {
        self.started.elapsed().as_millis() as Millis
    }

    /// Enters the core. `own` is the connection whose task enters: it looks at
    /// itself afterwards and need not be woken.
    pub(super) fn enter<R>(
        &self,
        own: Option<ConnectionId>,
        event: impl FnOnce(&mut Core, Millis) -> R,
    ) -> R {
        let now = self.now();
        let mut woken = Vec::new();
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let result = event(&mut state.core, now);
        let effects = state.core.effects();
        for id in effects.wake.drain(..).filter(|id| Some(*id) != own) {
            if let Some(Some((owner, waker))) = state.wakers.get(id.slot())
                && *owner == id
            {
                woken.push(waker.clone());
            }
        }
        let lines = std::mem::take(&mut effects.log);
        let deadline = state.core.next_deadline().unwrap_or(Millis::MAX);
        let earlier = deadline < state.armed;
        state.armed = state.armed.min(deadline);
        drop(guard);

        woken.into_iter().for_each(Waker::wake);
        for (kind, line) in lines {
            self.logger.write(kind, &line);
        }
        if earlier {
            self.earlier.notify_one();
        }
        result
    }

    /// Notes whom to wake for a connection.
    pub(super) fn register(&self, id: ConnectionId, waker: &Waker) {
        let wakers = &mut self.state.lock().wakers;
        if wakers.len() <= id.slot() {
            wakers.resize(id.slot() + 1, None);
        }
        wakers[id.slot()] = Some((id, waker.clone()));
    }

    /// Forgets whom to wake for a connection that is gone.
    pub(super) fn unregister(&self, id: ConnectionId) {
        let wakers = &mut self.state.lock().wakers;
        if let Some(entry) = wakers.get_mut(id.slot())
            && entry.as_ref().is_some_and(|(owner, _)| *owner == id)
        {
            *entry = None;
        }
    }

    /// Ends all connections and waits until they are gone, at most `patience`.
    pub(super) async fn say_goodbye(&self, patience: Duration) {
        self.enter(None, Core::shut_down);
        let gone = async {
            while self.state.lock().wakers.iter().any(Option::is_some) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        // Who doesn't read its goodbye in time goes without.
        let _ = tokio::time::timeout(patience, gone).await;
    }

    /// Lets the core know when its deadlines pass. Never ends by itself.
    pub(super) async fn keep_time(self: Arc<Self>) {
        loop {
            let (deadline, now) = {
                let mut state = self.state.lock();
                state.armed = state.core.next_deadline().unwrap_or(Millis::MAX);
                (state.armed, self.now())
            };
            if deadline <= now {
                self.enter(None, Core::tick);
                continue;
            }
            let sleep = Duration::from_millis((deadline - now).min(3_600_000));
            tokio::select! {
                () = tokio::time::sleep(sleep) => {}
                () = self.earlier.notified() => {}
            }
        }
    }
}
