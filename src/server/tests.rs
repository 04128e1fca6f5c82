//! Connections whose streams the test plays, where need be in virtual time.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::connection::{Door, serve};
use super::credentials::Credentials;
use super::entrance::Entrance;
use super::hub::Hub;
use super::ingress::Layers;
use super::ingress::Origin;
use super::log::Logger;
use crate::auth::{Algorithm, PasswordHash};
use crate::broker::{Core, Policy, Settings};
use crate::config::{Config, LogTypes, Security};

const CONNACK: [u8; 4] = [0x20, 2, 0, 0];
const PINGREQ: [u8; 2] = [0xC0, 0];
const PINGRESP: [u8; 2] = [0xD0, 0];
const DISCONNECT: [u8; 2] = [0xE0, 0];

/// A clean session of MQTT 3.1.1 with a will on `w`, and no keep alive.
fn connect(id: u8) -> Vec<u8> {
    let header = [0x10, 19, 0, 4, b'M', b'Q', b'T', b'T', 4, 0b110, 0, 0];
    [&header[..], &[0, 1, id, 0, 1, b'w', 0, 1, b'!']].concat()
}

fn hub() -> Result<(Arc<Hub>, Arc<Entrance>), String> {
    let config = Config::parse("log_dest none\n", "test").map_err(|error| error.to_string())?;
    let settings = Settings {
        log: LogTypes::NONE,
        sys_interval: 0,
        ..Settings::default()
    };
    let core = Core::new(settings, 0);
    let hub = Hub::new(core, Instant::now(), Logger::open(&config)?);
    let door = Door {
        policy: Arc::new(Policy::default()),
        credentials: Credentials::trusting(),
        max_packet_size: 1_000_000,
        layers: Layers::none(),
        tls: None,
        no_delay: false,
    };
    Ok((Arc::new(hub), Arc::new(Entrance::new(door))))
}

struct Client {
    stream: DuplexStream,
    served: JoinHandle<()>,
}

impl Client {
    /// A connection with room for so many bytes on their way.
    fn open(hub: &Arc<Hub>, door: &Arc<Entrance>, pipe: usize) -> Self {
        let (stream, theirs) = tokio::io::duplex(pipe);
        let served = serve(Arc::clone(hub), Arc::clone(door), theirs, Origin::default());
        let served = tokio::spawn(served);
        Self { stream, served }
    }

    async fn ask(&mut self, packet: &[u8], answer: &[u8]) {
        self.stream.write_all(packet).await.unwrap();
        let mut bytes = vec![0; answer.len()];
        self.stream.read_exact(&mut bytes).await.unwrap();
        assert_eq!(bytes, answer);
    }
}

/// Waits until that is so, and not for ever.
async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(30), waiting)
        .await
        .expect("it comes to that");
}

/// Brings each chunk with one read, and then nothing.
struct Script {
    chunks: VecDeque<Vec<u8>>,
    written: Arc<Mutex<Vec<u8>>>,
    /// After so many bytes writing fails, as when the client is gone.
    breaks_after: usize,
    ends: bool,
}

