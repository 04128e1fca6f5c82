//! A password file as the broker reads it: `username:hash`, one a line.
//!
//! Lines that begin with `#` and lines without a colon are remarks. Blanks
//! around name and hash do not count, and neither does anything after a second
//! colon.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::path::Path;

use super::hash::{HashError, PasswordHash};
use super::problem::{self, LoadError, Problem};

/// The longest user name that MQTT can carry, in bytes.
pub(super) const MAX_USER_NAME: usize = u16::MAX as usize;

/// What a password file says to a user name and password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The user is known, and this is the password.
    Accepted,
    /// The user is known, but this is not the password.
    WrongPassword,
    /// The file does not know the user.
    UnknownUser,
}

/// The users of a password file and their hashes.
#[derive(Debug, Clone, Default)]
pub struct PasswordFile {
    /// Each user's place in `hashes`.
    users: HashMap<String, usize>,
    hashes: Vec<PasswordHash>,
}

impl PasswordFile {
    /// Reads the file at `path`, or tells everything that is wrong in it.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        Self::parse(&problem::read(path)?, &path.display().to_string())
    }

    /// Reads the text of a password file; `file` is its name in messages.
    pub fn parse(text: &[u8], file: &str) -> Result<Self, LoadError> {
        let (mut users, mut hashes) = (HashMap::new(), Vec::new());
        let mut first_lines = HashMap::new();
        let mut problems = Vec::new();
        for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            let Some(entry) = Entry::of(line) else {
                continue;
            };
            let mut report = |text, remedy| {
                problems.push(Problem {
                    file: file.into(),
                    line: number,
                    text,
                    remedy,
                });
            };
            let name = match user_name(entry.name) {
                Ok(name) => name,
                Err(reason) => {
                    report(reason.into(), "correct or remove the line".into());
                    continue;
                }
            };
            if let Some(first) = first_lines.insert(name, number) {
                report(
                    format!("user '{name}' is already in line {first}"),
                    "remove one of the lines".into(),
                );
            }
            match entry.hash() {
                Ok(hash) => {
                    users.insert(name.to_string(), hashes.len());
                    hashes.push(hash);
                }
                Err(error) => report(
                    password_complaint(name, error),
                    password_remedy(name, error, file),
                ),
            }
        }
        if problems.is_empty() {
            Ok(Self { users, hashes })
        } else {
            Err(LoadError::Problems(problems))
        }
    }

    /// Checks a password. This takes milliseconds, for a user who is not in
    /// the file as well, so that the time does not tell who is.
    pub fn verify(&self, username: &str, password: &[u8]) -> Verdict {
        match self.users.get(username) {
            Some(place) if self.hashes[*place].verify(password) => Verdict::Accepted,
            Some(_) => Verdict::WrongPassword,
            None => {
                if let Some(decoy) = self.decoy(username) {
                    std::hint::black_box(decoy.verify(password));
                }
                Verdict::UnknownUser
            }
        }
    }

    /// The hash that is checked in the place of an unknown user's. A file may
    /// hold quick and slow ones: a name gets always the same, and by chance,
    /// so that neither kind gives away that a user exists.
    fn decoy(&self, username: &str) -> Option<&PasswordHash> {
        let chance = self.users.hasher().hash_one(username) as usize;
        self.hashes.get(chance.checked_rem(self.hashes.len())?)
    }

    /// Whether the file has an entry for `username`.
    pub fn contains(&self, username: &str) -> bool {
        self.users.contains_key(username)
    }

    /// Whether `username` has the same entry in `other`, or none in both.
    pub fn agrees(&self, other: &Self, username: &str) -> bool {
        self.users.get(username) == other.users.get(username)
    }

    /// The number of users.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether the file has no user at all.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

/// One line with a colon: the name before it, the rest behind it.
pub(super) struct Entry<'a> {
    pub(super) name: &'a [u8],
    pub(super) rest: &'a [u8],
}

impl<'a> Entry<'a> {
    /// `None` for remarks and blank lines.
    pub(super) fn of(line: &'a [u8]) -> Option<Self> {
        if line.starts_with(b"#") {
            return None;
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        Some(Self {
            name: line[..colon].trim_ascii(),
            rest: line[colon + 1..].trim_ascii(),
        })
    }

    pub(super) fn hash(&self) -> Result<PasswordHash, HashError> {
        let field = self.rest.split(|byte| *byte == b':').next();
        let text = std::str::from_utf8(field.unwrap_or_default().trim_ascii());
        PasswordHash::parse(text.map_err(|_| HashError::PlainText)?)
    }
}

/// The name of a user, if it can be one.
pub(super) fn user_name(name: &[u8]) -> Result<&str, &'static str> {
    if name.is_empty() {
        return Err("the user name is empty");
    }
    if name.len() > MAX_USER_NAME {
        return Err("the user name is longer than 65535 bytes");
    }
    std::str::from_utf8(name).map_err(|_| "the user name is not UTF-8")
}

