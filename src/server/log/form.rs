//! What a line looks like.

use std::fmt::Write as _;

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, Local, SecondsFormat};
use serde_json::{Map, Value};

use super::queue::Entry;
use crate::config::{Log, LogDestination, LogType, LogTypes};

/// The kinds of line that are wanted, and how they are written.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) types: LogTypes,
    /// Whether lines are published below `$SYS/broker/log`.
    pub(super) topic: bool,
    clock: Clock,
    json: bool,
}

/// How a line tells its time.
#[derive(Debug)]
enum Clock {
    None,
    /// Seconds since 1970; in JSON as RFC 3339.
    Plain,
    /// `log_timestamp_format`.
    Format(Vec<Item<'static>>),
}

impl Form {
    /// # Errors
    /// A time format that makes no sense.
    pub(super) fn new(config: &Log) -> Result<Self, String> {
        let anywhere = config.destinations.iter();
        let anywhere = anywhere.filter(|destination| **destination != LogDestination::None);
        Ok(Self {
            types: if anywhere.count() > 0 {
                config.types
            } else {
                LogTypes::NONE
            },
            topic: config.destinations.contains(&LogDestination::Topic),
            clock: Clock::new(config)?,
            json: config.json,
        })
    }

    /// A line in its final form.
    pub(super) fn entry(&self, kind: LogType, text: &str) -> Entry {
        let now = Local::now();
        if self.json {
            let mut line = self.object(now, kind, text).to_string();
            line.push('\n');
            return Entry {
                kind,
                line,
                message: 0,
            };
        }
        let mut line = self.clock.prefix(now);
        let message = line.len();
        line.push_str(text);
        line.push('\n');
        Entry {
            kind,
            line,
            message,
        }
    }

    fn object(&self, now: DateTime<Local>, kind: LogType, text: &str) -> Value {
        let mut object = Map::new();
        let time = match &self.clock {
            Clock::None => None,
            Clock::Plain => Some(now.to_rfc3339_opts(SecondsFormat::Millis, false)),
            Clock::Format(items) => Some(now.format_with_items(items.iter()).to_string()),
        };
        if let Some(time) = time {
            object.insert("time".into(), time.into());
        }
        object.insert("type".into(), kind.name().into());
        object.insert("message".into(), text.into());
        Value::Object(object)
    }
}

impl Clock {
    fn new(config: &Log) -> Result<Self, String> {
        if !config.timestamp {
            return Ok(Self::None);
        }
        let Some(format) = config.timestamp_format.as_deref() else {
            return Ok(Self::Plain);
        };
        StrftimeItems::new(format)
            .parse_to_owned()
            .map(Self::Format)
            .map_err(|_| {
                format!(
                    "log_timestamp_format `{format}` is no format of strftime; write for instance \
                     `%Y-%m-%dT%H:%M:%S`"
                )
            })
    }

    /// What stands in front of a line.
    fn prefix(&self, now: DateTime<Local>) -> String {
        match self {
            Self::None => String::new(),
            Self::Plain => format!("{}: ", now.timestamp()),
            Self::Format(items) => {
                let mut text = String::new();
                // A format that was parsed can be written.
                let _ = write!(text, "{}: ", now.format_with_items(items.iter()));
                text
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(config: &Log, text: &str) -> String {
        let form = Form::new(config).unwrap();
        form.entry(LogType::Notice, text).line
    }

    #[test]
    fn a_line_of_json_is_one_object_whatever_the_text() {
        let mut config = Log {
            json: true,
            ..Log::default()
        };
        let text = "a \"quoted\"\nand\u{7f} strange\u{0} text";
        let written = line(&config, text);
        assert_eq!(written.matches('\n').count(), 1, "{written}");
        let value: Value = serde_json::from_str(&written).unwrap();
        assert_eq!(value["message"], text);
        assert_eq!(value["type"], "notice");
        let time = value["time"].as_str().unwrap();
        assert!(DateTime::parse_from_rfc3339(time).is_ok(), "{time}");
        config.timestamp = false;
        assert_eq!(
            line(&config, "x"),
            "{\"type\":\"notice\",\"message\":\"x\"}\n"
        );
    }

    #[test]
    fn the_time_stands_in_front_in_the_form_that_was_asked_for() {
        let mut config = Log {
            timestamp_format: Some("at %%".into()),
            ..Log::default()
        };
        assert_eq!(line(&config, "x"), "at %: x\n");
        config.timestamp_format = Some("%Q".into());
        assert!(Form::new(&config).unwrap_err().contains("strftime"));
        config.timestamp = false;
        assert_eq!(line(&config, "x"), "x\n");
    }
}
