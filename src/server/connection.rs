//! One network connection: bytes in batches to the core, its outbox back.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::credentials::Credentials;
use super::hub::Hub;
use crate::broker::{Batch, ConnectionId, Core, Decision, Ended, Millis, Policy, Work};
use crate::codec::{Connect, Frame, Version};

/// The read buffer of a thread, in bytes; connections have none.
const READ_BUFFER: usize = 64 * 1024;

/// A partial packet up to this size is put in front of the next read; beyond,
/// the read goes behind it.
const SMALL_PARTIAL: usize = 16 * 1024;

/// How long a connection may take for its CONNECT, and the most that CONNECT
/// may weigh in bytes: the longest strings that it can carry.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_CONNECT: usize = 512 * 1024;

/// How long a connection that was told to end may take to read the news.
const LINGER: Duration = Duration::from_secs(5);

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SMALL_PARTIAL + READ_BUFFER]);
    /// An outbox that was written, to be given back at the next occasion.
    static SPENT: Cell<Option<Vec<u8>>> = const { Cell::new(None) };
}

/// What a listener's connections have in common.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) policy: Arc<Policy>,
    pub(super) credentials: Credentials,
    pub(super) max_packet_size: u32,
}

/// Serves a connection until it ends.
pub(super) async fn serve<S>(hub: Arc<Hub>, door: Arc<Door>, stream: S, peer: String)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let id = hub.enter(None, |core, now| {
        core.open(now, Arc::clone(&door.policy), &peer)
    });
    let mut connection = Connection {
        id,
        door,
        stream,
        version: Version::V311,
        partial: Vec::new(),
        writing: Vec::new(),
        written: 0,
        more: false,
        paused: false,
        closing: false,
        waker: None,
        place: Place {
            hub,
            id,
            ended: Ended::ByClient,
        },
    };
    // On the heap, to be gone when the connection settles down.
    let greeting = Box::pin(tokio::time::timeout(CONNECT_TIMEOUT, connection.greet())).await;
    let ended = match greeting {
        Ok(Err(error)) => Err(error),
        Ok(Ok(())) => poll_fn(|context| connection.poll(context)).await,
        Err(_) => {
            connection.refuse("no CONNECT in time");
            poll_fn(|context| connection.poll(context)).await
        }
    };
    let Connection {
        stream, mut place, ..
    } = connection;
    match ended {
        Ok(()) => {
            drop(place);
            linger(stream).await;
        }
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
        Err(error) => place.ended = Ended::Broken(error.to_string()),
    }
}

/// The connection's place in the core, given up however its task ends.
#[derive(Debug)]
struct Place {
    hub: Arc<Hub>,
    id: ConnectionId,
    ended: Ended,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.hub.unregister(self.id);
        self.hub.enter(Some(self.id), |core, now| {
            core.closed(now, self.id, &self.ended);
        });
    }
}

struct Connection<S> {
    id: ConnectionId,
    door: Arc<Door>,
    stream: S,
    version: Version,
    /// The beginning of a packet whose end is not there yet.
    partial: Vec<u8>,
    /// Bytes on their way out, and how many of them are gone.
    writing: Vec<u8>,
    written: usize,
    more: bool,
    paused: bool,
    closing: bool,
    waker: Option<Waker>,
    place: Place,
}

/// What a read left to do.
enum Read {
    /// The socket is empty; it wakes us.
    Drained,
    /// The buffer was full: others first, then us again.
    Again,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    fn enter<R>(&self, event: impl FnOnce(&mut Core, Millis) -> R) -> R {
        self.place.hub.enter(Some(self.id), event)
    }

