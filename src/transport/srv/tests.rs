use std::collections::HashMap;
use std::net::Ipv4Addr;

use simple_dns::rdata::{CNAME, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, RCODE, ResourceRecord};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::*;
use crate::transport::connect::connect_found;
use crate::transport::{Endpoint, Stream, Target, is_lookup_error};

const SERVICE: &str = "_mqtt._tcp.example.org";

fn record(priority: u16, weight: u16, port: u16, host: &str) -> Record {
    let host = host.to_owned();
    Record {
        priority,
        weight,
        port,
        host,
    }
}

/// What a name server does with a question over UDP.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Answers,
    /// Only over TCP; a datagram gets the truncated beginning.
    Truncates,
    /// With a datagram that answers something else in front.
    AfterForgery,
    Refuses,
    IsSilent,
}

/// A name server that knows these names.
struct NameServer {
    manner: Manner,
    zone: HashMap<&'static str, Vec<Record>>,
}

impl NameServer {
    fn new(manner: Manner, zone: &[(&'static str, Vec<Record>)]) -> Self {
        let zone = zone.iter().cloned().collect();
        Self { manner, zone }
    }

    fn reply(&self, query: &[u8]) -> Vec<u8> {
        let query = Packet::parse(query).expect("a query");
        let name = query.questions[0].qname.clone();
        let mut reply = Packet::new_reply(query.id());
        reply.questions.clone_from(&query.questions);
        if self.manner == Manner::Refuses {
            *reply.rcode_mut() = RCODE::Refused;
        } else if let Some(records) = self.zone.get(name.to_string().as_str()) {
            let alias = RData::CNAME(CNAME(Name::new_unchecked("alias.test")));
            reply
                .answers
                .push(ResourceRecord::new(name, CLASS::IN, 10, alias));
            for record in records {
                let data = RData::SRV(SRV {
                    priority: record.priority,
                    weight: record.weight,
                    port: record.port,
                    target: Name::new(&record.host).expect("a name"),
                });
                let owner = Name::new_unchecked("alias.test");
                reply
                    .answers
                    .push(ResourceRecord::new(owner, CLASS::IN, 10, data));
            }
        } else {
            *reply.rcode_mut() = RCODE::NameError;
        }
        reply.build_bytes_vec().expect("a reply")
    }

    /// Serves at a free port, TCP and UDP, until the runtime ends.
    async fn start(self) -> SocketAddr {
        let (tcp, udp, address) = loop {
            let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .await
                .expect("a port");
            let address = tcp.local_addr().expect("its address");
            // The same port may be taken for UDP.
            if let Ok(udp) = UdpSocket::bind(address).await {
                break (tcp, udp, address);
            }
        };
        let server = std::sync::Arc::new(self);
        let other = std::sync::Arc::clone(&server);
        tokio::spawn(async move { other.serve_udp(&udp).await });
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = tcp.accept().await.expect("a connection");
                let mut query = vec![0; stream.read_u16().await.expect("a length").into()];
                stream.read_exact(&mut query).await.expect("a query");
                let reply = server.reply(&query);
                let length = u16::try_from(reply.len()).expect("a length");
                stream.write_u16(length).await.expect("written");
                stream.write_all(&reply).await.expect("written");
            }
        });
        address
    }

    async fn serve_udp(&self, socket: &UdpSocket) {
        let mut query = [0; 512];
        loop {
            let (length, client) = socket.recv_from(&mut query).await.expect("a query");
            let query = &query[..length];
            let mut reply = self.reply(query);
            match self.manner {
                Manner::IsSilent => continue,
                Manner::Truncates => {
                    let mut cut = Packet::parse(query).expect("a query").into_reply();
                    cut.set_flags(PacketFlag::TRUNCATION);
                    reply = cut.build_bytes_vec().expect("a reply");
                }
                Manner::AfterForgery => {
                    let mut forged = reply.clone();
                    forged[0] ^= 1;
                    socket.send_to(&forged, client).await.expect("sent");
                }
                Manner::Answers | Manner::Refuses => {}
            }
            socket.send_to(&reply, client).await.expect("sent");
        }
    }
}

