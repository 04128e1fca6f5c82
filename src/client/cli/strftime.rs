//! Forms of time, in the language of strftime(3).

use std::io::Write as _;

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, FixedOffset};

/// A form that a time is written in.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TimeFormat(Vec<Item<'static>>);

impl TimeFormat {
    /// `2016-08-10T09:47:38+0100`
    pub(super) fn iso_8601() -> Self {
        Self::new("%FT%T%z")
    }

    /// The same with microseconds.
    pub(super) fn precise() -> Self {
        Self::new("%FT%T%.6f%z")
    }

    /// `1470818943.786368637`
    pub(super) fn unix() -> Self {
        Self::new("%s.%9f")
    }

    /// What strftime makes of `%` and this letter; and Mosquitto's `N`, the
    /// nanoseconds.
    pub(super) fn conversion(letter: char) -> Self {
        match letter {
            'N' => Self::new("%9f"),
            letter => Self::new(&format!("%{letter}")),
        }
    }

    /// What is no format stands for itself.
    fn new(format: &str) -> Self {
        let items = StrftimeItems::new(format).parse_to_owned();
        Self(items.unwrap_or_else(|_| vec![Item::OwnedLiteral(format.into())]))
    }

    /// Appends `time` in this form.
    pub(super) fn write(&self, time: &DateTime<FixedOffset>, out: &mut Vec<u8>) {
        // Writing to a vector cannot fail.
        let _ = write!(out, "{}", time.format_with_items(self.0.iter()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions_are_those_of_the_c_library() {
        let time =
            DateTime::parse_from_rfc3339("2020-05-06T14:02:09.000123456+01:30").expect("a time");
        for (conversions, expected) in [
            ("aAbBhC", "Wed Wednesday May May May 20"),
            ("dejmywu", "06  6 127 05 20 3 3"),
            ("HIklMpPS", "14 02 14  2 02 PM pm 09"),
            ("FTDRr", "2020-05-06 14:02:09 05/06/20 14:02 02:02:09 PM"),
            ("cxX", "Wed May  6 14:02:09 2020 05/06/20 14:02:09"),
            ("GgVUW", "2020 20 19 18 18"),
            ("zYsN%", "+0130 2020 1588768329 000123456 %"),
            ("?", "%?"),
        ] {
            let mut out = Vec::new();
            for (index, conversion) in conversions.chars().enumerate() {
                if index > 0 {
                    out.push(b' ');
                }
                TimeFormat::conversion(conversion).write(&time, &mut out);
            }
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }
}
