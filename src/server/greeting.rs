//! A connection before its session: CONNECT and what it takes to accept it.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::timeout;

use super::connection::{Connection, READ_BUFFER};
use crate::broker::Decision;
use crate::codec::{Connect, Frame};
use crate::transport::tls::Identity;

/// How long a connection may take for its CONNECT, and the most that CONNECT
/// may weigh in bytes: the longest strings that it can carry.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_CONNECT: usize = 512 * 1024;

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
        let Ok(Some(frame)) = Frame::split(packet, usize::MAX) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        match Connect::decode(frame) {
            Err(refused) => {
                let id = self.id;
                self.enter(|core, now| core.refuse_connect(now, id, &refused));
                Ok(())
            }
            Ok(mut connect) => {
                let decision = match identity {
                    Identity::Unasked => self.decide(&connect).await?,
                    Identity::Name(name) => {
                        connect.username = Some(name);
                        Decision::Allowed
                    }
                    Identity::Missing => Decision::Denied,
                };
                self.introduce(&connect, decision)
            }
        }
    }

    /// Reads the first packet, or finds out why there is none.
    async fn read_connect(&mut self) -> io::Result<Result<Vec<u8>, &'static str>> {
        let limit = MAX_CONNECT.min(self.door.max_packet_size as usize);
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

    /// Has the credentials checked, unless the client goes away meanwhile:
    /// hashing for nobody would keep others waiting.
    async fn decide(&mut self, connect: &Connect<'_>) -> io::Result<Decision> {
        let (stream, early) = (&mut self.stream, &mut self.partial);
        let gone = async {
            while early.len() < READ_BUFFER {
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
            decision = self.door.credentials.check(connect) => Ok(decision),
            error = gone => Err(error),
        }
    }

    fn introduce(&mut self, connect: &Connect<'_>, decision: Decision) -> io::Result<()> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        self.version = connect.version;
        let (id, nonce) = (self.id, u128::from_ne_bytes(nonce));
        self.enter(|core, now| core.connect(now, id, connect, decision, nonce));
        // What came behind CONNECT waits in `partial` as if it was just read.
        let early = std::mem::take(&mut self.partial);
        self.process(&early);
        Ok(())
    }
}
