//! The broker as a service of systemd: what it tells the manager
//! (`sd_notify(3)`), and sockets that the manager opened for it
//! (`sd_listen_fds(3)`). Without systemd all of this does nothing.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;

use super::hub::Hub;

/// How often the status is told, where no watchdog wants more.
const STATUS_PERIOD: Duration = Duration::from_secs(10);

/// The TCP sockets that were handed to this process, and what is wrong with
/// others.
pub(super) fn sockets() -> (Vec<TcpListener>, Vec<String>) {
    let (mut sockets, mut problems) = (Vec::new(), Vec::new());
    let mut handed = ListenFd::from_env();
    for index in 0..handed.len() {
        match handed.take_tcp_listener(index) {
            Ok(Some(socket)) => sockets.push(socket),
            Ok(None) => {}
            Err(error) => problems.push(format!(
                "Socket {index} of those that systemd opened is left out: {error}; write \
                 `ListenStream=` with a port."
            )),
        }
    }
    (sockets, problems)
}

/// The broker serves.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is being read again; [`ready`] ends it.
pub(super) fn reloading() {
    let mut states = vec![NotifyState::Reloading];
    states.extend(NotifyState::monotonic_usec_now());
    tell(&states);
}

/// The broker ends.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells the number of clients, and that the broker is alive as long as its
/// core can be entered. Never ends, unless nobody wants to know.
pub(super) async fn report(hub: Arc<Hub>) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let watchdog = sd_notify::watchdog_enabled();
    // Twice as often as it must be.
    let period = watchdog.map_or(STATUS_PERIOD, |limit| (limit / 2).min(STATUS_PERIOD));
    let mut told = None;
    loop {
        let hub = Arc::clone(&hub);
        // It may block, that is the point.
        let looked =
            tokio::task::spawn_blocking(move || hub.is_alive(period / 2).then(|| hub.connected()));
        if let Ok(Some(clients)) = looked.await {
            if watchdog.is_some() {
                tell(&[NotifyState::Watchdog]);
            }
            if told != Some(clients) {
                let noun = if clients == 1 { "client" } else { "clients" };
                tell(&[NotifyState::Status(&format!("{clients} {noun} connected"))]);
                told = Some(clients);
            }
        }
        tokio::time::sleep(period).await;
    }
}

/// Tells that the process is alive, as often as the manager wants to know.
#[cfg(feature = "peers")]
pub(super) async fn stay_alive() {
    while let Some(limit) = sd_notify::watchdog_enabled() {
        tell(&[NotifyState::Watchdog]);
        tokio::time::sleep(limit / 2).await;
    }
}

fn tell(states: &[NotifyState<'_>]) {
    // A manager that doesn't listen is no reason to do anything else.
    let _ = sd_notify::notify(states);
}
