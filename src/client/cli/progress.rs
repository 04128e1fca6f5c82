//! A line on the terminal for jobs that take long.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How long a job may take without a word.
const PATIENCE: Duration = Duration::from_secs(1);

/// Counts messages, for a person at a terminal only.
pub(super) struct Progress {
    wanted: bool,
    total: Option<u64>,
    started: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// `total`: how many messages it will be, where that is known.
    pub(super) fn new(quiet: bool, total: Option<u64>) -> Self {
        Self {
            // Lines that are typed need no counting.
            wanted: !quiet && io::stderr().is_terminal() && !io::stdin().is_terminal(),
            total,
            started: Instant::now(),
            bar: None,
        }
    }

    /// `done` messages are on their way.
    pub(super) fn at(&mut self, done: u64) {
        if !self.wanted || self.bar.is_none() && self.started.elapsed() < PATIENCE {
            return;
        }
        let total = self.total;
        self.bar
            .get_or_insert_with(|| new_bar(total))
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

fn new_bar(total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (
            ProgressBar::new(total),
            "{bar:30} {human_pos}/{human_len} messages, {per_sec}, {eta} left",
        ),
        None => (
            ProgressBar::new_spinner(),
            "{spinner} {human_pos} messages, {per_sec}",
        ),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
