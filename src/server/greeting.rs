//! A connection before its session: CONNECT and what it takes to accept it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::timeout;

use super::connection::{Connection, Door, READ_BUFFER};
use crate::broker::Decision;
use crate::codec::{Connect, Frame};

/// How long a connection may take for its CONNECT, and the most that CONNECT
/// may weigh in bytes: the longest strings that it can carry.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_CONNECT: usize = 512 * 1024;

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Reads CONNECT, checks the credentials, lets the core answer.
    pub(super) async fn greet(&mut self) -> io::Result<()> {
        let why = match timeout(CONNECT_TIMEOUT, self.read_connect()).await {
            Ok(Ok(Ok(packet))) => return self.meet(&packet).await,
            Ok(Ok(Err(why))) => why,
            Ok(Err(error)) => return Err(error),
            Err(_) => "no CONNECT in time",
        };
        let id = self.id;
        self.enter(|core, now| core.refuse_silently(now, id, why));
        Ok(())
    }

    async fn meet(&mut self, packet: &[u8]) -> io::Result<()> {
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
            Ok(connect) => loop {
                let door = self.entrance.door();
                let decision = self.decide(&door, &connect).await?;
                if self.introduce(&door, &connect, decision)? {
                    return Ok(());
                }
            },
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

    /// Has the credentials checked, unless the client goes away meanwhile:
    /// hashing for nobody would keep others waiting.
    async fn decide(&mut self, door: &Door, connect: &Connect<'_>) -> io::Result<Decision> {
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
            decision = door.credentials.check(connect) => Ok(decision),
            error = gone => Err(error),
        }
    }

    /// Lets the core answer. False: a reload came in between, so that the
    /// decision is none any more.
    fn introduce(
        &mut self,
        door: &Arc<Door>,
        connect: &Connect<'_>,
        decision: Decision,
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
