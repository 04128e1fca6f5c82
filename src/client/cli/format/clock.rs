//! The time of a message. Its second is put into words once, however many
//! messages it has.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use chrono::format::Item;
use chrono::{DateTime, FixedOffset};

use super::write::decimal;

/// A moment in local time, and the texts that a format makes of its second.
#[derive(Debug, Default)]
pub(super) struct Clock {
    second: Option<i64>,
    nanoseconds: u32,
    local: DateTime<FixedOffset>,
    /// `2016-08-10T09:47:38+0100`.
    iso: String,
    /// What the format asks for by `@`, in its order.
    texts: Vec<(Vec<Item<'static>>, String)>,
    /// The offset whose name is known, and the name.
    zone: Option<(FixedOffset, String)>,
}

/// The length of `+0100`.
const OFFSET: usize = 5;

impl Clock {
    /// A clock that tells the time in these ways too. The items must be sound.
    pub(super) fn new(times: Vec<Vec<Item<'static>>>) -> Self {
        Self {
            texts: times
                .into_iter()
                .map(|time| (time, String::new()))
                .collect(),
            ..Self::default()
        }
    }

    /// Sets the clock to a time since 1970. `localize` is asked only when
    /// another second begins.
    pub(super) fn set(
        &mut self,
        second: i64,
        nanoseconds: u32,
        localize: impl FnOnce(i64) -> DateTime<FixedOffset>,
    ) {
        self.nanoseconds = nanoseconds;
        if self.second == Some(second) {
            return;
        }
        self.second = Some(second);
        self.local = localize(second);
        // To write sound items to a String cannot fail.
        self.iso.clear();
        let _ = write!(self.iso, "{}", self.local.format("%Y-%m-%dT%H:%M:%S%z"));
        for (items, text) in &mut self.texts {
            text.clear();
            let _ = write!(text, "{}", self.local.format_with_items(items.iter()));
        }
    }

    /// Seconds since 1970.
    pub(super) fn second(&self) -> i64 {
        self.second.unwrap_or_default()
    }

    /// Nanoseconds in the second.
    pub(super) fn nanoseconds(&self) -> u32 {
        self.nanoseconds
    }

    /// The second in one of the ways given to [`Self::new`].
    pub(super) fn text(&self, index: usize) -> &str {
        self.texts.get(index).map_or("", |(_, text)| text)
    }

    /// The second as `2016-08-10T09:47:38+0100`.
    pub(super) fn iso(&self) -> &str {
        &self.iso
    }

    /// The same in two: what stands before a fraction of the second, and the
    /// offset.
    pub(super) fn iso_parts(&self) -> (&str, &str) {
        self.iso.split_at(self.iso.len().saturating_sub(OFFSET))
    }

    /// Appends the time to the millisecond, and a blank.
    pub(super) fn stamp(&self, out: &mut Vec<u8>) {
        let (time, offset) = self.iso_parts();
        out.extend_from_slice(time.as_bytes());
        out.push(b'.');
        decimal(out, (self.nanoseconds / 1_000_000).into(), 3);
        out.extend_from_slice(offset.as_bytes());
        out.push(b' ');
    }

