//! What an option is: how it is called, what it takes, where it holds.

use std::fmt;

use super::table::OPTIONS;
use super::value::Kind;
use super::{Bridge, Config, Listener, spelling};

/// An option of the configuration file.
pub struct OptionSpec {
    /// Its name. One that ends with `*` stands for all names that begin so.
    pub name: &'static str,
    /// Older names of the same option.
    pub aliases: &'static [&'static str],
    /// What holds without it, as one would write it; empty if that is nothing.
    pub default: &'static str,
    /// Where it may stand and for what it then holds.
    pub scope: Scope,
    /// Whether a change holds after a reload, without a new start.
    pub reloadable: bool,
    pub(super) repeat: Repeat,
    pub(super) effect: Effect,
}

/// Where an option may stand, and for what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Anywhere; for the whole broker.
    Global,
    /// Below the `listener` that it is for.
    Listener,
    /// Anywhere, for all listeners; but below the `listener` that it is for once
    /// `per_listener_settings` is true.
    Security,
    /// Below the `connection` that it is for.
    Bridge,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Global => "global",
            Self::Listener => "listener",
            Self::Security => "global or listener",
            Self::Bridge => "bridge",
        })
    }
}

/// What it means that an option is given again for the same thing.
#[derive(Clone, Copy)]
pub(super) enum Repeat {
    /// Nothing: each line speaks for itself.
    Counts,
    /// The last one counts.
    Replaces,
    /// It is a mistake.
    Forbidden,
    /// All count. The first clears the default.
    Adds(fn(&mut Config)),
}

/// What an option does.
pub(super) enum Effect {
    Global(Kind<Config>),
    Listener(Kind<Listener>),
    Bridge(Kind<Bridge>),
    /// It says to what other lines belong, or where they are.
    Structure(Structure),
    /// It does nothing, in Mosquitto neither: the text says since when or why.
    Idle(&'static str),
    /// This version cannot do it, except for values that ask for nothing.
    Refused {
        feature: &'static Feature,
        harmless: &'static [&'static str],
    },
}

pub(super) enum Structure {
    Listener,
    Port,
    BindAddress,
    IncludeDir,
    PerListenerSettings,
    Connection,
}

/// Something that this version cannot do yet.
pub(super) struct Feature {
    pub(super) name: &'static str,
    /// What to write instead.
    pub(super) instead: &'static str,
}

impl OptionSpec {
    /// All options of Mosquitto, also those that this version refuses.
    pub fn all() -> &'static [Self] {
        OPTIONS
    }

    /// Whether this version can do what the option asks for.
    pub const fn is_supported(&self) -> bool {
        !matches!(self.effect, Effect::Refused { .. })
    }

    /// The option of that name.
    pub fn find(name: &str) -> Option<&'static Self> {
        OPTIONS.iter().find(|option| {
            option.names().any(|known| match known.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => name == known,
            })
        })
    }

    /// The name that was probably meant.
    pub(super) fn nearest(name: &str) -> Option<&'static str> {
        spelling::nearest(name, OPTIONS.iter().flat_map(Self::names))
    }

    fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    const fn new(name: &'static str, default: &'static str, scope: Scope, effect: Effect) -> Self {
        Self {
            name,
            aliases: &[],
            default,
            scope,
            reloadable: false,
            repeat: Repeat::Counts,
            effect,
        }
    }

    pub(super) const fn global(
        name: &'static str,
        default: &'static str,
        kind: Kind<Config>,
    ) -> Self {
        Self::new(name, default, Scope::Global, Effect::Global(kind)).last()
    }

    pub(super) const fn listener(
        name: &'static str,
        default: &'static str,
        kind: Kind<Listener>,
    ) -> Self {
        Self::new(name, default, Scope::Listener, Effect::Listener(kind)).last()
    }

    pub(super) const fn security(
        name: &'static str,
        default: &'static str,
        kind: Kind<Listener>,
    ) -> Self {
        Self::new(name, default, Scope::Security, Effect::Listener(kind)).last()
    }

    /// An option of bridges whose last line counts.
    pub(super) const fn bridge(
        name: &'static str,
        default: &'static str,
        kind: Kind<Bridge>,
    ) -> Self {
        Self::new(name, default, Scope::Bridge, Effect::Bridge(kind))
            .last()
            .reloaded()
    }

    pub(super) const fn structure(
        name: &'static str,
        default: &'static str,
        structure: Structure,
    ) -> Self {
        Self::new(name, default, Scope::Global, Effect::Structure(structure))
    }

    pub(super) const fn idle(name: &'static str, why: &'static str) -> Self {
        Self::new(name, "", Scope::Global, Effect::Idle(why))
    }

    pub(super) const fn refused(
        name: &'static str,
        scope: Scope,
        feature: &'static Feature,
    ) -> Self {
        Self::harmless(name, scope, feature, &[])
    }

    pub(super) const fn harmless(
        name: &'static str,
        scope: Scope,
        feature: &'static Feature,
        harmless: &'static [&'static str],
    ) -> Self {
        let default = match harmless {
            [first, ..] => first,
            [] => "",
        };
        Self::new(name, default, scope, Effect::Refused { feature, harmless })
    }

    pub(super) const fn aka(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    pub(super) const fn reloaded(mut self) -> Self {
        self.reloadable = true;
        self
    }

    pub(super) const fn last(mut self) -> Self {
        self.repeat = Repeat::Replaces;
        self
    }

    pub(super) const fn each(mut self) -> Self {
        self.repeat = Repeat::Counts;
        self
    }

    pub(super) const fn once(mut self) -> Self {
        self.repeat = Repeat::Forbidden;
        self
    }

    pub(super) const fn adds(mut self, clear: fn(&mut Config)) -> Self {
        self.repeat = Repeat::Adds(clear);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_stands_twice() {
        let mut names: Vec<_> = OPTIONS.iter().flat_map(OptionSpec::names).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn names_are_found_by_alias_and_by_prefix() {
        assert_eq!(OptionSpec::find("maximum_qos").unwrap().name, "max_qos");
        assert_eq!(
            OptionSpec::find("auth_opt_host").unwrap().name,
            "auth_opt_*"
        );
        assert!(OptionSpec::find("foo").is_none());
    }

    #[test]
    fn every_default_is_accepted() {
        for option in OPTIONS.iter().filter(|option| !option.default.is_empty()) {
            let text = format!("{} {}", option.name, option.default);
            let before = match option.scope {
                Scope::Bridge => "connection b\naddress h\ntopic #\n",
                _ => "",
            };
            let found = Config::parse(&format!("{before}{text}"), "default");
            assert!(found.is_ok(), "{text}: {}", found.unwrap_err());
        }
    }
}
