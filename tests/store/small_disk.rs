//! A small disk in memory, in a name space of its own.

use std::process::Command;

use crate::common::TIMEOUT;
use crate::common::peers::{program_for, tell};
use crate::common::process::{Finished, Process};

/// Runs a test of this program in a process that has such a disk; `variable`
/// tells it the directory. Nothing where the system allows no such thing.
pub(crate) fn run(check: &str, mebibytes: u32, test: &str, variable: &str) -> Option<Finished> {
    let unshare = program_for("unshare", check)?;
    let mount = ["-r", "-m", "sh", "-c"];
    let allowed = Command::new(&unshare)
        .args(mount)
        .arg("mount -t tmpfs none /mnt")
        .output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        tell(&format!(
            "left out: {check}: no mount in a name space of our own is allowed"
        ));
        return None;
    }
    let directory = tempfile::TempDir::new().expect("a directory");
    let script = format!(
        r#"mount -t tmpfs -o size={mebibytes}m none "$1" && exec "$2" --exact {test} --nocapture"#
    );
    let mut command = Command::new(&unshare);
    command.args(mount).arg(script).arg("sh");
    command.arg(directory.path());
    command.arg(std::env::current_exe().expect("this program"));
    command.env(variable, directory.path());
    let finished = Process::spawn(&mut command).finish_within(10 * TIMEOUT);
    Some(finished.expect_code(0))
}
