//! Routes from topic names to those who get their messages, and the cache of
//! them.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use smol_str::SmolStr;

use super::publication::Ids;
use super::session::SessionId;
use crate::codec::QoS;

/// What the remembered routes may weigh in bytes, roughly. Clients choose how
/// long topics are and how many subscriptions match them, so the number of
/// routes would be no bound.
const CACHE_SIZE: usize = 32 * 1024 * 1024;

/// When the cache is full, one of so many new routes is remembered in the place
/// of the oldest. Who goes through more topics than there is room for would
/// otherwise only write the cache and never find anything in it.
const ADMITTED: usize = 16;

/// A topic name and all who get its messages.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) topic: SmolStr,
    pub(super) targets: Box<[Target]>,
    /// Shared groups; a member is chosen for each message.
    pub(super) groups: Box<[u32]>,
    /// Whether a session is among the targets more than once.
    pub(super) overlaps: bool,
    /// Whether any of them may be a bridge that gets stamps.
    pub(super) reaches_bridge: bool,
    /// The state of the subscriptions that it was made from.
    pub(super) generation: u64,
}

/// One subscription that matches a topic.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) session: SessionId,
    pub(super) qos: QoS,
    pub(super) no_local: bool,
    pub(super) retain_as_published: bool,
    pub(super) ids: Ids,
}

impl Route {
    /// Whether nobody gets its messages.
    pub(super) fn is_empty(&self) -> bool {
        self.targets.is_empty() && self.groups.is_empty()
    }

    /// About how many bytes it takes in the cache.
    fn weight(&self) -> usize {
        256 + self.topic.len() + size_of_val(&*self.targets) + size_of_val(&*self.groups)
    }
}

/// Routes that may be asked for again.
#[derive(Debug, Default)]
pub(super) struct Routes {
    known: HashMap<SmolStr, Arc<Route>>,
    /// The topics of `known`, the oldest first.
    ages: VecDeque<SmolStr>,
    /// What `known` weighs.
    weight: usize,
    /// How many new routes came since the cache was found full.
    turned_away: usize,
}

impl Routes {
    /// The route of a topic, if it is known and of this generation.
    pub(super) fn get(&self, topic: &str, generation: u64) -> Option<&Arc<Route>> {
        let route = self.known.get(topic)?;
        (route.generation == generation).then_some(route)
    }

    /// Remembers a route, perhaps.
    pub(super) fn offer(&mut self, route: &Arc<Route>) {
        if route.weight() > CACHE_SIZE {
            // It would drive out all others and then itself.
            return;
        }
        if let Some(stale) = self.known.get_mut(&route.topic) {
            self.weight = self.weight - stale.weight() + route.weight();
            *stale = Arc::clone(route);
        } else if self.admits(route.weight()) {
            self.weight += route.weight();
            self.ages.push_back(route.topic.clone());
            self.known.insert(route.topic.clone(), Arc::clone(route));
        }
        // One by one, so that no message pays for many.
        while self.weight > CACHE_SIZE && self.forget_oldest() {}
    }

    fn admits(&mut self, weight: usize) -> bool {
        if self.weight + weight <= CACHE_SIZE {
            return true;
        }
        self.turned_away = (self.turned_away + 1) % ADMITTED;
        self.turned_away == 0
    }

    /// False: there is none.
    fn forget_oldest(&mut self) -> bool {
        let oldest = self.ages.pop_front();
        let Some(route) = oldest.and_then(|topic| self.known.remove(&topic)) else {
            return false;
        };
        self.weight -= route.weight();
        true
    }
}

#[cfg(test)]
impl Routes {
    /// What is remembered weighs, counted anew.
    pub(super) fn counted_weight(&self) -> usize {
        let weight = self.known.values().map(|route| route.weight()).sum();
        assert_eq!(self.weight, weight);
        assert_eq!(self.known.len(), self.ages.len());
        weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(topic: &str, generation: u64) -> Arc<Route> {
        let target = Target {
            session: SessionId {
                slot: 0,
                generation: 0,
            },
            qos: QoS::AtMostOnce,
            no_local: false,
            retain_as_published: false,
            ids: Ids::None,
        };
        Arc::new(Route {
            topic: topic.into(),
            targets: [target].into(),
            groups: [].into(),
            overlaps: false,
            reaches_bridge: false,
            generation,
        })
    }

    #[test]
    fn remembered_routes_stay_within_their_bytes() {
        let mut routes = Routes::default();
        for generation in 0..2 {
            for number in 0..30_000 {
                routes.offer(&route(&format!("{number:01000}"), generation));
                assert!(routes.weight <= CACHE_SIZE);
            }
            assert!(routes.counted_weight() > CACHE_SIZE - 2000, "it is used");
        }
    }

    #[test]
    fn a_full_cache_keeps_most_of_what_it_has_and_takes_some_of_the_new() {
        let mut routes = Routes::default();
        let topic = |number| format!("{number:01000}");
        let mut count = 0;
        while routes.ages.len() == count {
            routes.offer(&route(&topic(count), 0));
            count += 1;
        }
        for number in count..count + 160 {
            routes.offer(&route(&topic(number), 0));
        }
        let known = |range: std::ops::Range<usize>| {
            let found = range.filter(|number| routes.get(&topic(*number), 0).is_some());
            found.count()
        };
        assert_eq!(known(count..count + 160), 10);
        assert!((count - 13..count - 9).contains(&known(0..count)));
        assert!(routes.get(&topic(0), 0).is_none(), "the oldest has gone");
    }

    #[test]
    fn a_route_to_very_many_drives_nobody_out() {
        let mut routes = Routes::default();
        routes.offer(&route("a", 0));
        let one = route("all", 0);
        let many = CACHE_SIZE / size_of::<Target>() + 1;
        let wide = Arc::new(Route {
            topic: "all".into(),
            targets: vec![one.targets[0].clone(); many].into(),
            groups: [].into(),
            overlaps: false,
            reaches_bridge: false,
            generation: 0,
        });
        for _ in 0..2 * ADMITTED {
            routes.offer(&wide);
        }
        assert!(routes.get("a", 0).is_some());
    }

    #[test]
    fn a_stale_route_is_replaced() {
        let mut routes = Routes::default();
        routes.offer(&route("a", 1));
        assert!(routes.get("a", 2).is_none());
        routes.offer(&route("a", 2));
        assert!(routes.get("a", 2).is_some());
        assert_eq!(routes.counted_weight(), route("a", 2).weight());
    }
}
