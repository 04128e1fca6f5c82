//! The shell around the core: sockets, tasks, credentials, log, signals.
//!
//! | file | concept |
//! |---|---|
//! | `mod.rs` | a broker from a configuration: bind, run, stop |
//! | `hub.rs` | the core behind its lock, wake-ups, time |
//! | `linger.rs` | staying awake while messages come thick and fast |
//! | `listener.rs` | sockets that accept |
//! | `entrance.rs` | the door of a listener, which a reload exchanges |
//! | `unix.rs` | Unix domain sockets among them |
//! | `ingress.rs` | the layers between socket and MQTT |
//! | `greeting.rs` | a connection before its session |
//! | `connection.rs` | one connection's bytes |
//! | `credentials.rs` | who may come in |
//! | `exchange.rs` | enhanced authentication by methods that are plugged in |
//! | `recent.rs` | passwords that were right a moment ago |
//! | `bridges.rs` | connections to other brokers: started, changed, ended |
//! | `link.rs` | clients within the process |
//! | `log.rs` | lines to the destinations of `log_dest` |
//! | `reload.rs`, `watch.rs` | the configuration taken anew; files that change |
//! | `signals.rs`, `systemd.rs` | what the system says, and what it is told |
//! | `persistence.rs` | the thread between core and store |
//! | `process.rs` | daemon, pid file, privileges |
//! | `rumqttd/` | the engine rumqttd in the place of the core; the feature `peers` |
//! | `check_acl.rs` | `--check-acl`: what a client may do, and why |
//! | `cli.rs` | the command line of `mqtt-broker` |

mod bridges;
mod check_acl;
pub mod cli;
mod connection;
mod credentials;
mod entrance;
mod exchange;
mod greeting;
mod hub;
mod ingress;
mod linger;
mod link;
mod listener;
mod log;
mod persistence;
mod process;
mod recent;
mod reload;
#[cfg(feature = "peers")]
mod rumqttd;
mod signals;
mod systemd;
#[cfg(test)]
mod tests;
mod unix;
mod watch;

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, oneshot};

use crate::auth::{Acl, Method, permissions};
use crate::broker::{Core, Policy, Settings};
use crate::client::{Client, ConnectError};
use crate::config::{self, Config, Listener, LogType};
use crate::transport::tls::{self, Keyring};
use bridges::Bridges;
use connection::Door;
use credentials::Credentials;
use entrance::Entrance;
use hub::Hub;
use ingress::Layers;
use linger::Linger;
pub use link::{Link, Links};
use listener::Listening;
use log::Logger;
use persistence::Persistence;
use reload::{Control, Place, Source, Way};

/// How long clients get to read that the broker ends.
const GOODBYE: Duration = Duration::from_secs(1);

/// A broker that is ready to run: everything that can fail at the start has
/// happened. Its sockets are open, so clients may already connect and wait.
///
/// ```
/// use moustique::{Broker, config::Config};
///
/// let text = "listener 1883 127.0.0.1\nallow_anonymous true\nlog_dest none\n";
/// let mut config = Config::parse(text, "example")?;
/// config.listeners[0].port = 0; // any that is free
/// let running = Broker::bind(config)?.start()?;
/// println!("listening on {}", running.addresses()[0]);
/// running.stop();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Broker {
    hub: Arc<Hub>,
    control: Arc<Control>,
    sockets: Vec<(Arc<Entrance>, Vec<Listening>)>,
    addresses: Vec<SocketAddr>,
    persistence: config::Persistence,
}

/// Why a broker cannot start. The words name the cause and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartError(String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

impl Broker {
    /// Opens the log, reads the files of the listeners (users, rules,
    /// certificates), and listens. The pass phrase of an encrypted key is asked
    /// for on the terminal.
    ///
    /// # Errors
    /// The first thing that failed, with its remedy.
    pub fn bind(config: Config) -> Result<Self, StartError> {
        Self::bind_all(config, None, Vec::new())
    }

