//! Short lives of connections, for `machine`.

use super::Seed;

/// Settings and steps.
type Life = (&'static str, [u8; 2], Vec<Vec<u8>>);

/// SUBSCRIBE or UNSUBSCRIBE of MQTT 5 with more filters than the answer to a
/// client that takes 30 bytes may have codes.
fn many_filters(first: u8, each: usize) -> Vec<u8> {
    let filters = [0, 2, b'a', b'/', 0][..each].repeat(140 / each);
    let head = [first, filters.len() as u8 + 3, 1, 0, 1, 0];
    [&head[..1], &[head[1] | 0x80, 1], &head[3..], &filters].concat()
}

/// Steps in the form of `fuzz/src/machine.rs`: settings, then for each step a
/// byte (connection, what happens, flags) with what it needs.
pub(super) fn lives(seeds: &mut Vec<Seed>) {
    const SEND: u8 = 0;
    const RAW: u8 = 3 << 2;
    const WAIT: u8 = 4 << 2;
    const CUT: u8 = 5 << 2;
    const BLOCK: u8 = 6 << 2;
    const FLOOD: u8 = 7 << 2 | 0xE0;
    /// MQTT 5, 3.1.1 and 3.1; a session that stays.
    const CONNECT: [[u8; 3]; 3] = [[0, 0xA0, 0], [0, 0x01, 1], [0, 0x02, 2]];
    const ALL_QOS_2: [u8; 3] = [4, 7, 2];
    const PUBLISH_1: [u8; 3] = [1, 8, 0x41];
    const PUBLISH_2: [u8; 3] = [1, 16, 0x42];
    let send = |line: u8, code: [u8; 3]| vec![SEND | line, code[0], code[1], code[2]];
    let flood = |line: u8, code: [u8; 3]| vec![FLOOD | line, code[0], code[1], code[2]];
    let both = [send(0, CONNECT[0]), send(1, CONNECT[1])].concat();
    let subscribed = [both.clone(), send(1, ALL_QOS_2)].concat();
    let ack = |kind: u8, id: u8| [kind, 0, id - 1];
    let raw = |line: u8, bytes: &[u8]| [&[RAW | line, bytes.len() as u8], bytes].concat();
    let lives: [Life; 18] = [
        (
            "greetings",
            [0, 0],
            CONNECT.into_iter().map(|code| send(0, code)).collect(),
        ),
        (
            "qos-1",
            [0, 0],
            vec![subscribed.clone(), send(0, PUBLISH_1), send(1, ack(6, 1))],
        ),
        (
            "qos-2",
            [0, 0],
            vec![
                subscribed.clone(),
                send(0, PUBLISH_2),
                send(0, ack(8, 3)),
                send(1, ack(7, 1)),
                send(1, ack(9, 1)),
            ],
        ),
        (
            "resumed",
            [1, 0],
            vec![
                subscribed.clone(),
                flood(0, PUBLISH_1),
                vec![CUT | 1],
                send(1, CONNECT[1]),
                send(1, ack(6, 1)),
                send(1, ack(6, 2)),
            ],
        ),
        (
            "resumed-with-smaller-packets",
            [0, 0],
            vec![
                send(0, [0, 0xA0, 0]),
                send(0, ALL_QOS_2),
                send(0, [1, 8, 0xC1]),
                vec![CUT],
                send(0, [0, 0xA0, 0x0C]),
            ],
        ),
        (
            "long-answer",
            [0, 0],
            vec![
                send(0, [0, 0, 0x08]),
                raw(0, &many_filters(0x82, 5)),
                vec![CUT],
            ],
        ),
        (
            "long-answer-to-unsubscribe",
            [0, 0],
            vec![send(0, [0, 0, 0x08]), raw(0, &many_filters(0xA2, 4))],
        ),
        (
            "slow-reader",
            [0, 0],
            vec![
                subscribed.clone(),
                vec![BLOCK | 1],
                flood(0, [1, 0, 0xE1]),
                flood(0, [1, 0, 0xE1]),
                vec![WAIT, 7],
                flood(0, [1, 0, 0xE1]),
                vec![BLOCK | 1],
            ],
        ),
        (
            "taken-over",
            [0, 0],
            vec![
                send(0, [0, 0x28, 0]),
                send(1, [0, 0x20, 0]),
                send(2, [0, 0x25, 0]),
            ],
        ),
        (
            "will-delayed",
            [0, 0],
            vec![
                subscribed.clone(),
                send(2, [0xC0, 0x28, 2]),
                vec![CUT | 2, WAIT, 12, WAIT, 14],
            ],
        ),
        (
            "retained",
            [0, 2],
            vec![
                both.clone(),
                send(0, [0x11, 0x28, 0x27]),
                send(0, [1, 0x21, 0x20]),
                send(1, ALL_QOS_2),
                vec![WAIT, 13],
                send(1, ALL_QOS_2),
                send(0, [1, 0x21, 0]),
            ],
        ),
        (
            "shared",
            [0, 0],
            vec![
                both.clone(),
                send(0, [4, 4, 2]),
                send(1, [4, 4, 2]),
                flood(0, PUBLISH_2),
                vec![CUT | 1],
                send(1, [0, 5, 1]),
            ],
        ),
        (
            "aliases",
            [0, 1],
            vec![
                send(0, [0, 0x20, 0x30]),
                send(0, ALL_QOS_2),
                send(0, [14, 7, 0]),
                send(0, [0x4E, 7, 0]),
                send(0, [14, 0, 9]),
            ],
        ),
        (
            "rights",
            [0, 0x20],
            vec![
                subscribed.clone(),
                send(0, [1, 8, 1]),
                send(0, [1, 11, 1]),
                send(0, [1, 16 | 5, 1]),
            ],
        ),
        (
            "limits",
            [0xFF, 0x6F],
            vec![subscribed.clone(), flood(0, PUBLISH_1), flood(1, PUBLISH_2)],
        ),
        (
            "sys",
            [0, 0x10],
            vec![both.clone(), send(1, [4, 6, 0]), vec![WAIT, 15, WAIT, 20]],
        ),
        (
            "keep-alive",
            [0, 0],
            vec![
                send(0, [0, 0, 0x80]),
                vec![WAIT, 13],
                send(0, [10, 0, 0]),
                vec![WAIT, 14],
            ],
        ),
        (
            "raw",
            [0, 0],
            vec![
                raw(
                    0,
                    b"\x10\x0d\0\x04MQTT\x04\x02\0\x0a\0\x01c\x82\x06\0\x01\0\x01#\x01\x32\x06",
                ),
                raw(0, b"\0\x01a\0\x01x\xc0\0"),
                raw(0, b"\x40\x02\0\x01\xe0\0"),
                raw(1, b"GET / HTTP/1.1\r\n\r\n"),
            ],
        ),
    ];
    for (name, settings, steps) in lives {
        let bytes = [&settings[..], &steps.concat()].concat();
        seeds.push(("machine", name.into(), bytes));
    }
}
