//! The kinds of value that an option can have, and how each is read.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use super::{ProtocolVersions, spelling};

/// What a value does to the configuration once everything is read.
pub(super) type Change<T> = Box<dyn Fn(&mut T)>;

/// What is wrong with a value, and in which bytes of it.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) part: Range<usize>,
    pub(super) message: String,
    pub(super) help: String,
}

impl Fault {
    pub(super) fn new(text: &str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            part: 0..text.len(),
            message: message.into(),
            help: help.into(),
        }
    }

    /// The same fault of `word`, which is a part of `whole`.
    pub(super) fn within(mut self, whole: &str, word: &str) -> Self {
        let start = word.as_ptr().addr() - whole.as_ptr().addr();
        self.part = start + self.part.start..start + self.part.end;
        self
    }
}

/// A kind of value, with the place in `T` where it belongs.
pub(super) enum Kind<T: 'static> {
    /// `true` or `false`.
    Flag(fn(&mut T, bool)),
    /// A whole number from `min` to `max`.
    Number {
        min: u64,
        max: u64,
        set: fn(&mut T, u64),
    },
    /// A whole number from `min` to `max`, or 0 for none.
    NumberOrNone {
        min: u64,
        max: u64,
        set: fn(&mut T, Option<u64>),
    },
    /// A whole number; anything below 1 means that there is no limit.
    Limit(fn(&mut T, Option<u32>)),
    /// A whole number above 0 and one of `s h d w m y`.
    Period(fn(&mut T, Duration)),
    /// One of several words.
    Choice(&'static [&'static str], fn(&mut T, &'static str)),
    /// What is spoken on a listener: one of several words.
    Protocol(fn(&mut T, super::Protocol)),
    /// Versions of the protocol, separated by commas or blanks.
    Versions(fn(&mut T, ProtocolVersions)),
    /// A destination of the log: a word, or `file` and a path.
    Destination(fn(&mut T, super::LogDestination)),
    /// The rest of the line as the beginning of topic names.
    Topic(fn(&mut T, String)),
    /// The rest of the line.
    Text(fn(&mut T, String)),
    /// The rest of the line as a path.
    Path(fn(&mut T, PathBuf)),
    /// Words with a grammar of their own.
    Words(fn(&str) -> Result<Change<T>, Fault>),
}

impl<T: 'static> Kind<T> {
    /// The part of a line's rest that is the value; what follows it is a comment,
    /// or a mistake.
    pub(super) fn extent<'a>(&self, rest: &'a str) -> &'a str {
        match self {
            Self::Topic(_) | Self::Text(_) | Self::Path(_) => rest,
            Self::Destination(_) if first_word(rest) == "file" => rest,
            Self::Versions(_) | Self::Words(_) => before_comment(rest),
            _ => first_word(rest),
        }
    }

    /// Whether nothing can follow the value, because it lasts to the end of the
    /// line.
    pub(super) fn takes_all(&self, rest: &str) -> bool {
        match self {
            Self::Topic(_) | Self::Text(_) | Self::Path(_) => true,
            Self::Destination(_) => first_word(rest) == "file",
            _ => false,
        }
    }

    /// A value as one would write it.
    pub(super) fn canonical(&self, value: &str) -> String {
        match (self, value) {
            (Self::Flag(_), "1") => "true".into(),
            (Self::Flag(_), "0") => "false".into(),
            _ => value.into(),
        }
    }

    /// Reads a value that is not empty.
    pub(super) fn read(&self, value: &str) -> Result<Change<T>, Fault> {
        match *self {
            Self::Flag(set) => {
                let flag = flag(first_word(value))?;
                Ok(Box::new(move |target| set(target, flag)))
            }
            Self::Number { min, max, set } => {
                let number = number(first_word(value), min, max)?;
                Ok(Box::new(move |target| set(target, number)))
            }
            Self::NumberOrNone { min, max, set } => {
                let number = number_or_none(first_word(value), min, max)?;
                Ok(Box::new(move |target| set(target, number)))
            }
            Self::Limit(set) => {
                let limit = limit(first_word(value))?;
                Ok(Box::new(move |target| set(target, limit)))
            }
            Self::Period(set) => {
                let period = period(first_word(value))?;
                Ok(Box::new(move |target| set(target, period)))
            }
            Self::Choice(words, set) => {
                let choice = choice(first_word(value), words)?;
                Ok(Box::new(move |target| set(target, choice)))
            }
            Self::Protocol(set) => {
                let protocol = protocol(first_word(value))?;
                Ok(Box::new(move |target| set(target, protocol)))
            }
            Self::Versions(set) => {
                let versions = versions(value)?;
                Ok(Box::new(move |target| set(target, versions)))
            }
            Self::Destination(set) => {
                let destination = destination(value)?;
                Ok(Box::new(move |target| set(target, destination.clone())))
            }
            Self::Topic(set) => {
                let topic = topic_prefix(value)?.to_owned();
                Ok(Box::new(move |target| set(target, topic.clone())))
            }
            Self::Text(set) => {
                let text = value.to_owned();
                Ok(Box::new(move |target| set(target, text.clone())))
            }
            Self::Path(set) => {
                let path = PathBuf::from(value);
                Ok(Box::new(move |target| set(target, path.clone())))
            }
            Self::Words(read) => read(value),
        }
    }
}