fn resolver(name_servers: &[SocketAddr]) -> Resolver {
    Resolver {
        name_servers: name_servers.to_vec(),
        patience: Duration::from_secs(60),
        attempts: 1,
        search: vec!["search.test".to_owned()],
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(work)
}

fn hosts(servers: &[Server]) -> Vec<&str> {
    servers.iter().map(|server| server.host.as_str()).collect()
}

#[test]
fn the_lowest_priority_comes_first() {
    for manner in [Manner::Answers, Manner::Truncates, Manner::AfterForgery] {
        run(async {
            let records = vec![
                record(20, 0, 1885, "last.example.org"),
                record(5, 0, 1883, "first.example.org"),
                record(10, 0, 1884, "second.example.org"),
            ];
            let address = NameServer::new(manner, &[(SERVICE, records)]).start().await;
            let servers = resolver(&[address])
                .servers(SERVICE)
                .await
                .expect("servers");
            let order = [
                "first.example.org",
                "second.example.org",
                "last.example.org",
            ];
            assert_eq!(hosts(&servers), order);
            assert_eq!(servers[1].port, 1884);
        });
    }
}

#[test]
fn another_name_server_is_asked_where_one_fails() {
    run(async {
        let zone = [(SERVICE, vec![record(0, 0, 1883, "a.example.org")])];
        let silent = NameServer::new(Manner::IsSilent, &zone).start().await;
        let refusing = NameServer::new(Manner::Refuses, &zone).start().await;
        let good = NameServer::new(Manner::Answers, &zone).start().await;
        let mut resolver = resolver(&[silent, refusing, good]);
        resolver.patience = Duration::from_millis(500);
        // A loaded machine may make the good one late as well.
        resolver.attempts = 100;
        let servers = resolver.servers(SERVICE).await.expect("servers");
        assert_eq!(hosts(&servers), ["a.example.org"]);
    });
}

#[test]
fn a_name_that_does_not_exist_is_searched() {
    run(async {
        let zone = [
            (
                "_mqtt._tcp.site.search.test",
                vec![record(0, 0, 1883, "a.test")],
            ),
            ("_mqtt._tcp.off.test", vec![record(0, 0, 0, "")]),
        ];
        let address = NameServer::new(Manner::Answers, &zone).start().await;
        let resolver = resolver(&[address]);
        let servers = resolver.servers("_mqtt._tcp.site").await.expect("servers");
        assert_eq!(hosts(&servers), ["a.test"]);
        for (service, told) in [
            (
                "_mqtt._tcp.site.",
                "there are no SRV records of _mqtt._tcp.site.",
            ),
            (
                "_mqtt._tcp.nowhere",
                "there are no SRV records of _mqtt._tcp.nowhere",
            ),
            (
                "_mqtt._tcp.off.test",
                "there are no SRV records of _mqtt._tcp.off.test",
            ),
        ] {
            let error = resolver.servers(service).await.expect_err("none");
            assert!(is_lookup_error(&error));
            assert_eq!(error.to_string(), told);
        }
    });
}

#[test]
fn name_servers_that_all_fail_are_told_of() {
    run(async {
        let address = NameServer::new(Manner::Refuses, &[]).start().await;
        let error = resolver(&[address])
            .servers(SERVICE)
            .await
            .expect_err("none");
        let told = "the name server 127.0.0.1 fails: it says Refused";
        assert_eq!(error.to_string(), told);
    });
}

/// RFC 2782: the chance of a record is its share of the weights; weight 0 is
/// chosen only where the number drawn is 0.
#[test]
fn weights_share_out_the_first_place() {
    let records = vec![
        record(1, 3, 1, "a"),
        record(1, 0, 2, "b"),
        record(1, 1, 3, "c"),
    ];
    let first = |drawn: u32| {
        let mut draws = [drawn].into_iter().chain(std::iter::repeat(0));
        let ordered = in_order(records.clone(), || draws.next().expect("a number"));
        assert_eq!(ordered.len(), 3);
        ordered[0].host.clone()
    };
    assert_eq!([0, 1, 2, 3, 4].map(first), ["b", "c", "a", "a", "a"]);
}

#[test]
fn a_connection_goes_to_the_first_server_that_is_reached() {
    run(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let records = vec![
            // Nobody listens there.
            record(1, 0, 1, "localhost"),
            record(2, 0, port, "localhost"),
        ];
        let address = NameServer::new(Manner::Answers, &[(SERVICE, records)])
            .start()
            .await;
        let endpoint = Endpoint::Tcp {
            host: "example.org".to_owned(),
            port: 1883,
            bind: Some("127.0.0.1".to_owned()),
        };
        let target = Target::from(endpoint);
        let stream = connect_found("_mqtt._tcp", &target, &resolver(&[address])).await;
        let Stream::Tcp(tcp) = stream.expect("connected") else {
            panic!("no layer was asked for")
        };
        assert_eq!(tcp.peer_addr().expect("an address").port(), port);
    });
}
