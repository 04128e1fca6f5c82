//! The least that a broker could do: a thread that copies the publisher's bytes
//! to the subscriber. It understands no more MQTT than it takes to get both
//! connected, and is what physics costs: the system calls and the wake-ups.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::mpsc,
    thread,
};

use crate::{
    contender::{Contender, Meter},
    wire,
};

/// The thread waits for the next pair until the benchmark ends.
pub(crate) fn start() -> io::Result<Contender> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        // Nobody listens any more once the benchmark gave up.
        let _ = tell.send(Meter::of_this_thread());
        loop {
            // A failed pair shows at its other end, where it is reported.
            let _ = serve_a_pair(&listener);
        }
    });
    let meter = told.recv().map_err(io::Error::other)??;
    Ok(Contender {
        name: "byte relay".into(),
        port,
        meter,
        _process: None,
    })
}

fn serve_a_pair(listener: &TcpListener) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut subscriber = accept(listener, &mut buffer)?;
    read_packet(&mut subscriber, &mut buffer)?;
    subscriber.write_all(&wire::suback(1, 0))?;
    let mut publisher = accept(listener, &mut buffer)?;
    loop {
        let count = publisher.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        subscriber.write_all(&buffer[..count])?;
    }
}

fn accept(listener: &TcpListener, buffer: &mut [u8]) -> io::Result<TcpStream> {
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    read_packet(&mut stream, buffer)?;
    stream.write_all(&wire::CONNACK)?;
    Ok(stream)
}

/// The generator sends the packets of the handshake one by one and each is
/// short, so that one byte holds its length.
fn read_packet(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    stream.read_exact(&mut buffer[..2])?;
    let end = 2 + usize::from(buffer[1]);
    stream.read_exact(&mut buffer[2..end])
}
