//! One network connection: bytes in batches to the core, its outbox back.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BufMut as _;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::credentials::Credentials;
use super::entrance::Entrance;
use super::exchange::Renewal;
use super::hub::Hub;
use super::ingress::{Layers, Origin};
use crate::auth::Step;
use crate::broker::{
    Batch, ConnectionId, Core, Ended, Millis, Outlook, Policy, ProofRequest, Work,
};
use crate::codec::{Frame, Version};
use crate::transport::tls;

/// What a read takes at most, in bytes. More would fill the receiver's outbox at
/// once and have the publisher pause after each read.
pub(super) const READ_BUFFER: usize = 64 * 1024;

/// A read from so many bytes on is followed by others' turn. Less than the
/// whole buffer, because TLS takes some off.
const LONG_READ: usize = READ_BUFFER / 2;

/// A partial packet up to this size is put in front of the next read; beyond,
/// the read goes behind it.
const SMALL_PARTIAL: usize = 16 * 1024;

/// How long a connection that ends may take to read the news.
const LINGER: Duration = Duration::from_secs(5);

thread_local! {
    /// The read buffer of a thread; connections have none.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(SMALL_PARTIAL + READ_BUFFER));
    /// An outbox that was written, to be given back at the next occasion.
    static SPENT: Cell<Option<Vec<u8>>> = const { Cell::new(None) };
}

/// What a listener's connections have in common. All of it is built anew from
/// its files by a reload, see [`Entrance`].
#[derive(Debug)]
pub(super) struct Door {
    pub(super) policy: Arc<Policy>,
    pub(super) credentials: Credentials,
    pub(super) max_packet_size: u32,
    pub(super) layers: Layers,
    /// Whether small packets leave at once.
    pub(super) no_delay: bool,
    /// TLS, where the listener has it.
    pub(super) tls: Option<tls::Server>,
}

/// Takes a connection in; the future serves it until it ends. It is kept
/// small: most connections are idle most of the time.
pub(super) fn serve<S>(
    hub: Arc<Hub>,
    entrance: Arc<Entrance>,
    stream: S,
    origin: Origin,
) -> impl Future<Output = ()> + use<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // A reload exchanges the door first and then tells the core.
    let (id, max_packet_size) = hub.enter(None, |core, now| {
        let door = entrance.door();
        let id = core.open(now, Arc::clone(&door.policy), &origin.peer);
        (id, door.max_packet_size)
    });
    let mut connection = Connection {
        id,
        entrance,
        max_packet_size,
        stream,
        version: Version::V311,
        partial: Vec::new(),
        writing: Vec::new(),
        written: 0,
        more: false,
        paused: false,
        closing: false,
        renewal: None,
        waker: None,
        place: Place {
            hub,
            id,
            ended: Some(Ended::ByClient),
        },
    };
    if !origin.certificates.is_empty() {
        connection.place.hub.certify(id, origin.certificates);
    }
    let identity = origin.identity;
    // Beginning and end are on the heap, to weigh nothing in between.
    async move {
        let ended = match Box::pin(connection.greet(identity)).await {
            Ok(()) => poll_fn(|context| connection.poll(context)).await,
            Err(error) => Err(error),
        };
        match ended {
            Ok(()) => Box::pin(connection.leave()).await,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                connection.place.give_up();
            }
            Err(error) => connection.place.give_up_broken(&error),
        }
    }
}

/// The connection's place in the core, given up however its task ends.
#[derive(Debug)]
struct Place {
    hub: Arc<Hub>,
    id: ConnectionId,
    /// `None`: given up already.
    ended: Option<Ended>,
}

impl Place {
    fn give_up_broken(&mut self, error: &io::Error) {
        self.ended = Some(Ended::Broken(error.to_string()));
        self.give_up();
    }

    fn give_up(&mut self) {
        if let Some(ended) = self.ended.take() {
            self.hub.unregister(self.id);
            self.hub
                .enter(None, |core, now| core.closed(now, self.id, &ended));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.give_up();
    }
}

pub(super) struct Connection<S> {
    pub(super) id: ConnectionId,
    pub(super) entrance: Arc<Entrance>,
    /// What CONNACK promises; the same while the connection lasts.
    pub(super) max_packet_size: u32,
    pub(super) stream: S,
    pub(super) version: Version,
    /// The beginning of a packet whose end is not there yet.
    pub(super) partial: Vec<u8>,
    /// Bytes on their way out, and how many of them are gone.
    writing: Vec<u8>,
    written: usize,
    /// The outbox holds more than what was taken from it.
    more: bool,
    /// Nothing is read for now.
    paused: bool,
    /// The core is done with the connection.
    closing: bool,
    /// The client proves anew who it is.
    renewal: Option<Box<Renewal>>,
    waker: Option<Waker>,
    place: Place,
}

/// What a read left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    /// The socket is empty; it wakes us.
    Drained,
    /// There was much to read: others first, then us again.
    Again,
    /// It stopped, or didn't begin, for a pause; nothing else wakes us after it.
    Paused,
    /// The client sends no more.
    Ended,
}

