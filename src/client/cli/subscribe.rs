//! `mqtt-sub`

use std::io::{self, Write as _};
use std::time::Duration;

use clap::ArgMatches;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::connection::{Connection, Defaults, text};
use super::failure::{Failure, complain};
use super::printer::Printer;
use super::properties::PropertySets;
use super::session::{Session, is_accident};
use super::texts::{self, TIMED_OUT};
use crate::client::{DisconnectReason, Event, Message};
use crate::codec::{
    Properties, QoS, ReasonCode, RetainHandling, SubscriptionOptions, SubscriptionRequest, Version,
};
use crate::topic;

/// How long a regular end may wait for last acknowledgements.
pub(super) const LAST_WAIT: Duration = Duration::from_secs(5);

/// What the command line asks for.
pub(super) struct Job {
    connection: Connection,
    printer: Printer,
    topics: Vec<String>,
    unsubscribe: Vec<String>,
    filter_out: Vec<String>,
    options: SubscriptionOptions,
    count: Option<u64>,
    timeout: Option<Duration>,
    exit_after_subscribe: bool,
    no_retained: bool,
    retained_only: bool,
    remove_retained: bool,
    /// `--dry-run`: tell only what would be removed.
    dry_run: bool,
    /// `--message-rate`: print nothing but how many messages come.
    rate: bool,
    /// Of 1000 messages, how many are printed.
    chance: Option<u64>,
}

impl Job {
    pub(super) fn new(matches: &ArgMatches, properties: PropertySets) -> Result<Self, Failure> {
        let defaults = Defaults {
            version: Version::V311,
            invalid_id: "Invalid id and/or clean_session.",
        };
        let mut connection = Connection::new(matches, properties, defaults)?;
        let topics = checked(std::mem::take(&mut connection.topics), "subscription")?;
        let no_retained = matches.get_flag("no-retained");
        let retained_only = matches.get_flag("retained-only");
        if no_retained && retained_only {
            return Err(Failure::Other(
                "\nError: Combining '-R' and '--retained-only' makes no sense.".to_owned(),
                1,
            ));
        }
        let job = Self {
            printer: Printer::new(matches, &connection)?,
            topics,
            unsubscribe: filters(matches, "unsubscribe", "unsubscribe")?,
            filter_out: filters(matches, "filter-out", "filter")?,
            options: SubscriptionOptions {
                qos: connection.qos,
                no_local: false,
                retain_as_published: matches.get_flag("retain-as-published"),
                retain_handling: retain_handling(matches)?,
            },
            count: positive(matches, "count", "message count")?,
            timeout: timeout(matches)?,
            exit_after_subscribe: matches.get_flag("exit-after-subscribe"),
            no_retained,
            retained_only,
            remove_retained: matches.get_flag("remove-retained"),
            dry_run: matches.get_flag("dry-run"),
            rate: matches.get_flag("message-rate"),
            chance: chance(matches)?,
            connection,
        };
        if job.dry_run && !job.remove_retained {
            return Err(Failure::usage(
                "--dry-run is about --remove-retained, add it.",
            ));
        }
        // Mosquitto complains of what is wrong before what is missing.
        if job.topics.is_empty() && job.unsubscribe.is_empty() {
            return Err(Failure::usage("You must specify a topic to subscribe to."));
        }
        Ok(job)
    }
}

fn filters(matches: &ArgMatches, id: &str, what: &str) -> Result<Vec<String>, Failure> {
    let filters = matches.get_many(id).into_iter().flatten().cloned();
    checked(filters.collect(), what)
}

fn checked(filters: Vec<String>, what: &str) -> Result<Vec<String>, Failure> {
    match filters
        .iter()
        .find(|filter| topic::Subscription::parse(filter).is_none())
    {
        None => Ok(filters),
        Some(bad) => Err(Failure::usage(format_args!(
            "Invalid {what} topic '{bad}', are all '+' and '#' wildcards correct?"
        ))),
    }
}