/// The value up to its first blank.
pub(super) fn first_word(value: &str) -> &str {
    value.split([' ', '\t']).next().unwrap_or_default()
}

/// The value up to the first word behind its beginning that starts with `#`.
/// Double quotes around the first word may hold blanks.
pub(super) fn before_comment(value: &str) -> &str {
    let quoted = value.strip_prefix('"').and_then(|rest| rest.find('"'));
    let first = quoted.map_or_else(|| first_word(value).len(), |length| length + 2);
    let mut blanks = value[first..].match_indices([' ', '\t']);
    let comment = blanks.find(|(at, _)| value[first + at + 1..].starts_with('#'));
    comment.map_or(value, |(at, _)| value[..first + at].trim_end())
}

/// Reads `true` or `false`; Mosquitto takes `1` and `0` too.
pub(super) fn flag(word: &str) -> Result<bool, Fault> {
    match word {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => {
            let help = match word.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" => "write `true`",
                "false" | "no" | "off" => "write `false`",
                _ => "write `true` or `false`",
            };
            let message = format!("`{word}` is neither `true` nor `false`");
            Err(Fault::new(word, message, help))
        }
    }
}

/// Reads a whole number between two bounds.
pub(super) fn number(word: &str, min: u64, max: u64) -> Result<u64, Fault> {
    let help = if max == u64::MAX {
        format!("write a whole number from {min} on, without unit")
    } else {
        format!("write a whole number from {min} to {max}")
    };
    match word.parse::<u64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        Ok(_) => Err(Fault::new(word, format!("{word} is out of range"), help)),
        Err(_) => Err(Fault::new(
            word,
            format!("`{word}` is not a number that can stand here"),
            help,
        )),
    }
}

fn number_or_none(word: &str, min: u64, max: u64) -> Result<Option<u64>, Fault> {
    if word == "0" {
        return Ok(None);
    }
    number(word, min, max).map(Some).map_err(|fault| Fault {
        help: fault.help + ", or `0` for none",
        ..fault
    })
}

fn topic_prefix(value: &str) -> Result<&str, Fault> {
    if value.len() >= usize::from(u16::MAX) {
        let message = "this is too long for the beginning of a topic name";
        return Err(Fault::new(value, message, "write at most 65534 bytes"));
    }
    match value.find(['+', '#']) {
        None => Ok(value),
        Some(place) => Err(Fault {
            part: place..place + 1,
            message: "a topic name has no wildcards".into(),
            help: "write the levels themselves, such as `mount_point site1/`".into(),
        }),
    }
}

fn limit(word: &str) -> Result<Option<u32>, Fault> {
    match word.parse::<i64>() {
        Ok(number) if number < 1 => Ok(None),
        Ok(number) if u32::try_from(number).is_ok() => Ok(u32::try_from(number).ok()),
        _ => Err(Fault::new(
            word,
            format!("`{word}` is not a number that can stand here"),
            "write a whole number, or `-1` for no limit",
        )),
    }
}

fn period(word: &str) -> Result<Duration, Fault> {
    const HOUR: u64 = 60 * 60;
    const DAY: u64 = 24 * HOUR;
    let unit = match word.chars().last() {
        Some('s') => 1,
        Some('h') => HOUR,
        Some('d') => DAY,
        Some('w') => 7 * DAY,
        Some('m') => 30 * DAY,
        Some('y') => 365 * DAY,
        _ => 0,
    };
    let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
    match seconds {
        Some(seconds @ 1..) if digits.len() + 1 == word.len() => Ok(Duration::from_secs(seconds)),
        _ => Err(Fault::new(
            word,
            format!("`{word}` is not a length of time"),
            "write a number and one of s, h, d, w, m, y without a blank, such as `14d` \
             (a month has 30 days, a year 365)",
        )),
    }
}

