//! The bodies of the fuzz targets. Each takes any bytes and panics where
//! something is wrong. `tests/fuzz_corpus` includes this file and runs the
//! bodies over the corpus, so it uses nothing but the crate itself.

mod codec;
mod machine;
mod text;
mod topics;

pub use codec::{connect, decode};
pub use machine::machine;
pub use text::{acl, config, passwords};
pub use topics::topics;