pub(super) fn retain_handling(matches: &ArgMatches) -> Result<RetainHandling, Failure> {
    match text(matches, "retain-handling") {
        None | Some("always") => Ok(RetainHandling::Always),
        Some("new") => Ok(RetainHandling::IfNew),
        Some("never") => Ok(RetainHandling::Never),
        Some(other) => Err(Failure::usage(format_args!(
            "Invalid retain handling '{other}', it must be always, new or never."
        ))),
    }
}

fn positive(matches: &ArgMatches, id: &str, what: &str) -> Result<Option<u64>, Failure> {
    match text(matches, id) {
        None => Ok(None),
        Some(text) => match text.trim().parse() {
            Ok(number @ 1..) => Ok(Some(number)),
            _ => Err(Failure::usage(format_args!("Invalid {what} \"{text}\"."))),
        },
    }
}

/// `-W`
pub(super) fn timeout(matches: &ArgMatches) -> Result<Option<Duration>, Failure> {
    Ok(positive(matches, "timeout", "timeout")?.map(Duration::from_secs))
}

fn chance(matches: &ArgMatches) -> Result<Option<u64>, Failure> {
    match text(matches, "random-filter").map(|text| text.trim().parse::<f64>()) {
        None => Ok(None),
        Some(Ok(percent)) if (0.1..=100.0).contains(&percent) => Ok(Some((percent * 10.0) as u64)),
        Some(_) => Err(Failure::usage(
            "--random-filter chance must be between 0.1-100.0",
        )),
    }
}

/// How a run ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// All that was wanted is done.
    Done,
    /// `-W` has elapsed.
    TimedOut,
    /// A signal asks to leave.
    Signalled,
    /// The reader of standard output has gone.
    PipeClosed,
    /// The broker has ended the connection.
    Gone,
}

/// Subscribes and prints until there is a reason to end; gives the exit code.
pub(super) async fn run(job: Job) -> Result<u8, Failure> {
    let has_will = job.connection.options.will.is_some();
    let leave = leave_signals(has_will)?;
    let timeout = job.timeout;
    let mut subscriber = Subscriber {
        session: Session::new(&job.connection, false),
        subscribe_id: 0,
        printed: 0,
        removed: 0,
        random: seed()?,
        job,
    };
    let end = tokio::select! {
        end = subscriber.run() => end?,
        () = leave => End::Signalled,
        () = elapsed(timeout) => End::TimedOut,
    };
    subscriber.finish(end, has_will).await
}

async fn elapsed(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => tokio::time::sleep(timeout).await,
        None => std::future::pending().await,
    }
}

/// The signals that end the program politely. Closing the terminal counts only
/// for a subscriber with a will: it has to stay long enough to leave it.
fn leave_signals(has_will: bool) -> Result<impl Future<Output = ()>, Failure> {
    let failed = |error: io::Error| Failure::plain(texts::system_text(&error));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut hangup = has_will
        .then(|| signal(SignalKind::hangup()))
        .transpose()
        .map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = async {
                match &mut hangup {
                    Some(hangup) => { hangup.recv().await; }
                    None => std::future::pending().await,
                }
            } => {}
        }
    })
}

fn seed() -> Result<u64, Failure> {
    getrandom::u64()
        .map(|seed| seed | 1)
        .map_err(|error| Failure::plain(format_args!("No random numbers: {error}")))
}

struct Subscriber {
    job: Job,
    session: Session,
    subscribe_id: u16,
    /// How many messages were printed, or counted.
    printed: u64,
    /// How many retained messages were removed, or would have been.
    removed: u64,
    random: u64,
}

