//! A table of what is in flight, which gives out the packet identifiers.

/// What is in flight, by packet identifier.
///
/// Identifiers follow one another, and the place of one is its remainder by
/// the length of the table, a power of two: finding it is one look, however
/// many are in flight. One whose place is taken by another, which its peer
/// left unacknowledged, is left out.
#[derive(Debug)]
pub(super) struct IdTable<T> {
    places: Vec<Option<(u16, T)>>,
    len: usize,
    last_id: u16,
}

/// The length of the shortest table that has anything.
const SHORTEST: usize = 4;

/// The length in which every identifier has a place of its own.
const LONGEST: usize = 1 << 16;

impl<T> IdTable<T> {
    /// An empty table, whose first identifier is 1.
    pub(super) fn new() -> Self {
        Self {
            places: Vec::new(),
            len: 0,
            last_id: 0,
        }
    }

    /// How many are in flight.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The next identifier that nothing in the table has (2.2.1). There must
    /// be one: less than 65 535 are in flight.
    pub(super) fn next_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.is_half_full() && self.is_taken(self.last_id) {
                self.grow();
            }
            if !self.is_taken(self.last_id) {
                return self.last_id;
            }
        }
    }

    /// Puts something in. Returns its identifier.
    pub(super) fn push(&mut self, value: T) -> u16 {
        let id = self.next_id();
        self.insert(id, value);
        id
    }

    /// Puts something in under an identifier that it has already, instead of
    /// what had that.
    pub(super) fn insert(&mut self, id: u16, value: T) {
        while self.is_taken(id) && self.get(id).is_none() {
            self.grow();
        }
        let place = self.place(id);
        self.len += usize::from(self.places[place].is_none());
        self.places[place] = Some((id, value));
    }

    /// Has the next identifiers follow that one.
    pub(super) fn continue_after(&mut self, id: u16) {
        self.last_id = id;
    }

    pub(super) fn get(&self, id: u16) -> Option<&T> {
        let (owner, value) = self.places.get(self.place(id))?.as_ref()?;
        (*owner == id).then_some(value)
    }

    pub(super) fn get_mut(&mut self, id: u16) -> Option<&mut T> {
        let place = self.place(id);
        let (owner, value) = self.places.get_mut(place)?.as_mut()?;
        (*owner == id).then_some(value)
    }

    pub(super) fn remove(&mut self, id: u16) -> Option<T> {
        let place = self.place(id);
        let (_, value) = self
            .places
            .get_mut(place)?
            .take_if(|(owner, _)| *owner == id)?;
        self.len -= 1;
        Some(value)
    }

    /// All that is in flight, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u16, &T)> {
        let taken = self.places.iter().flatten();
        taken.map(|(id, value)| (*id, value))
    }

    /// Takes all out, in no order.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        self.len = 0;
        let taken = std::mem::take(&mut self.places).into_iter().flatten();
        taken.map(|(_, value)| value)
    }

    fn place(&self, id: u16) -> usize {
        usize::from(id) & self.places.len().wrapping_sub(1)
    }

    /// Whether an identifier has no place, or another has it.
    fn is_taken(&self, id: u16) -> bool {
        self.places.get(self.place(id)).is_none_or(Option::is_some)
    }

    /// From here on a longer table is worth it: as long as half of the places
    /// are free, few identifiers are left out.
    fn is_half_full(&self) -> bool {
        self.len * 2 >= self.places.len() && self.places.len() < LONGEST
    }

    /// Identifiers that have different places keep that in a longer table.
    fn grow(&mut self) {
        let length = (self.places.len() * 2).max(SHORTEST);
        let shorter = std::mem::take(&mut self.places);
        self.places.resize_with(length, || None);
        for (id, value) in shorter.into_iter().flatten() {
            let place = self.place(id);
            self.places[place] = Some((id, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_follow_one_another_while_the_peer_acknowledges_in_order() {
        let mut table = IdTable::new();
        for n in 0..20u32 {
            table.push(n);
        }
        for n in 20..100_000 {
            let expected = u16::try_from(n % 65_535 + 1).unwrap();
            assert_eq!(table.push(n), expected);
            let oldest = u16::try_from((n - 20) % 65_535 + 1).unwrap();
            assert_eq!(table.remove(oldest), Some(n - 20));
        }
        assert_eq!(table.places.len(), 32, "no longer than it takes");
    }

    #[test]
    fn what_is_never_acknowledged_costs_others_neither_room_nor_their_way() {
        let mut table = IdTable::new();
        let stuck: Vec<_> = (0..3).map(|n| table.push(n)).collect();
        for n in 0..200_000 {
            let id = table.push(n);
            assert!(id != 0 && !stuck.contains(&id));
            assert_eq!(table.remove(id), Some(n));
        }
        assert_eq!(table.places.len(), 8);
        let mut left: Vec<_> = table.iter().collect();
        left.sort_unstable();
        assert_eq!(left, [(1, &0), (2, &1), (3, &2)]);
    }

    #[test]
    fn every_identifier_can_be_in_flight() {
        let mut table = IdTable::new();
        for n in 1..=u16::MAX {
            assert_eq!(table.push(n), n);
        }
        assert_eq!(table.len(), 65_535);
        for n in [40_000, 7] {
            assert_eq!(table.remove(n), Some(n));
        }
        assert_eq!(table.push(7), 7);
        assert_eq!(table.push(40_000), 40_000);
        assert!((1..=u16::MAX).all(|n| table.get(n) == Some(&n)));
        assert_eq!(table.get(0), None);
    }

    #[test]
    fn an_identifier_that_was_given_elsewhere_finds_its_place() {
        let mut table = IdTable::new();
        for id in [5, 9, 265, 5] {
            table.insert(id, id + 1);
        }
        assert_eq!(table.len(), 3);
        assert_eq!(table.get_mut(265), Some(&mut 266));
        assert_eq!(table.remove(5 + 512), None, "it would have the place of 5");
        assert_eq!(table.next_id(), 1);
        table.continue_after(5);
        assert_eq!(table.next_id(), 6);
        let mut all: Vec<_> = table.drain().collect();
        all.sort_unstable();
        assert_eq!(all, [6, 10, 266]);
        assert_eq!((table.len(), table.get(5)), (0, None));
        assert_eq!(table.push(1), 7);
    }
}
