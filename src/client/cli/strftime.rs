//! Local time, and strftime(3) in the C locale.

use std::io::Write as _;
use std::time::{Duration, Instant};

use time::{OffsetDateTime, UtcOffset};

/// How long the difference to UTC is trusted before it is asked for again.
const TRUST: Duration = Duration::from_secs(60);

/// Knows the local time.
#[derive(Debug)]
pub(super) struct Clock {
    offset: UtcOffset,
    asked: Instant,
}

impl Clock {
    /// Asks for the time zone; to be made before there are threads, because
    /// the system can't tell it safely after that.
    pub(super) fn new() -> Self {
        Self {
            offset: UtcOffset::current_local_offset().unwrap_or(UtcOffset::UTC),
            asked: Instant::now(),
        }
    }

    /// The local time now.
    pub(super) fn now(&mut self) -> OffsetDateTime {
        if self.asked.elapsed() > TRUST {
            self.asked = Instant::now();
            self.offset = UtcOffset::current_local_offset().unwrap_or(self.offset);
        }
        OffsetDateTime::now_utc().to_offset(self.offset)
    }
}

const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Appends what `%` and `conversion` mean. What strftime doesn't know is
/// printed as it stands.
pub(super) fn strftime(conversion: u8, time: &OffsetDateTime, out: &mut Vec<u8>) {
    let weekday = time.weekday().number_days_from_sunday();
    let month = usize::from(u8::from(time.month()) - 1);
    let year = time.year();
    let (iso_year, iso_week, iso_day) = time.to_iso_week_date();
    let hour12 = (time.hour() + 11) % 12 + 1;
    let half = if time.hour() < 12 { "AM" } else { "PM" };
    let ordinal = time.ordinal();
    // Writing to a vector cannot fail.
    let _ = match conversion {
        b'a' => write!(out, "{}", &DAYS[usize::from(weekday)][..3]),
        b'A' => write!(out, "{}", DAYS[usize::from(weekday)]),
        b'b' | b'h' => write!(out, "{}", &MONTHS[month][..3]),
        b'B' => write!(out, "{}", MONTHS[month]),
        b'C' => write!(out, "{:02}", year / 100),
        b'd' => write!(out, "{:02}", time.day()),
        b'e' => write!(out, "{:2}", time.day()),
        b'g' => write!(out, "{:02}", iso_year.rem_euclid(100)),
        b'G' => write!(out, "{iso_year}"),
        b'H' => write!(out, "{:02}", time.hour()),
        b'I' => write!(out, "{hour12:02}"),
        b'j' => write!(out, "{ordinal:03}"),
        b'k' => write!(out, "{:2}", time.hour()),
        b'l' => write!(out, "{hour12:2}"),
        b'm' => write!(out, "{:02}", month + 1),
        b'M' => write!(out, "{:02}", time.minute()),
        b'n' => writeln!(out),
        b'p' => write!(out, "{half}"),
        b'P' => write!(out, "{}", half.to_ascii_lowercase()),
        b's' => write!(out, "{}", time.unix_timestamp()),
        b'S' => write!(out, "{:02}", time.second()),
        b't' => write!(out, "\t"),
        b'u' => write!(out, "{}", iso_day.number_from_monday()),
        b'U' => write!(out, "{:02}", time.sunday_based_week()),
        b'V' => write!(out, "{iso_week:02}"),
        b'w' => write!(out, "{weekday}"),
        b'W' => write!(out, "{:02}", time.monday_based_week()),
        b'y' => write!(out, "{:02}", year.rem_euclid(100)),
        b'Y' => write!(out, "{year}"),
        b'z' => {
            let minutes = time.offset().whole_minutes();
            let sign = if minutes < 0 { '-' } else { '+' };
            let minutes = minutes.unsigned_abs();
            write!(out, "{sign}{:02}{:02}", minutes / 60, minutes % 60)
        }
        // Without a table of names: the zone as its offset.
        b'Z' if time.offset().is_utc() => write!(out, "UTC"),
        b'Z' => return strftime(b'z', time, out),
        b'c' => return all(b"a b e T Y", b' ', time, out),
        b'D' | b'x' => return all(b"m/d/y", b'/', time, out),
        b'F' => return all(b"Y-m-d", b'-', time, out),
        b'r' => return all(b"I:M:S p", b':', time, out),
        b'R' => return all(b"H:M", b':', time, out),
        b'T' | b'X' => return all(b"H:M:S", b':', time, out),
        other => {
            out.extend_from_slice(&[b'%', other]);
            Ok(())
        }
    };
}

/// Conversions with `separator` (and blanks) between them.
fn all(conversions: &[u8], separator: u8, time: &OffsetDateTime, out: &mut Vec<u8>) {
    for &byte in conversions {
        if byte == separator || byte == b' ' {
            out.push(byte);
        } else {
            strftime(byte, time, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn conversions_are_those_of_the_c_library() {
        let time = datetime!(2020-05-06 14:02:09.000123456 +1:30);
        for (conversions, expected) in [
            ("aAbBhC", "Wed Wednesday May May May 20"),
            ("dejmywu", "06  6 127 05 20 3 3"),
            ("HIklMpPS", "14 02 14  2 02 PM pm 09"),
            ("FTDRr", "2020-05-06 14:02:09 05/06/20 14:02 02:02:09 PM"),
            ("cxX", "Wed May  6 14:02:09 2020 05/06/20 14:02:09"),
            ("GgVUW", "2020 20 19 18 18"),
            ("zYs", "+0130 2020 1588768329"),
        ] {
            let mut out = Vec::new();
            for (index, &conversion) in conversions.as_bytes().iter().enumerate() {
                if index > 0 {
                    out.push(b' ');
                }
                strftime(conversion, &time, &mut out);
            }
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }
}