impl Subscriber {
    async fn run(&mut self) -> Result<End, Failure> {
        self.session.start_or_retry().await?;
        self.subscribe()?;
        let mut rate = Rate::new(self.job.rate);
        loop {
            // Everything that one read brought is printed with one write,
            // before anything of it is acknowledged.
            while let Some(event) = self.session.client.try_event() {
                if let Some(end) = self.on_event(event).await? {
                    return Ok(end);
                }
            }
            if let Some(end) = printed(self.job.printer.flush())? {
                return Ok(end);
            }
            let event = tokio::select! {
                biased;
                () = rate.second() => {
                    let line = rate.line(self.printed);
                    if let Some(end) = printed(self.job.printer.line(line))? {
                        return Ok(end);
                    }
                    continue;
                }
                event = self.session.client.next_event() => event,
            };
            if let Some(end) = self.on_event(event).await? {
                return Ok(end);
            }
        }
    }

    fn subscribe(&mut self) -> Result<(), Failure> {
        let options = self.job.options;
        let requests: Vec<_> = self
            .job
            .topics
            .iter()
            .map(|filter| SubscriptionRequest { filter, options })
            .collect();
        let properties = &self.job.connection.properties;
        let client = &mut self.session.client;
        // With -U alone, there is nothing to ask for.
        if !requests.is_empty() {
            self.subscribe_id = client
                .subscribe(&requests, &properties.subscribe)
                .map_err(texts::not_sent)?;
        }
        for filter in &self.job.unsubscribe {
            client
                .unsubscribe(&[filter], &properties.unsubscribe)
                .map_err(texts::not_sent)?;
        }
        Ok(())
    }

    async fn on_event(&mut self, event: Event) -> Result<Option<End>, Failure> {
        match event {
            Event::Message(message) => self.on_message(&message),
            Event::SubAck {
                packet_id, reasons, ..
            } if packet_id == self.subscribe_id => {
                if self.job.connection.debug {
                    let granted: Vec<_> = reasons.iter().map(u8::to_string).collect();
                    let granted = granted.join(", ");
                    let _ = writeln!(io::stdout(), "Subscribed (mid: {packet_id}): {granted}");
                }
                Ok(self.on_suback(&reasons))
            }
            Event::UnsubAck { .. } if self.job.topics.is_empty() => {
                Ok(self.job.exit_after_subscribe.then_some(End::Done))
            }
            Event::Disconnected(reason) => {
                let _ = printed(self.job.printer.flush())?;
                self.on_disconnected(reason).await
            }
            _ => Ok(None),
        }
    }

    async fn on_disconnected(&mut self, reason: DisconnectReason) -> Result<Option<End>, Failure> {
        match reason {
            reason if is_accident(&reason) => {
                texts::hint(&format!("{reason}; connecting again"));
                self.session.again().await?;
                self.subscribe()?;
                Ok(None)
            }
            // As Mosquitto does: told to go, it goes without complaint.
            DisconnectReason::ByServer { reason, .. } => {
                texts::hint(&format!("the broker ended the connection: {reason}"));
                Ok(Some(End::Gone))
            }
            reason => Err(texts::disconnected(&reason)),
        }
    }

    fn on_suback(&self, reasons: &[u8]) -> Option<End> {
        let denied = |code: &u8| ReasonCode(*code).is_error();
        if reasons.iter().all(denied) {
            if !self.job.connection.quiet {
                complain("All subscription requests were denied.");
            }
            return Some(End::Done);
        }
        for (filter, code) in self.job.topics.iter().zip(reasons) {
            if denied(code) && !self.job.connection.quiet {
                complain(format_args!(
                    "Warning: The broker denied the subscription to '{filter}': {}.",
                    texts::reason_text(ReasonCode(*code))
                ));
            }
        }
        self.job.exit_after_subscribe.then_some(End::Done)
    }

