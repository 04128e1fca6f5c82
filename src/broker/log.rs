//! The log lines of the core: they are effects like any other.

/// The kind of a log line; the names are those of `log_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Something failed.
    Error = 0,
    /// Something is not as it should be.
    Warning = 1,
    /// Somebody may want to know.
    Notice = 2,
    /// What goes on.
    Information = 3,
    /// Each packet.
    Debug = 4,
    /// Each subscription.
    Subscribe = 5,
    /// Each subscription that ends.
    Unsubscribe = 6,
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    /// All kinds.
    pub const ALL: Self = Self(0x7F);
    /// No kind.
    pub const NONE: Self = Self(0);

    /// This set with `kind` in it.
    pub const fn with(self, kind: Kind) -> Self {
        Self(self.0 | 1 << kind as u8)
    }

    /// Whether `kind` is in the set.
    pub const fn contains(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }
}

impl Default for Kinds {
    /// Error, warning, notice and information, as in Mosquitto.
    fn default() -> Self {
        Self(0x0F)
    }
}
