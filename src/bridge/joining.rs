//! Both sides of a bridge connected: the other broker first, then this one, then
//! each asked for what goes to the other.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::time::{Instant, timeout};

use super::Home;
use super::hello::{self, Identity, Manner};
use super::relay::{LOCAL_VERSION, Relay, Remote};
use super::topics::Topics;
use super::traffic::Traffic;
use crate::client::keep_alive::KeepAlive;
use crate::client::wire::Wire;
use crate::client::{ConnectError, first_packet};
use crate::codec::{ConnAck, Packet, ReasonCode, RetainHandling, Side, Version};
use crate::config::{Bridge, BridgeAddress};
use crate::property;
use crate::transport::{Stream, connect};

/// How long a broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A bridge as it is now, and its broker.
pub(super) struct Joining {
    pub(super) home: Arc<dyn Home>,
    pub(super) bridge: Arc<Bridge>,
    pub(super) identity: Identity,
    pub(super) manner: Manner,
    /// The local session is new, so that the other broker may lack messages that
    /// are retained here.
    pub(super) is_new_here: bool,
}

/// Why there is no connection to the other broker.
enum Refusal {
    /// It has not taken the CONNECT.
    Answered(ConnectError),
    /// It never got one.
    Unreached(String),
}

impl Refusal {
    fn of(why: impl fmt::Display) -> Self {
        Self::Unreached(why.to_string())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(error) => error.fmt(f),
            Self::Unreached(why) => f.write_str(why),
        }
    }
}

impl Joining {
    /// Sees to it that messages wait for the bridge from now on: its session on
    /// this broker has the subscriptions that it shall have.
    ///
    /// # Errors
    /// This broker didn't let it.
    pub(super) async fn prepare(&mut self) -> Result<(), String> {
        if hello::local_is_clean(&self.bridge) {
            return Ok(());
        }
        let wanted = Topics::of(&self.bridge).local_filters();
        let mut unwanted = self.home.subscribed(&self.identity.local);
        let is_subscribed = wanted.iter().all(|(filter, _)| unwanted.contains(filter));
        unwanted.retain(|filter| !wanted.iter().any(|(wanted, _)| wanted == filter));
        if is_subscribed && unwanted.is_empty() {
            return Ok(());
        }
        let (mut wire, welcome) = self.open_local(false, 1).await?;
        self.is_new_here |= !welcome.session_present;
        // UNSUBSCRIBE last, and if there is nothing for it, of what isn't there:
        // its answer says that all is done.
        unwanted.push("-".to_owned());
        if !wanted.is_empty() {
            // What is retained comes when somebody takes it.
            let subscribe = hello::subscribe(1, &wanted, RetainHandling::Never);
            subscribe.encode(LOCAL_VERSION, &mut wire.output);
        }
        hello::unsubscribe(2, &unwanted).encode(LOCAL_VERSION, &mut wire.output);
        loop {
            let raw = first_packet(&mut wire).await.map_err(|e| e.to_string())?;
            let packet = Packet::decode(raw.frame(), LOCAL_VERSION, Side::Server);
            // Messages stay unacknowledged, for the connection that counts.
            if let Packet::UnsubAck(_) = packet.map_err(|error| error.to_string())? {
                return Ok(());
            }
        }
    }

    /// Connects both sides.
    ///
    /// # Errors
    /// What the log shall tell.
    pub(super) async fn join(&mut self, address: &BridgeAddress) -> Result<Traffic, String> {
        let (remote, ack) = loop {
            match self.open_remote(address).await {
                Ok(opened) => break opened,
                Err(Refusal::Answered(error)) if self.manner.concede(&error) => {}
                Err(refusal) => return Err(refusal.to_string()),
            }
        };
        self.manner.was_answered();
        let limits = hello::limits(&self.bridge, &ack.properties);
        if self.bridge.cleansession || is_lost(limits.version, &ack) {
            self.home.forget_received(&self.identity.local);
        }
        let window = property!(ack.properties, ReceiveMaximum).unwrap_or(u16::MAX);
        let is_clean = hello::local_is_clean(&self.bridge);
        let (local, welcome) = self.open_local(is_clean, window).await?;
        self.is_new_here |= !welcome.session_present;
        let retains_here = property!(welcome.properties, RetainAvailable) != Some(0);
        let seconds = property!(ack.properties, ServerKeepAlive);
        let seconds = seconds.unwrap_or(self.bridge.keepalive_interval);
        let topics = Topics::of(&self.bridge);
        let mut traffic = Traffic {
            local,
            remote,
            version: limits.version,
            relay: Relay::new(topics.clone(), limits, retains_here),
            keep_alive: KeepAlive::new(seconds),
            last: Instant::now(),
        };
        self.subscribe(&mut traffic, &topics, limits, ack.session_present);
        Ok(traffic)
    }

