//! Programs of others that the tests compare with, where they are installed.

use std::env;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

/// Where a program is. Without it the caller skips what it wanted to compare,
/// unless `MOUSTIQUE_REQUIRE_PEERS=1` forbids that.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file());
    if found.is_none() {
        let required = env::var_os("MOUSTIQUE_REQUIRE_PEERS").is_some_and(|value| value == "1");
        assert!(!required, "{program} is required, but not installed");
        eprintln!("skipped: {program} is not installed");
    }
    found
}

/// A port that nobody listened on a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Waits until somebody listens on `port`.
pub(crate) fn wait_for_port(port: &str, deadline: Instant) {
    let address = format!("127.0.0.1:{port}");
    while TcpStream::connect(&address).is_err() {
        assert!(Instant::now() < deadline, "nobody listens on {address}");
        thread::sleep(Duration::from_millis(20));
    }
}
