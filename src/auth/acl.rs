//! Access control lists: who may read and write which topics, and which line
//! of the file says so.
//!
//! ```text
//! # comment
//! topic [read|write|readwrite|deny] <filter>     before any `user`: clients without a user name
//! user <username>
//! topic [read|write|readwrite|deny] <filter>     this user
//! pattern [read|write|readwrite|deny] <filter>   every client; %c client id, %u user name
//! ```
//!
//! The rules of a user are asked first, then the patterns; in both, `deny`
//! comes first and then the order of the file. The first rule that matches the
//! topic and speaks of the access decides. What no rule speaks of is denied.
//!
//! The filter is the rest of its line, and blanks are part of it. Text books
//! print topics with blanks around the slashes, though (`house / kitchen`), so
//! such a rule counts both as it stands and without these blanks, with a
//! warning.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use super::problem::Problem;
use super::rules::Rules;
use crate::topic::{intersection, matches, samples};

/// What a client wants to do with a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Receive messages from it.
    Read,
    /// Publish messages to it.
    Write,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client<'a> {
    /// Its client identifier.
    pub client_id: &'a str,
    /// Its user name; `None` when it is anonymous.
    pub username: Option<&'a str>,
}

impl Client<'_> {
    /// A name with a wildcard would turn a pattern into more than was meant.
    fn has_wildcard_in_name(&self) -> bool {
        let names = [self.client_id, self.username.unwrap_or_default()];
        names.iter().any(|name| name.contains(['+', '#']))
    }
}

/// The rules of one file, ready to be asked.
#[derive(Debug, Clone, Default)]
pub struct Acl {
    pub(super) file: String,
    pub(super) anonymous: Rules,
    pub(super) users: HashMap<String, Rules>,
    pub(super) patterns: Vec<Rule>,
    pub(super) warnings: Vec<Problem>,
}

impl Acl {
    /// Lines that are in force, but probably not as they were meant.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// Whether `client` may access `topic`, and why.
    pub fn check(&self, client: &Client, access: Access, topic: &str) -> Decision<'_> {
        let own_rules = self.own_rules(client);
        if let Some(rule) = own_rules.and_then(|rules| rules.first(access, topic)) {
            return self.decide_by(rule);
        }
        if !self.patterns.is_empty() && client.has_wildcard_in_name() {
            return Decision::denied(Reason::WildcardInName { file: &self.file });
        }
        let pattern = self
            .patterns
            .iter()
            .find(|rule| rule.grant.speaks_of(access) && rule.matches_for(client, topic));
        match pattern {
            Some(rule) => self.decide_by(rule),
            None => Decision::denied(Reason::NoRule { file: &self.file }),
        }
    }

    /// Whether `client` may read any topic that `filter` matches, and why: by
    /// the first rule that lets something through, or for want of one. The
    /// answer is exact.
    pub fn check_filter(&self, client: &Client, filter: &str) -> Decision<'_> {
        let own_rules = self.own_rules(client).map_or(&[][..], |rules| rules);
        let is_refused = !self.patterns.is_empty() && client.has_wildcard_in_name();
        let patterns: Vec<_> = self
            .patterns
            .iter()
            .filter(|_| !is_refused)
            .filter_map(|rule| Some((rule, rule.filter_for(client)?)))
            .collect();
        let own = own_rules
            .iter()
            .map(|rule| (rule, Cow::Borrowed(&*rule.filter)));
        let own: Vec<_> = own.collect();
        // Denying rules come first in both lists, those of the user before
        // the patterns; a grant of the user outweighs a denying pattern.
        let mut denying: Vec<(&Rule, &str)> = Vec::new();
        let mut obstacle = None;
        for (rule, own_filter) in own.iter().chain(&patterns) {
            if rule.grant == Grant::Deny {
                denying.push((rule, own_filter));
            } else if rule.grant.speaks_of(Access::Read)
                && let Some(common) = intersection(own_filter, filter)
            {
                match obstacle_to(&common, &denying) {
                    None => return self.decide_by(rule),
                    found => obstacle = obstacle.or(found),
                }
            }
        }
        match obstacle {
            Some(rule) => self.decide_by(rule),
            None if is_refused => Decision::denied(Reason::WildcardInName { file: &self.file }),
            None => Decision::denied(Reason::NoRule { file: &self.file }),
        }
    }

    fn own_rules(&self, client: &Client) -> Option<&Rules> {
        match client.username {
            None => Some(&self.anonymous),
            Some(name) => self.users.get(name),
        }
    }

    fn decide_by<'a>(&'a self, rule: &'a Rule) -> Decision<'a> {
        Decision {
            allowed: rule.grant != Grant::Deny,
            reason: Reason::Rule(RuleRef {
                file: &self.file,
                line: rule.line,
                text: &rule.text,
            }),
        }
    }
}

