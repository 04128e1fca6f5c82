//! From a draft to a configuration: which line holds for which listener.

use super::options::Scope;
use super::read::{Draft, Section};
use super::{Bind, Config, Diagnostic, Diagnostics, Listener};

/// Puts a draft together, or says everything that is wrong with it.
pub(super) fn build(mut draft: Draft) -> Result<Config, Diagnostics> {
    let preamble = draft.sections.remove(0);
    let interface = preamble.has("bind_interface");
    let told_where = draft.port.is_some() || draft.bind_address.is_some();
    let local_only = draft.sections.is_empty() && !told_where && !interface;
    let has_default = draft.sections.is_empty() || told_where;

    let mut base = if local_only {
        Listener::local()
    } else {
        Listener::default()
    };
    let mut allow_anonymous = None;
    if !draft.per_listener {
        for section in std::iter::once(&preamble).chain(&draft.sections) {
            section.apply(Scope::Security, &mut base);
            if section.has("allow_anonymous") {
                allow_anonymous = Some(base.security.allow_anonymous);
            }
        }
    }

    let mut listeners = Vec::new();
    if has_default {
        let mut listener = base.clone();
        if let Some((address, location)) = draft.bind_address.take() {
            listener.bind = Bind::Host(address);
            listener.source = Some(location);
        }
        if let Some((port, location)) = draft.port.take() {
            listener.port = port;
            listener.source = Some(location);
        }
        if interface {
            let named = preamble
                .entries
                .iter()
                .find(|e| e.option.name == "bind_interface");
            let location = named.map(|entry| entry.warning.location.clone());
            listener.source = listener.source.or(location);
        }
        preamble.settle(draft.per_listener, &mut listener);
        listeners.push(listener);
    }
    for section in &draft.sections {
        let Some((port, bind, mistake)) = &section.listener else {
            continue;
        };
        let mut listener = Listener {
            port: *port,
            bind: bind.clone(),
            source: Some(mistake.location.clone()),
            ..base.clone()
        };
        if !has_default {
            preamble.apply(Scope::Listener, &mut listener);
        }
        section.settle(draft.per_listener, &mut listener);
        if let Some(earlier) = listeners.iter().find(|known| listener.collides_with(known)) {
            draft.diagnostics.push(collision(mistake, earlier));
        }
        listeners.push(listener);
    }
    if !has_default {
        draft.diagnostics.extend(preamble.stray(draft.per_listener));
    }
    if draft.has_errors() {
        let mut errors = draft.diagnostics;
        errors.retain(|found| found.severity == super::Severity::Error);
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

impl Section {
    fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.option.name == name)
    }

    /// Applies the lines of one scope.
    fn apply(&self, scope: Scope, listener: &mut Listener) {
        for entry in self
            .entries
            .iter()
            .filter(|entry| entry.option.scope == scope)
        {
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
        self.entries
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
