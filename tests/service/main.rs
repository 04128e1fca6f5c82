//! The broker as a service: reload, signals, systemd, logs, `$SYS`,
//! environment.

#[path = "../common/mod.rs"]
mod common;

mod environment;
mod logs;
mod manager;
mod reload;
mod signals;
mod sys;
