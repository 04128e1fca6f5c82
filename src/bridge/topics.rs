//! Which topic on this broker is which one on the other.

use crate::codec::QoS;
use crate::config::{Bridge, BridgeTopic, Direction};
use crate::topic::{self, Subscription};

/// The `topic` lines of a bridge. Where several match, the first one counts.
#[derive(Clone, Debug)]
pub(super) struct Topics(Vec<BridgeTopic>);

impl Topics {
    pub(super) fn of(bridge: &Bridge) -> Self {
        Self(bridge.topics.clone())
    }

    /// What a topic of this broker is called on the other; `None`: nothing says
    /// that it goes there.
    pub(super) fn outward(&self, name: &str) -> Option<String> {
        self.find(
            Direction::Out,
            name,
            |rule| (rule.local(), &rule.local_prefix),
            |rule| &rule.remote_prefix,
        )
    }

    /// What a topic of the other broker is called on this one; `None`: nothing
    /// says that it comes here.
    pub(super) fn inward(&self, name: &str) -> Option<String> {
        self.find(
            Direction::In,
            name,
            |rule| (rule.remote(), &rule.remote_prefix),
            |rule| &rule.local_prefix,
        )
    }

    fn find<'a>(
        &'a self,
        direction: Direction,
        name: &str,
        from: impl Fn(&'a BridgeTopic) -> (String, &'a String),
        to: impl Fn(&'a BridgeTopic) -> &'a String,
    ) -> Option<String> {
        self.going(direction).find_map(|rule| {
            let (filter, prefix) = from(rule);
            if !topic::matches(without_group(&filter), name) {
                return None;
            }
            let rest = name.strip_prefix(prefix.as_str())?;
            Some(format!("{}{rest}", to(rule)))
        })
    }

    fn going(&self, direction: Direction) -> impl Iterator<Item = &BridgeTopic> {
        let goes = move |rule: &&BridgeTopic| {
            rule.direction == direction || rule.direction == Direction::Both
        };
        self.0.iter().filter(goes)
    }

    /// What the bridge subscribes to on this broker.
    pub(super) fn local_filters(&self) -> Vec<(String, QoS)> {
        filters(self.going(Direction::Out), BridgeTopic::local)
    }

    /// What the bridge subscribes to on the other broker.
    pub(super) fn remote_filters(&self) -> Vec<(String, QoS)> {
        filters(self.going(Direction::In), BridgeTopic::remote)
    }

    /// What the bridge doesn't want from the other broker, though an earlier
    /// configuration may have subscribed to it.
    pub(super) fn unwanted_remote_filters(&self) -> Vec<String> {
        let wanted = self.remote_filters();
        let only_out = self.0.iter().filter(|r| r.direction == Direction::Out);
        let mut unwanted: Vec<_> = only_out
            .map(BridgeTopic::remote)
            .filter(|filter| !wanted.iter().any(|(w, _)| w == filter))
            .collect();
        unwanted.dedup();
        unwanted
    }
}

/// Each filter once, with the highest QoS that any line gives it.
fn filters<'a>(
    rules: impl Iterator<Item = &'a BridgeTopic>,
    filter: impl Fn(&BridgeTopic) -> String,
) -> Vec<(String, QoS)> {
    let mut filters: Vec<(String, QoS)> = Vec::new();
    for rule in rules {
        let (filter, qos) = (filter(rule), QoS::from_u8(rule.qos).unwrap_or_default());
        match filters.iter_mut().find(|(known, _)| *known == filter) {
            Some((_, highest)) => *highest = qos.max(*highest),
            None => filters.push((filter, qos)),
        }
    }
    filters
}

/// The filter that the topics of a shared subscription match.
fn without_group(filter: &str) -> &str {
    Subscription::parse(filter).map_or(filter, |subscription| subscription.filter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn topics(lines: &str) -> Topics {
        let text = format!("listener 1883\nconnection b\naddress h:1\n{lines}\n");
        Topics::of(&Config::parse(&text, "m.conf").unwrap().bridges[0])
    }

    #[test]
    fn prefixes_are_exchanged() {
        let topics = topics("topic sensors/# both 1 local/ remote/");
        let out = topics.outward("local/sensors/a/température");
        assert_eq!(out.as_deref(), Some("remote/sensors/a/température"));
        assert_eq!(topics.outward("remote/sensors/a"), None);
        let inward = topics.inward("remote/sensors/a");
        assert_eq!(inward.as_deref(), Some("local/sensors/a"));
    }

    #[test]
    fn an_empty_pattern_joins_two_topics() {
        let topics = topics("topic \"\" out 0 here/x there/y");
        assert_eq!(topics.outward("here/x").as_deref(), Some("there/y"));
        assert_eq!(topics.outward("here/x/z"), None);
        assert_eq!(topics.inward("there/y"), None, "it only goes out");
    }

    #[test]
    fn the_first_line_that_matches_counts() {
        let topics = topics("topic a/b out 0 \"\" first/\ntopic a/# out 2 \"\" second/");
        assert_eq!(topics.outward("a/b").as_deref(), Some("first/a/b"));
        assert_eq!(topics.outward("a/c").as_deref(), Some("second/a/c"));
    }

    #[test]
    fn a_group_is_not_part_of_the_topic() {
        let topics = topics("topic $share/g/jobs/# in 1 from/ \"\"");
        assert_eq!(topics.inward("jobs/1").as_deref(), Some("from/jobs/1"));
    }

    #[test]
    fn each_filter_is_asked_for_once() {
        let topics = topics("topic a in 0\ntopic a in 2\ntopic b both 1\ntopic c out 1");
        let expected = [("a", QoS::ExactlyOnce), ("b", QoS::AtLeastOnce)];
        let found = topics.remote_filters();
        let found: Vec<_> = found.iter().map(|(f, q)| (f.as_str(), *q)).collect();
        assert_eq!(found, expected);
        assert_eq!(topics.unwanted_remote_filters(), ["c"]);
        assert_eq!(topics.local_filters().len(), 2);
    }
}
