//! Where we differ from Mosquitto 2.0 on purpose.

use std::collections::HashMap;

use crate::outcome::{End, Step};
use crate::stream::body;

/// A difference that is wanted.
pub(crate) struct Wanted {
    pub(crate) what: &'static str,
    /// What demands or allows it: a section or statement of MQTT 5 where no
    /// other version is named.
    #[expect(dead_code, reason = "for who reads the table")]
    pub(crate) why: &'static str,
    /// The seed of a stream that shows it.
    pub(crate) example: u64,
    pub(crate) is: Is,
}

/// How a difference is recognised.
#[derive(Clone, Copy)]
pub(crate) enum Is {
    /// By what became of one packet, ours and theirs.
    Step(fn(&Step, &Step) -> bool),
    /// By the messages of a connection: all steps up to its end, and what only
    /// ours and only theirs handed out.
    Messages(fn(&[Step], &[String], &[String]) -> bool),
    /// By what went before: the two are in different states since then.
    State(fn(&[Step]) -> bool),
}

pub(crate) const WANTED: &[Wanted] = &[
    Wanted {
        what: "a packet that only a server sends ends the connection",
        why: "table 2-1 has no such direction, so it is a protocol error (4.13.1; 3.1.1: 4.8); \
              2.0 takes SUBACK and UNSUBACK, as its bridges need them",
        example: 0,
        is: Is::Step(|our, their| {
            matches!(our.sent[0] >> 4, 2 | 9 | 11 | 13) && closed_here_only(our, their)
        }),
    },
    Wanted {
        what: "reserved flags of the fixed header end the connection",
        why: "MQTT-2.1.3-1 (3.1.1: MQTT-2.2.2-2); 2.0 looks at those of SUBSCRIBE only",
        example: 43,
        is: Is::Step(|our, their| {
            let flags = match our.sent[0] >> 4 {
                4 | 5 | 7 | 12 | 14 => 0,
                6 => 2,
                _ => return false,
            };
            our.version > 3 && our.sent[0] & 0x0F != flags && closed_here_only(our, their)
        }),
    },
    Wanted {
        what: "bytes behind the end of an acknowledgement or PINGREQ end the connection",
        why: "3.4.2.2.1 and 3.12.1 give the length (3.1.1: 3.4.1 to 3.7.1, 3.12.1)",
        example: 83,
        is: Is::Step(|our, their| {
            let body = body(&our.sent);
            let length = match our.sent[0] >> 4 {
                4..=7 if our.version < 5 => 2,
                4..=7 => 4 + usize::from(body.get(3).copied().unwrap_or(0)),
                12 => 0,
                _ => return false,
            };
            body.len() > length && closed_here_only(our, their)
        }),
    },
    Wanted {
        what: "a duplicate at QoS 0 ends the connection",
        why: "MQTT-3.3.1-2; Mosquitto 2.1's wire cases",
        example: 939,
        is: Is::Step(|our, their| our.sent[0] & 0xFE == 0x38 && closed_here_only(our, their)),
    },
    Wanted {
        what: "an unknown packet identifier is answered with 0x92",
        why: "3.6.2.1 and 3.7.2.1 have the code for this; 2.0 answers with success",
        example: 1,
        is: Is::Step(|our, their| {
            let mut same = our.answers.clone();
            for answer in &mut same {
                if matches!(answer.kind, 6 | 7) && answer.codes == [0x92] {
                    answer.codes = vec![0];
                }
            }
            our.version == 5 && same == their.answers && our.end == their.end
        }),
    },
    Wanted {
        what: "a reason code that an acknowledgement cannot have ends the connection",
        why: "MQTT-3.4.2-1, 3.5.2-1, 3.6.2-1, 3.7.2-1",
        example: 48,
        is: Is::Step(|our, their| {
            let code = body(&our.sent).get(2).copied().unwrap_or(0);
            let illegal = match our.sent[0] >> 4 {
                4 | 5 => ![0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99].contains(&code),
                6 | 7 => ![0, 0x92].contains(&code),
                _ => false,
            };
            our.version == 5 && illegal && closed_here_only(our, their)
        }),
    },
    Wanted {
        what: "a CONNECT of MQTT 5 that is malformed is refused with a reason code",
        why: "4.13.1 recommends it; Mosquitto 2.1's wire cases",
        example: 3,
        is: Is::Step(|our, their| {
            let told = our
                .answers
                .iter()
                .all(|a| a.kind == 2 && a.codes[1] >= 0x80);
            level(our) == Some(5) && both_closed(our, their) && told
        }),
    },
    Wanted {
        what: "an unknown protocol level is refused in the form of MQTT 5",
        why: "3.1.2.2 names 0x84; Mosquitto 2.1's wire cases",
        example: 211,
        is: Is::Step(|our, their| {
            let level = level(our).unwrap_or(4);
            let told = our.answers.iter().all(|a| a.codes == [0, 0x84]);
            !(3..=5).contains(&level) && both_closed(our, their) && told
        }),
    },
    Wanted {
        what: "a CONNECT with bytes behind its end is not answered before MQTT 5",
        why: "3.1.1: MQTT-3.1.4-1, it is looked at as a whole first; 2.0 answers what it \
              finds wrong before",
        example: 246,
        is: Is::Step(|our, their| {
            let before = matches!(level(our), Some(3 | 4));
            before && both_closed(our, their) && our.answers.is_empty()
        }),
    },
    Wanted {
        what: "authentication data without a method is refused",
        why: "3.1.2.11.10 calls it a protocol error",
        example: 430,
        is: Is::Step(|our, their| {
            let told = our.answers.iter().all(|a| a.codes == [0, 0x82]);
            let data = our.sent.windows(2).any(|bytes| bytes == [0x16, 0]);
            level(our) == Some(5) && data && told && closed_here_only(our, their)
        }),
    },
    Wanted {
        what: "a client's subscription identifier in PUBLISH ends the connection",
        why: "MQTT-3.3.4-6",
        example: 572,
        is: Is::Step(|our, their| {
            let publish = our.sent[0] >> 4 == 3 && our.sent.contains(&0x0B);
            our.version == 5 && publish && closed_here_only(our, their)
        }),
    },
    Wanted {
        what: "no local on a shared subscription ends the connection",
        why: "MQTT-3.8.3-4",
        example: 522,
        is: Is::Step(|our, their| {
            our.version == 5 && is_shared(our, 8) && closed_here_only(our, their)
        }),
    },
    Wanted {
        what: "a wildcard in the name of a group ends the connection",
        why: "MQTT-4.8.2-2; 2.0 takes it",
        example: 24739,
        is: Is::Step(|our, their| {
            let filters = our.sent.windows(8);
            let mut groups = filters.filter_map(|bytes| bytes.strip_prefix(b"$share/"));
            let wildcard = groups.any(|name| matches!(name[0], b'+' | b'#'));
            is_shared(our, 8) && wildcard && closed_here_only(our, their)
        }),
    },
    Wanted {
        what: "a message of QoS 2 is handed out at PUBLISH, not at PUBREL",
        why: "4.3.3 allows both",
        example: 112,
        is: Is::Messages(|steps, ours, theirs| {
            let unreleased = steps.iter().any(|step| step.sent[0] & 0xF6 == 0x34);
            unreleased && !ours.is_empty() && theirs.is_empty()
        }),
    },
    Wanted {
        what: "a shared subscription brings no retained messages",
        why: "4.8.2",
        example: 426,
        is: Is::Messages(|steps, ours, theirs| {
            let shared = steps.iter().any(|step| is_shared(step, 8));
            let retained = theirs.iter().all(|message| message.contains("retain 1"));
            shared && ours.is_empty() && retained
        }),
    },
    Wanted {
        what: "a repeated subscription replaces all options of the first",
        why: "MQTT-3.8.4-3; 2.0 replaces the QoS only",
        example: 940,
        is: Is::Messages(|steps, _, _| {
            let mut options = HashMap::new();
            let mut subscriptions = steps.iter().flat_map(subscriptions);
            subscriptions.any(|(filter, new)| {
                let old = options.insert(filter, new & 0x0C);
                old.is_some_and(|old| old != new & 0x0C)
            })
        }),
    },
    Wanted {
        what: "a user name or password that is no string of MQTT 3.1 is refused",
        why: "3.1: only a string that is missing altogether may be; 2.0 passes over any other",
        example: 1910,
        is: Is::Step(|our, their| {
            let flags = body(&our.sent).get(9).copied().unwrap_or(0);
            level(our) == Some(3) && flags & 0xC0 != 0 && closed_here_only(our, their)
        }),
    },
    Wanted {
        what: "a SUBSCRIBE or UNSUBSCRIBE of MQTT 3.1 without a topic filter ends the connection",
        why: "3.1.1: MQTT-3.8.3-3, MQTT-3.10.3-2; the older text is silent",
        example: 7638,
        is: Is::Step(|our, their| {
            let request = matches!(our.sent[0] >> 4, 8 | 10) && body(&our.sent).len() == 2;
            our.version == 3 && request && closed_here_only(our, their)
        }),
    },
    Wanted {
        what: "a property with a forbidden value, or in the wrong packet, is a protocol error",
        why: "2.2.2.2, 3.3.2.3.2, MQTT-3.3.2-14; 2.0 looks at few of them",
        example: 6229,
        is: Is::Step(|our, their| {
            let bytes = body(&our.sent);
            let format = bytes.windows(2).any(|pair| pair[0] == 1 && pair[1] > 1);
            let wildcard = bytes.contains(&8) && bytes.iter().any(|byte| b"+#".contains(byte));
            let misplaced = bytes.contains(&0x19);
            let packet = level(our) == Some(5) || our.version == 5 && our.sent[0] >> 4 == 3;
            packet && (format || wildcard || misplaced) && closed_here_only(our, their)
        }),
    },
    Wanted {
        what: "UNSUBSCRIBE below '$' tells that there was no subscription",
        why: "3.11.3 has 0x11 for it; 2.0 tells success",
        example: 5056,
        is: Is::Step(|our, their| {
            let pairs = || our.answers.iter().zip(&their.answers);
            let unsuback =
                pairs().any(|(a, b)| a.kind == 11 && a.codes[0] == 0x11 && b.codes[0] == 0);
            our.sent[0] >> 4 == 10 && our.sent.contains(&b'$') && unsuback
        }),
    },
    Wanted {
        what: "a SUBSCRIBE or UNSUBSCRIBE that ends the connection has no effect",
        why: "4.13.1, a malformed packet is none; 2.0 takes the topic filters before the bad one",
        example: 1044,
        is: Is::State(|steps| {
            let refused =
                |step: &Step| matches!(step.sent[0] >> 4, 8 | 10) && step.end == End::Closed;
            steps.iter().any(refused)
        }),
    },
    Wanted {
        what: "a second CONNECT ends the connection, not the session",
        why: "MQTT-3.1.0-2, 4.1: the session ends when it expires; 2.0 forgets it",
        example: 4348,
        is: Is::State(|steps| {
            let repeated = |pair: &[Step]| !pair[0].is_last && pair[1].sent[0] >> 4 == 1;
            steps.windows(2).any(repeated)
        }),
    },
];

