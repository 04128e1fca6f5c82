//! What rumqttd says: its log lines in our log, and its panics.

use std::fmt::{Debug, Write as _};
use std::panic::{self, PanicHookInfo};
use std::sync::{Arc, Weak};
use std::thread;

use tokio::sync::mpsc::UnboundedSender;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

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
        _ if types.contains(LogType::Internal) => LevelFilter::TRACE,
        _ if types.contains(LogType::Debug) => LevelFilter::INFO,
        _ => LevelFilter::WARN,
    };
    // The last owner of the logger has to write its last lines.
    let logger = Arc::downgrade(logger);
    let voice = Voice { logger, level };
    // Only a second one in this process would fail.
    let _ = tracing::subscriber::set_global_default(voice.clone());
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

/// Takes rumqttd's events. Its spans, which it opens for each packet, are left out.
#[derive(Clone)]
struct Voice {
    logger: Weak<Logger>,
    level: LevelFilter,
}

impl Voice {
    fn write(&self, kind: LogType, text: &str) {
        if let Some(logger) = self.logger.upgrade() {
            logger.write(kind, text);
        }
    }

    fn tell_panic(&self, panic: &PanicHookInfo<'_>) -> String {
        let text = format!("rumqttd {}", panic.to_string().replace('\n', " "));
        self.write(LogType::Error, &text);
        text
    }
}

impl Subscriber for Voice {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let is_loud = *metadata.level() <= self.level;
        is_loud && metadata.is_event() && metadata.target().starts_with("rumqttd")
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn event(&self, event: &Event<'_>) {
        let kind = match *event.metadata().level() {
            Level::ERROR => LogType::Error,
            Level::WARN => LogType::Warning,
            Level::INFO => LogType::Debug,
            _ => LogType::Internal,
        };
        let mut line = Line("rumqttd:".into());
        event.record(&mut line);
        self.write(kind, &line.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The words of an event, then what belongs to it.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
