//! `mqtt-rr`

use std::time::{Duration, Instant};

use clap::ArgMatches;

use super::coding::Coding;
use super::connection::{Connection, Defaults, text};
use super::failure::{Failure, complain};
use super::messages::Source;
use super::printer::Printer;
use super::properties::PropertySets;
use super::session::Session;
use super::subscribe::{LAST_WAIT, retain_handling, timeout};
use super::texts::{self, TIMED_OUT};
use crate::client::{Event, Message};
use crate::codec::{
    Property, ReasonCode, RetainHandling, SubscriptionOptions, SubscriptionRequest, Version,
};
use crate::topic;

/// What the command line asks for.
pub(super) struct Job {
    connection: Connection,
    printer: Printer,
    topic: String,
    response_topic: String,
    source: Source,
    timeout: Option<Duration>,
    no_retained: bool,
    retain_handling: RetainHandling,
    encode: Option<Coding>,
    latency: bool,
}

/// A response, and how long it took.
struct Response {
    message: Message,
    latency: Duration,
}

impl Job {
    pub(super) fn new(matches: &ArgMatches, properties: PropertySets) -> Result<Self, Failure> {
        let source = Source::new(matches)?;
        let defaults = Defaults {
            version: Version::V5,
            invalid_id: "Invalid id and/or clean_session.",
        };
        let mut connection = Connection::new(matches, properties, defaults)?;
        let topic = connection.topics.pop();
        let response_topic = text(matches, "response-topic");
        let (Some(topic), Some(source), Some(response_topic)) = (topic, source, response_topic)
        else {
            return Err(Failure::usage(
                "All of topic, message, and response topic must be supplied.",
            ));
        };
        for (what, topic) in [("publish", topic.as_str()), ("response", response_topic)] {
            if !topic::is_valid_name(topic) {
                return Err(Failure::usage(format_args!(
                    "Invalid {what} topic '{topic}', does it contain '+' or '#'?"
                )));
            }
        }
        let publish = &mut connection.properties.publish;
        if crate::property!(publish, ResponseTopic).is_some() {
            return Err(Failure::plain("Duplicate response topic."));
        }
        publish.push(Property::ResponseTopic(response_topic));
        Ok(Self {
            printer: Printer::new(matches, &connection)?,
            topic,
            response_topic: response_topic.to_owned(),
            source,
            timeout: timeout(matches)?,
            no_retained: matches.get_flag("no-retained"),
            retain_handling: retain_handling(matches)?,
            encode: Coding::of(matches, "encode"),
            latency: matches.get_flag("latency"),
            connection,
        })
    }
}

/// Sends the request and prints the first response; gives the exit code.
pub(super) async fn run(mut job: Job) -> Result<u8, Failure> {
    let mut payload = std::mem::replace(&mut job.source, Source::Lines).load()?;
    if let Some(coding) = job.encode {
        payload = coding
            .encode(&payload)
            .map_err(|why| Failure::plain(format_args!("The message is {why}.")))?;
    }
    let mut session = Session::new(&job.connection, true);
    let quiet = job.connection.quiet;
    let response = exchange(&mut session, &job, &payload);
    let response = match job.timeout {
        None => Some(response.await?),
        Some(timeout) => match tokio::time::timeout(timeout, response).await {
            Ok(response) => Some(response?),
            Err(_) => None,
        },
    };
    let code = match response {
        Some(Some(Response { message, latency })) => {
            let mut printed = job.printer.print(&message);
            if job.latency {
                let line = format!("Latency: {:.6} s", latency.as_secs_f64());
                printed = printed.and_then(|()| job.printer.line(line));
            }
            // A reader that has gone wants no error.
            let _ = printed.and_then(|()| job.printer.flush());
            let _ = tokio::time::timeout(LAST_WAIT, last_acknowledgements(&mut session)).await;
            0
        }
        Some(None) => 0,
        None => {
            if !quiet {
                complain("Timed out");
            }
            TIMED_OUT
        }
    };
    let properties = &job.connection.properties.disconnect;
    let _ = session
        .client
        .disconnect(ReasonCode::SUCCESS, properties)
        .await;
    Ok(code)
}

/// Subscribes, publishes, and waits. `None`: the subscription was denied.
async fn exchange(
    session: &mut Session,
    job: &Job,
    payload: &[u8],
) -> Result<Option<Response>, Failure> {
    session.start().await?;
    let properties = &job.connection.properties;
    let qos = job.connection.qos;
    let request = SubscriptionRequest {
        filter: &job.response_topic,
        options: SubscriptionOptions {
            qos,
            retain_handling: job.retain_handling,
            ..SubscriptionOptions::default()
        },
    };
    session
        .client
        .subscribe(&[request], &properties.subscribe)
        .map_err(texts::not_sent)?;
    let mut asked = Instant::now();
    loop {
        match session.client.next_event().await {
            Event::SubAck { reasons, .. } => {
                if reasons.iter().all(|&code| ReasonCode(code).is_error()) {
                    if !job.connection.quiet {
                        complain("All subscription requests were denied.");
                    }
                    return Ok(None);
                }
                asked = Instant::now();
                session
                    .client
                    .publish(&job.topic, payload, qos, false, &properties.publish)
                    .map_err(texts::not_sent)?;
            }
            Event::Message(message) if message.retain && job.no_retained => {}
            Event::Message(message) => {
                let latency = asked.elapsed();
                return Ok(Some(Response { message, latency }));
            }
            Event::Disconnected(reason) => return Err(texts::disconnected(&reason)),
            _ => {}
        }
    }
}

/// Finishes the flows of request and response: either may be acknowledged only
/// after the response has come.
async fn last_acknowledgements(session: &mut Session) {
    let client = &mut session.client;
    while client.unacknowledged() > 0 && client.is_connected() {
        client.next_event().await;
    }
    client.release_received().await;
}
