//! Reading an access control list, with all its errors and warnings.

use std::collections::HashMap;
use std::path::Path;

use super::acl::{Acl, Grant, Rule, has_placeholder};
use super::problem::{self, LoadError, Problem};
use super::rules::{Rules, in_order};
use crate::topic::is_valid_filter;

impl Acl {
    /// Reads the file at `path`, or tells everything that is wrong in it.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        Self::parse(&problem::read(path)?, &path.display().to_string())
    }

    /// Reads the text of an access control list; `file` is its name in
    /// messages.
    pub fn parse(text: &[u8], file: &str) -> Result<Self, LoadError> {
        let mut parser = Parser::new(file);
        for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            parser.number = number;
            let outcome = match std::str::from_utf8(line) {
                Ok(line) => parser.line(line),
                Err(_) => Err(Complaint::new(
                    "the line is not UTF-8",
                    "save the file with that encoding",
                )),
            };
            if let Err(complaint) = outcome {
                let problem = parser.problem(complaint);
                parser.problems.push(problem);
            }
        }
        parser.finish()
    }
}

/// A problem that does not know its place yet.
struct Complaint {
    text: String,
    remedy: String,
}

impl Complaint {
    fn new(text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            remedy: remedy.into(),
        }
    }
}

/// To whom the rule of a line applies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keyword {
    Topic,
    Pattern,
}

impl Keyword {
    fn text(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Pattern => "pattern",
        }
    }
}

struct Parser {
    acl: Acl,
    anonymous: Vec<Rule>,
    users: HashMap<String, Vec<Rule>>,
    /// Whose rules come: nobody's before the first `user` line.
    user: Option<String>,
    number: usize,
    problems: Vec<Problem>,
}

impl Parser {
    fn new(file: &str) -> Self {
        Self {
            acl: Acl {
                file: file.into(),
                ..Acl::default()
            },
            anonymous: Vec::new(),
            users: HashMap::new(),
            user: None,
            number: 0,
            problems: Vec::new(),
        }
    }

