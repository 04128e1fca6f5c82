//! Options of Mosquitto's clients that only OpenSSL could serve. They are part
//! of the grammar, so that whoever uses one is told what to do instead.

use clap::{Arg, ArgMatches};

use super::failure::Failure;

const HEADING: &str = "Not supported (each says what to do instead)";
const ENGINE: &str = "OpenSSL engines are not supported; use a key in a file with --key";

const REFUSED: [(&str, &str); 2] = [("tls-engine", ENGINE), ("tls-engine-kpass-sha1", ENGINE)];

pub(super) fn arguments() -> impl Iterator<Item = Arg> {
    REFUSED.iter().map(|&(id, _)| {
        Arg::new(id)
            .long(id)
            .value_name("value")
            .allow_hyphen_values(true)
            .help_heading(HEADING)
            .hide_short_help(true)
    })
}

/// Refuses the first of them that was given.
pub(super) fn check(matches: &ArgMatches) -> Result<(), Failure> {
    let given = |(id, _): &&(&str, &str)| {
        matches.value_source(id) == Some(clap::parser::ValueSource::CommandLine)
    };
    match REFUSED.iter().find(given) {
        None => Ok(()),
        Some((id, instead)) => Err(Failure::plain(format_args!("--{id}: {instead}."))),
    }
}
