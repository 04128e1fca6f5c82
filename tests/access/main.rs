//! Access control from outside: the rules as Mosquitto has them, denials that
//! explain themselves, files that the wrong people can read.

#[path = "../common/mod.rs"]
mod common;

mod check_acl;
mod denials;
mod files;
mod rules;