    fn line(&mut self, line: &str) -> Result<(), Complaint> {
        let (keyword, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        let rest = rest.trim();
        match keyword {
            "user" => self.user_line(rest),
            "topic" => self.rule(Keyword::Topic, rest, line),
            "pattern" => self.rule(Keyword::Pattern, rest, line),
            _ => Err(Complaint::new(
                format!("'{keyword}' is no keyword of an access control list"),
                "begin the line with user, topic, pattern or #",
            )),
        }
    }

    fn user_line(&mut self, name: &str) -> Result<(), Complaint> {
        if name.is_empty() {
            return Err(Complaint::new(
                "the user name is missing",
                "write: user NAME (rules for clients without a name stand before any user line)",
            ));
        }
        self.user = Some(name.into());
        Ok(())
    }

    fn rule(&mut self, keyword: Keyword, rest: &str, line: &str) -> Result<(), Complaint> {
        let (grant, filter) = grant_and_filter(keyword, rest)?;
        let tight = without_blanks_around_slashes(filter);
        let is_spaced = tight != filter;
        if !is_valid_filter(&tight) {
            return Err(Complaint::new(
                format!("'{filter}' is no topic filter"),
                "'+' must fill its level, '#' the last level",
            ));
        }
        self.warn_about(keyword, rest, filter, is_spaced.then_some(&*tight));
        if is_spaced && is_valid_filter(filter) {
            self.add(keyword, grant, filter.into(), line);
        }
        self.add(keyword, grant, tight, line);
        Ok(())
    }

    fn add(&mut self, keyword: Keyword, grant: Grant, filter: String, line: &str) {
        let rules = match (keyword, &self.user) {
            (Keyword::Pattern, _) => &mut self.acl.patterns,
            (Keyword::Topic, None) => &mut self.anonymous,
            (Keyword::Topic, Some(user)) => self.users.entry(user.clone()).or_default(),
        };
        rules.push(Rule {
            grant,
            filter,
            line: self.number,
            text: line.into(),
        });
    }

    fn warn_about(&mut self, keyword: Keyword, rest: &str, filter: &str, tight: Option<&str>) {
        if let Some(tight) = tight {
            let start = rest.strip_suffix(filter).unwrap_or_default();
            self.warn(Complaint::new(
                "blanks around '/' belong to the topic; the rule holds with and without them",
                format!("to mean only one, write: {} {start}{tight}", keyword.text()),
            ));
        }
        if keyword == Keyword::Pattern && !has_placeholder(filter) {
            self.warn(Complaint::new(
                "this pattern contains neither %c nor %u, so it holds for every client alike",
                "insert one of them unless that is meant",
            ));
        }
        if keyword == Keyword::Topic && has_placeholder(filter) {
            self.warn(Complaint::new(
                "%c and %u stand for themselves in a topic line",
                "to have names filled in, write pattern instead of topic",
            ));
        }
        if rest == filter && named_grant(filter).is_some() {
            self.warn(Complaint::new(
                format!("this grants readwrite to the topic '{filter}'"),
                "write the topic behind that word unless this is meant",
            ));
        }
    }

    fn warn(&mut self, complaint: Complaint) {
        let problem = self.problem(complaint);
        self.acl.warnings.push(problem);
    }

    fn problem(&self, complaint: Complaint) -> Problem {
        Problem {
            file: self.acl.file.clone(),
            line: self.number,
            text: complaint.text,
            remedy: complaint.remedy,
        }
    }

    fn finish(mut self) -> Result<Acl, LoadError> {
        if !self.problems.is_empty() {
            return Err(LoadError::Problems(self.problems));
        }
        in_order(&mut self.acl.patterns);
        self.acl.anonymous = Rules::new(self.anonymous);
        let users = self.users.into_iter();
        self.acl.users = users.map(|(name, list)| (name, Rules::new(list))).collect();
        Ok(self.acl)
    }
}

/// Splits what follows the keyword. A single word is the filter; before a
/// second one stands the access.
fn grant_and_filter(keyword: Keyword, rest: &str) -> Result<(Grant, &str), Complaint> {
    let keyword = keyword.text();
    if rest.is_empty() {
        return Err(Complaint::new(
            "the topic is missing",
            format!("write: {keyword} [read|write|readwrite|deny] TOPIC"),
        ));
    }
    let Some((word, filter)) = rest.split_once([' ', '\t']) else {
        return Ok((Grant::ReadWrite, rest));
    };
    match named_grant(word) {
        Some(grant) => Ok((grant, filter.trim())),
        None => Err(Complaint::new(
            format!("'{word}' is no kind of access"),
            format!(
                "use read, write, readwrite or deny; if it belongs to the topic, write: \
                 {keyword} readwrite {rest}"
            ),
        )),
    }
}

fn named_grant(word: &str) -> Option<Grant> {
    match word {
        "read" => Some(Grant::Read),
        "write" => Some(Grant::Write),
        "readwrite" => Some(Grant::ReadWrite),
        "deny" => Some(Grant::Deny),
        _ => None,
    }
}

fn without_blanks_around_slashes(filter: &str) -> String {
    let levels: Vec<_> = filter.split('/').map(str::trim).collect();
    levels.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(text: &str) -> Vec<String> {
        let acl = Acl::parse(text.as_bytes(), "acl").unwrap();
        acl.warnings().iter().map(ToString::to_string).collect()
    }

    fn errors(text: &[u8]) -> Vec<String> {
        let error = Acl::parse(text, "acl").unwrap_err();
        error.problems().iter().map(ToString::to_string).collect()
    }

    fn filters(rules: &[Rule]) -> Vec<&str> {
        rules.iter().map(|rule| rule.filter.as_str()).collect()
    }

    #[test]
    fn a_filter_is_the_rest_of_the_line() {
        let text =
            "topic a\n  topic\tread\t two  words \r\ntopic deny #\ntopic write read\n#x\n # y";
        let acl = Acl::parse(text.as_bytes(), "acl").unwrap();
        assert_eq!(filters(&acl.anonymous), ["#", "a", "two  words", "read"]);
        assert_eq!(acl.anonymous[1].grant, Grant::ReadWrite);
        assert_eq!(acl.anonymous[2].grant, Grant::Read);
        assert_eq!(acl.anonymous[3].grant, Grant::Write);
        assert!(acl.warnings().is_empty());
    }

    #[test]
    fn a_user_name_is_the_rest_of_the_line() {
        let acl = Acl::parse(b"user  Ada Lovelace \ntopic a\n", "acl").unwrap();
        assert_eq!(filters(&acl.users["Ada Lovelace"]), ["a"]);
    }

    #[test]
    fn blanks_around_slashes_give_two_rules_and_a_warning() {
        let acl = Acl::parse(b"topic read a / b c/ d\n", "acl").unwrap();
        assert_eq!(filters(&acl.anonymous), ["a / b c/ d", "a/b c/d"]);
        assert_eq!(
            warnings("\ntopic read a / b\n"),
            [
                "acl:2: blanks around '/' belong to the topic; the rule holds with and without \
                 them; to mean only one, write: topic read a/b"
            ]
        );
    }

    #[test]
    fn blanks_beside_wildcards_leave_one_rule() {
        let acl = Acl::parse(b"topic read a / + / #\n", "acl").unwrap();
        assert_eq!(filters(&acl.anonymous), ["a/+/#"]);
        assert_eq!(acl.warnings().len(), 1);
    }

    #[test]
    fn rules_that_mean_something_else_are_warned_of() {
        for (text, part) in [
            ("pattern read x", "neither %c nor %u"),
            ("topic read x/%c", "stand for themselves"),
            ("topic read", "to the topic 'read'"),
        ] {
            let warnings = warnings(text);
            assert_eq!(warnings.len(), 1, "{text}");
            assert!(warnings[0].contains(part), "{}", warnings[0]);
        }
    }

    #[test]
    fn all_errors_come_at_once_with_place_and_remedy() {
        let text =
            b"topic read ok\ntopics x\nuser\ntopic\npattern foo bar\ntopic a/#/b\ntopic read \xff";
        let errors = errors(text);
        let expected = [
            "acl:2: 'topics' is no keyword",
            "acl:3: the user name is missing; write: user NAME",
            "acl:4: the topic is missing; write: topic [read|write|readwrite|deny] TOPIC",
            "acl:5: 'foo' is no kind of access; use read, write, readwrite or deny; \
             if it belongs to the topic, write: pattern readwrite foo bar",
            "acl:6: 'a/#/b' is no topic filter; '+' must fill its level, '#' the last level",
            "acl:7: the line is not UTF-8; save the file with that encoding",
        ];
        assert_eq!(errors.len(), expected.len());
        for (error, expected) in errors.iter().zip(expected) {
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Acl::load(Path::new("no/acl")).unwrap_err();
        assert!(error.to_string().starts_with("cannot read no/acl: "));
    }
}
