//! From a draft to a configuration: which line holds for which listener.

use super::options::{Repeat, Scope};
use super::read::{Draft, Entries, Entry};
use super::{Bind, Bridge, Config, Diagnostic, Diagnostics, Listener, Severity, bridge_read, tls};

/// Puts a draft together, or says everything that is wrong with it.
pub(super) fn build(draft: &mut Draft) -> Result<Config, Diagnostics> {
    let mut found = std::mem::take(&mut draft.diagnostics);
    let listeners = listeners(draft, &mut found);
    let bridges = bridges(draft, &mut found);
    if found.iter().any(|one| one.severity == Severity::Error) {
        found.retain(|one| one.severity == Severity::Error);
        return Err(Diagnostics(found));
    }
    let allow_anonymous = draft
        .common_security()
        .rfind(|entry| entry.option.name == "allow_anonymous");
    let mut config = Config {
        local_only: draft.default_listener() == DefaultListener::Local,
        allow_anonymous: allow_anonymous.map(|entry| entry.value == "true"),
        listeners,
        bridges,
        sources: std::mem::take(&mut draft.sources),
        warnings: found,
        ..Config::default()
    };
    let mut added = Vec::new();
    for entry in &draft.globals {
        if let Repeat::Adds(clear) = entry.option.repeat
            && !added.contains(&entry.option.name)
        {
            clear(&mut config);
            added.push(entry.option.name);
        }
        (entry.change)(&mut config);
    }
    Ok(config)
}

/// Whether the broker listens beside the `listener` lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DefaultListener {
    /// For this machine: nothing says where to listen.
    Local,
    /// For everybody: `port` or another line asks for it.
    Open,
    /// Not at all.
    Absent,
}

impl Draft {
    pub(super) fn default_listener(&self) -> DefaultListener {
        let told_where = self.port.is_some() || self.bind_address.is_some();
        if told_where || self.preamble.other_protocol().is_some() {
            DefaultListener::Open
        } else if !self.sections.is_empty() {
            DefaultListener::Absent
        } else if self.preamble.find("bind_interface").is_some() {
            DefaultListener::Open
        } else {
            DefaultListener::Local
        }
    }

    /// Lines about security that hold for all listeners, in their order.
    pub(super) fn common_security(&self) -> impl DoubleEndedIterator<Item = &Entry<Listener>> {
        let below = self.sections.iter().flat_map(|section| &section.entries.0);
        let mut entries: Vec<_> = self.preamble.0.iter().chain(below).collect();
        entries.retain(|entry| entry.option.scope == Scope::Security && !self.per_listener);
        entries.sort_by_key(|entry| entry.order);
        entries.into_iter()
    }
}

fn listeners(draft: &Draft, found: &mut Vec<Diagnostic>) -> Vec<Listener> {
    let preamble = &draft.preamble;
    let default_listener = draft.default_listener();
    let mut base = match default_listener {
        DefaultListener::Local => Listener::local(),
        _ => Listener::default(),
    };
    for entry in draft.common_security() {
        (entry.change)(&mut base);
    }
    let mut listeners = Vec::new();
    if default_listener != DefaultListener::Absent {
        let opener = preamble
            .find("bind_interface")
            .or(preamble.other_protocol());
        let mut listener = Listener {
            source: opener.map(|entry| entry.warning.location.clone()),
            ..base.clone()
        };
        if let Some((address, location)) = &draft.bind_address {
            listener.bind = Bind::Host(address.clone());
            listener.source = Some(location.clone());
        }
        if let Some((port, location)) = &draft.port {
            listener.port = *port;
            listener.source = Some(location.clone());
        }
        preamble.settle(draft.per_listener, &mut listener);
        found.extend(tls::mistakes(preamble.0.iter(), &listener));
        if draft.port.is_none()
            && let Some(entry) = preamble.other_protocol()
        {
            found.push(default_protocol(entry, listener.port));
        }
        listeners.push(listener);
    }
    for section in &draft.sections {
        let mut listener = Listener {
            port: section.port,
            bind: section.bind.clone(),
            source: Some(section.mistake.location.clone()),
            ..base.clone()
        };
        if default_listener == DefaultListener::Absent {
            preamble.apply(Scope::Listener, &mut listener);
        }
        section.entries.settle(draft.per_listener, &mut listener);
        let inherits = default_listener == DefaultListener::Absent;
        let above = preamble.0.iter().filter(|_| inherits);
        let entries = above.chain(&section.entries.0);
        found.extend(tls::mistakes(entries, &listener));
        if let Some(earlier) = listeners.iter().find(|known| listener.collides_with(known)) {
            found.push(collision(&section.mistake, earlier));
        }
        listeners.push(listener);
    }
    if default_listener == DefaultListener::Absent {
        found.extend(preamble.stray(draft.per_listener));
    }
    let below = draft.sections.iter().flat_map(|section| &section.entries.0);
    found.extend(tls::psk_mistakes(
        preamble.0.iter().chain(below),
        &listeners,
    ));
    listeners
}

