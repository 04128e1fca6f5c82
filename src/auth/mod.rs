//! Who may enter, and what they may read and write: password hashes and
//! password files, access control lists and the explanation of each answer.
//!
//! This room only decides. It opens the files that it is told to open and
//! knows nothing of connections or packets; hashing a password takes
//! milliseconds on purpose, so callers keep it away from their event loop.

pub mod acl;
mod acl_parse;
pub mod cli;
pub mod groups;
pub mod hash;
pub mod method;
pub mod passwd_edit;
pub mod passwd_file;
pub mod permissions;
pub mod problem;
mod prompt;
mod psk_file;
mod replace;
mod rules;

pub use acl::{Access, Acl, Client, Decision, Reason, RuleRef};
pub use hash::{Algorithm, HashError, PasswordHash};
pub use method::{Exchange, Method, Step};
pub use passwd_file::{PasswordFile, Verdict};
pub use problem::{LoadError, Problem};
pub use psk_file::{PskFile, psk_key};
