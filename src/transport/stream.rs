//! One type for every kind of stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::early::Early;
#[cfg(feature = "psk")]
use super::tls::PskStream;
use super::tls::TlsStream;
use super::websocket::WebSocket;

/// A connected stream of bytes.
#[derive(Debug)]
pub enum Stream {
    /// Plain TCP.
    Tcp(TcpStream),
    /// A Unix domain socket.
    Unix(UnixStream),
    /// A stream with bytes in front of it that were read too early.
    Early(Box<Early>),
    /// WebSocket over another stream.
    WebSocket(Box<WebSocket>),
    /// TLS over another stream.
    Tls(Box<TlsStream>),
    /// TLS by a pre-shared key over another stream.
    #[cfg(feature = "psk")]
    Psk(Box<PskStream>),
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
    }
}

/// Runs `$method` on whichever stream it is.
macro_rules! on_inner {
    ($stream:expr, $method:ident, $cx:expr $(, $argument:expr)*) => {
        match $stream.get_mut() {
            Stream::Tcp(inner) => Pin::new(inner).$method($cx $(, $argument)*),
            Stream::Unix(inner) => Pin::new(inner).$method($cx $(, $argument)*),
            Stream::Early(early) => Pin::new(&mut early.stream).$method($cx $(, $argument)*),
            Stream::WebSocket(inner) => Pin::new(inner).$method($cx $(, $argument)*),
            Stream::Tls(inner) => Pin::new(&mut **inner).$method($cx $(, $argument)*),
            #[cfg(feature = "psk")]
            Stream::Psk(inner) => Pin::new(&mut **inner).$method($cx $(, $argument)*),
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Self::Early(early) = &mut *self
            && early.give(buffer)
        {
            return Poll::Ready(Ok(()));
        }
        on_inner!(self, poll_read, cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        on_inner!(self, poll_write, cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_inner!(self, poll_write_vectored, cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(inner) => inner.is_write_vectored(),
            Self::Unix(inner) => inner.is_write_vectored(),
            Self::Early(early) => early.stream.is_write_vectored(),
            Self::WebSocket(inner) => inner.is_write_vectored(),
            Self::Tls(_) => false,
            #[cfg(feature = "psk")]
            Self::Psk(_) => false,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_inner!(self, poll_flush, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_inner!(self, poll_shutdown, cx)
    }
}
