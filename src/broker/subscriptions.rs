//! Who is interested in what: subscriptions and shared groups.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use smallvec::SmallVec;

use super::publication::Ids;
use super::routes::{Route, Routes, Target};
use super::session::SessionId;
use crate::codec::{QoS, SubscriptionOptions};
use crate::topic::{NodeId, Subscription, Tree, Vacant};

/// The rank of a member of a shared group that can have a message at once.
pub(super) const BEST: u8 = 3;

/// How a session refers to a subscription of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum SubscriptionKey {
    Plain(NodeId),
    /// The number of a shared group.
    Shared(u32),
}

#[derive(Clone, Copy, Debug)]
struct Subscriber {
    session: SessionId,
    options: SubscriptionOptions,
    id: Option<u32>,
}

impl Subscriber {
    fn target(&self) -> Target {
        Target {
            session: self.session,
            qos: self.options.qos,
            no_local: self.options.no_local,
            retain_as_published: self.options.retain_as_published,
            ids: Ids::new(self.id),
        }
    }
}

/// Most filters are those of one session only, which costs no allocation.
type Subscribers = SmallVec<[Subscriber; 1]>;

/// What a filter's node holds.
#[derive(Debug, Default)]
struct Interest {
    /// Sorted by session.
    plain: Subscribers,
    groups: Vec<u32>,
}

impl Vacant for Interest {
    fn is_vacant(&self) -> bool {
        self.plain.is_empty() && self.groups.is_empty()
    }
}

#[derive(Debug)]
struct Group {
    name: Box<str>,
    node: NodeId,
    members: Subscribers,
    /// Whose turn it is.
    next: usize,
}

/// All subscriptions.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    tree: Tree<Interest>,
    /// By numbers that are never used twice, so that a delivery can tell a
    /// group that is gone.
    groups: HashMap<u32, Group>,
    last_group: u32,
    routes: Routes,
    /// Sessions of bridges that get stamps.
    bridges: HashSet<SessionId>,
    /// Counts changes; a route of an older generation is stale.
    generation: u64,
    count: usize,
    shared_count: usize,
}

impl Subscriptions {
    /// Subscribes, or changes the options of a subscription that exists.
    /// Returns its key and whether it is new.
    pub(super) fn subscribe(
        &mut self,
        session: SessionId,
        subscription: Subscription<'_>,
        options: SubscriptionOptions,
        id: Option<u32>,
    ) -> (SubscriptionKey, bool) {
        self.generation += 1;
        let node = self.tree.insert(subscription.filter);
        let subscriber = Subscriber {
            session,
            options,
            id,
        };
        let Some(name) = subscription.group else {
            let new = put(&mut self.tree.value_mut(node).plain, subscriber);
            self.count += usize::from(new);
            return (SubscriptionKey::Plain(node), new);
        };
        let number = self.find_group(node, name).unwrap_or_else(|| {
            self.last_group += 1;
            let group = Group {
                name: name.into(),
                node,
                members: Subscribers::new(),
                next: 0,
            };
            self.groups.insert(self.last_group, group);
            self.tree.value_mut(node).groups.push(self.last_group);
            self.last_group
        });
        let group = self.groups.get_mut(&number);
        let new = group.is_some_and(|group| put(&mut group.members, subscriber));
        self.shared_count += usize::from(new);
        (SubscriptionKey::Shared(number), new)
    }

    fn find_group(&self, node: NodeId, name: &str) -> Option<u32> {
        let numbers = &self.tree.value(node).groups;
        numbers
            .iter()
            .copied()
            .find(|number| &*self.groups[number].name == name)
    }

    /// Whether a shared group has members.
    pub(super) fn has_group(&self, number: u32) -> bool {
        self.groups.contains_key(&number)
    }

    /// The key of a subscription, if anybody has one like it.
    pub(super) fn key(&self, subscription: Subscription<'_>) -> Option<SubscriptionKey> {
        let node = self.tree.find(subscription.filter)?;
        match subscription.group {
            None => Some(SubscriptionKey::Plain(node)),
            Some(name) => self.find_group(node, name).map(SubscriptionKey::Shared),
        }
    }

