//! Bytes through TLS.
//!
//! rustls by itself reads 4 KiB at a time and gives out one record after the
//! other. Here one read brings what the socket has, up to 64 KiB, and all
//! records in it are handed over together: the broker's batches depend on it.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, BufRead as _, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::Connection;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use super::failure::{Failure, Side};
use super::rejection::take_rejection;
use crate::transport::Stream;

/// What one read of the socket takes at most.
const READ_SIZE: usize = 64 * 1024;

/// How long a peer whose handshake failed has to read why.
const GOODBYE: Duration = Duration::from_secs(2);

thread_local! {
    /// The read buffer of a thread; connections have none.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A stream within TLS.
#[derive(Debug)]
pub struct TlsStream {
    inner: Stream,
    session: Connection,
    /// Records that rustls had no room for, because whoever reads has none.
    waiting: Vec<u8>,
    /// The peer has sent something, and sends no more.
    heard: bool,
    ended: bool,
}

impl TlsStream {
    pub(super) fn new(inner: Stream, session: Connection) -> Self {
        Self {
            inner,
            session,
            waiting: Vec::new(),
            heard: false,
            ended: false,
        }
    }

    pub(super) fn session(&self) -> &Connection {
        &self.session
    }

    pub(super) fn side(&self) -> Side {
        match self.session {
            Connection::Client(_) => Side::Client,
            Connection::Server(_) => Side::Server,
        }
    }

    /// Whether the peer never sent anything.
    pub(super) fn is_silent(&self) -> bool {
        !self.heard
    }

    pub(super) async fn say_goodbye(mut self) {
        say_goodbye(&mut self.inner).await;
    }

    /// Exchanges certificates and keys.
    pub(super) async fn shake_hands(&mut self) -> Result<(), Failure> {
        let shaken = poll_fn(|context| self.poll_handshake(context)).await;
        if shaken.is_err() {
            // The peer learns the reason, if it can be told at once.
            let _ = poll_fn(|context| Poll::Ready(self.poll_drain(context))).await;
        }
        shaken
    }

    fn poll_handshake(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        loop {
            let sent = self.poll_drain(context).map_err(Failure::Io)?;
            if !self.session.is_handshaking() {
                return sent.map(Ok);
            }
            if self.ended {
                return Poll::Ready(Err(Failure::Left));
            }
            ready!(self.poll_receive(context))?;
        }
    }

    /// Reads the socket once and decrypts what it brought.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let mut buffer = BUFFER.take();
        buffer.resize(READ_SIZE, 0);
        let mut target = ReadBuf::new(&mut buffer);
        let outcome = Pin::new(&mut self.inner).poll_read(context, &mut target);
        let outcome = outcome.map(|read| {
            read.map_err(Failure::Io)?;
            match target.filled() {
                [] => self.ended = true,
                records => {
                    self.heard = true;
                    let taken = self.decrypt(records)?;
                    self.waiting.extend_from_slice(&records[taken..]);
                }
            }
            Ok(())
        });
        BUFFER.set(buffer);
        outcome
    }

    /// Decrypts records, as many as there is room for in the session. Returns
    /// how many bytes that were.
    fn decrypt(&mut self, records: &[u8]) -> Result<usize, Failure> {
        let mut rest = records;
        while !rest.is_empty() {
            match self.session.read_tls(&mut rest) {
                // The peer said that it sends no more.
                Ok(0) => return Ok(records.len()),
                Ok(_) => {}
                // A message of the handshake that has no end.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(Failure::Io(error));
                }
                // No room for more plaintext.
                Err(_) => break,
            }
            let state = self
                .session
                .process_new_packets()
                .map_err(|error| Failure::Tls(error, take_rejection().map(Box::new)))?;
            if state.peer_has_closed() {
                self.ended = true;
            }
        }
        Ok(records.len() - rest.len())
    }

    /// Hands out what is decrypted.
    fn take_plaintext(&mut self, buffer: &mut ReadBuf<'_>) -> io::Result<()> {
        while buffer.remaining() > 0 {
            let mut reader = self.session.reader();
            match reader.fill_buf() {
                Ok([]) => break,
                Ok(plaintext) => {
                    let count = plaintext.len().min(buffer.remaining());
                    buffer.put_slice(&plaintext[..count]);
                    reader.consume(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // The connection closed without a word of TLS. MQTT has its
                // own way to say that something is missing.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends what is encrypted.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            let mut writer = Writer {
                inner: &mut self.inner,
                context,
            };
            match self.session.write_tls(&mut writer) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Ends a connection whose handshake failed so that the peer can read why: the
/// system resets what is closed with something unread.
pub(super) async fn say_goodbye(stream: &mut Stream) {
    let farewell = async {
        stream.shutdown().await?;
        let mut scrap = [0; 512];
        while stream.read(&mut scrap).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(GOODBYE, farewell).await;
}

impl AsyncRead for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        loop {
            this.take_plaintext(buffer)?;
            let received = if !this.waiting.is_empty() && buffer.remaining() > 0 {
                let waiting = std::mem::take(&mut this.waiting);
                this.decrypt(&waiting)
                    .map(|taken| this.waiting.extend_from_slice(&waiting[taken..]))
            } else if this.ended || buffer.filled().len() > before || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            } else {
                ready!(this.poll_receive(context))
            };
            // What TLS itself has to say: to a key update, or why it ends.
            let sent = this.poll_drain(context);
            received.map_err(|failure| failure.into_io(this.side()))?;
            if let Poll::Ready(sent) = sent {
                sent?;
            }
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_drain(context))?;
        let count = this.session.writer().write(bytes)?;
        // What the socket doesn't take now leaves with the next write or flush.
        let _ = this.poll_drain(context)?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(context))?;
        Pin::new(&mut this.inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Said once, however often this is polled.
        this.session.send_close_notify();
        ready!(this.poll_drain(context))?;
        Pin::new(&mut this.inner).poll_shutdown(context)
    }
}

/// The socket as rustls writes to it.
struct Writer<'a, 'b> {
    inner: &'a mut Stream,
    context: &'a mut Context<'b>,
}

impl Writer<'_, '_> {
    fn or_would_block(outcome: Poll<io::Result<usize>>) -> io::Result<usize> {
        match outcome {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Writer<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::or_would_block(Pin::new(&mut *self.inner).poll_write(self.context, bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Self::or_would_block(Pin::new(&mut *self.inner).poll_write_vectored(self.context, slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
