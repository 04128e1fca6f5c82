//! PUBLISH packets in a row that differ in their payloads only, as whoever sends
//! much sends them: decoded once, routed once, and handed on as one piece.

use std::sync::Arc;

use super::batch::Batch;
use super::connection::ConnectionId;
use super::delivery::SOFT_LIMIT;
use super::fanout::{Fanout, Frames};
use super::peers::{Peers, open_outbox};
use super::publication::MessageProperties;
use super::routes::{Route, Target};
use super::session::SessionId;
use super::{Core, Refusal};
use crate::codec::{Frame, Properties, Publish, QoS, Version};
use crate::config::LogType;

/// PUBLISH packets of one topic at QoS 0, neither retained nor with properties,
/// one behind the other.
#[derive(Debug)]
pub(super) struct Run<'a> {
    /// All of them, in a form that receivers may have.
    pub(super) bytes: &'a [u8],
    count: u64,
    /// The lengths of what differs, in bytes: of all payloads together, and of
    /// the longest packet.
    payloads: usize,
    longest: usize,
    /// What their bodies have in common: all that is before the payload.
    head: &'a [u8],
}

/// The first byte of a PUBLISH at QoS 0 without flags.
const PLAIN: u8 = 0x30;

impl<'a> Run<'a> {
    /// The run at the start of `bytes`, whose first packet is decoded; `None`:
    /// that is alone.
    #[inline]
    pub(super) fn find(
        bytes: &'a [u8],
        first: &Publish<'a>,
        frame: Frame<'a>,
        max_packet_size: usize,
    ) -> Option<Self> {
        if frame.first_byte() != PLAIN || !first.properties.is_empty() || frame.is_padded() {
            return None;
        }
        let body = frame.body();
        let mut run = Self {
            bytes: frame.bytes,
            count: 1,
            payloads: first.payload.len(),
            longest: frame.bytes.len(),
            head: &body[..body.len() - first.payload.len()],
        };
        let mut end = frame.bytes.len();
        while let Ok(Some(next)) = Frame::split(&bytes[end..], max_packet_size)
            && next.first_byte() == PLAIN
            && next.body().starts_with(run.head)
            && !next.is_padded()
        {
            end += next.bytes.len();
            run.count += 1;
            run.payloads += next.body().len() - run.head.len();
            run.longest = run.longest.max(next.bytes.len());
        }
        run.bytes = &bytes[..end];
        (run.count > 1).then_some(run)
    }

    /// Its packets, one by one.
    pub(super) fn packets(
        &self,
        first: &Publish<'a>,
    ) -> impl Iterator<Item = (Publish<'a>, Frame<'a>)> + use<'a> {
        let (mut rest, head, topic) = (self.bytes, self.head.len(), first.topic);
        std::iter::from_fn(move || {
            let frame = Frame::split(rest, usize::MAX).ok().flatten()?;
            rest = &rest[frame.bytes.len()..];
            let publish = Publish {
                dup: false,
                qos: QoS::AtMostOnce,
                retain: false,
                topic,
                packet_id: 0,
                properties: Properties::new(),
                payload: &frame.body()[head..],
            };
            Some((publish, frame))
        })
    }
}

/// Who sent a run, as far as its receivers care.
#[derive(Clone, Copy)]
struct Sender {
    session: SessionId,
    version: Version,
    /// The length of the mount point, which the frames don't have.
    mount: usize,
}

impl Core {
    pub(super) fn publish_run(
        &mut self,
        id: ConnectionId,
        session: SessionId,
        first: &Publish<'_>,
        run: &Run<'_>,
        batch: &Batch<'_>,
    ) -> Result<(), Refusal> {
        let Some((route, sender)) = self.route_of_run(id, session, first, run) else {
            for (publish, frame) in run.packets(first) {
                self.peers.stats.messages_received += 1;
                self.publish(id, session, &publish, frame, batch)?;
            }
            return Ok(());
        };
        let stats = &mut self.peers.stats;
        stats.messages_received += run.count;
        stats.publish_received += run.count;
        stats.publish_bytes_received += run.payloads as u64;
        let peers = &mut self.peers;
        let targets = route.targets.iter();
        let particular: Vec<_> = targets
            .filter(|target| !peers.deliver_run(run, sender, target, &route.topic))
            .collect();
        if !particular.is_empty() {
            let properties = MessageProperties::default();
            for (publish, frame) in run.packets(first) {
                let (payload, qos, now) = (publish.payload, publish.qos, peers.now);
                let mut fanout = Fanout::new(&route.topic, payload, qos, false, &properties, now);
                fanout.publisher = Some(session);
                fanout.mount = sender.mount;
                fanout.batch = Some(batch);
                fanout.frames = Frames::received(frame, sender.version, qos);
                for target in &particular {
                    peers.deliver(&mut fanout, target, None);
                }
            }
        }
        if let Some(connection) = peers.connection(id) {
            connection.last_route = Some(route);
        }
        Ok(())
    }

