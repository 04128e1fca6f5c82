//! Options that Mosquitto's clients have and these don't have yet. They are
//! part of the grammar, so that whoever uses one is told what to do instead.

use clap::{Arg, ArgAction, ArgMatches};

use super::failure::Failure;

const HEADING: &str = "Not yet supported (each says what to do instead)";

struct Later {
    id: &'static str,
    short: Option<char>,
    takes_value: bool,
    instead: &'static str,
}

const ENGINE: &str = "OpenSSL engines are not supported; use a key in a file with --key";
const SRV: &str = "SRV lookups are left to tools for them: `dig +short SRV _mqtt._tcp.DOMAIN` tells the port \
     and the host, for -p and -h";

const fn with_value(id: &'static str, instead: &'static str) -> Later {
    Later {
        id,
        short: None,
        takes_value: true,
        instead,
    }
}

const LATER: &[Later] = &[
    with_value("tls-engine", ENGINE),
    with_value("tls-engine-kpass-sha1", ENGINE),
    Later {
        id: "srv",
        short: Some('S'),
        takes_value: false,
        instead: SRV,
    },
];

pub(super) fn arguments() -> impl Iterator<Item = Arg> {
    LATER.iter().map(|later| {
        let arg = match later.short {
            Some(short) => Arg::new(later.id).short(short),
            None => Arg::new(later.id).long(later.id),
        };
        let arg = if later.takes_value {
            arg.value_name("value").allow_hyphen_values(true)
        } else {
            arg.action(ArgAction::SetTrue)
        };
        arg.help_heading(HEADING).hide_short_help(true)
    })
}

/// Refuses the first of them that was given.
pub(super) fn check(matches: &ArgMatches) -> Result<(), Failure> {
    let given = |later: &&Later| {
        matches.value_source(later.id) == Some(clap::parser::ValueSource::CommandLine)
    };
    match LATER.iter().find(given) {
        None => Ok(()),
        Some(later) => {
            let name = match later.short {
                Some(short) => format!("-{short}"),
                None => format!("--{}", later.id),
            };
            Err(Failure::plain(format_args!("{name}: {}.", later.instead)))
        }
    }
}
