//! One question, to each name server until one answers.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE, header_buffer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::{LookupError, Record, Resolver};

/// Larger datagrams only come to those who ask for them (RFC 6891).
const DATAGRAM: usize = 512;

impl Resolver {
    /// The records of a name; there are none where there is no such name.
    pub(super) async fn ask(&self, name: &str) -> io::Result<Vec<Record>> {
        let mut failure = LookupError::wrap("there is no name server to ask".to_owned());
        for _ in 0..self.attempts {
            for &server in &self.name_servers {
                let late = |_| Err(io::ErrorKind::TimedOut.into());
                let asked = timeout(self.patience, ask_one(server, name)).await;
                match asked.unwrap_or_else(late) {
                    Ok(answer) => return Ok(answer),
                    Err(error) => {
                        let what = format!("the name server {} fails: {error}", server.ip());
                        failure = LookupError::wrap(what);
                    }
                }
            }
        }
        Err(failure)
    }
}

async fn ask_one(server: SocketAddr, name: &str) -> io::Result<Vec<Record>> {
    let id = getrandom::u32().map_err(io::Error::other)? as u16;
    let name = Name::new(name).map_err(invalid)?;
    let question = Question::new(name.clone(), TYPE::SRV.into(), CLASS::IN.into(), false);
    let mut query = Packet::new_query(id);
    query.set_flags(PacketFlag::RECURSION_DESIRED);
    query.questions.push(question);
    let bytes = query.build_bytes_vec().map_err(invalid)?;

    let mut reply = over_udp(server, id, &bytes).await?;
    if header_buffer::has_flags(&reply, PacketFlag::TRUNCATION).map_err(invalid)? {
        reply = over_tcp(server, &bytes).await?;
    }
    let reply = Packet::parse(&reply).map_err(invalid)?;
    let same = |question: &Question<'_>| question.qname == name;
    if reply.id() != id || !reply.questions.iter().all(same) {
        return Err(invalid("an answer to something else"));
    }
    understand(&reply)
}

/// The first datagram that answers; others may be forged.
async fn over_udp(server: SocketAddr, id: u16, query: &[u8]) -> io::Result<Vec<u8>> {
    let any = match server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut reply = vec![0; DATAGRAM];
    loop {
        let length = socket.recv(&mut reply).await?;
        let bytes = &reply[..length];
        if header_buffer::id(bytes) == Ok(id)
            && header_buffer::has_flags(bytes, PacketFlag::RESPONSE) == Ok(true)
        {
            reply.truncate(length);
            return Ok(reply);
        }
    }
}

/// Every message has its length in front of it (RFC 1035, 4.2.2).
async fn over_tcp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(query.len()).map_err(invalid)?;
    stream
        .write_all(&[&length.to_be_bytes(), query].concat())
        .await?;
    let mut reply = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut reply).await?;
    Ok(reply)
}

/// Records that an alias leads to are among the answers as well.
fn understand(reply: &Packet<'_>) -> io::Result<Vec<Record>> {
    match reply.rcode() {
        RCODE::NoError | RCODE::NameError => {}
        code => return Err(io::Error::other(format!("it says {code:?}"))),
    }
    let records = reply
        .answers
        .iter()
        .filter_map(|answer| match &answer.rdata {
            RData::SRV(srv) => Some(Record::from(srv)),
            _ => None,
        });
    Ok(records.collect())
}

fn invalid(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
