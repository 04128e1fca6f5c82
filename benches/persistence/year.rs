//! A queue that stays as long as it is while very many messages go through it.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{broker, load::Load, mebibytes, wire::Packet};

const PUBLISHERS: usize = 16;
/// Messages that wait in the broker.
const DEPTH: u64 = 20_000;
/// Lines of the report.
const LINES: u64 = 20;

pub(crate) fn run(messages: u64) -> io::Result<()> {
    println!(
        "\n## {messages} messages through a queue of {DEPTH}\n\n\
         | messages | seconds | resident MiB | disk MiB | least since the last line | most |\n\
         |---|---|---|---|---|---|"
    );
    let program = broker::programs()?.pop().expect("ours");
    let mut broker = program.start("interval 1")?;
    broker.leave_a_session()?;
    let began = Instant::now();
    let mut load = Load::connect(broker.port, PUBLISHERS)?;
    load.run_to(DEPTH)?;
    let received = Arc::new(AtomicU64::new(0));
    let stream = broker.return_of_the_absent()?;
    let count = Arc::clone(&received);
    let reader = thread::spawn(move || receive(stream, &count, messages));
    let (mut least, mut most) = (u64::MAX, 0);
    let (mut line, mut looked) = (1, Instant::now());
    while !reader.is_finished() {
        let arrived = received.load(Ordering::Relaxed);
        load.publish((arrived + DEPTH).min(messages))?;
        load.hear(Duration::from_millis(1))?;
        if looked.elapsed() > Duration::from_millis(100) {
            looked = Instant::now();
            let disk = broker.disk();
            (least, most) = (least.min(disk), most.max(disk));
            if arrived >= line * messages / LINES {
                println!(
                    "| {arrived} | {:.0} | {} | {} | {} | {} |",
                    began.elapsed().as_secs_f64(),
                    mebibytes(broker.memory()?.0),
                    mebibytes(disk),
                    mebibytes(least),
                    mebibytes(most),
                );
                (least, most) = (u64::MAX, 0);
                line += 1;
            }
        }
    }
    reader.join().expect("a reader that doesn't panic")?;
    println!(
        "\nAt the end, nothing waiting: {} MiB.",
        mebibytes(broker.disk())
    );
    load.finish()
}

/// Takes and acknowledges so many messages.
fn receive(mut stream: TcpStream, received: &AtomicU64, messages: u64) -> io::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    let (mut filled, mut answers) = (0, Vec::new());
    let mut count = 0;
    while count < messages {
        match stream.read(&mut buffer[filled..])? {
            0 => return Err(io::Error::other("the broker closed the connection")),
            read => filled += read,
        }
        let mut start = 0;
        while let Some((packet, length)) = Packet::parse(&buffer[start..filled]) {
            packet.answer(&mut answers);
            count += u64::from(matches!(packet, Packet::Publish { .. }));
            start += length;
        }
        buffer.copy_within(start..filled, 0);
        filled -= start;
        stream.write_all(&answers)?;
        answers.clear();
        received.store(count, Ordering::Relaxed);
    }
    Ok(())
}
