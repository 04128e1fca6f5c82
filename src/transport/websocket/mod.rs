//! WebSocket (RFC 6455) as a stream of bytes.
//!
//! MQTT doesn't care where a frame begins (6.0 of MQTT 5): so nothing is put
//! together here. What is read is unpacked where the reader wants it, what is
//! written becomes one binary frame, and a connection that is idle holds no
//! buffer. The handshake and the heads of frames are tungstenite's; its own
//! `WebSocket` collects whole messages and keeps a read buffer for each
//! connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use super::Stream;

mod frames;
mod upgrade;

use frames::Frames;
pub use upgrade::{Accepted, Rules, accept, request};

/// The most that one frame carries; more becomes several.
const MAX_FRAME: usize = 128 * 1024;

/// Which end of the connection it is. Clients mask what they send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Client,
    Server,
}

/// A WebSocket connection after its handshake.
#[derive(Debug)]
pub struct WebSocket {
    stream: Stream,
    role: Role,
    frames: Frames,
    /// Frames on their way out, and how much of them is gone.
    outgoing: Vec<u8>,
    sent: usize,
    /// The stream below may hold bytes that it has taken.
    unflushed: bool,
    /// Our close frame is among the outgoing, or gone.
    closed: bool,
    /// The last read filled the reader's buffer: others first, then us again.
    /// A reader cannot see that, for less comes out than went in.
    greedy: bool,
}

impl WebSocket {
    fn new(stream: Stream, role: Role) -> Self {
        Self {
            stream,
            role,
            frames: Frames::new(role == Role::Server),
            outgoing: Vec::new(),
            sent: 0,
            unflushed: false,
            closed: false,
            greedy: false,
        }
    }

    fn push(&mut self, opcode: OpCode, payload: &[u8]) -> io::Result<()> {
        let mask = match self.role {
            Role::Server => None,
            Role::Client => {
                let mut key = [0; 4];
                getrandom::fill(&mut key).map_err(io::Error::other)?;
                Some(key)
            }
        };
        let mut frame = frames::head(opcode, payload.len(), mask);
        let start = frame.len();
        frame.extend_from_slice(payload);
        if let Some(key) = mask {
            frames::mask(&mut frame[start..], key);
        }
        if self.outgoing.is_empty() {
            self.outgoing = frame;
        } else {
            self.outgoing.append(&mut frame);
        }
        Ok(())
    }

    /// Hands the frames that wait to the stream below, answers to the peer's
    /// control frames last.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while self.sent < self.outgoing.len() {
                let rest = &self.outgoing[self.sent..];
                match ready!(Pin::new(&mut self.stream).poll_write(cx, rest))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    count => self.sent += count,
                }
                self.unflushed = true;
            }
            self.outgoing = Vec::new();
            self.sent = 0;
            if self.closed {
                return Poll::Ready(Ok(()));
            }
            match self.frames.answer() {
                None => return Poll::Ready(Ok(())),
                Some((kind, payload)) => {
                    self.push(OpCode::Control(kind), &payload)?;
                    self.closed = kind == Control::Close;
                }
            }
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what has to leave though nobody writes. If that fails, the next
    /// write says so.
    fn keep_sending(&mut self, cx: &mut Context<'_>) {
        if self.unflushed || self.sent < self.outgoing.len() || self.frames.has_answer() {
            let _ = self.poll_send(cx);
        }
    }
}

impl AsyncRead for WebSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.keep_sending(cx);
        if std::mem::take(&mut self.greedy) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            if let Some(end) = self.frames.ended() {
                return Poll::Ready(end);
            }
            let start = buffer.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
            let full = buffer.remaining() == 0;
            let fresh = &mut buffer.filled_mut()[start..];
            if fresh.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let kept = self.frames.decode(fresh);
            buffer.set_filled(start + kept);
            self.keep_sending(cx);
            if kept > 0 {
                self.greedy = full;
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for WebSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(cx))?;
        if self.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let bytes = &bytes[..bytes.len().min(MAX_FRAME)];
        if !bytes.is_empty() {
            self.push(OpCode::Data(Data::Binary), bytes)?;
            // What the stream below doesn't take now, a flush gives it.
            if let Poll::Ready(outcome) = self.poll_drain(cx) {
                outcome?;
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(cx)
    }

    /// Says goodbye, and ends the writing side of what is below.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        if !self.closed {
            let normal = u16::from(CloseCode::Normal).to_be_bytes();
            self.push(OpCode::Control(Control::Close), &normal)?;
            self.closed = true;
        }
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
