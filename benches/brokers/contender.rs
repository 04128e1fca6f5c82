//! Something that carries messages, and what it costs the machine.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::brokers::Process;

pub(crate) struct Contender {
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) meter: Meter,
    /// Ends the process when the contender is dropped; the relay has none.
    pub(crate) _process: Option<Process>,
}

/// Where the kernel tells what a process or a thread has used so far.
pub(crate) enum Meter {
    Process(PathBuf),
    Thread(PathBuf),
}

impl Meter {
    pub(crate) fn of_process(id: u32) -> Self {
        Self::Process(PathBuf::from(format!("/proc/{id}")))
    }

    pub(crate) fn of_this_thread() -> io::Result<Self> {
        let thread = fs::read_link("/proc/thread-self")?;
        Ok(Self::Thread(Path::new("/proc").join(thread)))
    }

    /// The processor time used, by user and system. `schedstat` counts
    /// nanoseconds where `stat` has ticks of ten milliseconds, too coarse for
    /// a thousand messages.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        match self {
            Self::Thread(directory) => scheduled(directory),
            Self::Process(directory) => fs::read_dir(directory.join("task"))?
                .flatten()
                // A thread may end between being listed and being read.
                .filter_map(|task| scheduled(&task.path()).ok())
                .fold(None, |sum, time| Some(sum.unwrap_or_default() + time))
                .ok_or_else(|| io::Error::other("the broker has gone")),
        }
    }

    /// The resident memory in bytes; a thread has none of its own.
    pub(crate) fn resident(&self) -> io::Result<Option<u64>> {
        self.status("VmRSS:")
    }

    /// What of that is no file's.
    pub(crate) fn own_memory(&self) -> io::Result<Option<u64>> {
        self.status("RssAnon:")
    }

    fn status(&self, name: &str) -> io::Result<Option<u64>> {
        let Self::Process(directory) = self else {
            return Ok(None);
        };
        let status = fs::read_to_string(directory.join("status"))?;
        let kibibytes = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
        Ok(kibibytes.and_then(|text| Some(text.parse::<u64>().ok()? * 1024)))
    }
}

fn scheduled(directory: &Path) -> io::Result<Duration> {
    let text = fs::read_to_string(directory.join("schedstat"))?;
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok());
    nanoseconds
        .map(Duration::from_nanos)
        .ok_or_else(|| io::Error::other("schedstat is not understood"))
}
