//! From a draft to a configuration: which line holds for which listener.

use super::options::Scope;
use super::read::{Draft, Entries};
use super::{Bind, Config, Diagnostic, Diagnostics, Listener, Location, Severity, tls};

/// Puts a draft together, or says everything that is wrong with it.
pub(super) fn build(mut draft: Draft) -> Result<Config, Diagnostics> {
    let preamble = std::mem::take(&mut draft.preamble);
    let interface = preamble.place_of("bind_interface");
    let told_where = draft.port.is_some() || draft.bind_address.is_some();
    let local_only = draft.sections.is_empty() && !told_where && interface.is_none();
    let has_default = draft.sections.is_empty() || told_where;

    let mut base = if local_only {
        Listener::local()
    } else {
        Listener::default()
    };
    let mut allow_anonymous = None;
    if !draft.per_listener {
        let below = draft.sections.iter().flat_map(|section| &section.entries.0);
        let mut entries: Vec<_> = preamble.0.iter().chain(below).collect();
        entries.retain(|entry| entry.option.scope == Scope::Security);
        entries.sort_by_key(|entry| entry.order);
        for entry in entries {
            (entry.change)(&mut base);
            if entry.option.name == "allow_anonymous" {
                allow_anonymous = Some(base.security.allow_anonymous);
            }
        }
    }

    let mut listeners = Vec::new();
    if has_default {
        let mut listener = Listener {
            source: interface,
            ..base.clone()
        };
        if let Some((address, location)) = draft.bind_address.take() {
            listener.bind = Bind::Host(address);
            listener.source = Some(location);
        }
        if let Some((port, location)) = draft.port.take() {
            listener.port = port;
            listener.source = Some(location);
        }
        preamble.settle(draft.per_listener, &mut listener);
        draft
            .diagnostics
            .extend(tls::mistakes(preamble.0.iter(), &listener));
        listeners.push(listener);
    }
    for section in &draft.sections {
        let mut listener = Listener {
            port: section.port,
            bind: section.bind.clone(),
            source: Some(section.mistake.location.clone()),
            ..base.clone()
        };
        if !has_default {
            preamble.apply(Scope::Listener, &mut listener);
        }
        section.entries.settle(draft.per_listener, &mut listener);
        let above = preamble.0.iter().filter(|_| !has_default);
        let entries = above.chain(&section.entries.0);
        draft.diagnostics.extend(tls::mistakes(entries, &listener));
        if let Some(earlier) = listeners.iter().find(|known| listener.collides_with(known)) {
            draft.diagnostics.push(collision(&section.mistake, earlier));
        }
        listeners.push(listener);
    }
    if !has_default {
        draft.diagnostics.extend(preamble.stray(draft.per_listener));
    }
    if draft.has_errors() {
        let mut errors = draft.diagnostics;
        errors.retain(|found| found.severity == Severity::Error);
        return Err(Diagnostics(errors));
    }

    let mut config = Config {
        listeners,
        local_only,
        allow_anonymous,
        warnings: draft.diagnostics,
        ..Config::default()
    };
    for change in &draft.globals {
        change(&mut config);
    }
    Ok(config)
}

impl Entries {
    /// Whether any line is of that scope.
    pub(super) fn has_scope(&self, scope: Scope) -> bool {
        self.0.iter().any(|entry| entry.option.scope == scope)
    }

    fn place_of(&self, name: &str) -> Option<Location> {
        let mut entries = self.0.iter();
        let entry = entries.find(|entry| entry.option.name == name)?;
        Some(entry.warning.location.clone())
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

fn collision(mistake: &Diagnostic, earlier: &Listener) -> Diagnostic {
    let place = earlier
        .source
        .as_ref()
        .map_or_else(|| "the default listener".into(), ToString::to_string);
    Diagnostic {
        message: format!("port {} is already taken by {place}", earlier.port),
        ..mistake
            .clone()
            .with_help("choose another port or address, or remove one of the two")
    }
}