    /// What a SUBSCRIBE would name it.
    pub(super) fn name(&self, key: SubscriptionKey) -> String {
        match key {
            SubscriptionKey::Plain(node) => self.tree.path(node),
            SubscriptionKey::Shared(number) => {
                let group = &self.groups[&number];
                format!("$share/{}/{}", group.name, self.tree.path(group.node))
            }
        }
    }

    /// Ends a subscription.
    pub(super) fn unsubscribe(&mut self, session: SessionId, key: SubscriptionKey) {
        self.generation += 1;
        match key {
            SubscriptionKey::Plain(node) => {
                if take(&mut self.tree.value_mut(node).plain, session) {
                    self.count -= 1;
                }
                self.tree.prune(node);
            }
            SubscriptionKey::Shared(number) => {
                let Some(group) = self.groups.get_mut(&number) else {
                    return;
                };
                if take(&mut group.members, session) {
                    self.shared_count -= 1;
                }
                if group.members.is_empty() {
                    let node = group.node;
                    self.groups.remove(&number);
                    self.tree
                        .value_mut(node)
                        .groups
                        .retain(|other| *other != number);
                    self.tree.prune(node);
                }
            }
        }
    }

    /// All who get the messages of a topic. `merge`: one target a session.
    pub(super) fn route(&mut self, topic: &str, merge: bool) -> Arc<Route> {
        if let Some(route) = self.routes.get(topic, self.generation) {
            return Arc::clone(route);
        }
        let route = Arc::new(self.resolve(topic, merge));
        // Whether nobody wants a topic is found out soon; to remember it would
        // cost more, above all for retained messages.
        if !route.is_empty() {
            self.routes.offer(&route);
        }
        route
    }

    /// Notes whether a session is that of a bridge that gets stamps.
    pub(super) fn set_bridge(&mut self, session: SessionId, is_bridge: bool) {
        let changed = if is_bridge {
            self.bridges.insert(session)
        } else {
            self.bridges.remove(&session)
        };
        self.generation += u64::from(changed);
    }

    /// Makes all routes stale, for rules that have changed.
    pub(super) fn forget_routes(&mut self) {
        self.generation += 1;
    }

    /// Whether a route that somebody kept is still true.
    pub(super) fn is_current(&self, route: &Route) -> bool {
        route.generation == self.generation
    }

    fn resolve(&self, topic: &str, merge: bool) -> Route {
        let mut targets: Vec<Target> = Vec::new();
        let (mut groups, mut filters) = (Vec::new(), 0);
        self.tree.matching_filters(topic, |_, interest| {
            targets.extend(interest.plain.iter().map(Subscriber::target));
            groups.extend_from_slice(&interest.groups);
            filters += 1;
        });
        // A session subscribes to a filter once, but perhaps to others.
        if filters > 1 {
            targets.sort_by_key(|target| target.session);
            if merge {
                merge_by_session(&mut targets);
            }
        }
        let overlaps = targets
            .windows(2)
            .any(|pair| pair[0].session == pair[1].session);
        let reaches_bridge = !self.bridges.is_empty()
            && (targets
                .iter()
                .any(|target| self.bridges.contains(&target.session))
                || groups
                    .iter()
                    .flat_map(|group| self.members(*group))
                    .any(|member| self.bridges.contains(&member.session)));
        Route {
            topic: topic.into(),
            targets: targets.into(),
            groups: groups.into(),
            overlaps,
            reaches_bridge,
            generation: self.generation,
        }
    }

