//! Rights, as the core asks for them.

use std::fmt::Debug;

/// What a client wants to do with a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Receive a message.
    Read,
    /// Publish a message.
    Write,
}

/// Decides about rights. Asked on the path of every message, so an answer has
/// to come at once.
pub trait AccessControl: Debug + Send + Sync {
    /// Whether the client may do that.
    fn allows(&self, client_id: &str, username: Option<&str>, access: Access, topic: &str) -> bool;
}
