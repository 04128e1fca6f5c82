//! Bytes that were read to find out what comes, in front of those that follow.

use tokio::io::ReadBuf;

use super::Stream;

/// A stream that first gives again what was read from it too early.
#[derive(Debug)]
pub struct Early {
    bytes: Vec<u8>,
    pub(super) stream: Stream,
}

impl Stream {
    /// This stream with bytes in front of it that were read from it.
    pub fn put_back(self, bytes: Vec<u8>) -> Self {
        if bytes.is_empty() {
            return self;
        }
        Self::Early(Box::new(Early {
            bytes,
            stream: self,
        }))
    }
}

impl Early {
    /// Gives again what there is; false when all was given.
    pub(super) fn give(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        if self.bytes.is_empty() {
            return false;
        }
        let count = self.bytes.len().min(buffer.remaining());
        buffer.put_slice(&self.bytes[..count]);
        if count == self.bytes.len() {
            self.bytes = Vec::new();
        } else {
            self.bytes.drain(..count);
        }
        true
    }
}
