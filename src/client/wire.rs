//! The buffers of a connection: one for reading, one for writing.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use crate::codec::{DecodeError, Frame};

/// What one read takes at most, unless a packet is larger.
const READ_SIZE: usize = 64 * 1024;
/// A write buffer that has grown beyond this is given back.
const WRITE_KEEP: usize = 256 * 1024;

/// A stream with its buffers.
pub(crate) struct Wire<S> {
    stream: S,
    input: BytesMut,
    max_packet_size: usize,
    /// Bytes to write; a caller appends.
    pub(crate) output: Vec<u8>,
    written: usize,
    /// Writing has failed. Reading goes on, because the server may have told
    /// the reason before it closed.
    write_error: Option<io::Error>,
}

/// What an exchange brought.
#[derive(Debug)]
pub(crate) enum Exchange {
    /// New input.
    Input,
    /// The stream is at its end, or has failed.
    End(Option<io::Error>),
}

/// What a transfer brought.
#[derive(Debug)]
pub(crate) enum Transfer {
    /// All was written.
    Written,
    /// Something was read.
    Read(Exchange),
}

/// One packet, as its own slice of the read buffer.
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    header_len: usize,
}

impl Received {
    pub(crate) fn frame(&self) -> Frame<'_> {
        Frame {
            bytes: &self.bytes,
            header_len: self.header_len,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S, max_packet_size: usize) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            max_packet_size,
            output: Vec::new(),
            written: 0,
            write_error: None,
        }
    }

    /// How many bytes wait to be written.
    pub(crate) fn backlog(&self) -> usize {
        self.output.len() - self.written
    }

    /// The next whole packet that was read.
    pub(crate) fn next_packet(&mut self) -> Result<Option<Received>, DecodeError> {
        let Some(frame) = Frame::split(&self.input, self.max_packet_size)? else {
            return Ok(None);
        };
        let (length, header_len) = (frame.bytes.len(), frame.header_len);
        Ok(Some(Received {
            bytes: self.input.split_to(length).freeze(),
            header_len,
        }))
    }

    /// Writes what there is to write, and waits for input. May be dropped at
    /// any await without losing a byte.
    pub(crate) async fn exchange(&mut self) -> Exchange {
        if self.input.capacity() - self.input.len() < READ_SIZE / 8 {
            self.input.reserve(READ_SIZE);
        }
        poll_fn(|cx| {
            // Reading goes on while a write is stuck: the server may itself be
            // stuck writing to us.
            let _ = self.poll_write(cx);
            self.poll_read(cx)
        })
        .await
    }

    /// Writes, and waits for input if it is `wanted`, or until all there is to
    /// write has been written. May be dropped at any await without losing a
    /// byte.
    pub(crate) async fn transfer(&mut self, wanted: bool) -> Transfer {
        if wanted && self.input.capacity() - self.input.len() < READ_SIZE / 8 {
            self.input.reserve(READ_SIZE);
        }
        poll_fn(|cx| {
            let had = self.backlog() > 0;
            if self.poll_write(cx).is_ready() && had {
                return Poll::Ready(Transfer::Written);
            }
            if !wanted {
                return Poll::Pending;
            }
            self.poll_read(cx).map(Transfer::Read)
        })
        .await
    }

    /// Writes all there is. Input that comes meanwhile waits in its buffer.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            if self.poll_write(cx).is_pending() {
                self.input.reserve(READ_SIZE);
                if let Poll::Ready(Exchange::End(error)) = self.poll_read(cx) {
                    return Poll::Ready(Err(
                        error.unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())
                    ));
                }
                return Poll::Pending;
            }
            Poll::Ready(self.write_error.take().map_or(Ok(()), Err))
        })
        .await
    }

    /// Writes what can be written without waiting.
    pub(crate) fn flush_now(&mut self) {
        let _ = self.poll_write(&mut Context::from_waker(Waker::noop()));
    }

    /// Writes all there is and ends the writing side.
    pub(crate) async fn close(&mut self) -> io::Result<()> {
        self.flush().await?;
        // The server may have closed already; all was written.
        let _ = poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await;
        Ok(())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.output.is_empty() {
            return Poll::Ready(());
        }
        while self.written < self.output.len() {
            let rest = &self.output[self.written..];
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest)) {
                Ok(0) => self.write_failed(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) => self.write_failed(error),
            }
        }
        match ready!(Pin::new(&mut self.stream).poll_flush(cx)) {
            Ok(()) => {}
            Err(error) => self.write_failed(error),
        }
        self.written = 0;
        self.output.clear();
        self.output.shrink_to(WRITE_KEEP);
        Poll::Ready(())
    }

    fn write_failed(&mut self, error: io::Error) {
        self.written = self.output.len();
        self.write_error.get_or_insert(error);
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Exchange> {
        // A future of `read_buf` keeps nothing between polls.
        let result = ready!(pin!(self.stream.read_buf(&mut self.input)).poll(cx));
        Poll::Ready(match result {
            Ok(0) => Exchange::End(self.write_error.take()),
            Ok(_) => Exchange::Input,
            Err(error) => Exchange::End(Some(error)),
        })
    }
}
