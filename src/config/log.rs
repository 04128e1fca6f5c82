//! Where the log goes and what it contains.

use std::path::PathBuf;

/// The log settings of the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// `log_dest`: where lines go. Default: standard error. [`LogDestination::None`]
    /// is alone in the list, or not in it.
    pub destinations: Vec<LogDestination>,
    /// `log_type`: what is logged. Default: errors, warnings, notices and
    /// information.
    pub types: LogTypes,
    /// `log_timestamp`: whether a line begins with the time. Default: true.
    pub timestamp: bool,
    /// `log_timestamp_format`: the format of that time as for `strftime`.
    /// Default: none, which means seconds since 1970.
    pub timestamp_format: Option<String>,
    /// `log_format`: whether a line is an object of JSON. Default: false, text as
    /// Mosquitto writes it.
    pub json: bool,
    /// `connection_messages`: whether connects and disconnects are logged.
    /// Default: true.
    pub connection_messages: bool,
    /// `log_facility`: the facility `local0` to `local7` for
    /// [`LogDestination::Syslog`]. Default: none, which means `daemon`.
    pub facility: Option<u8>,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            destinations: vec![LogDestination::Stderr],
            types: LogTypes::default(),
            timestamp: true,
            timestamp_format: None,
            json: false,
            connection_messages: true,
            facility: None,
        }
    }
}

/// One value of `log_dest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogDestination {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file that is appended to, and opened anew on reload.
    File(PathBuf),
    /// The log of the system.
    Syslog,
    /// Messages below `$SYS/broker/log`.
    Topic,
    /// Nothing is logged.
    None,
}

impl LogDestination {
    /// Adds this destination to those that are configured so far.
    pub(super) fn join(self, destinations: &mut Vec<Self>) {
        if self == Self::None {
            destinations.clear();
        } else {
            destinations.retain(|known| *known != Self::None && *known != self);
        }
        destinations.push(self);
    }
}

/// One value of `log_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogType {
    /// What keeps the broker or a client from working.
    Error,
    /// What deserves a look.
    Warning,
    /// What clients do: connect, disconnect, are refused.
    Notice,
    /// What the broker does: open, close, reload.
    Information,
    /// Each packet.
    Debug,
    /// Each subscription.
    Subscribe,
    /// Each end of a subscription.
    Unsubscribe,
    /// Details of the WebSocket layer.
    Websockets,
    /// Details of the broker's own working.
    Internal,
}

impl LogType {
    /// All types, with their names in the file.
    pub const ALL: [(&'static str, Self); 9] = [
        ("error", Self::Error),
        ("warning", Self::Warning),
        ("notice", Self::Notice),
        ("information", Self::Information),
        ("debug", Self::Debug),
        ("subscribe", Self::Subscribe),
        ("unsubscribe", Self::Unsubscribe),
        ("websockets", Self::Websockets),
        ("internal", Self::Internal),
    ];

    /// Its name in the file.
    pub const fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}

/// A set of [`LogType`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogTypes(u16);

impl LogTypes {
    /// No type at all: `log_type none`.
    pub const NONE: Self = Self(0);
    /// Every type: `log_type all`.
    pub const ALL: Self = Self((1 << LogType::ALL.len()) - 1);

    /// Adds one type.
    pub const fn insert(&mut self, log_type: LogType) {
        self.0 |= 1 << log_type as u16;
    }

    /// Whether lines of this type are logged.
    pub const fn contains(self, log_type: LogType) -> bool {
        self.0 & (1 << log_type as u16) != 0
    }
}

impl Default for LogTypes {
    fn default() -> Self {
        let mut types = Self::NONE;
        types.insert(LogType::Error);
        types.insert(LogType::Warning);
        types.insert(LogType::Notice);
        types.insert(LogType::Information);
        types
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_types_leave_out_packets() {
        let types = LogTypes::default();
        assert!(types.contains(LogType::Information));
        assert!(!types.contains(LogType::Debug));
        assert!(LogType::ALL.iter().all(|(_, t)| LogTypes::ALL.contains(*t)));
    }

    #[test]
    fn none_empties_the_list_and_what_follows_fills_it_again() {
        let mut list = Vec::new();
        LogDestination::Stdout.join(&mut list);
        LogDestination::None.join(&mut list);
        assert_eq!(list, [LogDestination::None]);
        LogDestination::Stderr.join(&mut list);
        LogDestination::Stderr.join(&mut list);
        assert_eq!(list, [LogDestination::Stderr]);
    }
}
