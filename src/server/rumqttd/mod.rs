//! Another engine for the same configuration: rumqttd, in this process. In builds
//! with the feature `peers`, for comparison.
//!
//! | file | concept |
//! |---|---|
//! | `mod.rs` | start, run, end |
//! | `losses.rs` | what a configuration asks for that rumqttd does not have |
//! | `plan.rs` | listeners as rumqttd's servers |
//! | `front.rs` | one port for two versions of MQTT |
//! | `voice.rs` | rumqttd's lines in our log, and its panics |

mod front;
mod losses;
mod plan;
mod voice;

use std::sync::Arc;
use std::thread;

use rumqttd::Broker;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::task::JoinSet;

use super::log::Logger;
use super::process::{self, Account, PidFile};
use super::signals::Signals;
use super::{StartError, runtime, systemd, warn_of_exposed_files};
use crate::config::{Config, Diagnostic, LogType};
pub(super) use losses::losses;
use plan::Plan;

/// What the names of the threads that rumqttd's servers run on begin with.
const THREAD: &str = "rumqttd";

/// Starts in the order of our own engine, and runs until a signal ends it. `lost`
/// is what the configuration asks for in vain; it is logged.
///
/// # Errors
/// The first thing that failed, or why rumqttd has ended.
pub(super) fn serve(config: &Config, lost: &[Diagnostic], daemon: bool) -> Result<(), String> {
    process::take_umask()?;
    let logger = Arc::new(Logger::open(config)?);
    let warn = |text: &str| logger.write(LogType::Warning, text);
    let note = |text: &str| logger.write(LogType::Information, text);
    note(concat!(
        "moustique version ",
        env!("CARGO_PKG_VERSION"),
        " starting rumqttd 0.20"
    ));
    for warning in config.warnings.iter().chain(lost) {
        warn(&warning.to_string());
    }
    warn_of_exposed_files(config, &logger);
    let plan = Plan::new(config)?;
    for text in &plan.notes {
        note(text);
    }
    if daemon {
        process::daemonize()?;
    }
    process::raise_descriptor_limit();
    let _pid_file = config.pid_file.as_deref().map(PidFile::write).transpose()?;
    let account = Account::choose(config.user.as_deref())?;
    if let Some(account) = &account {
        logger.give_to(account.uid, account.gid);
        account.warning.iter().for_each(|warning| warn(warning));
    }
    logger.start()?;
    let ended = start(&plan, &logger)?;
    // Only now: rumqttd opens its ports itself.
    account.map_or(Ok(()), |account| account.enter())?;
    let runtime = runtime(&Arc::default()).map_err(|error| error.to_string())?;
    runtime.block_on(run(plan, Arc::clone(&logger), ended))
}

/// Starts rumqttd and waits until it listens. It cannot be stopped, and goes with
/// the process; the end of it that comes before is in what is returned.
fn start(plan: &Plan, logger: &Arc<Logger>) -> Result<UnboundedReceiver<String>, String> {
    let (end, ended) = mpsc::unbounded_channel();
    voice::listen(logger, end.clone());
    let mut broker = Broker::new(plan.config.clone());
    let serve = move || {
        let why = match broker.start() {
            Ok(()) => "all its servers have ended".into(),
            Err(error) => error.to_string(),
        };
        // Whoever listens may have ended already.
        let _ = end.send(format!("rumqttd: {why}"));
    };
    thread::Builder::new()
        .name(THREAD.into())
        .spawn(serve)
        .map_err(|error| format!("cannot start a thread: {error}"))?;
    plan.wait()?;
    Ok(ended)
}

/// Serves until a signal or rumqttd's own end.
async fn run(
    plan: Plan,
    logger: Arc<Logger>,
    mut ended: UnboundedReceiver<String>,
) -> Result<(), String> {
    let failed = |error: StartError| error.to_string();
    let signals = Signals::listen().map_err(failed)?;
    let mut tasks = JoinSet::new();
    tasks.spawn(systemd::stay_alive());
    for (socket, routes) in plan.fronts {
        let acceptor = socket.into_acceptor().map_err(|error| error.to_string())?;
        tasks.spawn(front::accept(acceptor, routes, Arc::clone(&logger)));
    }
    logger.write(LogType::Information, "rumqttd is running");
    let end = tokio::select! {
        () = signals.attend_simply(&logger) => Ok(()),
        why = ended.recv() => Err(why.unwrap_or_default()),
    };
    logger.write(LogType::Information, "rumqttd is ending");
    end
}
