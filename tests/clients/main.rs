//! `mqtt-pub`, `mqtt-sub` and `mqtt-rr` as programs: the same commands through
//! Mosquitto's clients give the same output, errors and exit codes; and what
//! ours do better.

#[path = "../common/mod.rs"]
mod common;

mod differences;
mod kinder;
mod lines;
mod reach;
mod restart;
mod scripted;
mod terminal;
mod usage;
