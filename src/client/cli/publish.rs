//! `mqtt-pub`

use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use clap::ArgMatches;
use tokio::io::AsyncReadExt;

use super::coding::Coding;
use super::connection::{Connection, Defaults, text};
use super::failure::{Failure, complain};
use super::messages::Source;
use super::progress::{Amount, Progress};
use super::properties::PropertySets;
use super::session::{Session, is_accident};
use super::texts;
use crate::client::{DisconnectReason, Event};
use crate::codec::{QoS, ReasonCode, Version};
use crate::topic;

/// What one read of standard input takes.
const READ_SIZE: usize = 64 * 1024;
/// No more is read while so many messages are unacknowledged, or so many bytes
/// unwritten.
const MOST_WAITING: usize = 2000;
const MOST_UNWRITTEN: usize = 256 * 1024;
/// From this size on, one message takes long enough to be watched.
const LARGE: usize = 1024 * 1024;
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);
/// How many messages of QoS 1 may be unacknowledged without `-M`. Mosquitto's
/// tools stop at 20 of either QoS; lines go five times as far between two waits
/// for the broker with this, and no broker keeps a state for them.
const MAX_INFLIGHT_QOS_1: u16 = 100;

/// What the command line asks for.
pub(super) struct Job {
    connection: Connection,
    topic: String,
    source: Source,
    retain: bool,
    repeat: u64,
    repeat_delay: Duration,
    encode: Option<Coding>,
    /// How long to go on where there is no connection.
    retry: Option<Duration>,
}

impl Job {
    pub(super) fn new(matches: &ArgMatches, properties: PropertySets) -> Result<Self, Failure> {
        let repeat = match text(matches, "repeat").map(|text| text.trim().parse::<u64>()) {
            None => 1,
            Some(Ok(count)) if count > 0 => count,
            Some(_) => return Err(Failure::usage("--repeat argument must be >0.")),
        };
        let repeat_delay = match text(matches, "repeat-delay") {
            None => Duration::ZERO,
            Some(text) => text
                .trim()
                .parse()
                .ok()
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                .ok_or_else(|| Failure::usage("--repeat-delay argument must be >=0.0."))?,
        };
        let max_inflight =
            match text(matches, "max-inflight").map(|text| text.trim().parse::<u64>()) {
                None => None,
                // There are no more packet identifiers.
                Some(Ok(count @ 1..)) => Some(u16::try_from(count).unwrap_or(u16::MAX)),
                Some(_) => {
                    return Err(Failure::usage(
                        "Maximum inflight messages must be greater than 0.",
                    ));
                }
            };
        let source = Source::new(matches)?;
        let defaults = Defaults {
            version: Version::V311,
            invalid_id: "Invalid id.",
        };
        let mut connection = Connection::new(matches, properties, defaults)?;
        let usual = match connection.qos {
            QoS::AtLeastOnce => MAX_INFLIGHT_QOS_1,
            _ => connection.options.max_inflight,
        };
        connection.options.max_inflight = max_inflight.unwrap_or(usual);
        let (Some(topic), Some(source)) = (connection.topics.pop(), source) else {
            return Err(Failure::usage("Both topic and message must be supplied."));
        };
        if !topic::is_valid_name(&topic) {
            return Err(Failure::usage(format_args!(
                "Invalid publish topic '{topic}', does it contain '+' or '#'?"
            )));
        }
        Ok(Self {
            connection,
            topic,
            source,
            retain: matches.get_flag("retain"),
            repeat,
            repeat_delay,
            encode: Coding::of(matches, "encode"),
            retry: retry(matches)?,
        })
    }
}

fn retry(matches: &ArgMatches) -> Result<Option<Duration>, Failure> {
    match text(matches, "retry") {
        None => Ok(None),
        Some("forever") => Ok(Some(Duration::MAX)),
        Some(seconds) => match seconds.trim().parse() {
            Ok(seconds) => Ok(Some(Duration::from_secs(seconds))),
            Err(_) => Err(Failure::usage(format_args!(
                "Invalid --retry '{seconds}', it must be a number of seconds."
            ))),
        },
    }
}

