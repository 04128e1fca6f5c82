//! The table in which a tree finds the children of its nodes.

/// Identifiers of nodes by the hash of parent and level.
///
/// Hash and identifier stand side by side, at the first free place from the
/// hash's own on: to find a node, to find that there is none, and to put it
/// there takes one look at memory that no cache has. A table whose marks of
/// what is taken are elsewhere takes two.
#[derive(Clone, Debug, Default)]
pub(super) struct Children {
    places: Vec<Child>,
    len: usize,
}

/// With the hash, so that it can move without a look at the node.
#[derive(Clone, Copy, Debug)]
struct Child {
    hash: u32,
    id: u32,
}

const FREE: Child = Child {
    hash: 0,
    id: u32::MAX,
};

/// The length of the shortest table that has anything.
const SHORTEST: usize = 8;

/// So much of a table is taken at most: what is found is the third to be looked
/// at then, and a dozen are before one finds nothing, in two lines of a cache.
const FULL: (usize, usize) = (4, 5);

impl Child {
    fn is_free(self) -> bool {
        self.id == FREE.id
    }
}

impl Children {
    /// About how many bytes one takes.
    pub(super) const WEIGHT: usize = 2 * size_of::<Child>();

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The one with this hash that is the right one.
    pub(super) fn find(&self, hash: u32, is_right: impl Fn(u32) -> bool) -> Option<u32> {
        let place = self.place_of(hash, is_right)?;
        Some(self.places[place].id)
    }

    /// Puts one in that is not there.
    pub(super) fn insert(&mut self, hash: u32, id: u32) {
        if self.len >= self.places.len() * FULL.0 / FULL.1 {
            self.grow();
        }
        self.put(Child { hash, id });
        self.len += 1;
    }

    /// Takes one out.
    pub(super) fn remove(&mut self, hash: u32, id: u32) {
        let Some(mut gap) = self.place_of(hash, |other| other == id) else {
            return;
        };
        // Who went on because of it, or of one who moves now, moves up.
        let mut place = self.next(gap);
        while !self.places[place].is_free() {
            let own = self.own_place(self.places[place].hash);
            if self.distance(own, place) >= self.distance(gap, place) {
                self.places[gap] = self.places[place];
                gap = place;
            }
            place = self.next(place);
        }
        self.places[gap] = FREE;
        self.len -= 1;
    }

    fn place_of(&self, hash: u32, is_right: impl Fn(u32) -> bool) -> Option<usize> {
        if self.places.is_empty() {
            return None;
        }
        let mut place = self.own_place(hash);
        loop {
            let child = self.places[place];
            if child.is_free() {
                return None;
            }
            if child.hash == hash && is_right(child.id) {
                return Some(place);
            }
            place = self.next(place);
        }
    }

    fn put(&mut self, child: Child) {
        let mut place = self.own_place(child.hash);
        while !self.places[place].is_free() {
            place = self.next(place);
        }
        self.places[place] = child;
    }

    fn grow(&mut self) {
        let longer = vec![FREE; (2 * self.places.len()).max(SHORTEST)];
        // They keep their order, so that both tables are gone through once.
        for child in std::mem::replace(&mut self.places, longer) {
            if !child.is_free() {
                self.put(child);
            }
        }
    }

    /// Hashes in ascending order have places in ascending order.
    fn own_place(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.places.len() as u64) >> 32) as usize
    }

    fn next(&self, place: usize) -> usize {
        if place + 1 == self.places.len() {
            0
        } else {
            place + 1
        }
    }

    /// How far it is on to another place.
    fn distance(&self, from: usize, to: usize) -> usize {
        if from <= to {
            to - from
        } else {
            to + self.places.len() - from
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Hashes that are near each other, at the end of the table too, so that
    /// many want the same places.
    fn hash(random: &mut u32) -> u32 {
        *random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match *random >> 30 {
            0 => *random >> 24,
            1 => u32::MAX - (*random >> 24 & 0x3f),
            2 => (*random >> 16 & 7) << 29,
            _ => *random,
        }
    }

    #[test]
    fn everyone_is_found_whatever_came_and_went() {
        let (mut children, mut known, mut random) = (Children::default(), BTreeMap::new(), 1);
        for id in 0..6000 {
            let hash = hash(&mut random);
            children.insert(hash, id);
            known.insert(id, hash);
            // There are more and more of them, and then fewer and fewer.
            let going = if id % 2000 < 1000 { 1 } else { 2 } * (id % 2);
            for _ in 0..going {
                random = random.wrapping_mul(1_664_525).wrapping_add(12_345);
                let (&id, &hash) = known.range(random % (id + 1)..).next().expect("the last");
                known.remove(&id);
                children.remove(hash, id);
                assert_eq!(children.find(hash, |other| other == id), None);
            }
            assert_eq!(children.len(), known.len());
            if id % 50 == 0 {
                for (&id, &hash) in &known {
                    assert_eq!(children.find(hash, |other| other == id), Some(id));
                }
            }
        }
        for (id, hash) in known {
            children.remove(hash, id);
        }
        assert!(children.is_empty());
        assert!(children.places.iter().all(|child| child.is_free()));
    }

    #[test]
    fn there_is_always_a_free_place_to_stop_at() {
        let mut children = Children::default();
        assert_eq!(children.find(7, |_| true), None);
        for id in 0..1000 {
            children.insert(id, id);
            let free = children.places.iter().filter(|child| child.is_free());
            assert!(free.count() * 5 >= children.places.len(), "after {id}");
            assert_eq!(children.find(id + 1, |_| true), None);
        }
    }

    #[test]
    fn the_hash_of_another_is_not_enough() {
        let mut children = Children::default();
        children.insert(5, 1);
        children.insert(5, 2);
        children.insert(6, 3);
        assert_eq!(children.find(5, |id| id > 1), Some(2));
        children.remove(5, 1);
        assert_eq!(children.find(5, |id| id == 1), None);
        assert_eq!(children.find(5, |_| true), Some(2));
        assert_eq!(children.find(6, |_| true), Some(3));
    }
}