/// What is wrong with the password of user `name`.
pub(super) fn password_complaint(name: &str, error: HashError) -> String {
    format!("the password of user '{name}' cannot be used: {error}")
}

fn password_remedy(name: &str, error: HashError, file: &str) -> String {
    match error {
        HashError::PlainText => format!("hash it with: mqtt-passwd -U {file}"),
        _ => set_again(name, file),
    }
}

/// The remedy for a password that only its user knows.
pub(super) fn set_again(name: &str, file: &str) -> String {
    format!("set it again with: mqtt-passwd {file} {name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::hash::Algorithm;

    fn hash(password: &str) -> String {
        PasswordHash::create(Algorithm::Sha512, password.as_bytes())
            .unwrap()
            .to_string()
    }

    fn problems(text: &[u8]) -> Vec<String> {
        let error = PasswordFile::parse(text, "passwd").unwrap_err();
        error.problems().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn known_users_enter_with_their_password() {
        let text = format!(
            "# users\n\n  a b : {} \r\nremark\nbob:{}:ignored",
            hash("1"),
            hash("2")
        );
        let file = PasswordFile::parse(text.as_bytes(), "passwd").unwrap();
        assert_eq!(file.len(), 2);
        assert!(file.contains("bob") && !file.contains("# users"));
        assert_eq!(file.verify("a b", b"1"), Verdict::Accepted);
        assert_eq!(file.verify("bob", b"2"), Verdict::Accepted);
        assert_eq!(file.verify("bob", b"1"), Verdict::WrongPassword);
        assert_eq!(file.verify("Bob", b"2"), Verdict::UnknownUser);
    }

    #[test]
    fn an_unknown_user_takes_the_time_of_a_known_one() {
        let lines: Vec<_> = (0..8).map(|n| format!("u{n}:{}", hash("x"))).collect();
        let text = lines.join("\n");
        let file = PasswordFile::parse(text.as_bytes(), "passwd").unwrap();
        let decoy = |name: &str| std::ptr::from_ref(file.decoy(name).unwrap());
        assert_eq!(decoy("eve"), decoy("eve"));
        let names = (0..200).map(|n| decoy(&format!("eve{n}")));
        let different: std::collections::HashSet<_> = names.collect();
        assert!(different.len() > 1, "each kind in the file may be taken");
        assert!(PasswordFile::default().decoy("eve").is_none());
    }

    #[test]
    fn an_empty_file_knows_nobody() {
        let file = PasswordFile::parse(b"\n#x:y\n", "passwd").unwrap();
        assert!(file.is_empty());
        assert_eq!(file.verify("x", b"y"), Verdict::UnknownUser);
    }

    #[test]
    fn every_line_that_is_wrong_is_told_with_its_remedy() {
        let mut text = b"plain:secret\n:x\n\xff:x\nold:$1$abc$def\nbad:$6$abc\n".to_vec();
        text.extend(format!("twice:{0}\ntwice:{0}\n", hash("x")).bytes());
        assert_eq!(
            problems(&text),
            [
                "passwd:1: the password of user 'plain' cannot be used: it is plain text; \
                 hash it with: mqtt-passwd -U passwd",
                "passwd:2: the user name is empty; correct or remove the line",
                "passwd:3: the user name is not UTF-8; correct or remove the line",
                "passwd:4: the password of user 'old' cannot be used: its kind of hash is \
                 unknown; set it again with: mqtt-passwd passwd old",
                "passwd:5: the password of user 'bad' cannot be used: its hash is damaged \
                 (a field is missing); set it again with: mqtt-passwd passwd bad",
                "passwd:7: user 'twice' is already in line 6; remove one of the lines",
            ]
        );
    }

    #[test]
    fn the_length_of_a_name_is_bounded() {
        let line = |length| format!("{}:{}", "x".repeat(length), hash("x"));
        assert!(PasswordFile::parse(line(65535).as_bytes(), "f").is_ok());
        assert!(PasswordFile::parse(line(65536).as_bytes(), "f").is_err());
    }
}
