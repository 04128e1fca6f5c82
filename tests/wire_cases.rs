//! Plays the packet-sequence cases of `../shared/wire-cases` against the broker.
//!
//! The files lie beside the repository, not in it: `MOUSTIQUE_WIRE_CASES` names
//! another folder, and where there is none the test says that it was skipped.
//! `MOUSTIQUE_WIRE_CASE=text` plays only cases whose name contains the text.

#[path = "common/mod.rs"]
mod common;

use common::broker::Broker;
use common::raw::{Connect, Raw, packet, publish, publish_qos, text};
use common::{oracle, peers};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// How long an answer may take. Only a failing case waits that long.
const ANSWER: Duration = Duration::from_secs(1);

#[test]
fn every_case_is_answered_as_it_says() {
    let Some(folder) = folder() else {
        peers::tell("left out: the wire cases, there is no folder ../shared/wire-cases");
        return;
    };
    // One broker for each file: cases share topics, so those of one broker are
    // played one after the other.
    let players: Vec<_> = tables(&folder)
        .into_iter()
        .map(|file| thread::spawn(move || play_file(&file)))
        .collect();
    let mut played = 0;
    let mut failures = Vec::new();
    for player in players {
        let (count, failed) = player.join().expect("a file that can be played");
        played += count;
        failures.extend(failed);
    }
    assert!(played > 0, "no case in {}", folder.display());
    let summary = format!("{} of {played} wire cases failed", failures.len());
    if oracle() {
        // The set was made for Mosquitto 2.1; 2.0 answers some otherwise.
        peers::tell(&format!("{}\n{summary}", failures.join("\n")));
        return;
    }
    assert!(failures.is_empty(), "{}\n{summary}", failures.join("\n"));
}

fn folder() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/wire-cases");
    let named = std::env::var_os("MOUSTIQUE_WIRE_CASES").map(PathBuf::from);
    let folder = named.unwrap_or_else(beside);
    folder.is_dir().then_some(folder)
}

fn tables(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder of the cases")
        .map(|entry| entry.expect("a file of cases").path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "json"))
        .collect();
    files.sort();
    files
}

/// Plays one file; returns the number of cases and what failed.
fn play_file(file: &Path) -> (usize, Vec<String>) {
    let broker = Broker::open();
    let json = std::fs::read(file).expect("reading the cases");
    let groups: Value = serde_json::from_slice(&json).expect("cases in JSON");
    let only = std::env::var("MOUSTIQUE_WIRE_CASE").unwrap_or_default();
    let (mut played, mut failures) = (0, Vec::new());
    for group in list(&groups) {
        for test in list(&group["tests"]) {
            let name = string(&test["name"]);
            let case = Case { group, test };
            if case.flag("disable", false) || !name.contains(&only) {
                continue;
            }
            played += 1;
            if let Err(why) = case.play(broker.port) {
                failures.push(format!("{} / {name}: {why}", string(&group["group"])));
            }
        }
    }
    (played, failures)
}

/// One case, with its group's settings behind its own.
struct Case<'a> {
    group: &'a Value,
    test: &'a Value,
}

