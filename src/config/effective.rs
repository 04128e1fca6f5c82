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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effective {
    text: String,
    settings: Vec<Setting>,
    /// The lines that name a file to read: option, value, a warning about the line.
    files: Vec<(&'static str, String, Diagnostic)>,
}

/// A line that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The name of the option, as the table has it. `listener` and `connection`
    /// begin what the lines below them are about; `port` and the like are left out.
    pub option: &'static str,
    /// Its value as one would write it, without a comment.
    pub value: String,
    /// The place in [`Config::listeners`] of the one that it is for; none if it is
    /// for all of them, or for something else.
    pub listener: Option<usize>,
    /// A warning that underlines the line.
    line: Diagnostic,
}

impl Setting {
    /// An error at this line.
    pub fn blame(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            message: message.into(),
            ..self.line.clone()
        }
    }
}

impl Effective {
    pub(super) fn new(draft: &Draft, config: &Config) -> Self {
        let mut text = Text::default();
        if draft.per_listener {
            text.line("per_listener_settings", "true");
        }
        text.settings(&draft.globals);
        text.settings(draft.common_security());
        let default_listener = draft.default_listener();
        let mut listeners = config.listeners.iter().enumerate();
        if default_listener != DefaultListener::Absent
            && let Some((index, listener)) = listeners.next()
        {
            text.of = Some(index);
            match default_listener {
                DefaultListener::Local => text.comment(
                    "no listener: port 1883 or those of -p, for clients on this machine only",
                ),
                _ => text.listener(listener),
            }
            text.settings(draft.preamble.0.iter().filter(own(draft)));
        }
        for ((index, listener), section) in listeners.zip(&draft.sections) {
            text.of = Some(index);
            text.listener(listener);
            text.count("listener", listener.port.to_string(), &section.mistake);
            let inherited = draft.preamble.0.iter().filter(|entry| {
                default_listener == DefaultListener::Absent && entry.option.scope == Scope::Listener
            });
            let entries = section.entries.0.iter().filter(own(draft));
            text.settings(inherited.chain(entries));
        }
        text.of = None;
        for section in &draft.bridges {
            text.section("connection", &section.bridge.name);
            text.count("connection", section.bridge.name.clone(), &section.mistake);
            text.settings(&section.entries);
        }
        let security = draft.preamble.0.iter();
        let below = draft.sections.iter().flat_map(|section| &section.entries.0);
        let files = security
            .chain(below)
            .filter(|entry| NAME_FILES.contains(&entry.option.name))
            .map(|entry| {
                (
                    entry.option.name,
                    entry.value.clone(),
                    entry.warning.clone(),
                )
            })
            .collect();
        Self {
            text: text.written,
            settings: text.settings,
            files,
        }
    }

    /// The lines that count: not those that a later one replaces, and of a bridge
    /// only the first. One that is for each listener by itself is there once for
    /// each.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// An error at the line where that option (`password_file` or `cafile`, for
    /// instance) names the file; none if no line does.
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

/// Options that name a file, or a directory, to read.
const NAME_FILES: [&str; 8] = [
    "password_file",
    "acl_file",
    "certfile",
    "keyfile",
    "cafile",
    "capath",
    "crlfile",
    "psk_file",
];

/// Whether a line holds for the listener that it stands below, and for no other.
fn own(draft: &Draft) -> impl Fn(&&Entry<Listener>) -> bool {
    let per_listener = draft.per_listener;
    move |entry| match entry.option.scope {
        Scope::Security => per_listener,
        scope => scope == Scope::Listener,
    }
}

#[derive(Default)]
struct Text {
    written: String,
    settings: Vec<Setting>,
    /// The listener that the lines are for.
    of: Option<usize>,
}

impl Text {
    fn line(&mut self, name: &str, value: &str) {
        let _ = writeln!(self.written, "{name} {value}");
    }

    fn comment(&mut self, text: &str) {
        let _ = writeln!(self.written, "# {text}");
    }

    fn section(&mut self, name: &str, value: &str) {
        if !self.written.is_empty() {
            self.written.push('\n');
        }
        self.line(name, value);
    }

    fn listener(&mut self, listener: &Listener) {
        let port = listener.port;
        let place = match &listener.bind {
            Bind::Any => port.to_string(),
            Bind::Loopback => format!("{port} localhost"),
            Bind::Host(host) => format!("{port} {host}"),
            Bind::Unix(path) => format!("{port} {}", path.display()),
        };
        self.section("listener", &place);
    }

