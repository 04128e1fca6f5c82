//! What stands around a load: how a broker is guarded, and clients that take no
//! part in it.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Read},
    net::TcpStream,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use socket2::SockRef;

use crate::{
    brokers,
    connection::Greeted,
    layer::{self, Transport},
    rows::{Row, USER},
};

/// [`USER`] with the same as password, as `mosquitto_passwd` has it.
const PASSWORD: &str = "load:$7$101$VfTeo4VIa6hMLG0j$kAzSVLKQjHIusO1Qo0eGU653MV3lP3bXS/\
                        ivmMtItszzKdYLjBQEcZY8CNnXKRhz7WPb2T2Rf0Np26Q3RNBqYw==\n";

const RULES: usize = 1000;

/// A subscriber that is slow reads so much at once, so often, and its system
/// keeps no more than about that.
const SIP: usize = 4096;
const REST: Duration = Duration::from_millis(100);

/// The lines that the row's listener needs, whose files go into `directory`.
pub(crate) fn configuration(row: &Row, directory: &Path) -> io::Result<String> {
    let mut text = match row.transport {
        Transport::Tcp => String::new(),
        // Mosquitto 2.0 starts only with a listener of the other kind as well.
        Transport::WebSocket => {
            let other = brokers::free_port()?;
            format!("protocol websockets\nlistener {other} 127.0.0.1\n")
        }
        Transport::Tls => {
            let (certificate, key) = layer::certificate();
            let certificate = file(directory, "certificate", &certificate)?;
            let key = file(directory, "key", &key)?;
            format!("certfile {certificate}\nkeyfile {key}\n")
        }
    };
    if row.guarded {
        let passwords = file(directory, "passwords", PASSWORD)?;
        let rules = file(directory, "rules", &rules())?;
        let _ = write!(text, "password_file {passwords}\nacl_file {rules}\n");
    }
    Ok(text)
}

/// The one rule that speaks of the load is in the middle of all the user has.
fn rules() -> String {
    let mut text = format!("user {USER}\n");
    for number in 0..RULES {
        let _ = match number {
            _ if number == RULES / 2 => writeln!(text, "topic readwrite bench/#"),
            _ => writeln!(
                text,
                "topic readwrite site/{}/device/{number}/+",
                number % 10
            ),
        };
    }
    text
}

fn file(directory: &Path, name: &str, text: &str) -> io::Result<String> {
    let path = directory.join(name);
    fs::write(&path, text)?;
    Ok(path.display().to_string())
}

/// Clients beside the load, as long as this lives.
pub(crate) struct Bystanders {
    _idle: Vec<Greeted>,
    slow: Vec<JoinHandle<()>>,
    over: Arc<AtomicBool>,
}

impl Bystanders {
    pub(crate) fn connect(row: &Row, port: u16) -> io::Result<Self> {
        let open = |name: String, filter: String| {
            let mut greeted = Greeted::open(port, row.transport, &name, row.user())?;
            greeted.subscribe([filter], row.qos)?;
            Ok(greeted)
        };
        let idle = (0..row.idle)
            .map(|number| open(format!("idle-{number}"), format!("idle/{number}/+")))
            .collect::<io::Result<_>>()?;
        let over = Arc::new(AtomicBool::new(false));
        let mut slow = Vec::new();
        for number in 0..row.slow {
            let greeted = open(format!("slow-{number}"), "bench/#".into())?;
            SockRef::from(&greeted.stream).set_recv_buffer_size(SIP)?;
            let over = Arc::clone(&over);
            slow.push(thread::spawn(move || sip(greeted.stream, &over)));
        }
        Ok(Self {
            _idle: idle,
            slow,
            over,
        })
    }
}

fn sip(mut stream: TcpStream, over: &AtomicBool) {
    let mut sip = [0; SIP];
    while !over.load(Ordering::Relaxed) {
        // When the broker throws it out, it has nothing more to do.
        if !stream.read(&mut sip).is_ok_and(|count| count > 0) {
            return;
        }
        thread::sleep(REST);
    }
}

impl Drop for Bystanders {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for slow in self.slow.drain(..) {
            let _ = slow.join();
        }
    }
}
