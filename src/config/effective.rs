//! What a configuration says in effect, as the text of a file.

use std::fmt;
use std::fmt::Write as _;
use std::path::Path;

use super::build::DefaultListener;
use super::line::is_secret;
use super::options::{OptionSpec, Repeat, Scope};
use super::read::{Draft, Entry};
use super::{Bind, Config, Diagnostic, Listener, Severity};

/// A configuration as the text of a `mosquitto.conf` that means the same: all files
/// in one, each option that differs from its default once, grouped by listener
/// and connection. `Display` gives the text. Passwords and keys are left out, and a
/// comment in their place says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    text: String,
    /// The lines that name a file to read: option, value, a warning about the line.
    files: Vec<(&'static str, String, Diagnostic)>,
}

impl Effective {
    pub(super) fn new(draft: &Draft, config: &Config) -> Self {
        let mut text = Text(String::new());
        if draft.per_listener {
            text.line("per_listener_settings", "true");
        }
        text.settings(&draft.globals);
        text.settings(draft.common_security());
        let default_listener = draft.default_listener();
        let mut listeners = config.listeners.iter();
        if default_listener != DefaultListener::Absent
            && let Some(listener) = listeners.next()
        {
            match default_listener {
                DefaultListener::Local => text.comment(
                    "no listener: port 1883 or those of -p, for clients on this machine only",
                ),
                _ => text.listener(listener),
            }
            text.settings(draft.preamble.0.iter().filter(own(draft)));
        }
        for (listener, section) in listeners.zip(&draft.sections) {
            text.listener(listener);
            let inherited = draft.preamble.0.iter().filter(|entry| {
                default_listener == DefaultListener::Absent && entry.option.scope == Scope::Listener
            });
            let entries = section.entries.0.iter().filter(own(draft));
            text.settings(inherited.chain(entries));
        }
        for section in &draft.bridges {
            text.section("connection", &section.bridge.name);
            text.settings(&section.entries);
        }
        let security = draft.preamble.0.iter();
        let below = draft.sections.iter().flat_map(|section| &section.entries.0);
        let files = security
            .chain(below)
            .filter(|entry| matches!(entry.option.name, "password_file" | "acl_file"))
            .map(|entry| {
                (
                    entry.option.name,
                    entry.value.clone(),
                    entry.warning.clone(),
                )
            })
            .collect();
        Self {
            text: text.0,
            files,
        }
    }

    /// An error at the line where that option (`password_file` or `acl_file`) names
    /// the file; none if no line does.
    pub fn blame(&self, option: &str, file: &Path, message: &str) -> Option<Diagnostic> {
        let mut files = self.files.iter();
        let (_, _, warning) =
            files.find(|(name, value, _)| *name == option && Path::new(value) == file)?;
        Some(Diagnostic {
            severity: Severity::Error,
            message: message.into(),
            ..warning.clone()
        })
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether a line holds for the listener that it stands below, and for no other.
fn own(draft: &Draft) -> impl Fn(&&Entry<Listener>) -> bool {
    let per_listener = draft.per_listener;
    move |entry| match entry.option.scope {
        Scope::Security => per_listener,
        scope => scope == Scope::Listener,
    }
}

struct Text(String);

impl Text {
    fn line(&mut self, name: &str, value: &str) {
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn comment(&mut self, text: &str) {
        let _ = writeln!(self.0, "# {text}");
    }

    fn section(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.line(name, value);
    }

    fn listener(&mut self, listener: &Listener) {
        let port = listener.port;
        let place = match &listener.bind {
            Bind::Any => port.to_string(),
            Bind::Loopback => format!("{port} localhost"),
            Bind::Host(host) => format!("{port} {host}"),
        };
        self.section("listener", &place);
    }

    /// The lines that count among those of one place, in the order of the table.
    fn settings<'a, T: 'static>(&mut self, entries: impl IntoIterator<Item = &'a Entry<T>>) {
        let entries: Vec<_> = entries.into_iter().collect();
        for option in OptionSpec::all() {
            let given = || {
                entries
                    .iter()
                    .filter(|entry| entry.option.name == option.name)
            };
            let all_count = matches!(option.repeat, Repeat::Counts | Repeat::Adds(_));
            let skipped = if all_count {
                0
            } else {
                given().count().saturating_sub(1)
            };
            for entry in given().skip(skipped) {
                self.setting(option, &entry.value, all_count);
            }
        }
    }

    fn setting(&mut self, option: &OptionSpec, value: &str, all_count: bool) {
        if !all_count && value == option.default {
            return;
        }
        if !is_secret(option.name) {
            return self.line(option.name, value);
        }
        self.comment(&format!(
            "{} is not shown; this stands in its place",
            option.name
        ));
        self.line(option.name, "00");
    }
}
