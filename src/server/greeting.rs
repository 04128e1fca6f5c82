//! A connection before its session: CONNECT and what it takes to accept it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::connection::{Connection, Door};
use super::exchange;
use crate::auth::{Client, Step};
use crate::broker::{self, Decision};
use crate::codec::{
    Connect, DecodeError, Frame, Packet, ReasonCode, RefusedConnect, Side, Version,
};
use crate::transport::tls::Identity;

/// How long a connection may take for its CONNECT, and the most that CONNECT
/// may weigh in bytes: the longest strings that it can carry.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_CONNECT: usize = 512 * 1024;

/// How many bytes a client may send ahead while it waits to be let in.
const EARLY: usize = 4 * 1024;

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Reads CONNECT, checks the credentials, lets the core answer. A name that
    /// the layers below MQTT know goes before the one in CONNECT.
    pub(super) async fn greet(&mut self, identity: Identity) -> io::Result<()> {
        let why = match timeout(CONNECT_TIMEOUT, self.read_connect()).await {
            Ok(Ok(Ok(packet))) => return self.meet(&packet, &identity).await,
            Ok(Ok(Err(why))) => why,
            Ok(Err(error)) => return Err(error),
            Err(_) => "no CONNECT in time",
        };
        let id = self.id;
        self.enter(|core, now| core.refuse_silently(now, id, why));
        Ok(())
    }

    async fn meet(&mut self, packet: &[u8], identity: &Identity) -> io::Result<()> {
        self.enter(|core, _| core.count_received(packet.len()));
        let Ok(Some(frame)) = Frame::split(packet, usize::MAX) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        match Connect::decode(frame) {
            Err(refused) => {
                let id = self.id;
                self.enter(|core, now| core.refuse_connect(now, id, &refused));
                Ok(())
            }
            Ok(mut connect) => match identity {
                Identity::Unasked => self.authenticate(&connect).await,
                Identity::Missing => self.introduce_anyway(&connect, Decision::Denied),
                Identity::Name(name) => {
                    connect.username = Some(name);
                    self.introduce_anyway(&connect, Decision::Certified)
                }
            },
        }
    }

    /// Finds out who the client is by what it says of itself.
    async fn authenticate(&mut self, connect: &Connect<'_>) -> io::Result<()> {
        match crate::property!(connect.properties, AuthenticationMethod) {
            None => loop {
                let door = self.entrance.door();
                let check = door.credentials.check(connect.username, connect.password);
                let decision = self.unless_gone(check).await?;
                if self.introduce(&door, connect, decision)? {
                    return Ok(());
                }
            },
            Some(method) => self.examine(connect, method).await,
        }
    }

    /// Has the client prove who it is by the method that it names (4.12).
    async fn examine(&mut self, connect: &Connect<'_>, name: &str) -> io::Result<()> {
        let Some(method) = self.hub().methods().find(name) else {
            return self.introduce_anyway(connect, Decision::Allowed);
        };
        let mut exchange = method.begin(&Client {
            client_id: connect.client_id,
            username: connect.username,
        });
        let data = crate::property!(connect.properties, AuthenticationData);
        let mut data = data.map(<[u8]>::to_vec);
        loop {
            let hashing = Arc::clone(self.entrance.door().credentials.hashing());
            let step = exchange::step(hashing, exchange, data);
            let challenge = match self.unless_gone(step).await? {
                (Step::Continue(challenge), Some(next)) => {
                    exchange = next;
                    challenge
                }
                (Step::Accept { username, data }, _) => {
                    // What CONNECT claims is not what was proven.
                    let proven = Connect {
                        username: username.as_deref(),
                        ..connect.clone()
                    };
                    let decision = Decision::Proven(data.as_deref());
                    return self.introduce_anyway(&proven, decision);
                }
                _ => return self.introduce_anyway(connect, Decision::Denied),
            };
            let reason = ReasonCode::CONTINUE_AUTHENTICATION;
            let mut packet = Vec::new();
            broker::auth(reason, name, Some(&challenge)).encode(Version::V5, &mut packet);
            data = match timeout(CONNECT_TIMEOUT, self.ask(&packet, name)).await {
                Ok(Ok(Ok(data))) => data,
                Ok(Ok(Err(error))) => {
                    let connack = Some((Version::V5, error.reason));
                    let refused = RefusedConnect { error, connack };
                    let id = self.id;
                    self.enter(|core, now| core.refuse_connect(now, id, &refused));
                    return Ok(());
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    let id = self.id;
                    self.enter(|core, now| core.refuse_silently(now, id, "no AUTH in time"));
                    return Ok(());
                }
            };
        }
    }

    /// Sends an AUTH and reads the client's, or finds out what is wrong with it.
    async fn ask(
        &mut self,
        packet: &[u8],
        method: &str,
    ) -> io::Result<Result<Option<Vec<u8>>, DecodeError>> {
        self.stream.write_all(packet).await?;
        loop {
            match answer(&self.partial, method) {
                Err(error) => return Ok(Err(error)),
                Ok(Some((Answer::Data(data), length))) => {
                    self.partial.drain(..length);
                    return Ok(Ok(data));
                }
                Ok(Some((Answer::Goodbye, _))) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(None) => {}
            }
            if self.stream.read_buf(&mut self.partial).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads the first packet, or finds out why there is none.
    async fn read_connect(&mut self) -> io::Result<Result<Vec<u8>, &'static str>> {
        let limit = MAX_CONNECT.min(self.max_packet_size as usize);
        loop {
            if self.partial.first().is_some_and(|first| first >> 4 != 1) {
                return Ok(Err("a first packet that is not CONNECT"));
            }
            match Frame::split(&self.partial, limit) {
                Err(error) => return Ok(Err(error.what)),
                Ok(Some(frame)) => {
                    let length = frame.bytes.len();
                    return Ok(Ok(self.partial.drain(..length).collect()));
                }
                Ok(None) => {}
            }
            if self.stream.read_buf(&mut self.partial).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Waits for what is asked about a client, unless it goes away meanwhile:
    /// hashing for nobody would keep others waiting.
    async fn unless_gone<R>(&mut self, asked: impl Future<Output = R>) -> io::Result<R> {
        let (stream, early) = (&mut self.stream, &mut self.partial);
        let gone = async {
            while early.len() < EARLY {
                match stream.read_buf(early).await {
                    Ok(0) if early.is_empty() => return io::ErrorKind::UnexpectedEof.into(),
                    // It sent all that it has to say, and may wait for answers.
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) => return error,
                }
            }
            std::future::pending().await
        };
        tokio::select! {
            biased;
            answer = asked => Ok(answer),
            error = gone => Err(error),
        }
    }

    /// Lets the core answer to a decision that was not the door's.
    fn introduce_anyway(
        &mut self,
        connect: &Connect<'_>,
        decision: Decision<'_>,
    ) -> io::Result<()> {
        // A reload may come in between, each time.
        while !self.introduce(&self.entrance.door(), connect, decision)? {}
        Ok(())
    }

    /// Lets the core answer. False: a reload came in between, so that the
    /// decision is none any more.
    fn introduce(
        &mut self,
        door: &Arc<Door>,
        connect: &Connect<'_>,
        decision: Decision<'_>,
    ) -> io::Result<bool> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        let (id, nonce) = (self.id, u128::from_ne_bytes(nonce));
        let current = self.enter(|core, now| {
            let current = self.entrance.has(door);
            if current {
                core.connect(now, id, connect, decision, nonce);
            }
            current
        });
        if !current {
            return Ok(false);
        }
        self.version = connect.version;
        self.max_packet_size = door.max_packet_size;
        // What came behind CONNECT waits in `partial` as if it was just read.
        let early = std::mem::take(&mut self.partial);
        self.process(&early);
        Ok(true)
    }
}

/// What a client may send while it proves who it is.
enum Answer {
    Data(Option<Vec<u8>>),
    Goodbye,
}

/// The answer at the start of `bytes`, with its length, if it is whole.
fn answer(bytes: &[u8], method: &str) -> Result<Option<(Answer, usize)>, DecodeError> {
    let Some(frame) = Frame::split(bytes, MAX_CONNECT)? else {
        return Ok(None);
    };
    let answer = match Packet::decode(frame, Version::V5, Side::Client)? {
        Packet::Auth(auth) if auth.reason == ReasonCode::CONTINUE_AUTHENTICATION => {
            if crate::property!(auth.properties, AuthenticationMethod) != Some(method) {
                let what = "AUTH with another authentication method";
                return Err(DecodeError::protocol(what));
            }
            let data = crate::property!(auth.properties, AuthenticationData);
            Answer::Data(data.map(<[u8]>::to_vec))
        }
        Packet::Disconnect(_) => Answer::Goodbye,
        _ => {
            return Err(DecodeError::protocol(
                "something else than AUTH during authentication",
            ));
        }
    };
    Ok(Some((answer, frame.bytes.len())))
}