    /// Chooses the member of a shared group that gets a message: the next in
    /// turn among those whose `rank` is highest and who `takes` it; rank 0 is
    /// never chosen, rank [`BEST`] at once.
    pub(super) fn choose(
        &mut self,
        group: u32,
        mut rank: impl FnMut(SessionId) -> u8,
        mut takes: impl FnMut(&Target) -> bool,
    ) -> Option<Target> {
        let group = self.groups.get_mut(&group)?;
        let count = group.members.len();
        let mut best = (0, None);
        for step in 0..count {
            let index = (group.next + step) % count;
            let member = &group.members[index];
            let rank = rank(member.session);
            if rank > best.0 && takes(&member.target()) {
                best = (rank, Some(index));
                if rank == BEST {
                    break;
                }
            }
        }
        let index = best.1?;
        group.next = (index + 1) % count;
        Some(group.members[index].target())
    }

    /// The members of a shared group.
    pub(super) fn members(&self, group: u32) -> impl Iterator<Item = Target> {
        let group = self.groups.get(&group);
        group
            .into_iter()
            .flat_map(|group| group.members.iter().map(Subscriber::target))
    }

    /// About how many bytes the subscriptions take, without the cache.
    pub(super) fn weight(&self) -> usize {
        const EACH: usize = size_of::<Subscriber>() + 2 * size_of::<SubscriptionKey>();
        self.tree.weight() + (self.count + self.shared_count) * EACH
    }

    /// What the cache weighs.
    #[cfg(test)]
    pub(super) fn cache_weight(&self) -> usize {
        self.routes.counted_weight()
    }

    /// Whether nothing is left of any subscription.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.counts() == (0, 0) && self.groups.is_empty() && self.tree.is_empty()
    }

    /// Calls `found` with the filter, group, session and QoS of each.
    pub(super) fn for_each(&self, mut found: impl FnMut(&str, Option<&str>, SessionId, QoS)) {
        self.tree.for_each(|node, interest| {
            let filter = self.tree.path(node);
            for subscriber in &interest.plain {
                found(&filter, None, subscriber.session, subscriber.options.qos);
            }
            for group in interest.groups.iter().map(|number| &self.groups[number]) {
                for member in &group.members {
                    let qos = member.options.qos;
                    found(&filter, Some(&group.name), member.session, qos);
                }
            }
        });
    }

    /// The number of plain and of shared subscriptions.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.count, self.shared_count)
    }
}

/// Adds or replaces a session's entry; true if it is new.
fn put(subscribers: &mut Subscribers, subscriber: Subscriber) -> bool {
    match subscribers.binary_search_by_key(&subscriber.session, |other| other.session) {
        Ok(index) => {
            subscribers[index] = subscriber;
            false
        }
        Err(index) => {
            subscribers.insert(index, subscriber);
            true
        }
    }
}

/// Removes a session's entry; true if there was one.
fn take(subscribers: &mut Subscribers, session: SessionId) -> bool {
    let found = subscribers.binary_search_by_key(&session, |other| other.session);
    found.map(|index| subscribers.remove(index)).is_ok()
}

/// One target for each session: the highest QoS, all identifiers. They are in
/// the order of their sessions.
fn merge_by_session(targets: &mut Vec<Target>) {
    targets.dedup_by(|next, kept| {
        if next.session != kept.session {
            return false;
        }
        kept.qos = kept.qos.max(next.qos);
        kept.no_local &= next.no_local;
        kept.retain_as_published |= next.retain_as_published;
        kept.ids.merge(&next.ids);
        true
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_remembered_once_and_none_to_nobody() {
        let mut subscriptions = Subscriptions::default();
        let session = SessionId {
            slot: 0,
            generation: 0,
        };
        let everything = Subscription::parse("#").unwrap();
        subscriptions.subscribe(session, everything, SubscriptionOptions::default(), None);
        let first = subscriptions.route("again", false);
        let weight = subscriptions.cache_weight();
        assert!(Arc::ptr_eq(&first, &subscriptions.route("again", false)));
        for _ in 0..3 {
            subscriptions.generation += 1;
            subscriptions.route("again", false);
        }
        assert_eq!(
            subscriptions.cache_weight(),
            weight,
            "the stale one is gone"
        );
        subscriptions.route("$nobody", false);
        assert_eq!(subscriptions.cache_weight(), weight);
    }
}
