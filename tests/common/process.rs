//! Child processes with time limits.

use super::TIMEOUT;
use super::output::{Output, Watched};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// A running program. Dropping it kills it.
pub(crate) struct Process {
    what: String,
    pid: Pid,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) stdout: Arc<Output>,
    pub(crate) stderr: Arc<Output>,
    status: Arc<Watched<Option<ExitStatus>>>,
}

/// How a program ended and what it wrote.
#[derive(Debug)]
pub(crate) struct Finished {
    what: String,
    /// `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Process {
    /// Starts a program with pipes for all three streams.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self::adopt(child, format!("{command:?}"))
    }

    /// Takes over a started child; streams that it does not pipe stay empty.
    pub(crate) fn adopt(mut child: Child, what: String) -> Self {
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().map(Output::collect);
        let stderr = child.stderr.take().map(Output::collect);
        let nothing = || Output::collect(std::io::empty());
        let pid = Pid::from_raw(child.id() as i32);
        let status = Arc::new(Watched::default());
        let watched = Arc::clone(&status);
        thread::spawn(move || {
            let ended = child.wait().expect("waiting for a child");
            watched.update(|status| *status = Some(ended));
        });
        Self {
            what,
            pid,
            stdin,
            stdout: stdout.unwrap_or_else(nothing),
            stderr: stderr.unwrap_or_else(nothing),
            status,
        }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    pub(crate) fn ended(&self) -> bool {
        self.status.read(Option::is_some)
    }

    pub(crate) fn wait_end(&self) {
        self.wait_end_within(TIMEOUT);
    }

    pub(crate) fn wait_end_within(&self, limit: Duration) {
        let ended = self.status.wait(limit, |status| *status);
        assert!(ended.is_some(), "{} goes on running", self.what);
    }

    pub(crate) fn send(&self, signal: Signal) {
        if !self.ended() {
            // It may end, and be reaped, just now.
            let sent = kill(self.pid, signal);
            assert!(matches!(sent, Ok(()) | Err(Errno::ESRCH)), "{sent:?}");
        }
    }

    /// Writes to the program's standard input and leaves it open.
    pub(crate) fn write(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("standard input is open");
        stdin.write_all(text.as_bytes()).expect("writing to stdin");
        stdin.flush().expect("writing to stdin");
    }

    pub(crate) fn finish(self) -> Finished {
        self.finish_within(TIMEOUT)
    }

    /// Closes standard input and waits for the program to end by itself.
    pub(crate) fn finish_within(mut self, limit: Duration) -> Finished {
        self.stdin = None;
        let Some(status) = self.status.wait(limit, |status| *status) else {
            panic!(
                "{} still runs after {limit:?}\nstdout: {}\nstderr: {}",
                self.what,
                self.stdout.text(),
                self.stderr.text()
            );
        };
        Finished {
            what: self.what.clone(),
            code: status.code(),
            signal: status.signal(),
            stdout: self.stdout.whole(),
            stderr: self.stderr.whole(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.ended() {
            let _ = kill(self.pid, Signal::SIGKILL);
            self.status.wait(TIMEOUT, |status| *status);
        }
    }
}

impl Finished {
    /// Fails, showing all that the program wrote, unless it exited with `code`.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert!(self.code == Some(code), "expected exit code {code}: {self}");
        self
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} ended with code {:?}, signal {:?}\nstdout: {}\nstderr: {}",
            self.what, self.code, self.signal, self.stdout, self.stderr
        )
    }
}

/// Runs a program to its end, with nothing on its standard input.
pub(crate) fn run(command: &mut Command) -> Finished {
    Process::spawn(command).finish()
}

/// Runs a program to its end with `input` on its standard input.
pub(crate) fn run_with_input(command: &mut Command, input: &str) -> Finished {
    let mut process = Process::spawn(command);
    process.write(input);
    process.finish()
}
