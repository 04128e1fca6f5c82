//! What the machine did meanwhile, and what it allows.

use std::{fs, io, time::Duration};

use nix::{
    sys::{
        resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit},
        time::TimeVal,
    },
    unistd::{SysconfVar, sysconf},
};

/// Raises the limit of open files as far as the system lets us.
pub(crate) fn allow_many_files() -> io::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, most, most)?)
}

/// Takes what memory is free but for a GiB. Where a host takes back what a virtual
/// machine leaves unused, a page that was free for long costs ten times what
/// others do; what is left here is used again and again.
pub(crate) fn hold_memory() -> io::Result<Vec<u8>> {
    const LEFT: usize = 1 << 30;
    let text = fs::read_to_string("/proc/meminfo")?;
    let free = text.lines().find_map(|line| line.strip_prefix("MemFree:"));
    let kibibytes = free.and_then(|line| line.trim().split(' ').next()?.parse().ok());
    let free = kibibytes.map_or(0, |count: usize| count * 1024);
    Ok(vec![1; free.saturating_sub(LEFT)])
}

/// Processor time until an instant.
pub(crate) struct Machine {
    /// Of all that ran, and of all that could have.
    busy: Duration,
    whole: Duration,
    brokers: Duration,
    generator: Duration,
}

impl Machine {
    pub(crate) fn now() -> io::Result<Self> {
        let (busy, whole) = ticks().ok_or_else(|| io::Error::other("/proc/stat is unknown"))?;
        let used = |who| {
            let usage = getrusage(who)?;
            io::Result::Ok(time(usage.user_time()) + time(usage.system_time()))
        };
        Ok(Self {
            busy,
            whole,
            // Those that have ended, as all have between rows.
            brokers: used(UsageWho::RUSAGE_CHILDREN)?,
            generator: used(UsageWho::RUSAGE_SELF)?,
        })
    }

    /// Who used the processors since.
    pub(crate) fn report(&self) -> io::Result<()> {
        let now = Self::now()?;
        let whole = now.whole.saturating_sub(self.whole).as_secs_f64().max(0.01);
        let share = |time: Duration| time.as_secs_f64() / whole * 100.0;
        let (brokers, generator) = (
            now.brokers.saturating_sub(self.brokers),
            now.generator.saturating_sub(self.generator),
        );
        let busy = now.busy.saturating_sub(self.busy);
        println!(
            "\nOf the processors' time the brokers used {:.0} %, the generator (with the relay) \
             {:.0} %, everything else on this machine {:.0} %.",
            share(brokers),
            share(generator),
            share(busy.saturating_sub(brokers + generator)),
        );
        Ok(())
    }
}

fn time(value: TimeVal) -> Duration {
    Duration::from_micros(value.tv_sec() as u64 * 1_000_000 + value.tv_usec() as u64)
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq
/// and steal.
fn ticks() -> Option<(Duration, Duration)> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let fields = text.lines().next()?.split_whitespace().skip(1).take(8);
    let ticks: Vec<u64> = fields.map_while(|field| field.parse().ok()).collect();
    let second = sysconf(SysconfVar::CLK_TCK).ok()?? as f64;
    let duration = |ticks: u64| Duration::from_secs_f64(ticks as f64 / second);
    let whole = ticks.iter().sum();
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    Some((duration(whole - idle), duration(whole)))
}
