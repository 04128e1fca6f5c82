//! Programs on a terminal of their own: what a user at the keyboard sees.

use super::TIMEOUT;
use super::output::Output;
use super::process::Process;
use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::termios::{LocalFlags, tcgetattr};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// A terminal with one program on it.
pub(crate) struct Terminal {
    keyboard: File,
    /// What the program shows; empty for [`Terminal::keyboard_only`].
    pub(crate) screen: Arc<Output>,
    pub(crate) process: Process,
}

impl Terminal {
    /// All three streams on the terminal.
    pub(crate) fn spawn(command: &Command) -> Self {
        Self::start(command, true)
    }

    /// Only standard input on the terminal; the output goes into pipes.
    /// Dropping `Terminal` then closes the terminal, as closing its window does.
    pub(crate) fn keyboard_only(command: &Command) -> Self {
        Self::start(command, false)
    }

    fn start(command: &Command, with_screen: bool) -> Self {
        let (master, slave) = open_pair().expect("a terminal");
        let slave = || Stdio::from(slave.try_clone().expect("a terminal"));
        // `setsid --ctty` makes its standard input the controlling terminal.
        let mut wrapped = Command::new("setsid");
        wrapped.arg("--ctty").arg(command.get_program());
        wrapped.args(command.get_args()).stdin(slave());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(name, value),
                None => wrapped.env_remove(name),
            };
        }
        if with_screen {
            wrapped.stdout(slave()).stderr(slave());
        } else {
            wrapped.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        let child = wrapped.spawn().expect("setsid of util-linux");
        let what = format!("{wrapped:?}");
        let screen = if with_screen {
            Output::collect(master.try_clone().expect("a terminal"))
        } else {
            Output::collect(std::io::empty())
        };
        Self {
            keyboard: master,
            screen,
            process: Process::adopt(child, what),
        }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard
            .write_all(keys.as_bytes())
            .expect("writing to the terminal");
    }

    /// Waits until the program reads a secret: `prompt` is shown and the
    /// terminal no longer echoes what is typed.
    pub(crate) fn wait_for_secret_prompt(&self, prompt: &str) {
        self.screen.wait_for(prompt);
        let deadline = Instant::now() + TIMEOUT;
        while self.echoes() {
            assert!(Instant::now() < deadline, "the terminal goes on echoing");
            thread::sleep(Duration::from_millis(2)); // between two looks
        }
    }

    fn echoes(&self) -> bool {
        let settings = tcgetattr(&self.keyboard).expect("the terminal's settings");
        settings.local_flags.contains(LocalFlags::ECHO)
    }

    /// Closes the terminal; the kernel sends SIGHUP to the program on it.
    pub(crate) fn close(self) -> Process {
        drop(self.keyboard);
        self.process
    }
}

/// Both ends of a new terminal. Other programs that tests start meanwhile must
/// not inherit them, or closing the terminal would not close it.
fn open_pair() -> std::io::Result<(File, File)> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = posix_openpt(flags)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let slave = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_NOCTTY.bits())
        .open(ptsname_r(&master)?)?;
    Ok((File::from(master.as_fd().try_clone_to_owned()?), slave))
}