fn choice(word: &str, words: &'static [&'static str]) -> Result<&'static str, Fault> {
    words
        .iter()
        .copied()
        .find(|known| *known == word)
        .ok_or_else(|| {
            let help = spelling::nearest(word, words.iter().copied()).map_or_else(
                || format!("write one of {}", words.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            Fault::new(word, format!("`{word}` is not known here"), help)
        })
}

fn protocol(word: &str) -> Result<super::Protocol, Fault> {
    Ok(match word {
        "mqtt" => super::Protocol::Mqtt,
        "websockets" => super::Protocol::Websockets,
        "any" => super::Protocol::Any,
        "http_api" => {
            return Err(Fault::new(
                word,
                "this version has no HTTP API yet",
                "remove this listener; subscribe to `$SYS/#` for its figures",
            ));
        }
        _ => {
            choice(word, &["mqtt", "websockets", "any"])?;
            super::Protocol::Mqtt
        }
    })
}

fn versions(value: &str) -> Result<ProtocolVersions, Fault> {
    let mut versions = ProtocolVersions::NONE;
    for version in value
        .split([',', ' ', '\t'])
        .filter(|word| !word.is_empty())
    {
        versions.insert(match version {
            "3" => 3,
            "4" => 4,
            "5" => 5,
            _ => return Err(not_versions(value)),
        });
    }
    if versions == ProtocolVersions::NONE {
        return Err(not_versions(value));
    }
    Ok(versions)
}

fn not_versions(list: &str) -> Fault {
    Fault::new(
        list,
        format!("`{list}` is not a list of protocol versions"),
        "write some of `3` (MQTT 3.1), `4` (MQTT 3.1.1) and `5`, such as `4,5`",
    )
}

fn destination(value: &str) -> Result<super::LogDestination, Fault> {
    use super::LogDestination::{File, None, Stderr, Stdout, Syslog, Topic};
    let word = first_word(value);
    let rest = value[word.len()..].trim_start();
    Ok(match word {
        "stdout" => Stdout,
        "stderr" => Stderr,
        "syslog" => Syslog,
        "topic" => Topic,
        "none" => None,
        "file" if rest.is_empty() => {
            return Err(Fault::new(
                value,
                "`log_dest file` lacks the path",
                "write `log_dest file` and the path of the log",
            ));
        }
        "file" => File(rest.into()),
        "dlt" => {
            return Err(Fault::new(
                word,
                format!("this version has no `log_dest {word}` yet"),
                "write `log_dest stderr`, or `log_dest file` and a path",
            ));
        }
        _ if word.starts_with(['/', '.']) => {
            return Err(Fault::new(
                value,
                format!("`{word}` is not known here"),
                format!("write `log_dest file {value}`"),
            ));
        }
        _ => {
            choice(
                word,
                &["stdout", "stderr", "syslog", "topic", "file", "none"],
            )?;
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_as_strict_as_mosquitto_but_say_what_to_write() {
        assert!(flag("1").unwrap());
        assert!(!flag("false").unwrap());
        assert_eq!(flag("TRUE").unwrap_err().help, "write `true`");
        assert_eq!(flag("off").unwrap_err().help, "write `false`");
    }

    #[test]
    fn numbers_are_whole_and_within_bounds() {
        assert_eq!(number("65535", 0, 65_535).unwrap(), 65_535);
        for wrong in ["65536", "-1", "20x", "", "2.5"] {
            assert!(number(wrong, 0, 65_535).is_err(), "{wrong}");
        }
    }

    #[test]
    fn zero_stands_for_none() {
        assert_eq!(number_or_none("0", 10, 20).unwrap(), None);
        assert_eq!(number_or_none("10", 10, 20).unwrap(), Some(10));
        let fault = number_or_none("5", 10, 20).unwrap_err();
        assert_eq!(
            fault.help,
            "write a whole number from 10 to 20, or `0` for none"
        );
    }

    #[test]
    fn limits_below_one_are_none() {
        assert_eq!(limit("-1").unwrap(), None);
        assert_eq!(limit("0").unwrap(), None);
        assert_eq!(limit("12").unwrap(), Some(12));
        assert!(limit("many").is_err());
    }

    #[test]
    fn periods_have_one_unit() {
        assert_eq!(period("90s").unwrap().as_secs(), 90);
        assert_eq!(period("2h").unwrap().as_secs(), 7200);
        assert_eq!(period("14d").unwrap().as_secs(), 14 * 86_400);
        assert_eq!(period("1y").unwrap().as_secs(), 365 * 86_400);
        for wrong in ["14", "14x", "14dd", "0d", "d", "-1d", "99999999999999999y"] {
            assert!(period(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn versions_take_commas_and_blanks() {
        let only = versions(before_comment("4, 5 # new ones")).unwrap();
        assert!(only.contains(4) && only.contains(5) && !only.contains(3));
        assert!(versions("3.1.1").is_err());
        assert!(versions("# none").is_err());
    }

    #[test]
    fn a_comment_begins_with_a_word() {
        for (rest, value) in [
            ("# both 2 # all", "# both 2"),
            ("a#b", "a#b"),
            ("a \t # b", "a"),
            ("\"a # b\" out # c", "\"a # b\" out"),
            ("\"a # b", "\"a"),
        ] {
            assert_eq!(before_comment(rest), value);
        }
    }

    #[test]
    fn a_bare_path_is_taken_for_a_log_file() {
        assert_eq!(
            destination("file /a b").unwrap(),
            crate::config::LogDestination::File("/a b".into())
        );
        let fault = destination("/var/log/m.log").unwrap_err();
        assert_eq!(fault.help, "write `log_dest file /var/log/m.log`");
        assert_eq!(
            destination("stdot").unwrap_err().help,
            "did you mean `stdout`?"
        );
    }
}