    /// Reads CONNECT, checks the credentials, lets the core answer.
    async fn greet(&mut self) -> io::Result<()> {
        let frame_len = loop {
            match self.partial.first() {
                Some(first) if first >> 4 != 1 => {
                    self.refuse("a first packet that is not CONNECT");
                    return Ok(());
                }
                _ => {}
            }
            let limit = MAX_CONNECT.min(self.door.max_packet_size as usize);
            match Frame::split(&self.partial, limit) {
                Err(error) => {
                    self.refuse(error.what);
                    return Ok(());
                }
                Ok(Some(frame)) => break frame.bytes.len(),
                Ok(None) => {}
            }
            if self.stream.read_buf(&mut self.partial).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let packet: Vec<u8> = self.partial.drain(..frame_len).collect();
        let Ok(Some(frame)) = Frame::split(&packet, usize::MAX) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        match Connect::decode(frame) {
            Err(refused) => {
                let id = self.id;
                self.enter(|core, now| core.refuse_connect(now, id, &refused));
            }
            Ok(connect) => {
                let decision = self.door.credentials.check(&connect).await;
                self.introduce(&connect, decision)?;
            }
        }
        Ok(())
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

    /// Ends a connection that doesn't speak MQTT as it should.
    fn refuse(&mut self, why: &'static str) {
        let id = self.id;
        self.enter(|core, now| core.refuse_silently(now, id, why));
    }

    /// Moves what can be moved in both directions. Ready when the connection
    /// is over.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.register(context);
        let (mut taken, mut again, paused) = (false, false, self.paused);
        self.flush(context)?;
        if !self.paused && !self.closing {
            match self.read(context, &mut taken)? {
                Read::Drained => {}
                Read::Again => again = true,
            }
        }
        // One look at the outbox at least: that is what wakes mean.
        if !taken && self.writing.is_empty() {
            self.take();
        }
        self.flush(context)?;
        if self.closing && self.writing.is_empty() {
            return self.finish(context);
        }
        let resumed = paused && !self.paused;
        if again || resumed || self.more && self.writing.is_empty() {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn register(&mut self, context: &Context<'_>) {
        let waker = context.waker();
        if !self
            .waker
            .as_ref()
            .is_some_and(|known| known.will_wake(waker))
        {
            self.place.hub.register(self.id, waker);
            self.waker = Some(waker.clone());
        }
    }

    fn read(&mut self, context: &mut Context<'_>, taken: &mut bool) -> io::Result<Read> {
        loop {
            let (count, full) = match self.read_once(context, taken)? {
                Poll::Pending => return Ok(Read::Drained),
                Poll::Ready(outcome) => outcome,
            };
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if self.paused || self.closing {
                return Ok(Read::Drained);
            }
            if full {
                return Ok(Read::Again);
            }
        }
    }

    /// One read and its effect in the core. Returns the number of bytes and
    /// whether they filled the buffer.
    fn read_once(
        &mut self,
        context: &mut Context<'_>,
        taken: &mut bool,
    ) -> io::Result<Poll<(usize, bool)>> {
        if self.partial.len() > SMALL_PARTIAL {
            return self.read_large(context, taken);
        }
        BUFFER.with_borrow_mut(|buffer| {
            let kept = self.partial.len();
            buffer[..kept].copy_from_slice(&self.partial);
            let mut target = ReadBuf::new(&mut buffer[kept..kept + READ_BUFFER]);
            match Pin::new(&mut self.stream).poll_read(context, &mut target) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(outcome) => outcome?,
            }
            let count = target.filled().len();
            self.partial.clear();
            *taken = self.process(&buffer[..kept + count]);
            Ok(Poll::Ready((count, count == READ_BUFFER)))
        })
    }

    /// A read into the connection's own buffer, for a packet that is larger
    /// than what is worth copying around.
    fn read_large(
        &mut self,
        context: &mut Context<'_>,
        taken: &mut bool,
    ) -> io::Result<Poll<(usize, bool)>> {
        let kept = self.partial.len();
        self.partial.resize(kept + READ_BUFFER, 0);
        let mut target = ReadBuf::new(&mut self.partial[kept..]);
        let outcome = Pin::new(&mut self.stream).poll_read(context, &mut target);
        let count = target.filled().len();
        self.partial.truncate(kept + count);
        match outcome {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(outcome) => outcome?,
        }
        let bytes = std::mem::take(&mut self.partial);
        let whole = Frame::split(&bytes, self.door.max_packet_size as usize);
        if matches!(whole, Ok(None)) {
            self.partial = bytes;
        } else {
            *taken = self.process(&bytes);
        }
        Ok(Poll::Ready((count, count == READ_BUFFER)))
    }

    /// Hands the packets in `bytes` to the core and keeps what is left. True:
    /// the outbox was looked at on this occasion.
    fn process(&mut self, bytes: &[u8]) -> bool {
        let batch = Batch::decode(bytes, self.version, self.door.max_packet_size);
        let rest = &bytes[batch.consumed()..];
        if rest.is_empty() {
            self.partial = Vec::new();
        } else {
            self.partial.extend_from_slice(rest);
        }
        if batch.is_empty() {
            return false;
        }
        let (id, take) = (self.id, self.writing.is_empty());
        let (work, congested) = self.enter(|core, now| {
            core.receive(now, id, &batch);
            if take {
                (look(core, now, id), false)
            } else {
                (None, core.is_congested(id))
            }
        });
        if take {
            self.accept(work);
        } else {
            self.paused |= congested;
        }
        take
    }

    fn take(&mut self) {
        let id = self.id;
        let work = self.enter(|core, now| look(core, now, id));
        self.accept(work);
    }

    fn accept(&mut self, work: Option<Work>) {
        let Some(work) = work else {
            self.closing = true;
            return;
        };
        self.writing = work.bytes;
        self.written = 0;
        self.more = work.more;
        self.paused = work.pause;
        self.closing = work.close;
    }

    /// Writes as much as the socket takes.
    fn flush(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while self.written < self.writing.len() {
            let bytes = &self.writing[self.written..];
            match Pin::new(&mut self.stream).poll_write(context, bytes) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(count) => self.written += count?,
            }
        }
        if !self.writing.is_empty() {
            SPENT.set(Some(std::mem::take(&mut self.writing)));
            self.written = 0;
        }
        Ok(())
    }

    fn finish(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The client may be gone already; the connection is over in any case.
        let _ = ready!(Pin::new(&mut self.stream).poll_shutdown(context));
        Poll::Ready(Ok(()))
    }
}

/// Looks at a connection's outbox.
fn look(core: &mut Core, now: Millis, id: ConnectionId) -> Option<Work> {
    if let Some(buffer) = SPENT.take() {
        core.give_back(buffer);
    }
    core.take(now, id)
}

/// Reads what a client still sends after we ended the connection, so that the
/// system doesn't reset it before our last words are read.
async fn linger<S: AsyncRead + Unpin>(mut stream: S) {
    let mut scrap = [0; 512];
    let drained = async { while stream.read(&mut scrap).await.is_ok_and(|count| count > 0) {} };
    let _ = tokio::time::timeout(LINGER, drained).await;
}
