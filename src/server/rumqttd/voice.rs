//! What rumqttd says: its log lines in our log, and its panics.

use std::panic::{self, PanicHookInfo};
use std::sync::{Arc, Weak};
use std::thread;

use log::{Level, LevelFilter, Log, Metadata, Record};
use tokio::sync::mpsc::UnboundedSender;

use super::super::log::Logger;
use super::THREAD;
use crate::config::LogType;

/// The thread without which nothing in rumqttd goes on.
const ROUTER: &str = "router-0";

/// Puts rumqttd's lines into the log: those that its own program shows by default,
/// and with `log_type debug` more, among them some for each packet. A panic of its router, which leaves all
/// clients connected and deaf, is told to `end` too.
pub(super) fn listen(logger: &Arc<Logger>, end: UnboundedSender<String>) {
    let types = logger.types();
    let level = match types {
        _ if types.contains(LogType::Internal) => LevelFilter::Trace,
        _ if types.contains(LogType::Debug) => LevelFilter::Info,
        _ => LevelFilter::Warn,
    };
    // The last of the logger has to write its last lines.
    let voice = Voice(Arc::downgrade(logger));
    // Only a second one in this process would fail.
    if log::set_boxed_logger(Box::new(voice.clone())).is_ok() {
        log::set_max_level(level);
    }
    let otherwise = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let thread = thread::current();
        match thread.name() {
            Some(name) if name == ROUTER || name.starts_with(THREAD) => {
                let text = voice.tell_panic(panic);
                if name == ROUTER {
                    // Whoever listens may have ended already.
                    let _ = end.send(text);
                }
            }
            _ => otherwise(panic),
        }
    }));
}

#[derive(Clone)]
struct Voice(Weak<Logger>);

impl Voice {
    fn write(&self, kind: LogType, text: &str) {
        if let Some(logger) = self.0.upgrade() {
            logger.write(kind, text);
        }
    }

    fn tell_panic(&self, panic: &PanicHookInfo<'_>) -> String {
        let text = format!("rumqttd {}", panic.to_string().replace('\n', " "));
        self.write(LogType::Error, &text);
        text
    }
}

impl Log for Voice {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("rumqttd")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let kind = match record.level() {
                Level::Error => LogType::Error,
                Level::Warn => LogType::Warning,
                Level::Info => LogType::Debug,
                Level::Debug | Level::Trace => LogType::Internal,
            };
            self.write(kind, &format!("rumqttd: {}", record.args()));
        }
    }

    fn flush(&self) {}
}
