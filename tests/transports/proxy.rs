//! The PROXY protocol, with the test as the proxy.

use crate::common::broker::{Broker, Setup};
use crate::common::oracle_differs;
use crate::common::process::run;
use crate::common::raw::{Connect, Raw};
use crate::websocket::{BINARY, Socket, frame};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn broker(lines: &str) -> Broker {
    Broker::start(&format!(
        "listener {{port}}\nallow_anonymous true\n{lines}\n"
    ))
}

/// A header of version 2 with command and family, addresses and TLVs.
fn v2(command: u8, family: u8, addresses: &[u8], tlvs: &[u8]) -> Vec<u8> {
    let length = (addresses.len() + tlvs.len()) as u16;
    [
        SIGNATURE,
        &[0x20 | command, family],
        &length.to_be_bytes(),
        addresses,
        tlvs,
    ]
    .concat()
}

/// From 192.0.2.5 port 6275 to 192.0.2.1 port 1883.
const IPV4: [u8; 12] = [192, 0, 2, 5, 192, 0, 2, 1, 0x18, 0x83, 0x07, 0x5B];

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind], &(value.len() as u16).to_be_bytes()[..], value].concat()
}

/// The facts of TLS: flags of the client, whether its certificate was found
/// valid, and further facts.
fn tls(client: u8, verdict: u32, facts: &[&[u8]]) -> Vec<u8> {
    tlv(
        0x20,
        &[&[client], &verdict.to_be_bytes()[..], &facts.concat()].concat(),
    )
}

/// Connects behind a header, and expects to be served.
fn served(broker: &Broker, header: &[u8], id: &str) {
    let mut raw = Raw::open(broker.port);
    raw.send(&[header, &Connect::new(id).bytes()].concat());
    raw.expect(&[0x20, 2, 0, 0]);
}

#[track_caller]
fn rejected(broker: &Broker, bytes: &[u8], line: &str) {
    let mut raw = Raw::open(broker.port);
    raw.send(bytes);
    raw.expect_end();
    broker.process().stderr.wait_for(line);
}

#[track_caller]
fn logged(broker: &Broker, address: &str, id: &str) {
    let line = format!("New client connected from {address} as {id} ");
    broker.process().stderr.wait_for(&line);
}

#[test]
fn version_1_tells_the_address() {
    if oracle_differs("version 2.0 has no PROXY protocol") {
        return;
    }
    let broker = broker("enable_proxy_protocol 1");
    served(
        &broker,
        b"PROXY TCP4 192.0.2.5 192.0.2.1 6275 1883\r\n",
        "four",
    );
    logged(&broker, "192.0.2.5:6275", "four");
    served(
        &broker,
        b"PROXY TCP6 2001:db8::5 2001:db8::1 6276 1883\r\n",
        "six",
    );
    logged(&broker, "[2001:db8::5]:6276", "six");
    // A proxy that doesn't know: the address stays its own.
    served(&broker, b"PROXY UNKNOWN\r\n", "unknown");
    broker.process().stderr.wait_for(" as unknown ");
    let log = broker.log();
    let line = log.lines().find(|line| line.contains(" as unknown "));
    assert!(
        line.is_some_and(|line| line.contains("from 127.0.0.1:")),
        "{log}"
    );
    for wrong in [
        &b"PROXY TCP4 192.0.2.5\r\n"[..],
        b"PROXY TCP4 192.0.2.500 192.0.2.1 6275 1883\r\n",
        &[b'P', b'R', b'O', b'X', b'Y', b' '].repeat(30),
    ] {
        rejected(&broker, wrong, "corrupt PROXY header");
    }
    rejected(&broker, &v2(1, 0x11, &IPV4, &[]), "no PROXY header");
}

#[test]
fn version_2_tells_the_address() {
    if oracle_differs("version 2.0 has no PROXY protocol") {
        return;
    }
    let broker = broker("enable_proxy_protocol 2");
    served(&broker, &v2(1, 0x11, &IPV4, &[]), "four");
    logged(&broker, "192.0.2.5:6275", "four");
    let mut six = [0; 36];
    six[..2].copy_from_slice(&[0x20, 0x01]);
    six[15] = 5;
    six[32..34].copy_from_slice(&6276u16.to_be_bytes());
    served(&broker, &v2(1, 0x21, &six, &tlv(0x04, b"padding")), "six");
    logged(&broker, "[2001::5]:6276", "six");
    let mut unix = [0; 216];
    unix[..9].copy_from_slice(b"/run/side");
    served(&broker, &v2(1, 0x31, &unix, &[]), "unix");
    logged(&broker, "/run/side:0", "unix");
    // The proxy looks whether we are well.
    served(&broker, &v2(0, 0, &[], &[]), "check");
    for wrong in [
        v2(7, 0x11, &IPV4, &[]),
        v2(1, 0x11, &IPV4[..8], &[]),
        v2(1, 0x11, &IPV4, &[1]),
    ] {
        rejected(&broker, &wrong, "corrupt PROXY header");
    }
    rejected(&broker, b"PROXY UNKNOWN\r\n", "no PROXY header");
}