/// Publishes, waits for all acknowledgements, and gives the exit code.
pub(super) async fn run(mut job: Job) -> Result<u8, Failure> {
    let lines = job.source == Source::Lines;
    let source = std::mem::replace(&mut job.source, Source::Lines);
    let mut payload = source.load()?;
    if let (Some(coding), false) = (job.encode, lines) {
        payload = coding
            .encode(&payload)
            .map_err(|why| Failure::plain(format_args!("The message is {why}.")))?;
    }
    let amount = match payload.len() {
        _ if lines => Amount::Unknown,
        size @ LARGE.. if job.repeat == 1 => Amount::Bytes(size),
        _ => Amount::Messages(job.repeat),
    };
    let mut publisher = Publisher {
        session: Session::new(&job.connection, true),
        progress: Progress::new(job.connection.quiet, amount),
        published: 0,
        unsent: 0,
        patience: job.retry.or(lines.then_some(Duration::MAX)),
        job,
    };
    match publisher.job.retry {
        Some(patience) => publisher.session.start_patiently(patience).await?,
        None => publisher.session.start().await?,
    };
    if lines {
        publisher.publish_lines().await?;
    } else {
        publisher.publish_one(&payload).await?;
    }
    publisher.acknowledged(0).await?;
    publisher.progress.finish();
    let properties = &publisher.job.connection.properties.disconnect;
    publisher
        .session
        .client
        .disconnect(ReasonCode::SUCCESS, properties)
        .await
        .map_err(|error| texts::disconnected(&DisconnectReason::Lost(Some(error))))?;
    Ok(u8::from(publisher.unsent > 0))
}

struct Publisher {
    job: Job,
    session: Session,
    progress: Progress,
    published: u64,
    /// Lines that `--encode` cannot encode.
    unsent: u64,
    /// How long a lost connection may take to be made anew; none: it is an
    /// error.
    patience: Option<Duration>,
}

impl Publisher {
    /// One message, as often as `--repeat` says. The next one follows when the
    /// last one is delivered.
    async fn publish_one(&mut self, payload: &[u8]) -> Result<(), Failure> {
        for count in 1..=self.job.repeat {
            self.publish(payload)?;
            if payload.len() >= LARGE {
                self.flush_visibly().await?;
            }
            if self.job.connection.qos != QoS::AtMostOnce {
                self.acknowledged(0).await?;
            } else if count < self.job.repeat && !self.job.repeat_delay.is_zero()
                || self.session.client.backlog() > MOST_UNWRITTEN
            {
                self.flush().await?;
            }
            if count < self.job.repeat {
                self.pause().await?;
            }
            self.progress.at(self.published);
        }
        Ok(())
    }

    /// Writes a large message, and shows how far it is.
    async fn flush_visibly(&mut self) -> Result<(), Failure> {
        let total = self.session.client.backlog();
        while self.session.client.backlog() > 0 {
            tokio::select! {
                flushed = self.flush() => return flushed,
                () = tokio::time::sleep(PROGRESS_INTERVAL) => {}
            }
            let left = self.session.client.backlog();
            self.progress.at((total - left.min(total)) as u64);
        }
        Ok(())
    }

    /// Waits for `--repeat-delay`, and stays alive meanwhile.
    async fn pause(&mut self) -> Result<(), Failure> {
        if self.job.repeat_delay.is_zero() {
            return Ok(());
        }
        let end = tokio::time::Instant::now() + self.job.repeat_delay;
        loop {
            let event = tokio::select! {
                () = tokio::time::sleep_until(end) => return Ok(()),
                event = self.session.client.next_event() => event,
            };
            self.on_event(event).await?;
        }
    }

