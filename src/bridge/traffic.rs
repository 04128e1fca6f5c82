//! Bytes to and fro while the connection to the other broker stands.

use std::fmt;
use std::io;
use std::time::Duration;

use tokio::io::DuplexStream;
use tokio::time::{Instant, timeout};

use super::relay::{Fault, LOCAL_VERSION, Outputs, Relay};
use crate::client::keep_alive::{Due, KeepAlive};
use crate::client::wire::{Exchange, Transfer, Wire};
use crate::codec::{Disconnect, Packet, Properties, Publish, QoS, ReasonCode, Side, Version};
use crate::transport::Stream;

/// From so many bytes on that wait for one side, the other isn't read.
const ENOUGH: usize = 64 * 1024;

/// How long the other broker may take to read that the bridge leaves.
const GOODBYE: Duration = Duration::from_secs(1);

/// A bridge that is connected on both sides.
pub(super) struct Traffic {
    pub(super) local: Wire<DuplexStream>,
    pub(super) remote: Wire<Stream>,
    pub(super) version: Version,
    pub(super) relay: Relay,
    pub(super) keep_alive: KeepAlive,
    /// When a message last passed.
    pub(super) last: Instant,
}

/// Why traffic ended.
#[derive(Debug)]
pub(super) enum End {
    Fault(Fault),
    LocalLost,
    RemoteLost(Option<io::Error>),
    /// The other broker didn't answer a PINGREQ.
    Silent,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(Fault::Local(reason)) => write!(f, "this broker ended it: {reason}"),
            Self::Fault(Fault::Remote(reason)) => write!(f, "the other broker ended it: {reason}"),
            Self::Fault(Fault::Full) => f.write_str(
                "this broker has no room to store its messages; the other one has to keep them",
            ),
            Self::Fault(Fault::Protocol(error)) => {
                write!(f, "the other broker broke the protocol: {error}")
            }
            Self::LocalLost => f.write_str("this broker closed the connection"),
            Self::RemoteLost(None) => f.write_str("the other broker closed the connection"),
            Self::RemoteLost(Some(error)) => write!(f, "the connection was lost: {error}"),
            Self::Silent => f.write_str("the other broker doesn't answer"),
        }
    }
}

impl Traffic {
    /// Passes on what has been read or, if there is nothing, waits for more. May
    /// be dropped while it waits without losing anything.
    pub(super) async fn step(&mut self) -> Result<(), End> {
        if self.pass_outward()? | self.pass_inward()? {
            return Ok(());
        }
        if self.remote.backlog() > 0 {
            self.keep_alive.sent();
        }
        let wants_local = self.remote.backlog() < ENOUGH;
        let wants_remote = self.local.backlog() < ENOUGH;
        tokio::select! {
            transfer = self.local.transfer(wants_local) => match transfer {
                Transfer::Read(Exchange::End(_)) => Err(End::LocalLost),
                Transfer::Read(Exchange::Input) | Transfer::Written => Ok(()),
            },
            transfer = self.remote.transfer(wants_remote) => match transfer {
                Transfer::Read(Exchange::End(error)) => Err(End::RemoteLost(error)),
                Transfer::Read(Exchange::Input) => {
                    self.keep_alive.received();
                    Ok(())
                }
                Transfer::Written => Ok(()),
            },
            () = self.keep_alive.wait() => self.beat(),
        }
    }

    fn beat(&mut self) -> Result<(), End> {
        match self.keep_alive.check() {
            Due::Nothing => {}
            Due::Ping => Packet::PingReq.encode(self.version, &mut self.remote.output),
            // It cannot have answered what was not read.
            Due::Dead if self.local.backlog() >= ENOUGH => {}
            Due::Dead => return Err(End::Silent),
        }
        Ok(())
    }

    /// Whether there was anything to pass on.
    fn pass_outward(&mut self) -> Result<bool, End> {
        let mut passed = false;
        while self.remote.backlog() < ENOUGH
            && let Ok(Some(raw)) = self.local.next_packet()
        {
            let Ok(packet) = Packet::decode(raw.frame(), LOCAL_VERSION, Side::Server) else {
                return Err(End::LocalLost);
            };
            self.note(&packet);
            let mut out = Outputs {
                local: &mut self.local.output,
                remote: &mut self.remote.output,
            };
            self.relay.outward(packet, &mut out).map_err(End::Fault)?;
            passed = true;
        }
        Ok(passed)
    }

    fn pass_inward(&mut self) -> Result<bool, End> {
        let mut passed = false;
        let wrong = |error| End::Fault(Fault::Protocol(error));
        while self.local.backlog() < ENOUGH
            && let Some(raw) = self.remote.next_packet().map_err(wrong)?
        {
            let packet = Packet::decode(raw.frame(), self.version, Side::Server).map_err(wrong)?;
            self.note(&packet);
            let mut out = Outputs {
                local: &mut self.local.output,
                remote: &mut self.remote.output,
            };
            self.relay.inward(packet, &mut out).map_err(End::Fault)?;
            passed = true;
        }
        Ok(passed)
    }

    fn note(&mut self, packet: &Packet<'_>) {
        if matches!(packet, Packet::Publish(_)) {
            self.last = Instant::now();
        }
    }

    /// Tells the other broker about the state of the bridge. QoS 0 is enough: if
    /// the connection is lost, so is what the message says.
    pub(super) fn announce(&mut self, topic: &str, state: &str, retain: bool) {
        let message = Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain,
            topic,
            packet_id: 0,
            properties: Properties::new(),
            payload: state.as_bytes(),
        };
        message.encode(self.version, &mut self.remote.output);
    }

    /// Leaves the other broker.
    pub(super) async fn leave(mut self, reason: ReasonCode) {
        // Before MQTT 5 there are no reasons: an error is not told at all.
        if self.version == Version::V5 || !reason.is_error() {
            let properties = Properties::new();
            let goodbye = Packet::Disconnect(Disconnect { reason, properties });
            goodbye.encode(self.version, &mut self.remote.output);
        }
        // It is going anyway, whether the other side reads or not.
        let _ = timeout(GOODBYE, self.remote.close()).await;
    }
}
