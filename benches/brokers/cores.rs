//! Which processors may be used.

use std::io;

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

const THIS_THREAD: Pid = Pid::from_raw(0);

/// Confines this thread, and all that it starts meanwhile, to one processor,
/// until what this returns is dropped.
pub(crate) fn confine() -> io::Result<Confined> {
    let before = sched_getaffinity(THIS_THREAD)?;
    let mut one = CpuSet::new();
    // The last: the first has the most interrupts to serve.
    let last = (0..CpuSet::count()).rfind(|&core| before.is_set(core) == Ok(true));
    one.set(last.unwrap_or(0))?;
    sched_setaffinity(THIS_THREAD, &one)?;
    Ok(Confined { before })
}

pub(crate) struct Confined {
    before: CpuSet,
}

impl Drop for Confined {
    fn drop(&mut self) {
        // What was allowed before is allowed again.
        let _ = sched_setaffinity(THIS_THREAD, &self.before);
    }
}
