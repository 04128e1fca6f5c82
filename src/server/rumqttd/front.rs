//! One port for two versions of MQTT: a look at the first bytes of a client, then
//! all of them to the server for its version, and back.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::listener::{Acceptor, PAUSE};
use super::super::log::Logger;
use super::plan::CONNECT_TIMEOUT;
use crate::config::LogType;
use crate::transport::Stream;

/// Where clients are passed to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Routes {
    pub(super) v4: SocketAddr,
    pub(super) v5: SocketAddr,
    /// Whether small packets leave at once.
    pub(super) no_delay: bool,
}

/// Accepts clients for ever.
pub(super) async fn accept(acceptor: Acceptor, routes: Routes, logger: Arc<Logger>) {
    loop {
        match acceptor.next().await {
            Ok((Stream::Tcp(client), _)) => {
                // How a connection ends is the business of its two ends.
                tokio::spawn(pass(client, routes));
            }
            Ok(_) => {}
            Err(error) => {
                logger.write(
                    LogType::Warning,
                    &format!("Cannot accept a connection: {error}."),
                );
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn pass(mut client: TcpStream, routes: Routes) -> io::Result<()> {
    client.set_nodelay(routes.no_delay)?;
    let (head, version) = timeout(CONNECT_TIMEOUT, greeting(&mut client)).await??;
    let to = if version == 5 { routes.v5 } else { routes.v4 };
    let mut server = TcpStream::connect(to).await?;
    // What comes together goes on together; nothing is to wait here.
    server.set_nodelay(true)?;
    server.write_all(&head).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// Reads until it is known which version a client speaks.
async fn greeting(client: &mut TcpStream) -> io::Result<(Vec<u8>, u8)> {
    let mut head = Vec::new();
    loop {
        if client.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(version) = version(&head) {
            return Ok((head, version));
        }
    }
}

/// The protocol version in the beginning of a CONNECT packet (3.1.2.2), 0 for what
/// is none; nothing while more of it has to come.
fn version(head: &[u8]) -> Option<u8> {
    const CONNECT: u8 = 0x10;
    const LONGEST_NAME: usize = "MQIsdp".len();
    let (kind, rest) = head.split_first()?;
    let Some(last) = rest.iter().take(4).position(|byte| byte & 0x80 == 0) else {
        return (rest.len() >= 4).then_some(0);
    };
    let (length, name) = rest[last + 1..].split_first_chunk()?;
    let length = usize::from(u16::from_be_bytes(*length));
    if *kind != CONNECT || length > LONGEST_NAME {
        return Some(0);
    }
    name.get(length).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found_once_it_is_there() {
        let connect = |version| {
            let mut bytes = b"\x10\x90\x01\x00\x04MQTT".to_vec();
            bytes.extend([version, 2, 0, 60]);
            bytes
        };
        for expected in [4, 5] {
            let bytes = connect(expected);
            assert!((0..9).all(|count| version(&bytes[..count]).is_none()));
            assert!((10..=bytes.len()).all(|count| version(&bytes[..count]) == Some(expected)));
        }
        assert_eq!(version(b"\x10\x0e\x00\x06MQIsdp\x03"), Some(3));
    }

    #[test]
    fn what_is_no_connect_waits_for_nothing() {
        assert_eq!(version(b"\x10\xff\xff\xff\xff"), Some(0));
        assert_eq!(version(b"GET / HTTP/1.1\r\n"), Some(0));
        assert_eq!(version(b"\x10\x0e\xff\xff"), Some(0));
        assert_eq!(version(b"\xc0\x00\x00\x00"), Some(0));
    }
}
