//! The broker's command line and configuration file.

#[path = "../common/mod.rs"]
mod common;

mod check;
mod courses;
mod daemon;
mod limits;
mod listeners;
mod logs;
mod mistakes;
mod mounts;