    /// Asks each broker for what goes to the other one. Retained messages come
    /// again only if who gets them may not have them.
    fn subscribe(&mut self, traffic: &mut Traffic, topics: &Topics, limits: Remote, known: bool) {
        let retained = |is_known| {
            if is_known {
                RetainHandling::IfNew
            } else {
                RetainHandling::Always
            }
        };
        let has_ours = known && !std::mem::take(&mut self.is_new_here);
        let mut local = topics.local_filters();
        for (_, qos) in &mut local {
            *qos = limits.maximum_qos.min(*qos);
        }
        if !local.is_empty() {
            let subscribe = hello::subscribe(1, &local, retained(has_ours));
            subscribe.encode(LOCAL_VERSION, &mut traffic.local.output);
            traffic.relay.asked_here();
        }
        let remote = topics.remote_filters();
        if !remote.is_empty() {
            let id = self.home.unused_id(&self.identity.local);
            let subscribe = hello::subscribe(id, &remote, retained(known));
            subscribe.encode(limits.version, &mut traffic.remote.output);
            let filters = remote.into_iter().map(|(filter, _)| filter);
            traffic.relay.asked_there(id, filters.collect());
        }
        let unwanted = topics.unwanted_remote_filters();
        if self.bridge.attempt_unsubscribe && known && !unwanted.is_empty() {
            let id = self.home.unused_id(&self.identity.local);
            let unsubscribe = hello::unsubscribe(id, &unwanted);
            unsubscribe.encode(limits.version, &mut traffic.remote.output);
        }
    }

    async fn open_remote(
        &self,
        address: &BridgeAddress,
    ) -> Result<(Wire<Stream>, ConnAck<'static>), Refusal> {
        let bridge = Arc::clone(&self.bridge);
        // Read each time: certificates are renewed.
        let tls = tokio::task::spawn_blocking(move || hello::connector(&bridge)).await;
        let tls = tls.map_err(Refusal::of)?.map_err(Refusal::of)?;
        let target = hello::target(&self.bridge, address, tls.as_ref());
        let stream = timeout(PATIENCE, connect(&target)).await;
        let stream = stream
            .map_err(|_| Refusal::of("it doesn't answer"))?
            .map_err(|error| Refusal::of(hello::explain(&error)))?;
        let window = self.home.window();
        let options = hello::to_remote(&self.bridge, &self.identity, self.manner, window);
        let mut wire = Wire::new(stream, usize::MAX);
        let ack = greet(
            &mut wire,
            Packet::Connect(Box::new(options.packet())),
            options.version,
        );
        let ack = ack.await.map_err(Refusal::Answered)?;
        Ok((wire, ack))
    }

    /// Connects to this broker.
    async fn open_local(
        &self,
        is_clean: bool,
        window: u16,
    ) -> Result<(Wire<DuplexStream>, ConnAck<'static>), String> {
        let mut wire = Wire::new(self.home.open(), usize::MAX);
        let connect = hello::to_local(&self.bridge, &self.identity, is_clean, window);
        let ack = greet(&mut wire, connect, LOCAL_VERSION).await;
        let ack = ack.map_err(|error| format!("this broker did not let it in: {error}"))?;
        Ok((wire, ack))
    }
}

/// Whether the other broker has no session of an earlier connection. MQTT 3.1
/// doesn't tell, and mostly it has.
pub(super) fn is_lost(version: Version, ack: &ConnAck<'_>) -> bool {
    !ack.session_present && version != Version::V31
}

/// Sends CONNECT and awaits CONNACK.
async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    connect: Packet<'_>,
    version: Version,
) -> Result<ConnAck<'static>, ConnectError> {
    connect.encode(version, &mut wire.output);
    let raw = timeout(PATIENCE, first_packet(wire)).await;
    let raw = raw.map_err(|_| ConnectError::Timeout)??;
    let packet = Packet::decode(raw.frame(), version, Side::Server);
    match packet.map_err(ConnectError::Protocol)? {
        Packet::ConnAck(ack) if ack.reason == ReasonCode::SUCCESS => Ok(ConnAck {
            session_present: ack.session_present,
            reason: ack.reason,
            properties: ack.properties.into_owned(),
        }),
        Packet::ConnAck(ack) => Err(ConnectError::Refused {
            reason: ack.reason,
            properties: ack.properties.into_owned(),
        }),
        _ => {
            let error = crate::codec::DecodeError::protocol("something else than CONNACK");
            Err(ConnectError::Protocol(error))
        }
    }
}

/// Ready when a connection to `address` comes about, which is tried again and
/// again, and given up at once.
pub(super) async fn answers(bridge: Arc<Bridge>, address: &BridgeAddress, pause: Duration) {
    loop {
        tokio::time::sleep(pause).await;
        let files = Arc::clone(&bridge);
        let tls = tokio::task::spawn_blocking(move || hello::connector(&files)).await;
        if let Ok(Ok(tls)) = tls {
            let target = hello::target(&bridge, address, tls.as_ref());
            if let Ok(Ok(_)) = timeout(PATIENCE, connect(&target)).await {
                return;
            }
        }
    }
}
