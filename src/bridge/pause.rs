//! How long to wait after a failure (`restart_timeout`).

use std::time::Duration;

use crate::config::RestartTimeout;

/// The waits of one bridge. Those that grow do so by chance, so that many
/// bridges which lost the same broker don't come back in one wave.
#[derive(Debug)]
pub(super) struct Pauses {
    rule: RestartTimeout,
    last: Option<Duration>,
}

impl Pauses {
    pub(super) fn new(rule: RestartTimeout) -> Self {
        Self { rule, last: None }
    }

    /// The next wait; `chance` is a random number.
    pub(super) fn next(&mut self, chance: u32) -> Duration {
        let (base, cap) = match self.rule {
            RestartTimeout::Constant(pause) => return pause,
            RestartTimeout::Backoff { base, cap, .. } => (base, cap),
        };
        // Between the shortest and three times the last: grows on average, and
        // not in step with anybody else.
        let upper = self.last.map_or(base, |last| (last * 3).clamp(base, cap));
        let share = f64::from(chance) / f64::from(u32::MAX);
        let pause = base + upper.saturating_sub(base).mul_f64(share);
        self.last = Some(pause.max(base));
        pause
    }

    /// A connection has ended that lasted so long.
    pub(super) fn lasted(&mut self, time: Duration) {
        if let RestartTimeout::Backoff { stable, .. } = self.rule
            && time >= stable
        {
            self.last = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn growing() -> Pauses {
        Pauses::new(RestartTimeout::Backoff {
            base: 5 * SECOND,
            cap: 30 * SECOND,
            stable: 10 * SECOND,
        })
    }

    #[test]
    fn pauses_grow_to_the_cap() {
        let mut pauses = growing();
        let waits: Vec<_> = (0..4).map(|_| pauses.next(u32::MAX).as_secs()).collect();
        assert_eq!(waits, [5, 15, 30, 30]);
        assert_eq!(pauses.next(0), 5 * SECOND, "by chance it is short again");
    }

    #[test]
    fn a_stable_connection_starts_them_anew() {
        let mut pauses = growing();
        pauses.next(u32::MAX);
        pauses.next(u32::MAX);
        pauses.lasted(9 * SECOND);
        assert!(pauses.next(u32::MAX) > 5 * SECOND, "that was not stable");
        pauses.lasted(10 * SECOND);
        assert_eq!(pauses.next(u32::MAX), 5 * SECOND);
    }

    #[test]
    fn a_constant_pause_is_constant() {
        let mut pauses = Pauses::new(RestartTimeout::Constant(7 * SECOND));
        assert_eq!(pauses.next(0), 7 * SECOND);
        assert_eq!(pauses.next(u32::MAX), 7 * SECOND);
    }
}