/// One `topic` or `pattern` line.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) grant: Grant,
    pub(super) filter: String,
    pub(super) line: usize,
    pub(super) text: String,
}

/// A rule that denies topics of `filter`, if such rules deny all of them.
fn obstacle_to<'a>(filter: &str, denying: &[(&'a Rule, &str)]) -> Option<&'a Rule> {
    let levels = |filter: &str| filter.split('/').count();
    let longest = denying.iter().map(|(_, denied)| levels(denied)).max()?;
    let mut obstacle = None;
    for sample in samples(filter, longest) {
        let (rule, _) = denying
            .iter()
            .find(|(_, denied)| matches(denied, &sample))?;
        obstacle = obstacle.or(Some(*rule));
    }
    obstacle
}

impl Rule {
    /// The filter of this pattern for `client`; `None`: it matches nothing.
    fn filter_for(&self, client: &Client) -> Option<Cow<'_, str>> {
        if !has_placeholder(&self.filter) {
            return Some(Cow::Borrowed(&self.filter));
        }
        let filter = fill_in(&self.filter, client)?;
        (filter.starts_with('$') == self.filter.starts_with('$')).then_some(Cow::Owned(filter))
    }

    /// Whether this pattern, with the names of `client` filled in, matches.
    fn matches_for(&self, client: &Client, topic: &str) -> bool {
        // Asked of the pattern itself, so that nobody reaches `$SYS` from
        // `%c/#` by taking that for a name.
        if topic.starts_with('$') && !self.filter.starts_with('$') {
            return false;
        }
        if !has_placeholder(&self.filter) {
            return matches(&self.filter, topic);
        }
        fill_in(&self.filter, client).is_some_and(|filter| matches(&filter, topic))
    }
}

pub(super) fn has_placeholder(filter: &str) -> bool {
    filter.contains("%c") || filter.contains("%u")
}

/// The filter of a pattern for this client; `None` when it asks for a user
/// name and there is none.
fn fill_in(pattern: &str, client: &Client) -> Option<String> {
    let mut filter = String::with_capacity(pattern.len() + client.client_id.len());
    let mut rest = pattern;
    while let Some(index) = rest.find('%') {
        filter.push_str(&rest[..index]);
        rest = &rest[index..];
        if let Some(behind) = rest.strip_prefix("%c") {
            filter.push_str(client.client_id);
            rest = behind;
        } else if let Some(behind) = rest.strip_prefix("%u") {
            filter.push_str(client.username?);
            rest = behind;
        } else {
            filter.push('%');
            rest = &rest[1..];
        }
    }
    filter.push_str(rest);
    Some(filter)
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grant {
    Read,
    Write,
    ReadWrite,
    Deny,
}

impl Grant {
    pub(super) fn speaks_of(self, access: Access) -> bool {
        match self {
            Self::Read => access == Access::Read,
            Self::Write => access == Access::Write,
            Self::ReadWrite | Self::Deny => true,
        }
    }
}

/// The answer to [`Acl::check`]; its text explains it in a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision<'a> {
    /// Whether the client may.
    pub allowed: bool,
    /// Why, or why not.
    pub reason: Reason<'a>,
}

