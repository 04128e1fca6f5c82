//! From files and the command line to the words that clap sees.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Arg, Command};

use super::failure::Failure;
use super::{environment, missing_value};

/// The words of all sources in the order in which they count: later ones win.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    /// What clap parses.
    pub(super) plain: Vec<OsString>,
    /// The words of each `-D`. Its number of values depends on the second,
    /// which is more than clap's grammar can say.
    pub(super) properties: Vec<Vec<String>>,
}

/// Gathers the words of the options file and of the command line.
pub(super) fn gather(
    command: &Command,
    argv: impl Iterator<Item = OsString>,
) -> Result<Words, Failure> {
    let mut given = Words::default();
    let files = given.take(command, argv)?;
    let file = match files.as_slice() {
        [] => environment::value("MQTT_OPTIONS_FILE")
            .map(PathBuf::from)
            .or_else(|| default_file(command.get_name())),
        [file] => Some(PathBuf::from(file)),
        _ => return Err(Failure::usage("-o can be given only once.")),
    };
    let mut words = Words::default();
    if let Some(file) = file {
        let content = fs::read_to_string(&file).map_err(|error| {
            Failure::plain(format_args!("Unable to read {}: {error}", file.display()))
        })?;
        words.take(command, file_words(command, &content)?.into_iter())?;
    }
    words.plain.append(&mut given.plain);
    words.properties.append(&mut given.properties);
    Ok(words)
}

impl Words {
    /// Takes words from one source, and returns the values of `-o`.
    fn take(
        &mut self,
        command: &Command,
        mut words: impl Iterator<Item = OsString>,
    ) -> Result<Vec<OsString>, Failure> {
        let mut files = Vec::new();
        while let Some(word) = words.next() {
            if word == "-D" || word == "--property" {
                self.properties.push(property_words(&mut words)?);
                continue;
            }
            let value = if takes_value(command, &word) {
                words.next()
            } else {
                None
            };
            if word == "-o" {
                files.extend(value.clone());
            }
            self.plain.push(word);
            self.plain.extend(value);
        }
        Ok(files)
    }
}

/// Packet, property and value, or for a user property packet, property, name
/// and value.
pub(super) fn property_words(
    words: &mut impl Iterator<Item = OsString>,
) -> Result<Vec<String>, Failure> {
    let mut next = || {
        let word = words.next().ok_or_else(|| {
            Failure::usage("--property argument given but not enough arguments specified.")
        })?;
        word.into_string()
            .map_err(|_| Failure::usage("--property argument that is not valid UTF-8."))
    };
    let mut taken = vec![next()?, next()?, next()?];
    if taken[1].eq_ignore_ascii_case("user-property") {
        taken.push(next()?);
    }
    Ok(taken)
}

/// Whether the next word is the value of this one, whatever it looks like.
fn takes_value(command: &Command, word: &OsStr) -> bool {
    let Some(word) = word.to_str() else {
        return false;
    };
    let named = |arg: &&Arg| match word.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => word.strip_prefix('-').is_some_and(|short| {
            let mut chars = short.chars();
            arg.get_short() == chars.next() && arg.get_short().is_some() && chars.next().is_none()
        }),
    };
    command
        .get_arguments()
        .find(named)
        .is_some_and(|arg| arg.get_action().takes_values() && !is_optional(arg))
}

/// Whether the option may stand without its value, as `--retry` may.
fn is_optional(arg: &Arg) -> bool {
    arg.get_num_args()
        .is_some_and(|count| count.min_values() == 0)
}

/// The options file of a tool: its own, or the one of Mosquitto's tool.
fn default_file(program: &str) -> Option<PathBuf> {
    let directory = match std::env::var_os("XDG_CONFIG_HOME") {
        Some(directory) => PathBuf::from(directory),
        None => Path::new(&std::env::var_os("HOME")?).join(".config"),
    };
    let mosquitto = program.replace("mqtt-", "mosquitto_");
    [program, &mosquitto]
        .map(|name| directory.join(name))
        .into_iter()
        .find(|path| path.is_file())
}

/// One option a line: its name up to the first blank, then its value as it
/// stands. `-D` has several values, the last of which may contain blanks.
fn file_words(command: &Command, content: &str) -> Result<Vec<OsString>, Failure> {
    let mut words = Vec::new();
    for line in content.lines().map(str::trim_start) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (option, value) = match line.split_once([' ', '\t']) {
            Some((option, value)) => (option, Some(value)),
            None => (line, None),
        };
        words.push(OsString::from(option));
        match value {
            _ if option == "-D" || option == "--property" => {
                let mut values = property_values(value.unwrap_or_default()).map(OsString::from);
                words.extend(property_words(&mut values)?.into_iter().map(OsString::from));
            }
            // A number may stand behind several blanks, a topic may begin
            // with one: like Mosquitto, leave that to whoever reads it.
            Some(value) => words.push(value.into()),
            // It must not take the next line, or the command line.
            None if takes_value(command, OsStr::new(option)) => {
                return Err(missing_value(option, command));
            }
            None => {}
        }
    }
    Ok(words)
}

/// The words behind a `-D` on one line.
pub(super) fn property_values(line: &str) -> impl Iterator<Item = &str> {
    let user = line
        .split_whitespace()
        .nth(1)
        .is_some_and(|name| name.eq_ignore_ascii_case("user-property"));
    line.splitn(if user { 4 } else { 3 }, ' ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::cli::grammar::pub_command;

    fn take(words: &[&str]) -> Result<Words, Failure> {
        let mut taken = Words::default();
        taken.take(&pub_command(), words.iter().map(OsString::from))?;
        Ok(taken)
    }

    #[test]
    fn properties_are_split_off_with_three_or_four_words() {
        let words = take(&[
            "-t",
            "a",
            "-D",
            "publish",
            "content-type",
            "-x",
            "--property",
            "connect",
            "User-Property",
            "-n",
            "-v",
            "-m",
            "-D",
        ])
        .expect("words");
        assert_eq!(words.plain, ["-t", "a", "-m", "-D"]);
        assert_eq!(
            words.properties,
            [
                vec!["publish", "content-type", "-x"],
                vec!["connect", "User-Property", "-n", "-v"]
            ]
        );
    }

    #[test]
    fn a_property_needs_its_words() {
        for words in [
            &["-D"][..],
            &["-D", "publish", "content-type"],
            &["-D", "publish", "user-property", "name"],
        ] {
            let error = take(words).expect_err("too few");
            assert_eq!(
                error,
                Failure::usage("--property argument given but not enough arguments specified.")
            );
        }
    }

    #[test]
    fn an_option_in_a_file_needs_its_value() {
        for (line, told) in [
            ("-m", "-m argument given but no message specified."),
            ("--host", "-h argument given but no host specified."),
            (
                "-D publish content-type",
                "--property argument given but not enough arguments specified.",
            ),
        ] {
            let error = file_words(&pub_command(), &format!("{line}\n-t a\n"));
            assert_eq!(error, Err(Failure::usage(told)));
        }
        assert!(file_words(&pub_command(), "--retry\n-t a").is_ok());
    }

    #[test]
    fn a_file_has_an_option_a_line() {
        let words = file_words(
            &pub_command(),
            "# a comment\n-t a b \n\n-d\r\n-p 1884\r\n-D publish user-property n v w\n",
        )
        .expect("words");
        assert_eq!(
            words,
            [
                "-t",
                "a b ",
                "-d",
                "-p",
                "1884",
                "-D",
                "publish",
                "user-property",
                "n",
                "v w"
            ]
        );
    }
}
