//! The durable store: what an acknowledgement promised, on disk.
//!
//! The caller turns what changes into [`Record`]s and hands them over in
//! batches. A batch is kept as a whole or not at all, and batches are kept in
//! their order. [`Store::commit`] gives a batch to the operating system (it
//! survives the end of the process, however sudden), [`Store::sync`] brings all
//! that was committed to the disk (it survives the loss of power).
//!
//! Queues stay on disk: a start reads the sessions, what is in flight and the
//! retained messages; of a queue it learns only how long it is, and
//! [`Store::read_queue`] reads it as it drains.
//!
//! | file | concept |
//! |---|---|
//! | `record.rs` | what is kept, in the broker's terms |
//! | `disk.rs` | the store on disk, over an embedded engine; `disk/reading.rs` reads it back |
//! | `changes.rs` | a batch of records as changes of keys and values |
//! | `keys.rs`, `encoding.rs` | the form of keys and of values |
//! | `opening.rs` | opening, and what happens to damaged files |
//! | `journal.rs` | a look at the engine's journal before it is opened |
//! | `memory.rs` | a store that simulates crashes, for tests of its callers |
//! | `import.rs` | Mosquitto's `mosquitto.db` as records |
//! | `error.rs` | what can go wrong, with the remedy |
//!
//! Times are milliseconds of the wall clock since 1970 (UTC).

mod changes;
mod disk;
mod encoding;
mod error;
pub mod import;
mod journal;
mod keys;
mod memory;
mod opening;
mod record;
#[cfg(test)]
mod tests;

pub use disk::Disk;
pub use error::{ErrorKind, StoreError};
pub use memory::Memory;
pub use opening::{Opened, free_space, open};
pub use record::{
    Delivery, Portion, Publication, QueueLength, Queued, Record, Recovered, RecoveredSession,
    Session, Stage, Subscription, WallMillis, Will,
};

/// A place where records outlive the process.
pub trait Store: Send {
    /// Keeps a batch of records, as a whole or not at all. When this returns,
    /// they survive the end of the process, but not yet the loss of power.
    ///
    /// # Errors
    /// Nothing of the batch may be counted on, nor any later commit: drop the
    /// store, open it anew and go on from what it recovers.
    fn commit(&mut self, batch: &[Record]) -> Result<(), StoreError>;

    /// Brings all that was committed to the disk.
    ///
    /// # Errors
    /// As those of [`commit`](Self::commit), for all that was not synced.
    fn sync(&mut self) -> Result<(), StoreError>;

    /// All but the queues.
    ///
    /// # Errors
    /// The store cannot be read.
    fn recover(&mut self) -> Result<Recovered, StoreError>;

    /// The deliveries of a session from a sequence number on, in their order,
    /// those in flight included.
    ///
    /// # Errors
    /// The store cannot be read.
    fn read_queue(
        &mut self,
        session: u64,
        from: u64,
        portion: Portion,
    ) -> Result<Vec<Queued>, StoreError>;

    /// Does a portion of what was put off (the queues of sessions that ended
    /// are removed bit by bit). True: there is more.
    ///
    /// # Errors
    /// As those of [`commit`](Self::commit).
    fn tidy(&mut self) -> Result<bool, StoreError>;

    /// Gives back all space that can be given back. Takes its time.
    ///
    /// # Errors
    /// The engine failed.
    fn compact(&mut self) -> Result<(), StoreError>;

    /// Bytes on disk.
    fn size_on_disk(&self) -> u64;
}