impl Script {
    fn new(chunks: &[&[u8]]) -> (Self, Arc<Mutex<Vec<u8>>>) {
        let written = Arc::new(Mutex::new(Vec::new()));
        let script = Self {
            chunks: chunks.iter().map(|chunk| chunk.to_vec()).collect(),
            written: Arc::clone(&written),
            breaks_after: usize::MAX,
            ends: false,
        };
        (script, written)
    }
}

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.chunks.pop_front() {
            Some(chunk) => buffer.put_slice(&chunk),
            None if self.ends => {}
            None => return Poll::Pending,
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, b: &[u8]) -> Poll<io::Result<usize>> {
        let mut written = self.written.lock();
        if written.len() + b.len() > self.breaks_after {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        written.extend_from_slice(b);
        Poll::Ready(Ok(b.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn what_several_reads_in_one_go_ask_for_is_answered() {
    let (hub, door) = hub().unwrap();
    let (script, written) = Script::new(&[&connect(b'a'), &PINGREQ, &PINGREQ, &PINGREQ]);
    let served = serve(hub, door, script, Origin::default());
    // Nobody wakes it: what is left undone now stays undone.
    assert!(timeout(Duration::from_secs(60), served).await.is_err());
    assert_eq!(
        *written.lock(),
        [&CONNACK[..], &PINGRESP, &PINGRESP, &PINGRESP].concat()
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_no_more_gets_its_answers() {
    let (hub, door) = hub().unwrap();
    for chunks in [vec![connect(b'a')], vec![connect(b'a'), PINGREQ.to_vec()]] {
        let chunks: Vec<_> = chunks.iter().map(Vec::as_slice).collect();
        let (mut script, written) = Script::new(&chunks);
        script.ends = true;
        serve(
            Arc::clone(&hub),
            Arc::clone(&door),
            script,
            Origin::default(),
        )
        .await;
        let answers = [&CONNACK[..], &PINGRESP].concat();
        assert_eq!(*written.lock(), answers[..2 + 2 * chunks.len()]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_before_the_connection_breaks_counts() {
    let (hub, door) = hub().unwrap();
    let mut heir = Client::open(&hub, &door, 4096);
    heir.ask(&connect(b'h'), &CONNACK).await;
    let subscribe = [0x82, 6, 0, 1, 0, 1, b'w', 0];
    heir.ask(&subscribe, &[0x90, 3, 0, 1, 0]).await;

    let (mut script, _) = Script::new(&[&connect(b'a'), &PINGREQ, &DISCONNECT]);
    script.breaks_after = CONNACK.len();
    serve(
        Arc::clone(&hub),
        Arc::clone(&door),
        script,
        Origin::default(),
    )
    .await;
    heir.ask(&PINGREQ, &PINGRESP).await; // and no will before it

    let (mut script, _) = Script::new(&[&connect(b'a'), &PINGREQ]);
    script.breaks_after = CONNACK.len();
    serve(
        Arc::clone(&hub),
        Arc::clone(&door),
        script,
        Origin::default(),
    )
    .await;
    heir.ask(&[], &[0x30, 4, 0, 1, b'w', b'!']).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_connect_ends_after_half_a_minute() {
    let (hub, door) = hub().unwrap();
    let mut slow = Client::open(&hub, &door, 4096);
    for byte in &connect(b'a')[..19] {
        slow.stream.write_all(&[*byte]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    assert!(!slow.served.is_finished());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(slow.stream.read(&mut [0; 8]).await.unwrap(), 0, "closed");
    drop(slow.stream);
    slow.served.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_reads_nothing_cannot_hold_on_to_a_connection_that_is_over() {
    let (hub, door) = hub().unwrap();
    let mut stuck = Client::open(&hub, &door, 64);
    stuck.ask(&connect(b'a'), &CONNACK).await;
    stuck.stream.write_all(&PINGREQ.repeat(1000)).await.unwrap();
    assert!(!stuck.served.is_finished());

    let mut next = Client::open(&hub, &door, 64);
    next.ask(&connect(b'a'), &CONNACK).await; // takes the session over
    timeout(Duration::from_secs(6), stuck.served)
        .await
        .expect("the old connection ends")
        .unwrap();
    next.ask(&PINGREQ, &PINGRESP).await;
}

#[tokio::test(start_paused = true)]
async fn answers_that_were_stuck_arrive_once_they_are_read() {
    let (hub, door) = hub().unwrap();
    let mut client = Client::open(&hub, &door, 64);
    client.ask(&connect(b'a'), &CONNACK).await;
    let count = 300_000; // more than an outbox takes
    let (mut reader, mut writer) = tokio::io::split(client.stream);
    let writer = tokio::spawn(async move {
        writer.write_all(&PINGREQ.repeat(count)).await.unwrap();
        writer
    });
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!writer.is_finished(), "the client is not read any more");
    let mut answers = vec![0; 2 * count];
    reader.read_exact(&mut answers).await.unwrap();
    assert_eq!(answers, PINGRESP.repeat(count));
    writer.await.unwrap();
}

#[tokio::test]
async fn pubrels_wait_a_moment_for_the_next_message() {
    let (hub, door) = hub().unwrap();
    let mut reader = Client::open(&hub, &door, 4096);
    reader.ask(&connect(b'r'), &CONNACK).await;
    let subscribe = [0x82, 6, 0, 1, 0, 1, b't', 2];
    reader.ask(&subscribe, &[0x90, 3, 0, 1, 2]).await;
    let mut writer = Client::open(&hub, &door, 4096);
    writer.ask(&connect(b'w'), &CONNACK).await;
    let message = |id| [0x34, 5, 0, 1, b't', 0, id];
    let flow = |first, ids: std::ops::Range<u8>| -> Vec<u8> {
        ids.flat_map(|id| [first, 2, 0, id]).collect()
    };
    let messages: Vec<_> = (1..9).flat_map(message).collect();
    writer.ask(&messages, &flow(0x50, 1..9)).await;
    reader.ask(&[], &messages).await;

    let linger = hub.linger();
    linger.begin();
    reader.stream.write_all(&flow(0x50, 1..9)).await.unwrap();
    until(|| linger.postponed() > 0).await;
    writer.ask(&message(9), &flow(0x50, 9..10)).await;
    let both = [&flow(0x62, 1..9)[..], &message(9)].concat();
    let mut bytes = [0; 64];
    let count = reader.stream.read(&mut bytes).await.unwrap();
    assert_eq!(bytes[..count], both, "with one write");

    // Without another message they leave too.
    let messages: Vec<_> = (10..18).flat_map(message).collect();
    writer.ask(&messages, &flow(0x50, 10..18)).await;
    reader.ask(&[], &messages).await;
    linger.end();
    linger.begin();
    reader.stream.write_all(&flow(0x50, 10..18)).await.unwrap();
    until(|| linger.postponed() > 0).await;
    linger.wake_postponed(Instant::now() + Duration::from_secs(1));
    reader.ask(&[], &flow(0x62, 10..18)).await;
}

#[tokio::test]
async fn an_idle_connection_is_small() {
    let (hub, door) = hub().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = tokio::net::TcpStream::connect(listener.local_addr().unwrap());
    let size = size_of_val(&serve(hub, door, stream.await.unwrap(), Origin::default()));
    assert!(size <= 256, "the future of a connection takes {size} bytes");
}

/// A clean session of MQTT 3.1.1 for a user.
fn login(id: &str, user: &str, password: &str) -> Vec<u8> {
    let mut rest = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 0b1100_0010, 0, 0];
    for text in [id, user, password] {
        rest.extend((text.len() as u16).to_be_bytes());
        rest.extend(text.bytes());
    }
    [&[0x10, rest.len() as u8], &*rest].concat()
}

/// A listener for anonymous clients and for ann with this password, who are let
/// in as fast as `gate` lets hashes be computed.
fn door_for_ann(password: &str, gate: &Arc<Semaphore>) -> Arc<Entrance> {
    let hash = PasswordHash::create(Algorithm::Sha512, password.as_bytes()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("passwd");
    std::fs::write(&file, format!("ann:{hash}\n")).unwrap();
    let security = Security {
        allow_anonymous: true,
        password_file: Some(file),
        ..Security::default()
    };
    Arc::new(Entrance::new(Door {
        policy: Arc::new(Policy::default()),
        credentials: Credentials::load(&security, Arc::clone(gate)).unwrap(),
        max_packet_size: 1_000_000,
        layers: Layers::none(),
        tls: None,
        no_delay: false,
    }))
}

#[tokio::test]
async fn a_crowd_that_waits_for_its_passwords_delays_nobody() {
    let (hub, _) = hub().unwrap();
    let gate = Arc::new(Semaphore::new(0));
    let door = door_for_ann("right", &gate);
    let mut crowd = Vec::new();
    for number in 0..400 {
        let mut client = Client::open(&hub, &door, 4096);
        let own = format!("wrong{number}");
        let password = ["right", "wrong", &own][number % 3];
        let connect = login(&format!("c{number}"), "ann", password);
        client.stream.write_all(&connect).await.unwrap();
        crowd.push((client, password == "right"));
    }
    // No password is looked at yet, and others come in and talk.
    let mut reader = Client::open(&hub, &door, 4096);
    reader.ask(&connect(b'r'), &CONNACK).await;
    let subscribe = [0x82, 6, 0, 1, 0, 1, b't', 0];
    reader.ask(&subscribe, &[0x90, 3, 0, 1, 0]).await;
    let mut writer = Client::open(&hub, &door, 4096);
    writer.ask(&connect(b'w'), &CONNACK).await;
    for _ in 0..100 {
        let message = [0x30, 4, 0, 1, b't', b'x'];
        writer
            .ask(&[&message[..], &PINGREQ].concat(), &PINGRESP)
            .await;
        reader.ask(&[], &message).await;
    }
    assert!(crowd.iter().all(|(client, _)| !client.served.is_finished()));
    gate.add_permits(1);
    for (client, is_right) in &mut crowd {
        let code = if *is_right { 0 } else { 5 };
        client.ask(&[], &[0x20, 2, 0, code]).await;
    }
}

#[tokio::test]
async fn a_password_that_was_right_a_moment_ago_is_not_hashed_again() {
    let (hub, _) = hub().unwrap();
    let gate = Arc::new(Semaphore::new(1));
    let door = door_for_ann("right", &gate);
    let right = login("a", "ann", "right");
    let mut first = Client::open(&hub, &door, 4096);
    first.ask(&right, &CONNACK).await;
    let hashing = gate.acquire().await.unwrap();
    for _ in 0..10 {
        let mut again = Client::open(&hub, &door, 4096);
        again.ask(&right, &CONNACK).await;
    }
    // With another file, nothing that was known counts.
    let changed = door_for_ann("new", &gate);
    let mut late = Client::open(&hub, &changed, 4096);
    late.stream.write_all(&right).await.unwrap();
    let mut wrong = Client::open(&hub, &door, 4096);
    wrong
        .stream
        .write_all(&login("a", "ann", "rightt"))
        .await
        .unwrap();
    drop(hashing);
    late.ask(&[], &[0x20, 2, 0, 5]).await;
    wrong.ask(&[], &[0x20, 2, 0, 5]).await;
}

#[tokio::test]
async fn a_password_that_was_checked_before_a_reload_is_checked_again_after_it() {
    let (hub, _) = hub().unwrap();
    let gate = Arc::new(Semaphore::new(0));
    let entrance = door_for_ann("old", &gate);
    let mut client = Client::open(&hub, &entrance, 4096);
    let connect = login("a", "ann", "old");
    client.stream.write_all(&connect).await.unwrap();
    // It waits at the old door when the new one is set in.
    until(|| Arc::strong_count(&entrance.door()) >= 3).await;
    entrance.exchange(door_for_ann("new", &gate).door());
    gate.add_permits(1);
    client.ask(&[], &[0x20, 2, 0, 5]).await;
    let mut client = Client::open(&hub, &entrance, 4096);
    client.ask(&login("a", "ann", "new"), &CONNACK).await;
}