/// The protocol level, where the packet is a CONNECT that has one.
fn level(step: &Step) -> Option<u8> {
    let body = body(&step.sent);
    let name = usize::from(*body.get(1)?);
    (step.sent[0] >> 4 == 1).then_some(*body.get(2 + name)?)
}

/// The filters of a SUBSCRIBE of MQTT 5 with their options.
fn subscriptions(step: &Step) -> Vec<(Vec<u8>, u8)> {
    let mut found = Vec::new();
    let body = body(&step.sent);
    if step.version < 5 || step.sent[0] != 0x82 || body.len() < 3 {
        return found;
    }
    let mut rest = body.get(3 + usize::from(body[2])..).unwrap_or_default();
    while let Some((&[high, low], after)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some(options) = after.get(length) else {
            break;
        };
        found.push((after[..length].to_vec(), *options));
        rest = &after[length + 1..];
    }
    found
}

fn is_shared(step: &Step, kind: u8) -> bool {
    step.sent[0] >> 4 == kind && step.sent.windows(7).any(|bytes| bytes == b"$share/")
}

fn both_closed(our: &Step, their: &Step) -> bool {
    our.end == End::Closed && their.end == End::Closed
}

fn closed_here_only(our: &Step, their: &Step) -> bool {
    our.end == End::Closed && their.end == End::Open
}