    /// The same for a program: `source` reads the configuration again, and
    /// `inherited` are sockets that are open already.
    fn bind_all(
        config: Config,
        source: Option<Source>,
        mut inherited: Vec<TcpListener>,
    ) -> Result<Self, StartError> {
        let logger = Logger::open(&config).map_err(StartError)?;
        let start = |text: &str| logger.write(LogType::Information, text);
        start(&format!(
            "moustique version {} starting",
            env!("CARGO_PKG_VERSION")
        ));
        for warning in &config.warnings {
            logger.write(LogType::Warning, &warning.to_string());
        }
        if config.local_only {
            start(
                "Starting in local only mode: only clients on this machine can connect. To accept \
                 others, write a configuration file with a `listener 1883` line, and \
                 `allow_anonymous true` or a `password_file`, and start with -c FILE.",
            );
        }
        warn_of_exposed_files(&config, &logger);
        Bridges::check(&config.bridges)?;
        let (mut ways, mut all, hashing) = (Vec::new(), Vec::new(), credentials::hashing());
        let keyring = Keyring::default();
        // 0 is for connections within the process.
        for (number, listener) in (1..).zip(&config.listeners) {
            let hashing = Arc::clone(&hashing);
            let door = door(number, listener, &config, hashing, &keyring, &logger)?;
            let given = listener::choose(&mut inherited, listener);
            let (sockets, notices) = if given.is_empty() {
                listener::bind(listener, config.user.as_deref()).map_err(StartError)?
            } else {
                listener::adopt(given, config.local_only).map_err(StartError)?
            };
            for notice in notices {
                logger.write(LogType::Notice, &notice);
            }
            let mut lines: Vec<_> = sockets
                .iter()
                .map(|socket| socket.opening(listener.protocol))
                .collect();
            lines.dedup();
            for line in &lines {
                start(line);
            }
            let entrance = Arc::new(Entrance::new(door));
            ways.push(Way {
                number,
                place: Place::of(listener),
                mount_point: listener.mount_point.clone(),
                entrance: Arc::clone(&entrance),
            });
            all.push((entrance, sockets));
        }
        for socket in inherited.iter().filter_map(|s| s.local_addr().ok()) {
            let text = format!(
                "The socket on {socket} that systemd opened is left out: no listener has its \
                 port; write `listener {}`.",
                socket.port()
            );
            logger.write(LogType::Warning, &text);
        }
        let sockets = all.iter().flat_map(|(_, sockets)| sockets);
        let addresses = sockets.filter_map(Listening::address).collect();
        keyring.close();
        let mut core = Core::new(settings(&config, &logger), 0);
        let origin = getrandom::u64();
        core.set_origin(origin.map_err(|error| StartError(format!("no random number: {error}")))?);
        for way in &ways {
            core.set_policy(Arc::clone(&way.entrance.door().policy));
        }
        let hub = Arc::new(Hub::new(core, Instant::now(), logger));
        let persistence = config.persistence.clone();
        let control = Control::new(Arc::clone(&hub), hashing, keyring, ways, config, source);
        Ok(Self {
            hub,
            control: Arc::new(control),
            sockets: all,
            addresses,
            persistence,
        })
    }

    /// Lets clients of MQTT 5 prove who they are by `method`, on all listeners.
    /// Passwords are not asked of a client that names it.
    pub fn with_method(self, method: impl Method + 'static) -> Self {
        self.hub.methods().add(Arc::new(method));
        self
    }

    /// The addresses that accept connections, without Unix sockets. A listener
    /// on port 0 shows here which port the system gave it.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Writes a warning to the broker's log.
    fn warn(&self, text: &str) {
        self.hub.log(LogType::Warning, text);
    }

    /// Connects clients within the process, once the broker runs.
    pub fn links(&self) -> Links {
        Links(Arc::clone(&self.hub))
    }

