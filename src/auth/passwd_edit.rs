//! A password file as the password tool changes it: line by line, with every
//! remark and every line that is not asked about left as it is.

use std::io;
use std::path::Path;

use super::hash::{Algorithm, HashError, PasswordHash};
use super::passwd_file::{self, Entry, password_complaint, set_again};
use super::problem::{LoadError, Problem};
use super::replace;

/// What became of a user's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// There was none; it was put at the end.
    Added,
    /// It has the new hash now.
    Updated,
}

/// The lines of a password file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PasswordLines {
    lines: Vec<Vec<u8>>,
}

impl PasswordLines {
    /// Splits the text of a file.
    pub fn parse(text: &[u8]) -> Self {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        if text.is_empty() {
            return Self::default();
        }
        let lines = text.split(|byte| *byte == b'\n');
        Self {
            lines: lines.map(<[u8]>::to_vec).collect(),
        }
    }

    /// Whether any line names a user.
    pub fn has_entries(&self) -> bool {
        self.lines.iter().any(|line| Entry::of(line).is_some())
    }

    /// Gives `user` this password; further lines for the same user go.
    pub fn set(&mut self, user: &str, hash: &PasswordHash) -> Change {
        let entry = format!("{user}:{hash}").into_bytes();
        let Some(first) = self.lines.iter().position(|line| is_for(line, user)) else {
            self.lines.push(entry);
            return Change::Added;
        };
        let mut later = self.lines.split_off(first + 1);
        later.retain(|line| !is_for(line, user));
        self.lines[first] = entry;
        self.lines.append(&mut later);
        Change::Updated
    }

    /// Removes the entry of `user`; false when there was none.
    pub fn remove(&mut self, user: &str) -> bool {
        let before = self.lines.len();
        self.lines.retain(|line| !is_for(line, user));
        self.lines.len() < before
    }

    /// The lines (counted from 0) whose password is still plain text. Lines
    /// that are neither hashed nor can be are reported instead, all at once;
    /// `file` is the name of the file in these messages.
    pub fn plain_lines(&self, file: &str) -> Result<Vec<usize>, LoadError> {
        let mut plain = Vec::new();
        let mut problems = Vec::new();
        for (index, line) in self.lines.iter().enumerate() {
            let Some(entry) = Entry::of(line) else {
                continue;
            };
            match is_plain(&entry, file) {
                Ok(true) => plain.push(index),
                Ok(false) => {}
                Err((text, remedy)) => problems.push(Problem {
                    file: file.into(),
                    line: index + 1,
                    text,
                    remedy,
                }),
            }
        }
        if problems.is_empty() {
            Ok(plain)
        } else {
            Err(LoadError::Problems(problems))
        }
    }

    /// Replaces the plain password in a line that [`Self::plain_lines`] named
    /// by its hash.
    pub fn hash_line(&mut self, index: usize, algorithm: Algorithm) -> io::Result<()> {
        let line = &mut self.lines[index];
        if let Some(entry) = Entry::of(line) {
            let hash = PasswordHash::create(algorithm, entry.rest)?;
            *line = [entry.name, b":", hash.to_string().as_bytes()].concat();
        }
        Ok(())
    }

    /// The text of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = self.lines.join(&b'\n');
        if !self.lines.is_empty() {
            text.push(b'\n');
        }
        text
    }

    /// Puts the text in the place of the file at `path`, at once and keeping
    /// its owner and mode; symbolic links are followed. A new file is readable
    /// for the group of its directory.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        replace::replace(path, &self.to_bytes())
    }
}

fn is_for(line: &[u8], user: &str) -> bool {
    Entry::of(line).is_some_and(|entry| entry.name == user.as_bytes())
}

/// Whether the password of an entry waits to be hashed; otherwise what is
/// wrong with it, and the remedy.
fn is_plain(entry: &Entry, file: &str) -> Result<bool, (String, String)> {
    let name = passwd_file::user_name(entry.name)
        .map_err(|reason| (reason.to_string(), "correct or remove the line".to_string()))?;
    match entry.hash() {
        Ok(_) => Ok(false),
        Err(HashError::PlainText) if entry.rest.is_empty() => Err((
            format!("user '{name}' has no password"),
            set_again(name, file),
        )),
        // Mosquitto would hash what stands before the colon, which is hardly
        // the password that somebody meant.
        Err(HashError::PlainText) if entry.rest.contains(&b':') => Err((
            format!("the plain password of user '{name}' contains a colon"),
            set_again(name, file),
        )),
        Err(HashError::PlainText) => Ok(true),
        Err(error) => Err((password_complaint(name, error), set_again(name, file))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::passwd_file::{PasswordFile, Verdict};

    fn hash(password: &str) -> PasswordHash {
        PasswordHash::create(Algorithm::Sha512, password.as_bytes()).unwrap()
    }

    #[test]
    fn setting_keeps_everything_else() {
        let hash = hash("x");
        let text = b"# K\xfcche\n\nalice:1\n bob : 2 \nbob:3\nrest";
        let mut lines = PasswordLines::parse(text);
        assert_eq!(lines.set("bob", &hash), Change::Updated);
        assert_eq!(lines.set("carol", &hash), Change::Added);
        let expected = [
            b"# K\xfcche\n\nalice:1\nbob:".as_slice(),
            hash.to_string().as_bytes(),
            b"\nrest\ncarol:",
            hash.to_string().as_bytes(),
            b"\n",
        ]
        .concat();
        assert_eq!(lines.to_bytes(), expected);
    }

    #[test]
    fn removing_takes_all_lines_of_that_user_only() {
        let mut lines = PasswordLines::parse(b"a:1\nab:2\n# a:3\na:4\n");
        assert!(lines.remove("a"));
        assert!(!lines.remove("a"));
        assert_eq!(lines.to_bytes(), b"ab:2\n# a:3\n");
    }

    #[test]
    fn an_empty_file_stays_empty() {
        let lines = PasswordLines::parse(b"");
        assert!(!lines.has_entries());
        assert_eq!(lines.to_bytes(), b"");
        assert!(!PasswordLines::parse(b"# a:b\n").has_entries());
    }

    #[test]
    fn plain_lines_are_hashed_once() {
        let text = format!("# plain\na: se cret \nb:{}\nc:$ecret\n", hash("2"));
        let mut lines = PasswordLines::parse(text.as_bytes());
        let plain = lines.plain_lines("f").unwrap();
        assert_eq!(plain, [1, 3]);
        for index in plain {
            lines.hash_line(index, Algorithm::Sha512).unwrap();
        }
        assert!(lines.plain_lines("f").unwrap().is_empty());
        let file = PasswordFile::parse(&lines.to_bytes(), "f").unwrap();
        for (user, password) in [("a", "se cret"), ("b", "2"), ("c", "$ecret")] {
            assert_eq!(file.verify(user, password.as_bytes()), Verdict::Accepted);
        }
    }

    #[test]
    fn what_cannot_be_hashed_is_reported() {
        let lines = PasswordLines::parse(b"a:b:c\nd:\n:e\nf:$2y$10$abc\ng:$7$1\nok:ok\n");
        let error = lines.plain_lines("f").unwrap_err();
        let numbers: Vec<_> = error.problems().iter().map(|p| p.line).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5]);
    }
}