    /// The name of the time zone, such as `CET`; its offset where no name can
    /// be found.
    pub(super) fn zone(&mut self) -> &str {
        let offset = *self.local.offset();
        if self.zone.as_ref().is_none_or(|(known, _)| *known != offset) {
            self.zone = None;
        }
        let local = self.local;
        let (_, name) = self.zone.get_or_insert_with(|| {
            let name = zone_name(std::env::var("TZ").ok().as_deref(), offset);
            (
                offset,
                name.unwrap_or_else(|| local.format("%z").to_string()),
            )
        });
        name
    }
}

/// chrono knows the offsets of a time zone, but not what they are called; the
/// file that both read does. `tz` is the environment's TZ.
fn zone_name(tz: Option<&str>, offset: FixedOffset) -> Option<String> {
    let Some(tz) = tz else {
        return name_in(&fs::read("/etc/localtime").ok()?, offset);
    };
    let name = tz.strip_prefix(':').unwrap_or(tz);
    if name.is_empty() {
        return Some("UTC".into());
    }
    // `join` with an absolute path is that path.
    if let Ok(file) = fs::read(Path::new("/usr/share/zoneinfo").join(name)) {
        return name_in(&file, offset);
    }
    // `IST-5:30`; with a summer time there are two names to choose from, and
    // that is left to people who have no time zone files.
    let end = name.find(|c: char| !c.is_ascii_alphabetic())?;
    let (word, rest) = name.split_at(end);
    (!rest.contains(|c: char| c.is_ascii_alphabetic())).then(|| word.into())
}

/// The name of an offset in a time zone file (RFC 9636). Names change over the
/// years: the latest that goes with the offset is taken.
fn name_in(file: &[u8], offset: FixedOffset) -> Option<String> {
    const HEADER: usize = 44;
    /// The six counts at the header's end.
    fn counts(header: &[u8]) -> Option<[usize; 6]> {
        let mut counts = [0; 6];
        for (count, bytes) in counts.iter_mut().zip(header.get(20..HEADER)?.chunks(4)) {
            *count = u32::from_be_bytes(bytes.try_into().ok()?) as usize;
        }
        Some(counts)
    }
    if !file.starts_with(b"TZif") {
        return None;
    }
    // A first block with times of 32 bits, to be passed over, then the same
    // with 64 bits.
    let [ut, standard, leaps, times, types, chars] = counts(file)?;
    let first = HEADER + times * 5 + types * 6 + chars + leaps * 8 + standard + ut;
    let file = file.get(first..)?;
    let [_, _, _, times, types, chars] = counts(file)?;
    let (_, rest) = file.get(HEADER..)?.split_at_checked(times * 8)?;
    let (order, rest) = rest.split_at_checked(times)?;
    let (types, rest) = rest.split_at_checked(types * 6)?;
    let names = rest.get(..chars)?;

    let name = |index: usize| {
        let kind = types.get(index * 6..index * 6 + 6)?;
        let seconds = i32::from_be_bytes(kind[..4].try_into().ok()?);
        let name = names.get(usize::from(kind[5])..)?;
        let name = name.split(|&byte| byte == 0).next()?;
        (seconds == offset.local_minus_utc()).then(|| String::from_utf8_lossy(name).into_owned())
    };
    let latest = order.iter().rev().find_map(|&index| name(index.into()));
    latest.or_else(|| (0..types.len() / 6).find_map(name))
}

#[cfg(test)]
mod tests {
    use chrono::format::StrftimeItems;

    use super::*;

    fn east(seconds: i32) -> FixedOffset {
        FixedOffset::east_opt(seconds).expect("an offset")
    }

    /// A zone that was at +1 h as `OLD`, later as `NEW`, with `SUM` in summer.
    fn file() -> Vec<u8> {
        let header = |times: u32, types: u32, chars: u32| {
            let mut header = b"TZif2".to_vec();
            header.resize(20, 0);
            for count in [0, 0, 0, times, types, chars] {
                header.extend_from_slice(&count.to_be_bytes());
            }
            header
        };
        let mut file = header(1, 1, 4);
        file.resize(file.len() + 5 + 6 + 4, 0);
        file.extend(header(4, 3, 12));
        file.resize(file.len() + 4 * 8, 0);
        file.extend([0, 2, 1, 2]);
        for (seconds, summer, name) in [(3600i32, 0, 0), (3600, 0, 4), (7200, 1, 8)] {
            file.extend(seconds.to_be_bytes());
            file.extend([summer, name]);
        }
        file.extend(b"OLD\0NEW\0SUM\0");
        file
    }

    #[test]
    fn a_zone_file_names_offsets() {
        let file = file();
        assert_eq!(name_in(&file, east(3600)).as_deref(), Some("NEW"));
        assert_eq!(name_in(&file, east(7200)).as_deref(), Some("SUM"));
        assert_eq!(name_in(&file, east(0)), None);
        for length in 0..file.len() {
            assert_eq!(name_in(&file[..length], east(0)), None);
        }
    }

    #[test]
    fn tz_without_a_file_names_itself() {
        let name = |tz| zone_name(Some(tz), east(0));
        assert_eq!(name("IST-5:30").as_deref(), Some("IST"));
        assert_eq!(name("UTC0").as_deref(), Some("UTC"));
        assert_eq!(name("").as_deref(), Some("UTC"));
        assert_eq!(name("AAA-1BBB,M3.5.0,M10.5.0"), None);
    }

    #[test]
    fn a_second_is_put_into_words_once() {
        let mut clock = Clock::new(vec![
            StrftimeItems::new("%M:%S")
                .parse_to_owned()
                .expect("a format"),
        ]);
        let local = |second| {
            let utc = DateTime::from_timestamp(second, 0).expect("a time");
            utc.with_timezone(&east(7200))
        };
        clock.set(0, 5, local);
        assert_eq!(clock.iso(), "1970-01-01T02:00:00+0200");
        assert_eq!(clock.text(0), "00:00");
        clock.set(0, 6, |_| unreachable!("the second is known"));
        assert_eq!((clock.second(), clock.nanoseconds()), (0, 6));
        clock.set(61, 0, local);
        assert_eq!(clock.iso_parts(), ("1970-01-01T02:01:01", "+0200"));
        assert_eq!(clock.text(0), "01:01");
        assert_eq!((clock.second(), clock.nanoseconds()), (61, 0));
    }
}
