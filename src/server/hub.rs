//! The core behind its lock, and what leaves it: wake-ups and log lines.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Waker;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustls::pki_types::CertificateDer;
use tokio::sync::Notify;

use super::exchange::Methods;
use super::linger::Linger;
use super::log::Logger;
use super::process;
use crate::broker::{ConnectionId, Core, Group, Millis};
use crate::config::LogType;
use crate::store::WallMillis;

/// A client's certificate and those above it.
type Certificates = Arc<[CertificateDer<'static>]>;

/// How often the memory in use is looked at, at most.
const MEASURE: Duration = Duration::from_millis(500);

/// The core, shared by all tasks. Under its lock is only routing; waking and
/// logging happen after it is released, once for each entry.
#[derive(Debug)]
pub(super) struct Hub {
    state: Mutex<State>,
    started: Instant,
    logger: Logger,
    methods: Methods,
    /// The certificates of the connections that showed some.
    certificates: Mutex<HashMap<ConnectionId, Certificates>>,
    /// Tells the timer task of a deadline before the one it sleeps for.
    earlier: Notify,
    /// Tells the store's thread of work.
    store_work: Condvar,
    /// Tells who commits small groups without the thread, if anybody does.
    small_work: Notify,
    has_small_work: AtomicBool,
    linger: Arc<Linger>,
}

/// What the store's thread has to do next.
#[derive(Debug)]
pub(super) enum Next {
    /// To commit and to read.
    Work,
    /// To save, because somebody asks for it.
    Save,
    /// To bring to the disk what was committed.
    Due,
    /// Nothing that is urgent; something may have changed.
    Nothing,
    /// To end.
    End,
}

#[derive(Debug)]
struct State {
    core: Core,
    /// The task of each connection, by its slot.
    wakers: Vec<Option<(ConnectionId, Waker)>>,
    /// The deadline that the timer task sleeps for.
    armed: Millis,
    /// The store shall save, or end.
    save: bool,
    end_store: bool,
    /// The store's thread shall look what is to be done next.
    look_again: bool,
}

impl Hub {
    pub(super) fn new(core: Core, started: Instant, logger: Logger) -> Self {
        let state = Mutex::new(State {
            core,
            wakers: Vec::new(),
            armed: 0,
            save: false,
            end_store: false,
            look_again: false,
        });
        Self {
            state,
            started,
            logger,
            methods: Methods::default(),
            certificates: Mutex::default(),
            earlier: Notify::new(),
            store_work: Condvar::new(),
            small_work: Notify::new(),
            has_small_work: AtomicBool::new(false),
            linger: Arc::default(),
        }
    }

    pub(super) fn logger(&self) -> &Logger {
        &self.logger
    }

    /// Writes a line that is not the core's to the log.
    pub(super) fn log(&self, kind: LogType, text: &str) {
        self.logger.write(kind, text);
        if self.logger.has_topic() {
            self.enter(None, |core, now| self.publish_line(core, now, kind, text));
        }
    }

    /// The core's lines. With `log_dest topic` they are published too; what
    /// there is to log about that is not, or there would be no end.
    fn take_lines(&self, core: &mut Core, now: Millis) -> Vec<(LogType, String)> {
        let mut lines = std::mem::take(&mut core.effects().log);
        if !lines.is_empty() && self.logger.has_topic() {
            for (kind, text) in &lines {
                self.publish_line(core, now, *kind, text);
            }
            lines.append(&mut core.effects().log);
        }
        lines
    }

    fn publish_line(&self, core: &mut Core, now: Millis, kind: LogType, text: &str) {
        if let Some(topic) = Core::log_topic(kind)
            && let Some(line) = self.logger.line(kind, text)
        {
            core.publish_log(now, topic, &line);
        }
    }

    /// Whether the core can be entered within a time; blocks so long.
    pub(super) fn is_alive(&self, patience: Duration) -> bool {
        self.state.try_lock_for(patience).is_some()
    }

    /// The number of clients that are connected.
    pub(super) fn connected(&self) -> usize {
        self.state.lock().core.connected()
    }

    pub(super) fn linger(&self) -> &Arc<Linger> {
        &self.linger
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
        state.core.effects().wake.retain(|id| Some(*id) != own);
        // It may have looked at itself within the event already, so that what
        // is published now would be news to it.
        let lines = self.take_lines(&mut state.core, now);
        for id in state.core.effects().wake.drain(..) {
            if let Some(Some((owner, waker))) = state.wakers.get(id.slot())
                && *owner == id
            {
                woken.push(waker.clone());
            }
        }
        let deadline = state.core.next_deadline().unwrap_or(Millis::MAX);
        let earlier = deadline < state.armed;
        state.armed = state.armed.min(deadline);
        let store_work = state.core.has_store_work();
        drop(guard);

        woken.into_iter().for_each(Waker::wake);
        for (kind, line) in lines {
            self.logger.write(kind, &line);
        }
        if earlier {
            self.earlier.notify_one();
        }
        if store_work && self.has_small_work.load(Relaxed) {
            self.small_work.notify_one();
        } else if store_work {
            self.store_work.notify_one();
        }
        result
    }

    /// Waits for work for the store: no longer than until `due`, and not at all
    /// where it is `untidy`, because there is something to do meanwhile.
    pub(super) fn next_store_work(&self, untidy: bool, due: Option<Instant>) -> Next {
        let mut state = self.state.lock();
        loop {
            if state.core.has_store_work() {
                return Next::Work;
            }
            if std::mem::take(&mut state.save) {
                return Next::Save;
            }
            if state.end_store {
                return Next::End;
            }
            if std::mem::take(&mut state.look_again) || untidy {
                return Next::Nothing;
            }
            match due {
                Some(due) => {
                    if self.store_work.wait_until(&mut state, due).timed_out() {
                        return Next::Due;
                    }
                }
                None => self.store_work.wait(&mut state),
            }
        }
    }

    /// What is to be committed and read now. `wall` is the system's clock. In
    /// the hands of one at a time: groups are committed in their order.
    pub(super) fn take_group(&self, wall: WallMillis) -> Option<Group> {
        let now = self.now();
        self.state.lock().core.take_group(now, wall)
    }

    /// The same if it is no more than records of about `most` bytes.
    pub(super) fn take_small_group(&self, wall: WallMillis, most: usize) -> Option<Group> {
        let now = self.now();
        let core = &mut self.state.lock().core;
        core.has_small_group(most)
            .then(|| core.take_group(now, wall))
            .flatten()
    }

    pub(super) fn has_store_work(&self) -> bool {
        self.state.lock().core.has_store_work()
    }

    /// Waits for work for the store in the place of the store's thread. From
    /// the first call on the thread is told only by
    /// [`call_store_thread`](Self::call_store_thread).
    pub(super) async fn small_work(&self) {
        self.has_small_work.store(true, Relaxed);
        self.small_work.notified().await;
    }

    /// Has the store's thread look what is to be done.
    pub(super) fn call_store_thread(&self) {
        self.state.lock().look_again = true;
        self.store_work.notify_one();
    }

    /// Has the store save now.
    pub(super) fn save(&self) {
        self.state.lock().save = true;
        self.store_work.notify_one();
    }

    /// Has the store end when everything is kept.
    pub(super) fn end_store(&self) {
        self.state.lock().end_store = true;
        self.store_work.notify_one();
    }

    /// Waits; true if the store shall end meanwhile.
    pub(super) fn store_ends_within(&self, patience: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.end_store {
            self.store_work.wait_for(&mut state, patience);
        }
        state.end_store
    }

    /// Notes whom to wake for a connection.
    pub(super) fn register(&self, id: ConnectionId, waker: &Waker) {
        let wakers = &mut self.state.lock().wakers;
        if wakers.len() <= id.slot() {
            wakers.resize(id.slot() + 1, None);
        }
        wakers[id.slot()] = Some((id, waker.clone()));
    }

    /// Notes the certificates of a connection.
    pub(super) fn certify(&self, id: ConnectionId, certificates: Certificates) {
        self.certificates.lock().insert(id, certificates);
    }

    /// The certificates of all connections that showed some.
    pub(super) fn certificates(&self) -> HashMap<ConnectionId, Certificates> {
        self.certificates.lock().clone()
    }

    /// Forgets whom to wake for a connection that is gone.
    pub(super) fn unregister(&self, id: ConnectionId) {
        self.certificates.lock().remove(&id);
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
        let mut measured = None;
        loop {
            let (deadline, now) = {
                let mut state = self.state.lock();
                state.armed = state.core.next_deadline().unwrap_or(Millis::MAX);
                (state.armed, self.now())
            };
            if deadline <= now {
                let due = measured.is_none_or(|at: Instant| at.elapsed() >= MEASURE);
                let memory = due.then(process::memory).flatten();
                if due {
                    measured = Some(Instant::now());
                }
                self.enter(None, |core, now| {
                    if let Some(bytes) = memory {
                        core.note_memory(bytes);
                    }
                    core.tick(now);
                });
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