impl<'a> Decision<'a> {
    fn denied(reason: Reason<'a>) -> Self {
        Self {
            allowed: false,
            reason,
        }
    }

    /// The rule that decided, if one did.
    pub fn rule(&self) -> Option<RuleRef<'a>> {
        match self.reason {
            Reason::Rule(rule) => Some(rule),
            Reason::NoRule { .. } | Reason::WildcardInName { .. } => None,
        }
    }
}

impl fmt::Display for Decision<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.allowed { "allowed" } else { "denied" };
        match self.reason {
            Reason::Rule(rule) => write!(f, "{verdict} by {rule}"),
            other => write!(f, "{verdict}: {other}"),
        }
    }
}

/// Why a [`Decision`] fell as it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason<'a> {
    /// This rule says so.
    Rule(RuleRef<'a>),
    /// No rule speaks of it.
    NoRule {
        /// The file, named as its reader named it.
        file: &'a str,
    },
    /// The list has patterns, and the client's name contains a wildcard.
    WildcardInName {
        /// The file, named as its reader named it.
        file: &'a str,
    },
}

/// As it ends a line about what was denied.
impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(rule) => write!(f, "denied by {rule}"),
            Self::NoRule { file } => write!(f, "no rule of {file} allows it"),
            Self::WildcardInName { .. } => f.write_str(
                "a client identifier or user name with '+' or '#' gets nothing from patterns",
            ),
        }
    }
}

/// Where a rule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleRef<'a> {
    /// The file, named as its reader named it.
    pub file: &'a str,
    /// The line, counted from 1.
    pub line: usize,
    /// The line itself.
    pub text: &'a str,
}

