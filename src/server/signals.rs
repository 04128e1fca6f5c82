//! Signals: what Mosquitto does at each of them.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

#[cfg(feature = "peers")]
use super::log::Logger;
use super::reload::Control;
use super::{StartError, systemd};
use crate::broker::Subscribed;
use crate::config::LogType;

/// The signals that the broker listens to.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user1: Signal,
    user2: Signal,
    reopen: Signal,
}

impl Signals {
    /// Begins to listen. Called within a runtime.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn listen() -> Result<Self, StartError> {
        let listen = |kind| {
            signal(kind).map_err(|error| StartError(format!("cannot listen for signals: {error}")))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
            user1: listen(SignalKind::user_defined1())?,
            user2: listen(SignalKind::user_defined2())?,
            reopen: listen(SignalKind::from_raw(nix::libc::SIGRTMIN()))?,
        })
    }

    /// Ready when SIGTERM or SIGINT asks the broker to end. The others have
    /// their effect meanwhile.
    pub(super) async fn attend(mut self, control: Arc<Control>) {
        let hub = Arc::clone(control.hub());
        systemd::ready();
        loop {
            tokio::select! {
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                _ = self.hang_up.recv() => {
                    let control = Arc::clone(&control);
                    run(move || {
                        systemd::reloading();
                        control.hub().logger().reopen();
                        control.reload();
                        systemd::ready();
                    })
                    .await;
                }
                _ = self.user1.recv() => {
                    if control.is_persistent() {
                        hub.save();
                    } else {
                        let text = "SIGUSR1: there is nothing to save, persistence is off.";
                        hub.log(LogType::Notice, text);
                    }
                }
                _ = self.user2.recv() => {
                    let hub = Arc::clone(&hub);
                    run(move || {
                        let mut all = hub.enter(None, |core, _| core.subscriptions());
                        all.sort_unstable();
                        let log = |text: &str| hub.logger().write_patiently(LogType::Notice, text);
                        log(&format!("Subscriptions: {}", all.len()));
                        for Subscribed { filter, client_id, qos } in all {
                            log(&format!("  {filter} ({client_id}, {})", qos as u8));
                        }
                    })
                    .await;
                }
                _ = self.reopen.recv() => hub.logger().reopen(),
            }
        }
        systemd::stopping();
    }

    /// The same for an engine that takes nothing new while it runs.
    #[cfg(feature = "peers")]
    pub(super) async fn attend_simply(mut self, logger: &Logger) {
        let cannot = |text: &str| logger.write(LogType::Warning, text);
        systemd::ready();
        loop {
            tokio::select! {
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                _ = self.hang_up.recv() => {
                    logger.reopen();
                    cannot("SIGHUP: rumqttd takes no other configuration; restart it for one.");
                }
                _ = self.user1.recv() => cannot("SIGUSR1: rumqttd keeps nothing on disk."),
                _ = self.user2.recv() => cannot("SIGUSR2: rumqttd does not tell its subscriptions."),
                _ = self.reopen.recv() => logger.reopen(),
            }
        }
        systemd::stopping();
    }
}

/// Runs what reads files or waits for the log on a thread where it may.
async fn run(work: impl FnOnce() + Send + 'static) {
    // A thread that panicked has told so on stderr.
    let _ = tokio::task::spawn_blocking(work).await;
}
