//! `reload_on_change`: files that are looked after.
//!
//! The system could tell of changes, but not of those that matter most: where
//! Kubernetes mounts a configuration, a link to a link is exchanged, and on
//! overlays and network file systems nothing is told at all. So the files are
//! looked at, by the place that their links lead to.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::reload::Control;

/// How often files are looked at. What is not the same at two looks in a row is
/// still being written.
const PERIOD: Duration = Duration::from_secs(2);

/// What files are like. Two that are equal mean that nothing has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint(Vec<Trace>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Trace {
    path: PathBuf,
    /// `None`: there is no such file, or none that we may look at.
    found: Option<Found>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    /// Behind all links.
    place: PathBuf,
    device_and_inode: (u64, u64),
    /// Seconds and nanoseconds: of the content, and of owner and rights.
    modified: (i64, i64),
    changed: (i64, i64),
    size: u64,
}

impl Fingerprint {
    /// Looks at files, and at the configuration files in folders.
    pub(super) fn of(files: &[PathBuf]) -> Self {
        let mut traces = Vec::new();
        for path in files {
            if path.is_dir() {
                let entries = fs::read_dir(path).into_iter().flatten().flatten();
                let mut names: Vec<_> = entries.map(|entry| entry.path()).collect();
                names.retain(|path| path.as_os_str().as_encoded_bytes().ends_with(b".conf"));
                names.sort();
                traces.extend(names.iter().map(|path| Trace::of(path)));
            } else {
                traces.push(Trace::of(path));
            }
        }
        Self(traces)
    }
}

impl Trace {
    fn of(path: &Path) -> Self {
        let find = || {
            let data = fs::metadata(path)?;
            Ok::<_, std::io::Error>(Found {
                place: fs::canonicalize(path)?,
                device_and_inode: (data.dev(), data.ino()),
                modified: (data.mtime(), data.mtime_nsec()),
                changed: (data.ctime(), data.ctime_nsec()),
                size: data.size(),
            })
        };
        Self {
            path: path.to_owned(),
            found: find().ok(),
        }
    }
}

/// Reloads when a file has changed and is no longer being written. Never ends.
pub(super) async fn watch(control: Arc<Control>) {
    let mut before = None;
    loop {
        if control.watched().is_none() {
            control.changed.notified().await;
            continue;
        }
        tokio::time::sleep(PERIOD).await;
        let control = Arc::clone(&control);
        // Files may be on a disk that sleeps.
        let looked = tokio::task::spawn_blocking(move || {
            let (files, seen) = control.watched()?;
            let now = Fingerprint::of(&files);
            if now != seen && before.as_ref() == Some(&now) {
                control.reload();
            }
            Some(now)
        });
        before = looked.await.unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test(start_paused = true)]
    async fn a_file_that_is_being_written_is_read_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("conf");
        let text = "reload_on_change true\nlog_dest none\nlistener 1 127.0.0.1\n";
        fs::write(&path, text).unwrap();
        let mut config = Config::load(&path).unwrap();
        config.listeners[0].port = 0;
        let reads = Arc::new(AtomicUsize::new(0));
        let (counted, source) = (Arc::clone(&reads), path.clone());
        let read = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Config::load(&source).map_err(|error| error.to_string())
        };
        let broker = super::super::Broker::bind_all(config, Some(Box::new(read)), Vec::new());
        let watching = tokio::spawn(watch(Arc::clone(&broker.unwrap().control)));
        // Between two looks each.
        tokio::time::sleep(PERIOD / 2).await;
        for length in 1..10 {
            fs::write(&path, format!("{text}{}", &"# on its way"[..length])).unwrap();
            tokio::time::sleep(PERIOD).await;
            assert_eq!(reads.load(Ordering::Relaxed), 0);
        }
        tokio::time::sleep(PERIOD).await;
        assert_eq!(reads.load(Ordering::Relaxed), 1);
        tokio::time::sleep(10 * PERIOD).await;
        assert_eq!(reads.load(Ordering::Relaxed), 1, "once");
        watching.abort();
    }

    #[test]
    fn every_way_to_change_a_file_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("first")).unwrap();
        fs::create_dir(path("second")).unwrap();
        for folder in ["first", "second"] {
            fs::write(path(folder).join("acl"), "topic #\n").unwrap();
        }
        symlink("first", path("data")).unwrap();
        symlink("data/acl", path("acl")).unwrap();
        fs::create_dir(path("conf.d")).unwrap();
        let files = [path("acl"), path("conf.d"), path("missing")];
        let mut last = Fingerprint::of(&files);
        let mut differs = |what: &str, differs: bool| {
            let now = Fingerprint::of(&files);
            assert_eq!(now != last, differs, "{what}");
            last = now;
        };
        differs("nothing", false);
        symlink("second", path("new")).unwrap();
        fs::rename(path("new"), path("data")).unwrap();
        differs("a link on the way", true);
        fs::write(path("acl"), "topic a/#\n").unwrap();
        differs("the content", true);
        fs::write(path("other"), "topic a/#\n").unwrap();
        fs::rename(path("other"), path("second/acl")).unwrap();
        differs("another file in its place", true);
        fs::write(path("conf.d/a.conf"), "").unwrap();
        differs("a file more in the folder", true);
        fs::write(path("conf.d/a.conf~"), "").unwrap();
        differs("a file that is not read", false);
        fs::write(path("conf.d/a.conf"), "max_qos 1\n").unwrap();
        differs("a file in the folder", true);
        fs::write(path("missing"), "").unwrap();
        differs("a file that was missing", true);
        fs::remove_file(path("acl")).unwrap();
        differs("a file that is gone", true);
    }
}
