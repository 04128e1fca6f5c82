//! `-w`: the newest message of each topic in a line of its own.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};

use super::failure::Failure;

/// The lines of a terminal, one for each topic in the order of their first
/// messages.
#[derive(Debug)]
pub(super) struct Watch {
    rows: Vec<Row>,
    by_topic: HashMap<String, usize>,
    /// What the terminal had at the last drawing.
    height: usize,
}

#[derive(Debug)]
struct Row {
    text: Vec<u8>,
    changed: bool,
}

const CLEAR: &[u8] = b"\x1b[2J";
const CLEAR_REST_OF_LINE: &[u8] = b"\x1b[K";
/// What is longer than a line is cut by the terminal, which knows best how wide
/// each character is.
const WRAP_OFF: &[u8] = b"\x1b[?7l";
const WRAP_ON: &[u8] = b"\x1b[?7h";
const USUAL_HEIGHT: usize = 24;

impl Watch {
    pub(super) fn new() -> Result<Self, Failure> {
        if !io::stdout().is_terminal() {
            return Err(Failure::plain(
                "-w needs a terminal; leave it out to print into a file or a pipe.",
            ));
        }
        Ok(Self::empty())
    }

    fn empty() -> Self {
        Self {
            rows: Vec::new(),
            by_topic: HashMap::new(),
            height: 0,
        }
    }

    /// Takes what a message of `topic` was printed as.
    pub(super) fn put(&mut self, topic: &str, printed: &[u8]) {
        let index = if let Some(&index) = self.by_topic.get(topic) {
            index
        } else {
            self.by_topic.insert(topic.to_owned(), self.rows.len());
            self.rows.push(Row {
                text: Vec::new(),
                changed: true,
            });
            self.rows.len() - 1
        };
        let text = one_line(printed);
        let row = &mut self.rows[index];
        row.changed |= row.text != text;
        row.text = text;
    }

    /// What there is to write to a terminal as it is now.
    pub(super) fn draw(&mut self) -> Vec<u8> {
        let height = terminal_size::terminal_size().map(|(_, height)| usize::from(height.0));
        self.draw_in(height.unwrap_or(USUAL_HEIGHT))
    }

    fn draw_in(&mut self, height: usize) -> Vec<u8> {
        let mut out = Vec::new();
        if height != self.height {
            self.height = height;
            out.extend_from_slice(CLEAR);
            self.rows.iter_mut().for_each(|row| row.changed = true);
        }
        // The last line tells how many topics have no place.
        let room = height.saturating_sub(1).max(1);
        for (index, row) in self.rows.iter_mut().enumerate().take(room) {
            if std::mem::take(&mut row.changed) {
                go_to(&mut out, index);
                out.extend_from_slice(&row.text);
                out.extend_from_slice(CLEAR_REST_OF_LINE);
            }
        }
        if out.is_empty() && self.rows.len() <= room {
            return out;
        }
        go_to(&mut out, self.rows.len().min(room));
        if self.rows.len() > room {
            let hidden = self.rows.len() - room;
            let _ = write!(out, "({hidden} more topics)");
        }
        out.extend_from_slice(CLEAR_REST_OF_LINE);
        [WRAP_OFF, &out, WRAP_ON].concat()
    }
}

fn go_to(out: &mut Vec<u8>, row: usize) {
    // To write to a Vec cannot fail.
    let _ = write!(out, "\x1b[{};1H", row + 1);
}

/// The first line of what is printed, and a word that there are more.
fn one_line(printed: &[u8]) -> Vec<u8> {
    let text = printed.strip_suffix(b"\n").unwrap_or(printed);
    let end = text.iter().position(|&byte| byte == b'\n' || byte == b'\r');
    match end {
        None => text.to_vec(),
        Some(end) => [&text[..end], " …".as_bytes()].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(watch: &mut Watch, height: usize) -> String {
        String::from_utf8(watch.draw_in(height))
            .expect("UTF-8")
            .replace('\x1b', "^")
    }

    #[test]
    fn only_what_changes_is_drawn() {
        let mut watch = Watch::empty();
        watch.put("a", b"1\n");
        watch.put("b", b"2\nmore\n");
        assert_eq!(
            drawn(&mut watch, 5),
            "^[?7l^[2J^[1;1H1^[K^[2;1H2 …^[K^[3;1H^[K^[?7h"
        );
        assert_eq!(drawn(&mut watch, 5), "");
        watch.put("b", b"3\n");
        watch.put("a", b"1\n");
        assert_eq!(drawn(&mut watch, 5), "^[?7l^[2;1H3^[K^[3;1H^[K^[?7h");
        // Another size: everything again.
        assert!(drawn(&mut watch, 6).contains("^[2J^[1;1H1^[K^[2;1H3"));
    }

    #[test]
    fn topics_that_have_no_place_are_counted() {
        let mut watch = Watch::empty();
        for topic in ["a", "b", "c", "d"] {
            watch.put(topic, topic.as_bytes());
        }
        let text = drawn(&mut watch, 3);
        assert!(text.contains("^[1;1Ha^[K^[2;1Hb^[K^[3;1H(2 more topics)^[K"));
        assert!(!text.contains("Hc"));
    }
}
