//! What a listener's connections need to know, in one piece that a reload
//! exchanges.

use std::sync::Arc;

use parking_lot::RwLock;

use super::connection::Door;

/// The way in through one listener: the door that stands there now.
#[derive(Debug)]
pub(super) struct Entrance(RwLock<Arc<Door>>);

impl Entrance {
    pub(super) fn new(door: Door) -> Self {
        Self(RwLock::new(Arc::new(door)))
    }

    /// The door of this moment. A connection asks when it begins, and again
    /// when its credentials are checked: they may have changed meanwhile.
    pub(super) fn door(&self) -> Arc<Door> {
        Arc::clone(&self.0.read())
    }

    /// Whether `door` stands there still.
    pub(super) fn has(&self, door: &Arc<Door>) -> bool {
        Arc::ptr_eq(&self.0.read(), door)
    }

    /// Sets another door in; gives the old one.
    pub(super) fn exchange(&self, door: Arc<Door>) -> Arc<Door> {
        std::mem::replace(&mut *self.0.write(), door)
    }
}