#[test]
fn who_brings_no_header_stays_out() {
    if oracle_differs("version 2.0 has no PROXY protocol") {
        return;
    }
    for version in ["1", "2"] {
        let broker = broker(&format!("enable_proxy_protocol {version}"));
        rejected(
            &broker,
            &Connect::new("direct").bytes(),
            "rejected, no PROXY header.",
        );
    }
}

/// A header that comes byte by byte, and the packet with it.
#[test]
fn a_header_may_come_in_pieces() {
    if oracle_differs("version 2.0 has no PROXY protocol") {
        return;
    }
    for (version, header) in [
        (
            "1",
            b"PROXY TCP4 192.0.2.5 192.0.2.1 6275 1883\r\n".to_vec(),
        ),
        ("2", v2(1, 0x11, &IPV4, &tlv(0x04, &[0; 50]))),
    ] {
        let broker = broker(&format!("enable_proxy_protocol {version}"));
        let mut raw = Raw::open(broker.port);
        for byte in [header, Connect::new("slow").bytes()].concat() {
            raw.send(&[byte]);
        }
        raw.expect(&[0x20, 2, 0, 0]);
        logged(&broker, "192.0.2.5:6275", "slow");
    }
}

#[test]
fn tls_on_the_way_to_the_proxy_may_be_asked_for() {
    if oracle_differs("version 2.0 has no PROXY protocol") {
        return;
    }
    let broker = broker("enable_proxy_protocol 2\nproxy_protocol_v2_require_tls true");
    let facts = [tlv(0x21, b"TLSv1.3"), tlv(0x23, b"TLS_AES_256_GCM_SHA384")].concat();
    served(&broker, &v2(1, 0x11, &IPV4, &tls(1, 1, &[&facts])), "safe");
    let line = "Connection from 192.0.2.5:6275 negotiated TLSv1.3 cipher TLS_AES_256_GCM_SHA384";
    broker.process().stderr.wait_for(line);
    let why = "Connection from 192.0.2.5:6275 rejected, client did not connect using TLS.";
    rejected(&broker, &v2(1, 0x11, &IPV4, &[]), why);
    rejected(&broker, &v2(1, 0x11, &IPV4, &tls(0, 1, &[])), why);
    let torn = tlv(0x20, &[1, 0, 0, 0, 0, 0x21, 0, 9, b'T']);
    rejected(&broker, &v2(1, 0x11, &IPV4, &torn), "corrupt PROXY header");
}

#[test]
fn websocket_may_follow() {
    if oracle_differs("version 2.0 has no PROXY protocol") {
        return;
    }
    let broker = broker("enable_proxy_protocol 2\nprotocol websockets");
    let mut socket = Socket::open(broker.port);
    socket.send(&v2(1, 0x11, &IPV4, &[]));
    let head = socket.ask(&Socket::request(&["Sec-WebSocket-Protocol: mqtt"]));
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    socket.send(&frame(BINARY, &Connect::new("both").bytes()));
    socket.expect(BINARY, &[0x20, 2, 0, 0]);
    logged(&broker, "192.0.2.5:6275", "both");
}

/// Certificates that the proxy has looked at.
#[test]
fn the_proxy_may_tell_who_the_client_is() {
    if oracle_differs("version 2.0 has no PROXY protocol") {
        return;
    }
    let broker =
        broker("enable_proxy_protocol 2\nrequire_certificate true\nuse_identity_as_username true");
    let name = tlv(0x22, b"pump 7");
    served(
        &broker,
        &v2(1, 0x11, &IPV4, &tls(1 | 2, 0, &[&name])),
        "own",
    );
    broker.process().stderr.wait_for("u'pump 7'");
    // The session was resumed: the certificate was shown before.
    served(
        &broker,
        &v2(1, 0x11, &IPV4, &tls(1 | 4, 0, &[&name])),
        "again",
    );
    let why = "rejected, client did not provide a certificate.";
    for tlvs in [
        tls(1, 0, &[&name]),
        tls(1 | 2, 1, &[&name]),
        tls(2, 0, &[&name]),
        Vec::new(),
    ] {
        let before = broker.log().matches(why).count();
        let mut raw = Raw::open(broker.port);
        raw.send(&[v2(1, 0x11, &IPV4, &tlvs), Connect::new("x").bytes()].concat());
        raw.expect_end();
        let stderr = &broker.process().stderr;
        stderr.wait_until(|log| log.matches(why).count() > before);
    }
    // A certificate without a name.
    let mut raw = Raw::open(broker.port);
    let nameless = v2(1, 0x11, &IPV4, &tls(1 | 2, 0, &[]));
    raw.send(&[nameless, Connect::new("nobody").bytes()].concat());
    raw.expect(&[0x20, 2, 0, 5]);
}

#[test]
fn what_a_proxy_cannot_tell_is_refused() {
    if oracle_differs("version 2.0 has no PROXY protocol") {
        return;
    }
    for (lines, why) in [
        (
            "enable_proxy_protocol 2\nuse_subject_as_username true",
            "use_identity_as_username",
        ),
        (
            "enable_proxy_protocol 1\nrequire_certificate true",
            "certfile",
        ),
    ] {
        let setup = Setup::new();
        let conf = format!("listener {{port}}\n{lines}\n");
        let done = run(&mut setup.command(&conf)).expect_code(3);
        assert!(done.stderr.contains(why), "{done}");
    }
}
