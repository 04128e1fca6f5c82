//! Options from environment variables: `MQTT_` and the name of the option, as
//! in `MQTT_WILL_TOPIC`. They rank below an options file, and that below the
//! command line.

use std::ffi::{OsStr, OsString};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::failure::Failure;
use super::words::{self, Words};

/// Options that don't go with others: where the first one is given, variables
/// for the others count for nothing.
const RIVALS: &[(&str, &[&str])] = &[
    (
        "url",
        &[
            "host",
            "port",
            "unix",
            "username",
            "password",
            "password-file",
            "ask-password",
        ],
    ),
    ("host", &["unix"]),
    ("port", &["unix"]),
    ("id", &["id-prefix"]),
    ("id-prefix", &["id"]),
    ("password", &["password-file", "ask-password"]),
    ("password-file", &["password", "ask-password"]),
    ("ask-password", &["password", "password-file"]),
    ("message", MESSAGES),
    ("file", MESSAGES),
    ("stdin-file", MESSAGES),
    ("null-message", MESSAGES),
    ("stdin-line", MESSAGES),
    ("no-retained", &["retained-only"]),
    ("retained-only", &["no-retained"]),
];

const MESSAGES: &[&str] = &[
    "message",
    "file",
    "stdin-file",
    "null-message",
    "stdin-line",
];

/// Options that can be given several times; each line of a variable is one.
const LISTS: &[&str] = &["topic", "unsubscribe", "filter-out"];

/// The variable of an option. `--help` and `--version` have none.
pub(super) fn variable(arg: &Arg) -> Option<String> {
    let id = arg.get_id().as_str();
    let name = || format!("MQTT_{}", id.to_uppercase().replace('-', "_"));
    (id != "help" && id != "version").then(name)
}

/// The value of a variable, unless it is empty.
pub(super) fn value(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Whether there may be anything to take from the environment.
pub(super) fn is_used() -> bool {
    std::env::vars_os().any(|(name, _)| name.as_encoded_bytes().starts_with(b"MQTT_"))
}

/// The words that the variables stand for, of those options that `given` lacks.
pub(super) fn words(
    command: &Command,
    given: &ArgMatches,
    look: impl Fn(&str) -> Option<OsString>,
) -> Result<Words, Failure> {
    let is_given = |id: &str| given.value_source(id) == Some(ValueSource::CommandLine);
    let silenced = |id: &str| {
        is_given(id)
            || RIVALS
                .iter()
                .any(|(winner, losers)| losers.contains(&id) && is_given(winner))
    };
    let mut words = Words::default();
    for arg in command.get_arguments() {
        let id = arg.get_id().as_str();
        let Some(name) = variable(arg) else { continue };
        if silenced(id) {
            continue;
        }
        let Some(value) = look(&name) else { continue };
        match (id, arg.get_action()) {
            // It was read before anything else.
            ("options-file", _) => {}
            ("property", _) => words.properties.extend(properties(&name, &value)?),
            (_, ArgAction::SetTrue) => {
                if is_on(&name, &value)? {
                    words.plain.push(option(arg));
                }
            }
            (id, ArgAction::Append) if LISTS.contains(&id) => {
                for line in utf8(&name, &value)?.lines() {
                    words.plain.extend([option(arg), line.into()]);
                }
            }
            // What Kubernetes puts there for a service of the name `mqtt`.
            ("port", _) if value.as_encoded_bytes().starts_with(b"tcp://") => {}
            _ => words.plain.extend([option(arg), value]),
        }
    }
    Ok(words)
}

/// The option as it stands on a command line.
fn option(arg: &Arg) -> OsString {
    match (arg.get_long(), arg.get_short()) {
        (Some(long), _) => format!("--{long}").into(),
        (None, Some(short)) => format!("-{short}").into(),
        (None, None) => OsString::new(),
    }
}

fn is_on(name: &str, value: &OsStr) -> Result<bool, Failure> {
    match utf8(name, value)?.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        other => Err(Failure::usage(format_args!(
            "The environment variable {name} is a switch, 1 or 0, and not '{other}'."
        ))),
    }
}

/// A property on each line, as in an options file.
fn properties(name: &str, value: &OsStr) -> Result<Vec<Vec<String>>, Failure> {
    utf8(name, value)?
        .lines()
        .map(|line| words::property_words(&mut words::property_values(line).map(OsString::from)))
        .collect()
}

fn utf8<'a>(name: &str, value: &'a OsStr) -> Result<&'a str, Failure> {
    value.to_str().ok_or_else(|| {
        Failure::usage(format_args!(
            "The environment variable {name} is not valid UTF-8."
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::cli::grammar::{pub_command, sub_command};

    fn take(
        command: Command,
        given: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<Words, Failure> {
        let line = std::iter::once(&"tool").chain(given);
        let matches = command.clone().get_matches_from(line);
        words(&command, &matches, |name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| value.into())
        })
    }

    #[test]
    fn variables_become_options() {
        let variables = [
            ("MQTT_HOST", "broker"),
            ("MQTT_PASSWORD", "-secret"),
            ("MQTT_COUNT", "3"),
            ("MQTT_VERBOSE", "Yes"),
            ("MQTT_NO_NEWLINE", "0"),
            ("MQTT_TOPIC", "a\nb c"),
            (
                "MQTT_PROPERTY",
                "connect user-property a b c\nsubscribe subscription-identifier 1",
            ),
        ];
        let taken = take(sub_command(), &[], &variables).expect("words");
        let line: Vec<_> = taken
            .plain
            .iter()
            .map(|word| word.to_string_lossy())
            .collect();
        let line = line.join("|");
        for words in [
            "--host|broker",
            "--pw|-secret",
            "-C|3",
            "--verbose",
            "--topic|a|--topic|b c",
        ] {
            assert!(line.contains(words), "{words} in {line}");
        }
        assert!(!line.contains("-N"), "{line}");
        assert_eq!(
            taken.properties,
            [
                vec!["connect", "user-property", "a", "b c"],
                vec!["subscribe", "subscription-identifier", "1"]
            ]
        );
    }

    #[test]
    fn what_is_given_silences_variables() {
        let variables = [
            ("MQTT_HOST", "broker"),
            ("MQTT_PORT", "1"),
            ("MQTT_ID_PREFIX", "pre"),
            ("MQTT_STDIN_LINE", "1"),
            ("MQTT_PASSWORD_FILE", "file"),
        ];
        let given = ["-L", "mqtt://h/t", "-i", "me", "-m", "x", "-P", "y"];
        assert_eq!(
            take(pub_command(), &given, &variables),
            Ok(Words::default())
        );
    }

    #[test]
    fn a_switch_is_on_or_off() {
        let wrong = take(pub_command(), &[], &[("MQTT_RETAIN", "maybe")]);
        assert_eq!(
            wrong,
            Err(Failure::usage(
                "The environment variable MQTT_RETAIN is a switch, 1 or 0, and not 'maybe'."
            ))
        );
    }

    #[test]
    fn the_port_of_a_kubernetes_service_is_none_of_ours() {
        let port = [("MQTT_PORT", "tcp://10.0.0.1:1883")];
        assert_eq!(take(pub_command(), &[], &port), Ok(Words::default()));
    }
}
