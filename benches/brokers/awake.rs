//! How the generator waits: it looks for what comes a while before it sleeps.
//!
//! To wake a sleeping processor costs more than most messages do, and it is
//! the broker's write that has to do it; clients on other machines cost a broker
//! nothing of the kind. In the rows about latency the generator sleeps as clients do,
//! but where it could not sleep as briefly as it had to.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use mio::{Events, Poll};

/// How long it looks.
const SPAN: Duration = Duration::from_micros(100);

static SLEEPS: AtomicBool = AtomicBool::new(false);

/// Has the generator sleep at once from now on.
pub(crate) fn sleep_always() {
    SLEEPS.store(true, Relaxed);
}

/// Whether there is a processor to spare for looking.
pub(crate) fn is_worthwhile() -> bool {
    !SLEEPS.load(Relaxed) && thread::available_parallelism().is_ok_and(|cores| cores.get() > 1)
}

/// Looks until something is there, for a while or for `longest` if that is
/// shorter. What was found, and how long it took.
pub(crate) fn look<T>(
    longest: Duration,
    mut look: impl FnMut() -> io::Result<Option<T>>,
) -> io::Result<(Option<T>, Duration)> {
    let began = Instant::now();
    loop {
        let found = look()?;
        let elapsed = began.elapsed();
        if found.is_some() || elapsed > SPAN.min(longest) {
            return Ok((found, elapsed));
        }
    }
}

/// Waits for events, no longer than `timeout`: looks first if `is_awake`, then
/// sleeps. How long it looked.
pub(crate) fn poll(
    is_awake: bool,
    poll: &mut Poll,
    events: &mut Events,
    timeout: Duration,
) -> io::Result<Duration> {
    if !is_awake {
        poll.poll(events, Some(timeout))?;
        return Ok(Duration::ZERO);
    }
    let (found, looked) = look(timeout, || {
        poll.poll(events, Some(Duration::ZERO))?;
        Ok((!events.is_empty()).then_some(()))
    })?;
    if found.is_none() && timeout > SPAN {
        poll.poll(events, Some(timeout))?;
    }
    Ok(looked)
}
