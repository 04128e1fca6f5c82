//! What is kept on disk, and how it is written.

use std::path::PathBuf;
use std::time::Duration;

use super::Config;
use super::value::{Change, Fault, number};

/// `persistence` and the options that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Persistence {
    /// `persistence`: whether sessions, their messages and retained messages
    /// are kept on disk. Default: false.
    pub enabled: bool,
    /// `persistence_location`: the folder. Default: the one of the environment
    /// variable `MOSQUITTO_PERSISTENCE_LOCATION`, else the working directory.
    pub location: Option<PathBuf>,
    /// `persistence_file`: Mosquitto's file, which is read once if it is there;
    /// the store is a folder beside it with `.store` behind its name. Default:
    /// `mosquitto.db`.
    pub file: String,
    /// `persistence_sync`. Default: always.
    pub sync: Sync,
    /// `autosave_interval`: seconds, or with `autosave_on_changes` changes, after
    /// which all that was written is brought to the disk where
    /// `persistence_sync` doesn't do that by itself. Default: 1800; 0: never.
    pub autosave_interval: u32,
    /// `autosave_on_changes`. Default: false.
    pub autosave_on_changes: bool,
}

/// When what was written is brought to the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sync {
    /// Before it is acknowledged: it survives the loss of power.
    #[default]
    Always,
    /// So long after it was written: it survives the end of the process, and
    /// the loss of power but for that time.
    Interval(Duration),
    /// When the system does: it survives the end of the process.
    Never,
}

impl Default for Persistence {
    fn default() -> Self {
        Self {
            enabled: false,
            location: None,
            file: "mosquitto.db".into(),
            sync: Sync::Always,
            autosave_interval: 1800,
            autosave_on_changes: false,
        }
    }
}

/// `persistence_sync always | interval SECONDS | never`
pub(super) fn sync(value: &str) -> Result<Change<Config>, Fault> {
    const HELP: &str = "write `always`, `interval SECONDS` or `never`";
    let words: Vec<_> = value.split_ascii_whitespace().collect();
    let sync = match words[..] {
        ["always"] => Sync::Always,
        ["never"] => Sync::Never,
        ["interval", seconds] => {
            let seconds = number(seconds, 1, 3600).map_err(|fault| fault.within(value, seconds))?;
            Sync::Interval(Duration::from_secs(seconds))
        }
        ["interval"] => return Err(Fault::new(value, "the seconds are missing", HELP)),
        _ => return Err(Fault::new(value, "no such way to write", HELP)),
    };
    Ok(Box::new(move |config| config.persistence.sync = sync))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<Sync> {
        let mut config = Config::default();
        sync(value).ok()?(&mut config);
        Some(config.persistence.sync)
    }

    #[test]
    fn there_are_three_ways_to_write() {
        assert_eq!(read("always"), Some(Sync::Always));
        assert_eq!(read("never"), Some(Sync::Never));
        let five = Duration::from_secs(5);
        assert_eq!(read("interval 5"), Some(Sync::Interval(five)));
        for wrong in ["interval", "interval x", "interval 0", "sometimes", ""] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