fn bridges(draft: &Draft, found: &mut Vec<Diagnostic>) -> Vec<Bridge> {
    let mut bridges: Vec<&Bridge> = Vec::new();
    for section in draft.bridges.iter().filter(|section| !section.is_broken) {
        let mistake = |message, help: &str| Diagnostic {
            message,
            ..section.mistake.clone().with_help(help)
        };
        for (message, help) in bridge_read::contradictions(&section.bridge) {
            found.push(mistake(message, help));
        }
        if let Some(earlier) = bridge_read::same_local_client_id(&bridges, &section.bridge) {
            found.push(mistake(
                format!(
                    "connections `{}` and `{}` have the same `local_clientid`",
                    earlier.name, section.bridge.name
                ),
                "give each connection one of its own, or remove the lines",
            ));
        }
        bridges.push(&section.bridge);
    }
    bridges.into_iter().cloned().collect()
}

impl Entries {
    /// Whether any line is of that scope.
    pub(super) fn has_scope(&self, scope: Scope) -> bool {
        self.0.iter().any(|entry| entry.option.scope == scope)
    }

    fn find(&self, name: &str) -> Option<&Entry<Listener>> {
        self.0.iter().rfind(|entry| entry.option.name == name)
    }

    /// A line that asks for another protocol than the usual one. Mosquitto opens
    /// the default listener for it; some files that are handed around rely on it.
    fn other_protocol(&self) -> Option<&Entry<Listener>> {
        self.find("protocol").filter(|entry| entry.value != "mqtt")
    }

    /// Applies the lines of one scope.
    fn apply(&self, scope: Scope, listener: &mut Listener) {
        for entry in self.0.iter().filter(|entry| entry.option.scope == scope) {
            (entry.change)(listener);
        }
    }

    /// Applies what stands below the listener and holds for it alone. Security
    /// comes first, because `listener_allow_anonymous` overrides it.
    fn settle(&self, per_listener: bool, listener: &mut Listener) {
        if per_listener {
            self.apply(Scope::Security, listener);
        }
        self.apply(Scope::Listener, listener);
    }

    /// Warnings about lines above the first `listener` while no default listener
    /// is open that they could be for. Mosquitto opens one on port 1883 for some
    /// of them, unasked, even where a `listener 1883` follows. Here the settings
    /// hold for all listeners; security, which that could loosen, for none.
    fn stray(&self, per_listener: bool) -> Vec<Diagnostic> {
        let warn = |warning: &Diagnostic, message: String, help: &str| Diagnostic {
            message,
            ..warning.clone().with_help(help)
        };
        self.0
            .iter()
            .filter_map(|entry| match entry.option.scope {
                Scope::Security if per_listener => Some(warn(
                    &entry.warning,
                    format!("`{}` holds for no listener here", entry.option.name),
                    "move it below the `listener` that it is for; \
                     that is what `per_listener_settings true` asks for",
                )),
                Scope::Listener => Some(warn(
                    &entry.warning,
                    format!(
                        "`{}` above the first `listener` is taken for all listeners",
                        entry.option.name
                    ),
                    "write it below each `listener` that it is for; \
                     Mosquitto may open port 1883 for such a line",
                )),
                _ => None,
            })
            .collect()
    }
}

fn default_protocol(entry: &Entry<Listener>, port: u16) -> Diagnostic {
    let value = &entry.value;
    Diagnostic {
        message: format!("this makes port {port} speak `{value}`, beside the listeners below"),
        ..entry
            .warning
            .clone()
            .with_help(format!("write `listener {port}` above the line to say so"))
    }
}

fn collision(mistake: &Diagnostic, earlier: &Listener) -> Diagnostic {
    let place = earlier
        .source
        .as_ref()
        .map_or_else(|| "the default listener".into(), ToString::to_string);
    let what = match &earlier.bind {
        Bind::Unix(path) => format!("the path {}", path.display()),
        _ => format!("port {}", earlier.port),
    };
    Diagnostic {
        message: format!("{what} is already taken by {place}"),
        ..mistake
            .clone()
            .with_help("choose another port or address, or remove one of the two")
    }
}
