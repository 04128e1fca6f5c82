//! A client that changes its subscriptions all the time.

use std::io::Result;

use crate::common::raw::publish_qos;
use crate::publisher::publish_once;
use crate::subscriber::request;
use crate::{Random, ack, next, resume};

const FILTERS: usize = 20;

pub(crate) struct Restless {
    known: bool,
    /// Whether it has subscribed to them; `None`: it asked and wasn't answered.
    subscribed: [Option<bool>; FILTERS],
}

impl Restless {
    pub(crate) fn new() -> Self {
        Self {
            known: false,
            subscribed: [Some(false); FILTERS],
        }
    }

    /// Subscribes and unsubscribes until the broker ends.
    pub(crate) fn work(&mut self, port: u16, random: Random) {
        // The end is an error, at whatever moment it comes.
        let _ = self.change(port, random);
    }

    fn change(&mut self, port: u16, mut random: Random) -> Result<()> {
        let mut raw = resume(port, "restless", &mut self.known)?;
        loop {
            let index = random.below(FILTERS as u64) as usize;
            let wanted = self.subscribed[index] != Some(true);
            let filter = format!("change/{index}");
            self.subscribed[index] = None;
            raw.try_send(&if wanted {
                request(0x82, &filter, &[1])
            } else {
                request(0xA2, &filter, &[])
            })?;
            let answer = next(&mut raw)?;
            assert_eq!(answer[0], if wanted { 0x90 } else { 0xB0 });
            self.subscribed[index] = Some(wanted);
        }
    }

    /// Its subscriptions are those that it was told it has.
    pub(crate) fn check(&mut self, port: u16) {
        let mut raw = resume(port, "restless", &mut self.known).expect("a broker that lives");
        raw.send(&request(0x82, "change/end", &[1]));
        assert_eq!(next(&mut raw).expect("SUBACK")[0], 0x90);
        for index in 0..FILTERS {
            publish_once(port, &format!("change/{index}"), "");
        }
        publish_once(port, "change/end", "");
        let mut reached = [false; FILTERS];
        loop {
            let packet = next(&mut raw).expect("a message");
            let topic = String::from_utf8_lossy(&packet[4..packet.len() - 2]).into_owned();
            let id = u16::from_be_bytes([packet[packet.len() - 2], packet[packet.len() - 1]]);
            assert_eq!(packet, publish_qos(&topic, "", 1, id));
            raw.send(&ack(0x40, id));
            match topic.strip_prefix("change/").unwrap() {
                "end" => break,
                index => reached[index.parse::<usize>().unwrap()] = true,
            }
        }
        for (index, subscribed) in self.subscribed.iter().enumerate() {
            if let Some(subscribed) = subscribed {
                assert_eq!(reached[index], *subscribed, "change/{index}");
            }
        }
    }
}
