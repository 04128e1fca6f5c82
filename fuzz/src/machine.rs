//! A byte stream into the whole state machine: several connections on one
//! core, with virtual time and a small copy of what the server's shell does.
//!
//! The first two bytes choose the settings. Then each step begins with a byte:
//! two bits for the connection, three for what happens, three flags.

mod judge;
mod recipe;
mod shell;

use std::sync::Arc;

use moustique::auth::Acl;
use moustique::broker::{Policy, Settings};
use moustique::config::LogTypes;
use shell::Shell;

/// Plays the steps twice: the same events must have the same effects.
pub fn machine(data: &[u8]) {
    let first = play(data);
    let second = play(data);
    assert!(first == second, "the core is not deterministic");
}

struct Steps<'a>(&'a [u8]);

impl Iterator for Steps<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }
}

impl<'a> Steps<'a> {
    fn take_up_to(&mut self, count: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        head
    }
}

/// Returns everything that could be seen from outside.
fn play(data: &[u8]) -> Vec<u8> {
    let mut steps = Steps(data);
    let (settings, policy) = settings(
        steps.next().unwrap_or_default(),
        steps.next().unwrap_or_default(),
    );
    let mut shell = Shell::new(settings, policy);
    while let Some(step) = steps.next() {
        let line = usize::from(step & 3);
        let flags = step >> 5;
        match step >> 2 & 7 {
            0..=2 => {
                let code = [0; 3].map(|_: u8| steps.next().unwrap_or_default());
                let mut packet = recipe::packet(shell.version(line), code);
                if flags & 4 != 0 {
                    let at = usize::from(steps.next().unwrap_or_default()) % packet.len();
                    packet[at] = steps.next().unwrap_or_default();
                }
                let (last, head) = packet.split_last().unwrap_or((&0, &[]));
                shell.append(line, head);
                if flags & 2 != 0 {
                    shell.feed(line);
                }
                shell.append(line, &[*last]);
                if flags & 1 == 0 {
                    shell.feed(line);
                }
            }
            3 => {
                let count = usize::from(steps.next().unwrap_or_default());
                shell.append(line, steps.take_up_to(count));
                if flags & 1 == 0 {
                    shell.feed(line);
                }
            }
            4 => {
                // From a millisecond to some days, and odd instants between.
                let step = steps.next().unwrap_or_default();
                let odd = u64::from(step >> 5) * 333;
                shell.wait((1 << (step & 31)) + odd);
            }
            5 => shell.cut(line, flags & 1 != 0),
            6 => shell.block(line),
            _ => {
                let code = [0; 3].map(|_: u8| steps.next().unwrap_or_default());
                let packet = recipe::packet(shell.version(line), code);
                for _ in 0..=flags * 4 {
                    shell.append(line, &packet);
                }
                shell.feed(line);
            }
        }
        shell.settle();
    }
    shell.finish()
}

const RIGHTS: &[u8] = b"topic readwrite a/#\ntopic read $SYS/#\nuser u\ntopic deny a/c\n\
topic readwrite #\npattern write %c/x\n";

fn settings(first: u8, second: u8) -> (Settings, Policy) {
    let bit = |byte: u8, index: u8| byte >> index & 1 != 0;
    let mut settings = Settings {
        log: LogTypes::default(),
        max_inflight_messages: if bit(first, 0) { 2 } else { 20 },
        max_queued_messages: if bit(first, 1) { 3 } else { 1000 },
        queue_qos0_messages: bit(first, 2),
        upgrade_outgoing_qos: bit(first, 3),
        max_packet_size: if bit(first, 4) { 200 } else { 2_000_000 },
        message_size_limit: if bit(first, 5) { 100 } else { u32::MAX },
        allow_duplicate_messages: !bit(first, 6),
        retain_available: !bit(first, 7),
        ..Settings::default()
    };
    if bit(second, 0) {
        settings.max_keep_alive = 5;
    }
    if bit(second, 1) {
        settings.max_session_expiry = 20_000;
        settings.retain_expiry_interval = Some(5_000);
    }
    if bit(second, 2) {
        settings.max_queued_bytes = 1000;
    }
    if bit(second, 3) {
        settings.max_connections = 2;
    }
    // The figures are by far the slowest part, so they are there seldom.
    if !bit(second, 4) || bit(second, 5) || bit(second, 6) {
        settings.sys_interval = 0;
    }
    let mut policy = Policy::default();
    if bit(second, 0) {
        policy.max_topic_alias_broker = 2;
    }
    if bit(second, 5) {
        policy.acl = Some(Arc::new(Acl::parse(RIGHTS, "rights").expect("an ACL")));
    }
    if bit(second, 6) {
        policy.max_qos = 1;
        policy.max_topic_alias = 2;
    }
    if bit(second, 7) {
        policy.allow_zero_length_client_id = false;
        policy.use_username_as_client_id = bit(first, 0);
    }
    (settings, policy)
}
