//! The way between a bridge and the other broker, with somebody who cuts it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use super::PATIENCE;
use super::released::{Reader, Released};
use crate::common::output::Watched;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the bridge to the other broker.
    Out,
    In,
}

#[derive(Default)]
struct State {
    /// All connections end after so many further bytes in this direction.
    cut: Option<(Direction, usize)>,
    /// Nothing passes.
    is_stalled: bool,
    /// Both ends of the connections there were.
    streams: Vec<TcpStream>,
    released: Released,
}

/// A relay in front of a broker, which may be away. It ends with the test.
pub(crate) struct Link {
    pub(crate) port: u16,
    state: Arc<Watched<State>>,
}

impl Link {
    pub(crate) fn to(broker: u16, is_mqtt_5: bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port for the link");
        let port = listener.local_addr().expect("the link's port").port();
        let state = Arc::new(Watched::default());
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                // The broker is down: then the link is, too.
                if let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, broker)) {
                    join(&near, &far, is_mqtt_5, &shared).expect("two handles of a socket");
                }
            }
        });
        Self { port, state }
    }

    /// Cuts all connections once so many bytes have passed in this direction,
    /// and waits for that. False: they didn't.
    pub(crate) fn cut_after(&self, direction: Direction, bytes: usize) -> bool {
        self.state
            .update(|state| state.cut = Some((direction, bytes)));
        let cut = self
            .state
            .wait(PATIENCE, |state| state.cut.is_none().then_some(()));
        cut.is_some()
    }

    /// The other broker has published a message again that it had released.
    pub(crate) fn saw_again(&self, topic: &str, number: u64) -> bool {
        let message = (topic.to_owned(), number);
        self.state
            .read(|state| state.released.again.contains(&message))
    }

    /// Keeps all bytes back.
    pub(crate) fn stall(&self) {
        self.state.update(|state| state.is_stalled = true);
    }

    /// Lets them go on.
    pub(crate) fn resume(&self) {
        self.state.update(|state| state.is_stalled = false);
    }

    /// Cuts all connections now, and with them what was kept back.
    pub(crate) fn sever(&self) {
        self.state.update(|state| {
            state.sever();
            state.is_stalled = false;
        });
    }
}

impl State {
    fn sever(&mut self) {
        for stream in self.streams.drain(..) {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// How many of so many bytes may pass.
    fn allow(&mut self, direction: Direction, count: usize) -> usize {
        match &mut self.cut {
            Some((which, left)) if *which == direction => {
                let allowed = count.min(*left);
                *left -= allowed;
                allowed
            }
            _ => count,
        }
    }
}

fn join(
    near: &TcpStream,
    far: &TcpStream,
    is_mqtt_5: bool,
    state: &Arc<Watched<State>>,
) -> std::io::Result<()> {
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let kept = [near.try_clone()?, far.try_clone()?];
    state.update(|state| state.streams.extend(kept));
    for (direction, from, to) in [(Direction::Out, near, far), (Direction::In, far, near)] {
        let (from, to) = (from.try_clone()?, to.try_clone()?);
        let state = Arc::clone(state);
        let reader = (direction == Direction::In).then(|| Reader::new(is_mqtt_5));
        thread::spawn(move || pass(direction, from, to, reader, &state));
    }
    Ok(())
}

fn pass(
    direction: Direction,
    mut from: TcpStream,
    mut to: TcpStream,
    mut reader: Option<Reader>,
    state: &Watched<State>,
) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let allowed = state.wait(PATIENCE, |state| {
            (!state.is_stalled).then(|| state.allow(direction, count))
        });
        let allowed = allowed.unwrap_or(0);
        if let Some(reader) = &mut reader {
            state.update(|state| reader.read(&buffer[..allowed], &mut state.released));
        }
        if to.write_all(&buffer[..allowed]).is_err() {
            break;
        }
        if allowed < count {
            state.update(|state| {
                state.sever();
                state.cut = None;
            });
            return;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
