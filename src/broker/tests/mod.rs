//! Tests of the core, a theme a file, through [`harness`]: real bytes in, real
//! bytes out, time as the test tells it.

mod bridge;
mod connect;
mod crashes;
mod durable;
mod flows;
mod forwarding;
mod harness;
mod limits;
mod memory;
mod mounts;
mod origin;
mod pressure;
mod reload;
mod restart;
mod retained;
mod rights;
mod runs;
mod sessions;
mod shared;
mod simulation;
mod subscriptions;
mod wills;