    fn count(&mut self, option: &'static str, value: String, line: &Diagnostic) {
        self.settings.push(Setting {
            option,
            value,
            listener: self.of,
            line: line.clone(),
        });
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
                if option.scope != Scope::Bridge {
                    self.count(option.name, entry.value.clone(), &entry.warning);
                }
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

#[cfg(test)]
mod tests {
    use super::super::read::Origin;
    use super::super::{Diagnostics, Location, build};
    use super::*;

    fn explain(text: &str) -> Result<(Config, Effective), Diagnostics> {
        let mut draft = Draft::default();
        draft.read_text(text, "m.conf", Origin::Text);
        let config = build::build(&mut draft)?;
        let effective = Effective::new(&draft, &config);
        Ok((config, effective))
    }

    fn text(of: &str) -> String {
        explain(of).unwrap().1.to_string()
    }

    /// A configuration without what depends on how it was written.
    fn meaning(mut config: Config) -> Config {
        config.warnings.clear();
        for listener in &mut config.listeners {
            listener.source = None;
        }
        for bridge in &mut config.bridges {
            bridge.source = Location::whole("");
        }
        config
    }

    #[test]
    fn what_is_as_by_default_is_left_out_and_the_rest_is_grouped() {
        let written = "listener 1884 10.0.0.1 # the plant\nmax_qos 2\nallow_anonymous 1\n\
                       max_connections 5 # so many\nmax_connections 6\nsys_interval 10\n\
                       log_type error\nlog_type all # x\nlistener localhost\n\
                       listener_allow_anonymous 0\n";
        assert_eq!(
            text(written),
            "log_type error\nlog_type all\nallow_anonymous true\n\n\
             listener 1884 10.0.0.1\nmax_connections 6\n\n\
             listener 1883 localhost\nlistener_allow_anonymous false\n"
        );
        assert_eq!(
            text("max_keepalive 60\nmax_qos 1"),
            "max_keepalive 60\n\
             # no listener: port 1883 or those of -p, for clients on this machine only\nmax_qos 1\n"
        );
        assert_eq!(
            text("per_listener_settings true\nport 5\nacl_file /a\nlistener 6\nacl_file /b"),
            "per_listener_settings true\n\nlistener 5\nacl_file /a\n\nlistener 6\nacl_file /b\n"
        );
    }

    #[test]
    fn passwords_and_keys_are_not_in_it() {
        let written = "connection b\naddress h:2 i # two\ntopic # both 1\ntopic a\nusername u\n\
                       password hunter2\ncleansession false\n\
                       connection c\naddress h\ntopic #\nbridge_identity me\nbridge_psk abcd\n";
        let shown = text(written);
        assert!(
            !shown.contains("hunter2") && !shown.contains("abcd"),
            "{shown}"
        );
        assert!(shown.contains("addresses h:2 i\n"), "{shown}");
        assert!(shown.contains("topic # both 1\ntopic a\n"), "{shown}");
        assert!(shown.contains("# remote_password is not shown"), "{shown}");
        assert!(!shown.contains("cleansession"), "{shown}");
        let with_secrets = shown
            .replace("remote_password 00", "remote_password hunter2")
            .replace("bridge_psk 00", "bridge_psk abcd");
        let (first, again) = (
            explain(written).unwrap().0,
            explain(&with_secrets).unwrap().0,
        );
        assert_eq!(meaning(again), meaning(first));
    }

    #[test]
    fn files_are_blamed_where_they_are_named() {
        let (_, effective) = explain("listener 1\n acl_file /a\n").unwrap();
        let blamed = effective
            .blame("acl_file", Path::new("/a"), "gone")
            .unwrap();
        assert_eq!(
            blamed.to_string(),
            "m.conf:2:2: error: gone\n   acl_file /a\n   ^^^^^^^^"
        );
        assert!(
            effective
                .blame("password_file", Path::new("/a"), "")
                .is_none()
        );
    }

    #[test]
    fn the_settings_are_the_lines_that_count() {
        let written = "sys_interval 10\nlistener 1\nmax_qos 2\nmax_qos 1\nacl_file /a\n\
                       listener 2\nmount_point p/\nconnection b\naddress h\ntopic # both\n";
        let (_, effective) = explain(written).unwrap();
        let lines: Vec<_> = effective
            .settings()
            .iter()
            .map(|setting| {
                let place = setting.blame("").location.line;
                (
                    setting.option,
                    setting.value.as_str(),
                    setting.listener,
                    place,
                )
            })
            .collect();
        assert_eq!(
            lines,
            [
                ("sys_interval", "10", None, 1),
                ("acl_file", "/a", None, 5),
                ("listener", "1", Some(0), 2),
                ("max_qos", "1", Some(0), 4),
                ("listener", "2", Some(1), 6),
                ("mount_point", "p/", Some(1), 7),
                ("connection", "b", None, 8),
            ]
        );
    }

    const LINES: &[&str] = &[
        "listener 1884",
        "listener 1885 127.0.0.1",
        "listener 1886 ::1 # six",
        "port 1887",
        "bind_address 127.0.0.1",
        "bind_interface lo",
        "per_listener_settings true",
        "allow_anonymous true",
        "allow_anonymous false",
        "listener_allow_anonymous true",
        "password_file /p q",
        "acl_file /a",
        "auto_id_prefix x",
        "listener_auto_id_prefix y",
        "max_qos 1",
        "max_qos 2",
        "max_connections 4 # four",
        "accept_protocol_versions 4, 5 # new",
        "socket_domain ipv4",
        "mount_point plant/",
        "clientid_prefixes dev-",
        "log_dest stdout",
        "log_dest file /var/log/m # x",
        "log_dest none",
        "log_type error",
        "log_type none",
        "max_keepalive 0",
        "persistent_client_expiration 2w",
        "retry_interval 3",
        "set_tcp_nodelay 0",
        "protocol mqtt",
        "protocol websockets # browsers",
        "listener 0 /run/m.sock",
        "websockets_origin http://a.example",
        "websockets_origin http://b.example",
        "websockets_headers_size 0",
        "enable_proxy_protocol 2",
        "connection b",
        "connection c # d",
        "address h:2 ws://i",
        "topic a out",
        "topic \"\" both 2 l r # single",
        "restart_timeout 1 2 3",
        "try_private false",
        "start_type lazy",
    ];

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2000))]

        #[test]
        fn the_text_means_the_same(
            lines in proptest::collection::vec(proptest::sample::select(LINES), 0..9)
        ) {
            if let Ok((config, effective)) = explain(&lines.join("\n")) {
                let again = explain(&effective.to_string());
                let (again, twice) = again.unwrap_or_else(|e| panic!("{effective}\n{e}"));
                proptest::prop_assert_eq!(meaning(again), meaning(config), "{}", effective);
                proptest::prop_assert_eq!(twice.to_string(), effective.to_string());
            }
        }
    }
}
