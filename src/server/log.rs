//! The log: lines to the destinations of `log_dest`.
//!
//! | file | concept |
//! |---|---|
//! | `form.rs` | what a line looks like |
//! | `queue.rs` | lines on their way to the writer |
//! | `destinations.rs` | where they end |

mod destinations;
mod form;
mod queue;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::{Gid, Uid};
use parking_lot::{Mutex, RwLock};

use crate::config::{Config, LogType, LogTypes};
use destinations::Destinations;
use form::Form;
use queue::{Entry, Item, Queue};

/// How long the end of the broker waits for the last lines to be written, and
/// how long a long text waits for a slow reader.
const PATIENCE: Duration = Duration::from_secs(2);

/// Takes lines from everybody and has a thread of its own write them, so that
/// nobody waits for a slow terminal, pipe or disk.
#[derive(Debug)]
pub(super) struct Logger {
    form: RwLock<Arc<Form>>,
    /// The files that are open.
    paths: Mutex<Vec<PathBuf>>,
    queue: Arc<Queue>,
    /// Until the thread is started.
    unstarted: Mutex<Option<Destinations>>,
}

/// A log that is opened and not written to yet.
#[derive(Debug)]
pub(super) struct Prepared {
    form: Form,
    destinations: Destinations,
    complaints: Vec<String>,
}

impl Logger {
    /// Opens the destinations. Lines wait until [`start`](Self::start).
    ///
    /// # Errors
    /// A file that cannot be opened, a time format that makes no sense; the
    /// words name it.
    pub(super) fn open(config: &Config) -> Result<Self, String> {
        let (destinations, _) = Destinations::open(config, &[])?;
        Ok(Self {
            form: RwLock::new(Arc::new(Form::new(&config.log)?)),
            paths: Mutex::new(destinations.paths()),
            queue: Arc::default(),
            unstarted: Mutex::new(Some(destinations)),
        })
    }

    /// Starts the thread that writes. Called after the process has gone into
    /// the background, where threads would not follow it.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(&self) -> Result<(), String> {
        let Some(destinations) = self.unstarted.lock().take() else {
            return Ok(());
        };
        let queue = Arc::clone(&self.queue);
        std::thread::Builder::new()
            .name("mqtt-log".into())
            .spawn(move || destinations.serve(&queue))
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        Ok(())
    }

    /// Makes the log files a user's, who may have to open them again. Called
    /// before [`start`](Self::start).
    pub(super) fn give_to(&self, uid: Uid, gid: Gid) {
        if let Some(destinations) = &*self.unstarted.lock() {
            destinations.give_to(uid, gid);
        }
    }

    /// Opens what another configuration asks for, without a change so far.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub(super) fn prepare(&self, config: &Config) -> Result<Prepared, String> {
        let form = Form::new(&config.log)?;
        let (destinations, complaints) = Destinations::open(config, &self.paths.lock())?;
        Ok(Prepared {
            form,
            destinations,
            complaints,
        })
    }

    /// From now on lines go where the other configuration wants them.
    pub(super) fn change(&self, prepared: Prepared) {
        *self.form.write() = Arc::new(prepared.form);
        *self.paths.lock() = prepared.destinations.paths();
        self.queue.command(Item::Change(prepared.destinations));
        for complaint in prepared.complaints {
            self.write(LogType::Error, &complaint);
        }
    }

    /// The kinds of line that go anywhere.
    pub(super) fn types(&self) -> LogTypes {
        self.form.read().types
    }

    /// Whether lines are published below `$SYS/broker/log`.
    pub(super) fn has_topic(&self) -> bool {
        self.form.read().topic
    }

    /// A line as it is published, if its kind is wanted at all.
    pub(super) fn line(&self, kind: LogType, text: &str) -> Option<String> {
        let form = Arc::clone(&self.form.read());
        form.types.contains(kind).then(|| {
            let mut line = form.entry(kind, text).line;
            line.pop();
            line
        })
    }

    /// Writes a line, or counts it as lost where too many wait.
    pub(super) fn write(&self, kind: LogType, text: &str) {
        let form = Arc::clone(&self.form.read());
        if form.types.contains(kind) {
            self.queue
                .push(form.entry(kind, text), |lost| note(&form, lost));
        }
    }

    /// Writes a line of a long text: waits for room, though not for ever.
    /// Nothing for tasks that others wait for.
    pub(super) fn write_patiently(&self, kind: LogType, text: &str) {
        self.queue.wait_for_room(PATIENCE);
        self.write(kind, text);
    }

    /// Opens the files anew, after somebody moved them away.
    pub(super) fn reopen(&self) {
        let form = Arc::clone(&self.form.read());
        self.queue.command(Item::Reopen(form));
    }
}

fn note(form: &Form, lost: u64) -> Entry {
    let text = format!("{lost} log lines were lost here: they came faster than they were taken.");
    form.entry(LogType::Warning, &text)
}

impl Drop for Logger {
    fn drop(&mut self) {
        let form = Arc::clone(self.form.get_mut());
        self.queue.close(|lost| note(&form, lost));
        match self.unstarted.get_mut().take() {
            Some(destinations) => destinations.serve(&self.queue),
            None => self.queue.wait_for_end(PATIENCE),
        }
    }
}