impl fmt::Display for RuleRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} ({})", self.file, self.line, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Access::{Read, Write};

    fn acl(text: &str) -> Acl {
        Acl::parse(text.as_bytes(), "acl").unwrap()
    }

    fn client<'a>(client_id: &'a str, username: &'a str) -> Client<'a> {
        Client {
            client_id,
            username: (!username.is_empty()).then_some(username),
        }
    }

    /// Who may do what: `id`, `user` (empty for none), access, topic.
    #[track_caller]
    fn allows(acl: &Acl, id: &str, user: &str, access: Access, topic: &str) {
        let decision = acl.check(&client(id, user), access, topic);
        assert!(decision.allowed, "{decision}");
    }

    #[track_caller]
    fn denies(acl: &Acl, id: &str, user: &str, access: Access, topic: &str) {
        let decision = acl.check(&client(id, user), access, topic);
        assert!(!decision.allowed, "{decision}");
    }

    #[test]
    fn the_lab_of_the_course_as_its_author_meant_it() {
        let topic = "myRasp/groundfloor/livingroom/temperature";
        for printed in [
            topic,
            "myRasp / groundfloor / livingroom / temperature",
            "myRasp/ groundfloor /livingroom/  temperature",
        ] {
            let acl = acl(&format!(
                "user user1\ntopic read {printed}\n\nuser user2\ntopic write {printed}\n"
            ));
            allows(&acl, "a", "user1", Read, topic);
            denies(&acl, "a", "user1", Write, topic);
            allows(&acl, "b", "user2", Write, topic);
            denies(&acl, "b", "user2", Read, topic);
            denies(&acl, "c", "", Read, topic);
            denies(&acl, "a", "user1", Read, "myRasp/groundfloor");
            // Both sides may have copied the blanks.
            allows(&acl, "a", "user1", Read, printed);
            denies(&acl, "a", "user1", Write, printed);
        }
    }

    #[test]
    fn topics_before_any_user_are_for_anonymous_clients_only() {
        let acl = acl("topic read news/#\nuser bob\ntopic b\n");
        allows(&acl, "x", "", Read, "news/today");
        denies(&acl, "x", "bob", Read, "news/today");
        denies(&acl, "x", "eve", Read, "news/today");
        denies(&acl, "x", "", Read, "b");
    }

    #[test]
    fn deny_comes_first_and_then_the_order_of_the_file() {
        let acl = acl("user u\ntopic read a/#\ntopic write a/+\ntopic deny a/secret\n");
        denies(&acl, "x", "u", Read, "a/secret");
        denies(&acl, "x", "u", Write, "a/secret");
        allows(&acl, "x", "u", Write, "a/b");
        let decision = acl.check(&client("x", "u"), Read, "a/b");
        assert_eq!(decision.rule().unwrap().line, 2);
    }

    #[test]
    fn a_grant_of_the_user_outweighs_a_denying_pattern() {
        let acl = acl("user u\ntopic read a\npattern deny #\npattern read b\n");
        allows(&acl, "x", "u", Read, "a");
        denies(&acl, "x", "u", Read, "b");
    }

    #[test]
    fn lists_of_a_user_named_twice_are_one() {
        let acl = acl("user u\ntopic a\nuser v\ntopic b\nuser u\ntopic c\n");
        allows(&acl, "x", "u", Write, "a");
        denies(&acl, "x", "u", Write, "b");
        allows(&acl, "x", "u", Write, "c");
    }

    #[test]
    fn patterns_know_client_and_user() {
        let acl = acl(
            "user u\npattern write dev/%c/up\npattern read home/%u/%c/#\npattern read 100%/%%c\n",
        );
        allows(&acl, "c1", "", Write, "dev/c1/up");
        denies(&acl, "c1", "", Write, "dev/c2/up");
        allows(&acl, "c1", "bob", Read, "home/bob/c1/x");
        denies(&acl, "c1", "bob", Read, "home/eve/c1/x");
        denies(&acl, "c1", "", Read, "home//c1/x");
        allows(&acl, "c1", "", Read, "100%/%c1");
        // What is filled in is not filled in again.
        denies(&acl, "%u", "bob", Write, "dev/bob/up");
    }

    #[test]
    fn wildcards_in_names_get_nothing_from_patterns() {
        let with = acl("user a+b\ntopic own\npattern readwrite dev/%c\n");
        allows(&with, "c", "a+b", Read, "own");
        for (id, user) in [("+", "bob"), ("#", ""), ("c", "a+b")] {
            let decision = with.check(&client(id, user), Write, "dev/c");
            assert_eq!(decision.reason, Reason::WildcardInName { file: "acl" });
            assert!(!decision.allowed);
        }
        let without = acl("user a+b\ntopic own\n");
        let decision = without.check(&client("c", "a+b"), Read, "x");
        assert_eq!(decision.reason, Reason::NoRule { file: "acl" });
    }

    #[test]
    fn dollar_topics_need_a_dollar_in_the_rule() {
        let acl = acl("topic read #\nuser u\ntopic read $SYS/#\npattern read %c/#\n");
        denies(&acl, "x", "", Read, "$SYS/uptime");
        allows(&acl, "x", "u", Read, "$SYS/uptime");
        denies(&acl, "$SYS", "", Read, "$SYS/uptime");
    }

    #[test]
    fn a_decision_explains_itself() {
        let acl = acl("user u\ntopic  read a/#  \ntopic deny b\npattern read %c\n");
        let explain = |id, topic| acl.check(&client(id, "u"), Read, topic).to_string();
        assert_eq!(explain("x", "a/b"), "allowed by acl:2 (topic  read a/#)");
        assert_eq!(explain("x", "b"), "denied by acl:3 (topic deny b)");
        assert_eq!(explain("x", "c"), "denied: no rule of acl allows it");
        assert!(explain("+", "c").starts_with("denied: a client identifier"));
    }

    #[test]
    fn a_filter_is_worth_subscribing_to_if_anything_comes_through() {
        let acl = acl(
            "topic read a/+/c\ntopic write w/#\ntopic deny a/x/#\nuser u\ntopic deny own/%c\n\
             topic read own/x\npattern deny dev/%c/secret\npattern read dev/%c/+\n",
        );
        let readable = |user, filter| acl.check_filter(&client("c", user), filter).allowed;
        for filter in [
            "#", "a/#", "+/+/c", "a/b/c", "a/+/c", "+/+/+", "dev/#", "dev/c/up",
        ] {
            assert!(readable("", filter), "{filter}");
        }
        for filter in [
            "a/x/c",
            "a/x/#",
            "w/#",
            "b",
            "$SYS/#",
            "a",
            "dev/d/#",
            "dev/c/secret",
        ] {
            assert!(!readable("", filter), "{filter}");
        }
        assert!(readable("u", "own/+") && !readable("u", "own/y"));
        let decision = acl.check_filter(&client("c", ""), "a/x/+");
        assert_eq!(decision.to_string(), "denied by acl:3 (topic deny a/x/#)");
        let decision = acl.check_filter(&client("+", ""), "dev/+/up");
        assert_eq!(decision.reason, Reason::WildcardInName { file: "acl" });
    }

    mod filters {
        use super::*;
        use proptest::prelude::*;

        use crate::auth::acl::Grant;

        fn filter() -> impl Strategy<Value = String> {
            let level = prop::sample::select(vec!["a", "b", "+", "%c"]);
            (
                prop::collection::vec(level, 1..4),
                prop::bool::weighted(0.3),
            )
                .prop_map(|(mut levels, open)| {
                    levels.extend(open.then_some("#"));
                    levels.join("/")
                })
        }

        fn rules() -> impl Strategy<Value = String> {
            let word = prop::sample::select(vec![
                "topic read",
                "topic write",
                "topic deny",
                "pattern read",
                "pattern deny",
            ]);
            let line = (word, filter()).prop_map(|(word, filter)| match word {
                "pattern read" | "pattern deny" => format!("{word} {filter}\n"),
                _ => format!("{word} {}\n", filter.replace("%c", "c")),
            });
            prop::collection::vec(line, 1..6).prop_map(|lines| lines.concat())
        }

        /// All topics of up to five levels, with a level that no rule names.
        fn topics() -> Vec<String> {
            let mut topics = Vec::new();
            let mut longest = vec![String::new()];
            for depth in 0..5 {
                let longer = |topic: &String, level: &&str| match depth {
                    0 => (*level).to_string(),
                    _ => format!("{topic}/{level}"),
                };
                longest = longest
                    .iter()
                    .flat_map(|topic| ["a", "b", "c", "z"].iter().map(move |l| longer(topic, l)))
                    .collect();
                topics.extend(longest.iter().cloned());
            }
            topics
        }

        proptest! {
            #[test]
            fn the_answer_about_a_filter_is_that_of_all_its_topics(
                rules in rules(),
                wanted in filter(),
            ) {
                let wanted = wanted.replace("%c", "c");
                let acl = acl(&rules);
                let client = client("c", "");
                let any = topics().iter().any(|topic| {
                    matches(&wanted, topic) && acl.check(&client, Read, topic).allowed
                });
                prop_assert_eq!(acl.check_filter(&client, &wanted).allowed, any);
            }

            #[test]
            fn the_first_rule_of_the_list_that_fits_is_found(rules in rules()) {
                let acl = acl(&rules.replace("pattern", "topic"));
                for (topic, access) in topics().iter().flat_map(|t| [(t, Read), (t, Write)]) {
                    let fits = |rule: &&Rule| {
                        rule.grant.speaks_of(access) && matches(&rule.filter, topic)
                    };
                    let line = |rule: &Rule| (rule.line, rule.grant == Grant::Deny);
                    prop_assert_eq!(
                        acl.anonymous.first(access, topic).map(line),
                        acl.anonymous.iter().find(fits).map(line)
                    );
                }
            }
        }
    }

    #[test]
    fn an_empty_list_denies_everything() {
        denies(&acl("# nothing\n\n"), "x", "", Read, "a");
    }
}