    /// Its route, unless something has to be asked, counted or told for each
    /// message by itself.
    fn route_of_run(
        &mut self,
        id: ConnectionId,
        session: SessionId,
        first: &Publish<'_>,
        run: &Run<'_>,
    ) -> Option<(Arc<Route>, Sender)> {
        let settings = &self.peers.settings;
        if settings.log.contains(LogType::Debug)
            || settings.memory_limit < usize::MAX
            || run.longest > settings.message_size_limit as usize
            || settings.upgrade_outgoing_qos
        {
            return None;
        }
        let connection = self.peers.connection(id)?;
        let sender = Sender {
            session,
            version: connection.version,
            mount: connection.policy.mount_point.len(),
        };
        let route = self.find_route(id, first.topic, None).ok()?;
        let may_write = self.peers.session(session)?;
        let may_write = may_write.why_not_write(&route.topic).is_none();
        let one_by_one = !route.groups.is_empty() || route.overlaps || route.reaches_bridge;
        (may_write && !one_by_one).then_some((route, sender))
    }
}

impl Peers {
    /// Hands a run to one session, as [`Peers::deliver`] would each of its
    /// messages. False: it must.
    fn deliver_run(&mut self, run: &Run<'_>, sender: Sender, target: &Target, topic: &str) -> bool {
        let Some(session) = self
            .sessions
            .get_mut(target.session.slot as usize)
            .filter(|s| s.id == target.session)
        else {
            return true;
        };
        if target.no_local && sender.session == target.session {
            return true;
        }
        let Some(connection) = session
            .connection
            .and_then(|id| self.connections.get_mut(id.slot()).filter(|c| c.id == id))
        else {
            return false;
        };
        let is_v5 = connection.version == Version::V5;
        let plain = is_v5 == (sender.version == Version::V5)
            && (!is_v5
                || target.ids.as_slice().is_empty() && connection.assigned_aliases.is_none());
        let takes_it_as_it_is = plain
            && session.policy.mount_point.is_empty()
            && sender.mount == 0
            && run.longest <= connection.max_packet_size
            && connection.outbox.len() < SOFT_LIMIT
            && !session.must_wait(connection, QoS::AtMostOnce, run.longest)
            && session.why_not_read(topic).is_none();
        if !takes_it_as_it_is {
            return false;
        }
        let receiver = connection.id;
        self.outboxes += connection.count_outbox();
        let out = open_outbox(connection, &mut self.effects, &mut self.spare);
        out.extend_from_slice(run.bytes);
        let full = out.len() > SOFT_LIMIT;
        self.stats.count_publishes_sent(run.count, run.payloads);
        if full {
            self.hold_up(Some(sender.session), receiver);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_of(bytes: &[u8]) -> Option<(usize, u64, usize, usize)> {
        let batch = Batch::decode(bytes, Version::V5, 100);
        let run = batch.packets[0].run.as_ref()?;
        Some((run.bytes.len(), run.count, run.payloads, run.longest))
    }

    const ONE: [u8; 7] = [0x30, 5, 0, 1, b't', 0, b'x'];

    #[test]
    fn a_run_ends_where_more_than_the_payload_differs() {
        let longer = [0x30, 6, 0, 1, b't', 0, b'y', b'z'];
        let empty = [0x30, 4, 0, 1, b't', 0];
        let alike = [&ONE[..], &longer, &empty].concat();
        assert_eq!(run_of(&alike), Some((21, 3, 3, 8)));
        for other in [
            &[0x31, 5, 0, 1, b't', 0, b'x'][..],
            &[0x32, 7, 0, 1, b't', 0, 7, 0, b'x'],
            &[0x38, 5, 0, 1, b't', 0, b'x'],
            &[0x30, 5, 0, 1, b'u', 0, b'x'],
            &[0x30, 6, 0, 2, b't', b't', 0, b'x'],
            &[0x30, 7, 0, 1, b't', 2, 1, 1, b'x'],
            &[0x30, 3, 0, 1, b't'],
            &[0x30, 0x85, 0, 0, 1, b't', 0, b'x'],
            &[0x30, 0x80, 1],
            &[0x30, 0xFF, 0xFF, 0xFF, 0xFF],
            &[0xC0, 0],
        ] {
            let bytes = [&alike, other, &ONE].concat();
            assert_eq!(run_of(&bytes), Some((21, 3, 3, 8)), "{other:?}");
            assert_eq!(run_of(&[&ONE, other, &alike].concat()), None, "{other:?}");
        }
        assert_eq!(run_of(&[&alike, &ONE[..6]].concat()), Some((21, 3, 3, 8)));
        assert_eq!(run_of(&[&ONE[..], &ONE[..6]].concat()), None);
    }
}