impl Case<'_> {
    fn setting(&self, name: &str) -> Option<&Value> {
        self.test.get(name).or_else(|| self.group.get(name))
    }

    fn flag(&self, name: &str, default: bool) -> bool {
        self.setting(name)
            .map_or(default, |value| value.as_bool().expect("true or false"))
    }

    fn version(&self) -> u8 {
        self.setting("ver")
            .map_or(4, |version| number(version) as u8)
    }

    fn play(&self, port: u16) -> Result<(), String> {
        let mut connection = Raw::open(port);
        if self.flag("connect", true) {
            let connect = Connect {
                version: self.version(),
                ..Connect::new(string(&self.test["name"]))
            };
            connection.send(&connect.bytes());
            let answer = answer(&mut connection).map_err(|why| format!("CONNECT: {why}"))?;
            if answer[0] != 0x20 || answer[3] != 0 {
                return Err(format!("CONNECT: refused with {}", hex(&answer)));
            }
        }
        for (index, step) in list(&self.test["msgs"]).iter().enumerate() {
            let kind = string(&step["type"]);
            self.step(kind, step, &mut connection, port)
                .map_err(|why| format!("step {} ({kind}): {why}", index + 1))?;
        }
        self.end(connection)
    }

    fn step(
        &self,
        kind: &str,
        step: &Value,
        connection: &mut Raw,
        port: u16,
    ) -> Result<(), String> {
        match kind {
            "send" => connection
                .try_send(&bytes(string(&step["payload"])))
                .map_err(|error| error.to_string()),
            "recv" => {
                let expected = bytes(string(&step["payload"]));
                let got = connection.take(expected.len(), ANSWER);
                if got == expected {
                    return Ok(());
                }
                Err(format!("expected {}, got {}", hex(&expected), hex(&got)))
            }
            "external_publish" => {
                external_publish(step, port);
                Ok(())
            }
            "subscribe" => {
                let qos = step["qos"].as_u64().unwrap_or(0) as u8;
                let topic = text(string(&step["topic"]));
                self.request(connection, 0x82, &[&topic, &[qos]], &[qos])
            }
            "unsubscribe" => {
                let topic = text(string(&step["topic"]));
                let granted: &[u8] = if self.version() == 5 { &[0] } else { &[] };
                self.request(connection, 0xa2, &[&topic], granted)
            }
            other => Err(format!("no such kind of step: {other}")),
        }
    }

    /// SUBSCRIBE or UNSUBSCRIBE; the answer's type follows the question's.
    fn request(
        &self,
        connection: &mut Raw,
        first: u8,
        parts: &[&[u8]],
        granted: &[u8],
    ) -> Result<(), String> {
        let no_properties: &[u8] = if self.version() == 5 { &[0] } else { &[] };
        let question = [&[&[0, 1], no_properties], parts].concat();
        connection.send(&packet(first, &question));
        let expected = packet((first & 0xf0) + 0x10, &[&[0, 1], no_properties, granted]);
        let got = answer(connection)?;
        if got != expected {
            return Err(format!("expected {}, got {}", hex(&expected), hex(&got)));
        }
        Ok(())
    }

    fn end(&self, mut connection: Raw) -> Result<(), String> {
        if self.flag("expect_disconnect", true) {
            return match connection.packet_or_end(ANSWER) {
                Ok(None) => Ok(()),
                Ok(Some(packet)) => Err(format!("end: expected none, got {}", hex(&packet))),
                Err(_) => Err("end: the broker does not close".to_owned()),
            };
        }
        connection
            .try_send(&[0xc0, 0])
            .map_err(|error| format!("end: PINGREQ: {error}"))?;
        let got = connection.take(2, ANSWER);
        if got != [0xd0, 0] {
            return Err(format!(
                "end: expected d0 00 for PINGREQ, got {}",
                hex(&got)
            ));
        }
        // The next case must not meet this one's subscriptions.
        let _ = connection.try_send(&[0xe0, 0]);
        let _ = connection.packet_or_end(ANSWER);
        Ok(())
    }
}

fn answer(connection: &mut Raw) -> Result<Vec<u8>, String> {
    match connection.packet_or_end(ANSWER) {
        Ok(Some(packet)) => Ok(packet),
        Ok(None) => Err("the broker closed".to_owned()),
        Err(_) => Err("no answer".to_owned()),
    }
}

/// Another client publishes, and is done when the broker has taken it.
fn external_publish(step: &Value, port: u16) {
    let qos = step["qos"].as_u64().unwrap_or(0) as u8;
    let retain = step["retain"].as_bool().unwrap_or(false);
    let (topic, payload) = (string(&step["topic"]), string(&step["payload"]));
    let (mut other, _) = Raw::client(port, &Connect::new("external publisher"));
    if qos == 0 {
        other.send(&publish(topic, payload, retain));
    } else {
        let mut bytes = publish_qos(topic, payload, qos, 1);
        bytes[0] |= u8::from(retain);
        other.send(&bytes);
        other.expect(&[if qos == 1 { 0x40 } else { 0x50 }, 2, 0, 1]);
    }
    if qos == 2 {
        other.send(&[0x62, 2, 0, 1]);
        other.expect(&[0x70, 2, 0, 1]);
    }
    other.send(&[0xe0, 0]);
    other.expect_end();
}

/// The bytes that a list of tokens stands for; see the README of the cases.
fn bytes(tokens: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = tokens.trim_start();
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('\'') {
            let (text, after) = quoted.split_once('\'').expect("a closing quote");
            bytes.extend_from_slice(text.as_bytes());
            rest = after.trim_start();
            continue;
        }
        let end = rest.find(' ').unwrap_or(rest.len());
        token(&rest[..end], &mut bytes);
        rest = rest[end..].trim_start();
    }
    bytes
}

fn token(token: &str, bytes: &mut Vec<u8>) {
    let value = || -> u32 { token[1..].parse().unwrap_or_else(|_| panic!("{token:?}")) };
    match token.as_bytes()[0] {
        b'i' => bytes.push(value() as u8),
        b'H' | b'k' | b'm' | b's' => {
            bytes.extend((value() as u16).to_be_bytes());
        }
        b'L' => bytes.extend(value().to_be_bytes()),
        b'v' | b'r' => var_int(value(), bytes),
        _ => {
            assert!(token.len().is_multiple_of(2), "{token:?}");
            for index in (0..token.len()).step_by(2) {
                let digits = &token[index..index + 2];
                bytes.push(u8::from_str_radix(digits, 16).expect("hex digits"));
            }
        }
    }
}

/// Values beyond the legal maximum are written too, with a fifth byte.
fn var_int(mut value: u32, bytes: &mut Vec<u8>) {
    while value >= 128 {
        bytes.push((value % 128) as u8 | 0x80);
        value /= 128;
    }
    bytes.push(value as u8);
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn string(value: &Value) -> &str {
    value.as_str().expect("a text in the table")
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number in the table")
}

fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "nothing".to_owned();
    }
    let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(" ")
}
