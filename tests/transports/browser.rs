//! Pages in a real browser, as courses have them: Chromium with Paho's
//! JavaScript client and with mqtt.js.

use crate::common::broker::{Broker, Setup, free_port};
use crate::common::clients::{Subscriber, publish};
use crate::common::oracle_differs;
use crate::common::peers::Peer;
use crate::common::process::{Finished, Process};
use std::time::Duration;

/// A browser that starts on a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(120);

/// The page of one library.
struct Page {
    process: Process,
    origin: String,
    _profile: tempfile::TempDir,
}

impl Page {
    fn new(library: &str, port: u16) -> Option<Self> {
        if !Peer::Browser.present_for(&format!("a page in a browser with {library}")) {
            return None;
        }
        let profile = tempfile::tempdir().expect("a directory");
        let mut command = Peer::browse(profile.path());
        command.args([&port.to_string(), library]);
        let process = Process::spawn(&mut command);
        let origin = process.stdout.line_within(PATIENCE);
        Some(Self {
            process,
            origin,
            _profile: profile,
        })
    }

    fn open(&mut self) {
        self.process.write("\n");
    }

    fn report(self) -> Finished {
        self.process.finish_within(PATIENCE)
    }
}

fn start(port: u16, lines: &str) -> Broker {
    Setup::new().start(&format!(
        "allow_anonymous true\nlistener {port}\nprotocol websockets\n{lines}\nlistener {{port}}\n"
    ))
}

fn play(library: &str) {
    if oracle_differs("version 2.0 has no `websockets_origin`") {
        return;
    }
    let port = free_port();
    let Some(mut page) = Page::new(library, port) else {
        return;
    };
    let broker = start(port, &format!("websockets_origin {}", page.origin));
    let witness = Subscriber::start(
        &broker,
        &["-v", "-t", "maison/salon/#", "-t", "maison/prêt"],
    );
    page.open();
    let line = || witness.process.stdout.line_within(PATIENCE);
    assert_eq!(line(), "maison/salon/température 21,5 °C");
    assert_eq!(line(), "maison/prêt oui");
    // At QoS 2, behind the others that the page has not released yet.
    publish(&broker, &["-q", "2", "-t", "maison/fin", "-m", "tschüss"]);
    let report = page.report().expect_code(0);
    let lines: Vec<_> = report.stdout.lines().skip(1).collect();
    let expected = [
        "maison/salon/température 21,5 °C",
        "maison/grand 150000 times é",
        "maison/prêt oui",
        "maison/fin tschüss",
    ];
    assert_eq!(lines, expected, "{report}");
}

#[test]
fn a_page_with_paho() {
    play("paho");
}

#[test]
fn a_page_with_mqttjs() {
    play("mqttjs");
}

#[test]
fn a_page_from_elsewhere_stays_out() {
    if oracle_differs("version 2.0 has no `websockets_origin`") {
        return;
    }
    let port = free_port();
    let Some(mut page) = Page::new("paho", port) else {
        return;
    };
    let broker = start(port, "websockets_origin http://elsewhere.example");
    page.open();
    let origin = page.origin.clone();
    let report = page.report().expect_code(0);
    assert!(report.stdout.contains("refused: "), "{report}");
    let line = format!("Pages of {origin} may not connect");
    broker.process().stderr.wait_for(&line);
}