/// What the core has for the connection after a batch.
enum News {
    Work(Option<Work>),
    /// No work, because earlier bytes have not left yet.
    Outlook(Outlook),
    /// Work that can wait.
    Later,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn hub(&self) -> &Hub {
        &self.place.hub
    }

    pub(super) fn enter<R>(&self, event: impl FnOnce(&mut Core, Millis) -> R) -> R {
        self.place.hub.enter(Some(self.id), event)
    }

    /// Moves what can be moved in both directions. Ready when the connection
    /// is over: `Ok` where the core ended it.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.register(context);
        let read = match self.exchange(context) {
            Ok(read) => read,
            Err(error) => {
                // A client that is gone may have said goodbye before.
                self.writing = Vec::new();
                let _ = self.read(context, &mut false);
                return Poll::Ready(if self.closing { Ok(()) } else { Err(error) });
            }
        };
        if self.closing {
            return Poll::Ready(Ok(()));
        }
        if read == Read::Ended {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        if self.renewal.is_some() && self.renew(context) {
            context.waker().wake_by_ref();
        }
        let resumed = read == Read::Paused && !self.paused;
        if read == Read::Again || resumed || self.more && self.writing.is_empty() {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Looks at the step of a new proof that runs. True: it is done, and the
    /// core has an answer for the client.
    fn renew(&mut self, context: &mut Context<'_>) -> bool {
        let Some(Poll::Ready((step, exchange))) =
            self.renewal.as_mut().map(|renewal| renewal.poll(context))
        else {
            return false;
        };
        let goes_on = matches!(step, Step::Continue(_));
        let waiting = exchange.filter(|_| goes_on).map(Renewal::Waiting);
        self.renewal = waiting.map(Box::new);
        let id = self.id;
        self.enter(|core, now| core.proceed(now, id, &step));
        true
    }

    /// Begins a step of a new proof.
    fn run(&mut self, request: ProofRequest) {
        let earlier = self.renewal.take().map(|renewal| *renewal);
        let hub = &self.place.hub;
        let door = self.entrance.door();
        let hashing = door.credentials.hashing();
        let renewal = Renewal::run(earlier, request, hub.methods(), hashing);
        self.renewal = renewal.map(Box::new);
        if self.renewal.is_none() {
            let id = self.id;
            self.enter(|core, now| core.proceed(now, id, &Step::Deny));
        }
    }

    fn exchange(&mut self, context: &mut Context<'_>) -> io::Result<Read> {
        self.flush(context)?;
        let mut taken = false;
        let read = if self.paused {
            Read::Paused
        } else {
            self.read(context, &mut taken)?
        };
        self.flush(context)?;
        // A wake means that the core has news. And what we brought it since we
        // last looked at the outbox, it answered without waking us.
        if !taken && self.writing.is_empty() {
            self.take();
            self.flush(context)?;
        } else if !taken {
            let id = self.id;
            let outlook = self.enter(|core, _| core.outlook(id));
            self.heed(outlook);
        }
        Ok(read)
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
            let (count, long) = match self.read_once(context, taken)? {
                Poll::Pending => return Ok(Read::Drained),
                Poll::Ready(outcome) => outcome,
            };
            if count == 0 {
                return Ok(Read::Ended);
            }
            if self.paused || self.closing {
                return Ok(Read::Paused);
            }
            if long {
                return Ok(Read::Again);
            }
        }
    }

    /// One read and its effect in the core. Returns the number of bytes and
    /// whether it is others' turn now.
    fn read_once(
        &mut self,
        context: &mut Context<'_>,
        taken: &mut bool,
    ) -> io::Result<Poll<(usize, bool)>> {
        if self.partial.len() > SMALL_PARTIAL {
            return self.read_large(context, taken);
        }
        BUFFER.with_borrow_mut(|buffer| {
            buffer.clear();
            buffer.extend_from_slice(&self.partial);
            let mut rest = (&mut *buffer).limit(READ_BUFFER);
            let Poll::Ready(count) = pin!(self.stream.read_buf(&mut rest)).poll(context)? else {
                return Ok(Poll::Pending);
            };
            self.partial.clear();
            *taken = self.process(buffer);
            Ok(Poll::Ready((count, count >= LONG_READ)))
        })
    }

    /// A read into the connection's own buffer, for a packet that is larger
    /// than what is worth copying around.
    fn read_large(
        &mut self,
        context: &mut Context<'_>,
        taken: &mut bool,
    ) -> io::Result<Poll<(usize, bool)>> {
        self.partial.reserve(READ_BUFFER);
        let mut rest = (&mut self.partial).limit(READ_BUFFER);
        let Poll::Ready(count) = pin!(self.stream.read_buf(&mut rest)).poll(context)? else {
            return Ok(Poll::Pending);
        };
        let bytes = std::mem::take(&mut self.partial);
        let whole = Frame::split(&bytes, self.max_packet_size as usize);
        if matches!(whole, Ok(None)) {
            self.partial = bytes;
            // On a slow line a large packet takes longer than the keep alive.
            let id = self.id;
            self.enter(|core, now| core.hear(now, id));
        } else {
            *taken = self.process(&bytes);
        }
        Ok(Poll::Ready((count, count >= LONG_READ)))
    }

    /// Hands the packets in `bytes` to the core and keeps what is left. True:
    /// the outbox was looked at on this occasion.
    pub(super) fn process(&mut self, bytes: &[u8]) -> bool {
        let batch = Batch::decode(bytes, self.version, self.max_packet_size);
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
        let patient = batch.can_be_answered_later();
        let news = loop {
            let done = self.enter(|core, now| {
                if core.receive_some(now, id, &batch) {
                    None
                } else if !take {
                    Some(News::Outlook(core.outlook(id)))
                } else if patient && core.postpone(id) && self.postpone() {
                    Some(News::Later)
                } else {
                    Some(News::Work(look(core, now, id)))
                }
            });
            if let Some(news) = done {
                break news;
            }
        };
        if batch.begins_with_message() {
            self.hub().linger().message();
        }
        match news {
            News::Work(work) => self.accept(work),
            News::Outlook(outlook) => self.heed(outlook),
            News::Later => {}
        }
        take
    }

    /// Has us woken in a moment if nothing comes before. False: nobody would.
    fn postpone(&self) -> bool {
        let waker = self.waker.as_ref();
        waker.is_some_and(|waker| self.hub().linger().postpone(waker))
    }

    fn take(&mut self) {
        let id = self.id;
        let work = self.enter(|core, now| look(core, now, id));
        self.accept(work);
    }

    fn accept(&mut self, work: Option<Work>) {
        let work = work.unwrap_or(Work {
            close: true,
            ..Work::default()
        });
        self.writing = work.bytes;
        self.written = 0;
        self.more = work.more;
        self.paused = work.pause;
        self.closing = work.close;
        if let Some(request) = work.proof {
            self.run(*request);
        }
    }

    /// What the core has to say while our bytes don't leave.
    fn heed(&mut self, outlook: Outlook) {
        self.paused = outlook.pause;
        self.closing = outlook.close;
    }

    /// Writes as much as the stream takes.
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
            // A layer below may keep bytes that the socket didn't take.
            match Pin::new(&mut self.stream).poll_flush(context) {
                Poll::Pending => return Ok(()),
                Poll::Ready(outcome) => outcome?,
            }
            SPENT.set(Some(std::mem::take(&mut self.writing)));
            self.written = 0;
        }
        Ok(())
    }

    /// Gives the client its last words, and time to read them.
    async fn leave(&mut self) {
        let deadline = Instant::now() + LINGER;
        let told = timeout_at(deadline, self.last_words()).await;
        self.place.give_up();
        if let Ok(Ok(())) = told {
            // While there is something unread, the system resets what it
            // closes, and the client might not read our last words.
            let mut scrap = [0; 512];
            let stream = &mut self.stream;
            let drained =
                async { while stream.read(&mut scrap).await.is_ok_and(|count| count > 0) {} };
            let _ = timeout_at(deadline, drained).await;
        }
    }

    async fn last_words(&mut self) -> io::Result<()> {
        while !self.writing.is_empty() {
            let bytes = &self.writing[self.written..];
            self.stream.write_all(bytes).await?;
            self.stream.flush().await?;
            self.take();
        }
        self.stream.shutdown().await
    }
}

/// Looks at a connection's outbox.
fn look(core: &mut Core, now: Millis, id: ConnectionId) -> Option<Work> {
    if let Some(buffer) = SPENT.take() {
        core.give_back(buffer);
    }
    core.take(now, id)
}