    fn on_message(&mut self, message: &Message) -> Result<Option<End>, Failure> {
        if self.job.retained_only && !message.retain {
            return Ok(Some(End::Done));
        }
        let job = &self.job;
        if job
            .filter_out
            .iter()
            .any(|filter| topic::matches(filter, &message.topic))
        {
            return Ok(None);
        }
        if job.remove_retained && message.retain && !message.payload.is_empty() {
            self.remove(&message.topic)?;
        }
        if self.job.no_retained && message.retain || !self.chosen() {
            return Ok(None);
        }
        if !self.job.rate
            && let Some(end) = printed(self.job.printer.print(message))?
        {
            return Ok(Some(end));
        }
        self.printed += 1;
        Ok((Some(self.printed) == self.job.count).then_some(End::Done))
    }

    /// Has the broker forget the retained message of a topic.
    fn remove(&mut self, topic: &str) -> Result<(), Failure> {
        self.removed += 1;
        if self.job.dry_run {
            return Ok(());
        }
        self.session
            .client
            .publish(topic, b"", QoS::AtLeastOnce, true, &Properties::new())
            .map(|_| ())
            .map_err(texts::not_sent)
    }

    /// Whether `--random-filter` lets a message through.
    fn chosen(&mut self) -> bool {
        let Some(chance) = self.job.chance else {
            return true;
        };
        // Xorshift: nobody is hurt if somebody can guess it.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 1000 < chance
    }

    /// Leaves, in the way that the reason asks for.
    async fn finish(mut self, end: End, has_will: bool) -> Result<u8, Failure> {
        if end != End::PipeClosed {
            let _ = printed(self.job.printer.finish())?;
        }
        if end == End::Done {
            let _ = tokio::time::timeout(LAST_WAIT, self.last_acknowledgements()).await;
        }
        if end == End::TimedOut && !self.job.connection.quiet {
            complain("Timed out");
        }
        if self.job.dry_run && !self.job.connection.quiet {
            complain(format_args!(
                "{} retained messages would have been removed.",
                self.removed
            ));
        }
        let reason = if end == End::Signalled && has_will {
            ReasonCode::DISCONNECT_WITH_WILL
        } else {
            ReasonCode::SUCCESS
        };
        let connected = self.session.client.is_connected();
        let properties = &self.job.connection.properties.disconnect;
        let goodbye = self.session.client.disconnect(reason, properties);
        // A broker that doesn't read must not keep anyone from leaving.
        let _ = tokio::time::timeout(LAST_WAIT, goodbye).await;
        Ok(match end {
            End::TimedOut => TIMED_OUT,
            // Mosquitto's clients end so when they never were connected.
            End::Signalled if !connected => 255,
            _ => 0,
        })
    }

    /// Finishes what would be repeated or lost otherwise: messages of QoS 2
    /// that are not released, and the removal of retained messages.
    async fn last_acknowledgements(&mut self) {
        let client = &mut self.session.client;
        client.release_received().await;
        while self.job.remove_retained && client.unacknowledged() > 0 && client.is_connected() {
            client.next_event().await;
        }
    }
}

/// The clock of `--message-rate`.
struct Rate {
    interval: Option<Interval>,
    counted: u64,
}

impl Rate {
    fn new(wanted: bool) -> Self {
        const SECOND: Duration = Duration::from_secs(1);
        let interval = wanted.then(|| {
            let mut interval = interval_at(Instant::now() + SECOND, SECOND);
            interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
            interval
        });
        Self {
            interval,
            counted: 0,
        }
    }

    /// Waits for the end of a second, or for ever where nobody wants to know.
    async fn second(&mut self) {
        match &mut self.interval {
            Some(interval) => {
                interval.tick().await;
            }
            None => std::future::pending().await,
        }
    }

    /// What there is to say of the second, given the number of all messages.
    fn line(&mut self, all: u64) -> String {
        let count = all - self.counted;
        self.counted = all;
        format!("{count} msgs/s")
    }
}

/// Tells a reader that has gone from an error.
fn printed(result: io::Result<()>) -> Result<Option<End>, Failure> {
    match result {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Some(End::PipeClosed)),
        Err(error) => Err(Failure::plain(texts::system_text(&error))),
    }
}