    /// Runs until `shutdown` is ready, then tells the clients and ends. Wants
    /// a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// A socket that the runtime cannot take over.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), StartError> {
        self.hub.logger().start().map_err(StartError)?;
        let persistence = self
            .persistence
            .enabled
            .then(|| Persistence::start(&self.hub, &self.persistence))
            .transpose()?;
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(Arc::clone(&self.hub).keep_time());
        let linger = Arc::clone(self.hub.linger());
        tasks.spawn(async move { linger.keep_awake().await });
        tasks.spawn(watch::watch(Arc::clone(&self.control)));
        self.control.start_bridges();
        for (entrance, sockets) in self.sockets {
            for socket in sockets {
                let acceptor = socket
                    .into_acceptor()
                    .map_err(|error| StartError(format!("cannot use a socket: {error}")))?;
                let (hub, entrance) = (Arc::clone(&self.hub), Arc::clone(&entrance));
                tasks.spawn(listener::accept(hub, entrance, acceptor));
            }
        }
        self.hub.log(LogType::Information, "moustique is running");
        shutdown.await;
        self.hub.log(LogType::Information, "moustique is ending");
        self.control.bridges().end().await;
        tasks.shutdown().await;
        self.hub.say_goodbye(GOODBYE).await;
        if let Some(persistence) = persistence {
            persistence.finish();
        }
        Ok(())
    }

    /// Runs on threads of its own.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn start(self) -> Result<Running, StartError> {
        let runtime = runtime(self.hub.linger())?;
        let (control, addresses) = (Arc::clone(&self.control), self.addresses.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("mqtt-broker".into())
            .spawn(move || {
                // A handle that is dropped stops the broker like one that is told to.
                let ended = async { stopped.await.unwrap_or_default() };
                runtime.block_on(self.run(ended))
            })
            .map_err(|error| StartError(format!("cannot start a thread: {error}")))?;
        Ok(Running {
            control,
            addresses,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

/// A broker that runs on its own threads; dropping it stops it.
#[derive(Debug)]
pub struct Running {
    control: Arc<Control>,
    addresses: Vec<SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), StartError>>>,
}

impl Running {
    /// The addresses that accept connections.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Connects clients within the process.
    pub fn links(&self) -> Links {
        Links(Arc::clone(self.control.hub()))
    }

    /// Takes another configuration while clients are connected: users and
    /// rights, limits, the log. Who may no longer be connected is
    /// disconnected. Sockets, and a few other things that the log then names,
    /// stay as they are. Reads files.
    ///
    /// # Errors
    /// The first thing that is wrong; then nothing has changed.
    pub fn reload(&self, config: Config) -> Result<(), StartError> {
        self.control.apply(config)
    }

    /// A client within the process; see [`Links::link`].
    ///
    /// # Errors
    /// The broker refused, or has ended.
    pub async fn link(&self, client_id: &str) -> Result<Client<Link>, ConnectError> {
        self.links().link(client_id).await
    }

    /// Ends the broker and waits until it has ended.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has told so on stderr.
            let _ = thread.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// A worker for every two cores: the other half has the system's part of the work
/// to do, and the clients that are on this machine; more workers mostly wait for
/// each other at the core. A single one is the thread that calls.
fn runtime(linger: &Arc<Linger>) -> Result<Runtime, StartError> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut builder = if cores > 2 {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(cores.div_ceil(2));
        builder
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    if cores > 1 {
        let linger = Arc::clone(linger);
        builder.on_thread_park(Linger::sleep);
        builder.on_thread_unpark(move || linger.wake());
    }
    builder
        .enable_all()
        .build()
        .map_err(|error| StartError(format!("cannot start the runtime: {error}")))
}

/// Tells of files with secrets that everybody on this machine can read, each
/// once.
fn warn_of_exposed_files(config: &Config, logger: &Logger) {
    let files: BTreeSet<_> = config
        .listeners
        .iter()
        .flat_map(|Listener { security, tls, .. }| {
            [&security.password_file, &security.acl_file, &tls.psk_file]
        })
        .flatten()
        .collect();
    if files.is_empty() {
        // To look a user up takes a millisecond or more.
        return;
    }
    let Some(reader) = process::reader(config.user.as_deref()) else {
        return;
    };
    for warning in files
        .into_iter()
        .filter_map(|file| permissions::exposure(file, &reader))
    {
        logger.write(LogType::Warning, &warning);
    }
}

/// What a listener's connections need to know, with its files read.
fn door(
    number: usize,
    listener: &Listener,
    config: &Config,
    hashing: Arc<Semaphore>,
    keyring: &Keyring,
    logger: &Logger,
) -> Result<Door, StartError> {
    let fail = |error: crate::auth::LoadError| StartError(error.to_string());
    let acl = listener
        .security
        .acl_file
        .as_deref()
        .map(Acl::load)
        .transpose()
        .map_err(fail)?;
    if let Some(acl) = &acl {
        for warning in acl.warnings() {
            logger.write(LogType::Warning, &warning.to_string());
        }
    }
    let limit = |limit: Option<u32>| limit.map_or(usize::MAX, |limit| limit as usize);
    let policy = Policy {
        listener: number,
        port: listener.port,
        versions: [3, 4, 5].map(|version| listener.accept_protocol_versions.contains(version)),
        max_qos: listener.max_qos,
        max_topic_alias: listener.max_topic_alias,
        max_topic_alias_broker: listener.max_topic_alias_broker,
        max_connections: limit(listener.max_connections),
        allow_zero_length_client_id: listener.allow_zero_length_clientid,
        auto_id_prefix: listener.auto_id_prefix.clone(),
        use_username_as_client_id: listener.use_username_as_clientid,
        client_id_prefix: listener.clientid_prefixes.clone(),
        mount_point: listener.mount_point.clone(),
        acl: acl.map(Arc::new),
        acl_check_subscribe: listener.security.acl_check_subscribe,
        is_bridge: false,
    };
    let tls = listener.tls.is_on().then(|| {
        tls::Server::load(&listener.tls, config.tls_keylog.as_deref(), keyring)
            .map_err(|error| StartError(format!("TLS on port {}: {error}", listener.port)))
    });
    Ok(Door {
        policy: Arc::new(policy),
        credentials: Credentials::load(&listener.security, hashing).map_err(fail)?,
        max_packet_size: config.limits.max_packet_size,
        no_delay: config.set_tcp_nodelay,
        layers: Layers::new(listener, config),
        tls: tls.transpose()?,
    })
}

fn settings(config: &Config, logger: &Logger) -> Settings {
    let limits = &config.limits;
    let unlimited = |limit: u64| {
        if limit == 0 {
            usize::MAX
        } else {
            limit as usize
        }
    };
    let clients = limits
        .global_max_clients
        .into_iter()
        .chain(limits.global_max_connections)
        .min();
    Settings {
        max_inflight_messages: match limits.max_inflight_messages {
            0 => u16::MAX,
            window => window,
        },
        max_inflight_bytes: unlimited(limits.max_inflight_bytes),
        max_queued_messages: unlimited(limits.max_queued_messages.into()),
        max_queued_bytes: unlimited(limits.max_queued_bytes),
        memory_limit: unlimited(limits.memory_limit),
        queue_qos0_messages: limits.queue_qos0_messages,
        upgrade_outgoing_qos: limits.upgrade_outgoing_qos,
        max_packet_size: limits.max_packet_size,
        message_size_limit: match limits.message_size_limit {
            0 => u32::MAX,
            limit => limit,
        },
        max_keep_alive: match limits.max_keepalive {
            0 => u16::MAX,
            seconds => seconds,
        },
        max_connections: clients.map_or(usize::MAX, |limit| limit as usize),
        retain_available: limits.retain_available,
        check_retain_source: limits.check_retain_source,
        max_session_expiry: limits
            .persistent_client_expiration
            .map_or(u64::MAX, |period| period.as_millis() as u64),
        allow_duplicate_messages: limits.allow_duplicate_messages,
        sys_interval: u64::from(config.sys_interval) * 1000,
        log: logger.types(),
        connection_messages: config.log.connection_messages,
        retain_expiry_interval: limits
            .retain_expiry_interval
            .map(|period| period.as_millis() as u64),
        ..Settings::default()
    }
}
