//! The broker among clients that are broken, slow, rude or simply too many.
//!
//! Every wait is for an event; bounds on memory are generous, because they are
//! to tell a limit from none.

#[path = "../common/mod.rs"]
mod common;

mod crowds;
mod garbage;
mod passwords;
mod pieces;
mod process;
mod stalled;
mod support;
mod topics;
