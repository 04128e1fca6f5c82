//! A line on the terminal for jobs that take long.

use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};

/// How long a job may take without a word.
const PATIENCE: Duration = Duration::from_secs(1);

/// How much there is to do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Amount {
    /// Messages, as many as there are.
    Unknown,
    Messages(u64),
    /// The bytes of one message.
    Bytes(usize),
}

/// Counts messages or bytes, for a person at a terminal only.
pub(super) struct Progress {
    wanted: bool,
    amount: Amount,
    started: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn new(quiet: bool, amount: Amount) -> Self {
        // Lines that are typed need no counting.
        let typed = matches!(amount, Amount::Unknown) && io::stdin().is_terminal();
        Self {
            wanted: !quiet && io::stderr().is_terminal() && !typed,
            amount,
            started: Instant::now(),
            bar: None,
        }
    }

    /// So many messages or bytes are on their way.
    pub(super) fn at(&mut self, done: u64) {
        if !self.wanted || self.bar.is_none() && self.started.elapsed() < PATIENCE {
            return;
        }
        let amount = self.amount;
        self.bar
            .get_or_insert_with(|| new_bar(amount))
            .set_position(done);
    }

    /// Takes the line away.
    pub(super) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.wanted = false;
    }
}

fn new_bar(amount: Amount) -> ProgressBar {
    let (bar, template) = match amount {
        Amount::Messages(total) => (
            ProgressBar::new(total),
            "{bar:30} {human_pos}/{human_len} messages, {rate}/s, {eta} left",
        ),
        Amount::Bytes(total) => (
            ProgressBar::new(total as u64),
            "{bar:30} {binary_bytes}/{binary_total_bytes}, {binary_bytes_per_sec}, {eta} left",
        ),
        Amount::Unknown => (
            ProgressBar::new_spinner(),
            "{spinner} {human_pos} messages, {rate}/s",
        ),
    };
    let rate = |state: &ProgressState, out: &mut dyn Write| {
        // A line that cannot be drawn is none to complain of.
        let _ = write!(out, "{}", HumanCount(state.per_sec() as u64));
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style.with_key("rate", rate)),
        Err(_) => bar,
    }
}
