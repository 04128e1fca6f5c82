//! When to send PINGREQ, and when to give the server up.

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// The clock of one connection.
pub(crate) struct KeepAlive {
    interval: Duration,
    /// When something last went in the quieter direction.
    last_sent: Instant,
    last_received: Instant,
    /// A PINGREQ is out, and this is when its answer is overdue.
    pong_due: Option<Instant>,
    /// Set late and seldom: traffic only moves the dates above.
    timer: Option<Pin<Box<Sleep>>>,
}

/// What the clock asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Not yet anything.
    Nothing,
    /// A PINGREQ.
    Ping,
    /// The server is silent for too long.
    Dead,
}

impl KeepAlive {
    /// 0 seconds: no keep alive.
    pub(crate) fn new(seconds: u16) -> Self {
        let now = Instant::now();
        Self {
            interval: Duration::from_secs(seconds.into()),
            last_sent: now,
            last_received: now,
            pong_due: None,
            timer: None,
        }
    }

    pub(crate) fn sent(&mut self) {
        self.last_sent = Instant::now();
    }

    /// Whatever comes proves that the server is alive.
    pub(crate) fn received(&mut self) {
        self.last_received = Instant::now();
        self.pong_due = None;
    }

    /// What is due now. After [`Due::Ping`] the answer is waited for.
    pub(crate) fn check(&mut self) -> Due {
        let now = Instant::now();
        if now < self.deadline() {
            return Due::Nothing;
        }
        if self.pong_due.is_some() {
            return Due::Dead;
        }
        self.pong_due = Some(now + self.interval);
        Due::Ping
    }

    fn deadline(&self) -> Instant {
        self.pong_due
            .unwrap_or(self.last_sent.min(self.last_received) + self.interval)
    }

    /// Waits until something may be due.
    pub(crate) async fn wait(&mut self) {
        if self.interval.is_zero() {
            return pending().await;
        }
        let deadline = self.deadline();
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        // One that is set too early wakes us for nothing, once an interval.
        if timer.is_elapsed() || timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        poll_fn(|cx| timer.as_mut().poll(cx)).await;
    }
}
