//! Every feature and property of MQTT 5, end to end: the real broker with
//! clients that we did not write.

#[path = "../common/mod.rs"]
mod common;

mod rumqttc;
mod stage;

mod expiry;
mod identifiers;
mod limits;
mod properties;
mod queues;
mod reasons;
mod sessions;
mod shared;
mod subscriptions;
mod tools;
mod wills;