    /// Each line of standard input. All lines that one read brings are sent
    /// with one write; a line that comes alone leaves at once.
    async fn publish_lines(&mut self) -> Result<(), Failure> {
        let mut stdin = tokio::io::stdin();
        let mut input = BytesMut::with_capacity(READ_SIZE);
        loop {
            self.acknowledged(MOST_WAITING).await?;
            if self.session.client.backlog() > MOST_UNWRITTEN {
                self.flush().await?;
            }
            input.reserve(READ_SIZE);
            let read = tokio::select! {
                biased;
                event = self.session.client.next_event() => {
                    self.on_event(event).await?;
                    continue;
                }
                read = stdin.read_buf(&mut input) => read,
            };
            match read {
                Ok(0) => break,
                Ok(_) => self.publish_whole_lines(&mut input)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::plain(texts::system_text(&error))),
            }
            self.progress.at(self.published);
        }
        // The last line may lack its end.
        if !input.is_empty() {
            self.publish_line(&input)?;
        }
        Ok(())
    }

    fn publish_whole_lines(&mut self, input: &mut BytesMut) -> Result<(), Failure> {
        let Some(end) = input.iter().rposition(|&byte| byte == b'\n') else {
            return Ok(());
        };
        for line in input[..end].split(|&byte| byte == b'\n') {
            self.publish_line(line)?;
        }
        input.advance(end + 1);
        Ok(())
    }

    /// A line that cannot be encoded doesn't hold up the others.
    fn publish_line(&mut self, line: &[u8]) -> Result<(), Failure> {
        let Some(coding) = self.job.encode else {
            return self.publish(line);
        };
        match coding.encode(line) {
            Ok(payload) => self.publish(&payload),
            Err(why) => {
                self.unsent += 1;
                let number = self.published + self.unsent;
                self.warn(&format!("Line {number} is not sent, it is {why}."));
                Ok(())
            }
        }
    }

    fn publish(&mut self, payload: &[u8]) -> Result<(), Failure> {
        self.published += 1;
        self.session
            .client
            .publish(
                &self.job.topic,
                payload,
                self.job.connection.qos,
                self.job.retain,
                &self.job.connection.properties.publish,
            )
            .map(|_| ())
            .map_err(texts::not_sent)
    }

    /// Waits until no more than `most` messages are unacknowledged.
    async fn acknowledged(&mut self, most: usize) -> Result<(), Failure> {
        while self.session.client.unacknowledged() > most {
            let event = self.session.client.next_event().await;
            self.on_event(event).await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        if self.session.client.flush().await.is_err() {
            // The server may have said why.
            let event = self.session.client.next_event().await;
            self.on_event(event).await?;
        }
        Ok(())
    }

    async fn on_event(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Published {
                packet_id,
                reason,
                properties,
                ..
            } if reason.is_error() && !self.job.connection.quiet => {
                self.warn(&format!(
                    "Publish {packet_id} failed: {}.",
                    texts::reason_text(reason)
                ));
                if let Some(more) = crate::property!(properties, ReasonString) {
                    complain(more);
                }
            }
            Event::Disconnected(reason) => self.lost(reason).await?,
            _ => {}
        }
        Ok(())
    }

    /// Connects again, if that is wanted and sensible.
    async fn lost(&mut self, reason: DisconnectReason) -> Result<(), Failure> {
        let failure = texts::disconnected(&reason);
        let Some(patience) = self.patience.filter(|_| is_accident(&reason)) else {
            return Err(failure);
        };
        self.warn("The connection was lost, connecting again.");
        let info = self.session.again_within(patience, failure).await?;
        if info.republished > 0 {
            self.warn(&format!(
                "The broker has not kept the session: {} messages are published again, and some \
                 may arrive twice.",
                info.republished
            ));
        }
        Ok(())
    }

    fn warn(&self, what: &str) {
        if !self.job.connection.quiet {
            complain(format_args!("Warning: {what}"));
        }
    }
}
