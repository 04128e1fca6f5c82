//! The secrets of connections in a file, for Wireshark (the format of NSS).

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::KeyLog;

use super::Error;

/// A file that secrets are appended to.
pub(super) struct KeyFile(Mutex<File>);

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyFile")
    }
}

impl KeyFile {
    /// Opens the file; a new one is for its owner only.
    pub(super) fn open(path: &Path) -> Result<Arc<Self>, Error> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| {
                let what = format!(
                    "cannot write the TLS secrets to {}: {error}",
                    path.display()
                );
                Error::new(what, "name a file that this user can write")
            })?;
        Ok(Arc::new(Self(Mutex::new(file))))
    }

    /// Adds a line.
    pub(super) fn append(&self, line: &str) {
        // The connection doesn't depend on who listens in.
        let _ = self.0.lock().write_all(format!("{line}\n").as_bytes());
    }
}

impl KeyLog for KeyFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let (random, secret) = (hex(client_random), hex(secret));
        self.append(&format!("{label} {random} {secret}"));
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
