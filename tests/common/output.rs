//! What a program writes, collected by a thread so that tests can wait for it.

use super::TIMEOUT;
use std::io::Read;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A value that another thread fills and a test waits for.
#[derive(Default)]
pub(crate) struct Watched<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Watched<T> {
    pub(crate) fn update(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.value.lock().unwrap());
        self.changed.notify_all();
    }

    pub(crate) fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.value.lock().unwrap())
    }

    /// Waits until `look` finds something; `None` when `limit` has passed.
    pub(crate) fn wait<R>(
        &self,
        limit: Duration,
        mut look: impl FnMut(&mut T) -> Option<R>,
    ) -> Option<R> {
        let deadline = Instant::now() + limit;
        let mut value = self.value.lock().unwrap();
        loop {
            if let Some(found) = look(&mut value) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            value = self.changed.wait_timeout(value, left).unwrap().0;
        }
    }
}

/// The bytes of one output stream so far.
#[derive(Default)]
pub(crate) struct Output(Watched<Collected>);

#[derive(Default)]
struct Collected {
    bytes: Vec<u8>,
    /// Where the next line to hand out begins.
    next: usize,
    ended: bool,
}

impl Output {
    pub(crate) fn collect(mut from: impl Read + Send + 'static) -> Arc<Self> {
        let output = Arc::new(Self::default());
        let writer = Arc::clone(&output);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // A terminal reports its end as an error.
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                writer
                    .0
                    .update(|all| all.bytes.extend_from_slice(&buffer[..count]));
            }
            writer.0.update(|all| all.ended = true);
        });
        output
    }

    pub(crate) fn text(&self) -> String {
        self.0.read(|all| lossy(&all.bytes))
    }

    /// Everything, once the stream has ended.
    pub(crate) fn whole(&self) -> String {
        self.0
            .wait(TIMEOUT, |all| all.ended.then(|| lossy(&all.bytes)))
            .expect("the output does not end")
    }

    /// The next line that no earlier call has returned.
    pub(crate) fn line(&self) -> String {
        self.line_within(TIMEOUT)
    }

    /// As [`Output::line`], for what takes its time.
    pub(crate) fn line_within(&self, limit: Duration) -> String {
        let line = self.0.wait(limit, |all| {
            let rest = &all.bytes[all.next..];
            match rest.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    let line = lossy(&rest[..end]);
                    all.next += end + 1;
                    Some(Some(line))
                }
                None => all.ended.then_some(None),
            }
        });
        match line {
            Some(Some(line)) => line,
            Some(None) => panic!("the output ended before the awaited line: {}", self.text()),
            None => panic!("no further line within {limit:?}, so far: {}", self.text()),
        }
    }

    /// Waits until `enough` of what the stream has brought so far is there.
    pub(crate) fn wait_until(&self, enough: impl Fn(&str) -> bool) {
        let found = self
            .0
            .wait(TIMEOUT, |all| enough(&lossy(&all.bytes)).then_some(()));
        assert!(found.is_some(), "not what was waited for: {}", self.text());
    }

    /// Waits until the stream contains `text`.
    pub(crate) fn wait_for(&self, text: &str) {
        let found = self.0.wait(TIMEOUT, |all| {
            (lossy(&all.bytes).contains(text) || all.ended)
                .then(|| lossy(&all.bytes).contains(text))
        });
        assert!(
            found == Some(true),
            "waited for {text:?}, the output is: {}",
            self.text()
        );
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
