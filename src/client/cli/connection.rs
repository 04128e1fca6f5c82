//! The options that all tools share: where to connect, and as whom.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use clap::ArgMatches;

use super::failure::Failure;
use super::password::password;
use super::place::{self, Place, url_is_later};
use super::properties::PropertySets;
use super::refused;
use super::tls;
use super::url::{self, Url};
use crate::client::{ConnectOptions, Will};
use crate::codec::{Properties, Property, QoS, Version};
use crate::topic;
use crate::transport::{SocketOptions, Target};

/// What the common options say.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) target: Target,
    /// The service whose SRV records name the broker, if they do; the host of
    /// `target` is the domain then.
    pub(super) service: Option<&'static str>,
    pub(super) options: ConnectOptions,
    pub(super) properties: PropertySets,
    /// The topics of `-t` and `-L`.
    pub(super) topics: Vec<String>,
    pub(super) qos: QoS,
    pub(super) debug: bool,
    pub(super) quiet: bool,
}

/// A tool's own defaults.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defaults {
    pub(super) version: Version,
    /// The words for an empty `-i`.
    pub(super) invalid_id: &'static str,
}

impl Connection {
    pub(super) fn new(
        matches: &ArgMatches,
        properties: PropertySets,
        defaults: Defaults,
    ) -> Result<Self, Failure> {
        refused::check(matches)?;
        let mut url = text(matches, "url").map(Url::parse).transpose()?;
        let websocket = place::websocket(matches, url.as_mut())?;
        let version = version(matches, &properties, defaults)?;
        let (username, password) = credentials(matches, url.as_ref())?;
        if password.is_some() && username.is_none() && version != Version::V5 {
            return Err(Failure::plain("Problem setting username and/or password."));
        }
        let (client_id, clean_start, expiry) = session(matches, version, defaults)?;
        let mut connect = properties.connect.clone();
        let is_told = crate::property!(connect, SessionExpiryInterval).is_some();
        if is_told && matches.contains_id("session-expiry") {
            return Err(Failure::usage(
                "Duplicate property session-expiry-interval for connect: give it by -x or by -D.",
            ));
        }
        if let Some(expiry) = expiry.filter(|_| !is_told) {
            connect.push(Property::SessionExpiryInterval(expiry));
        }
        let place = Place::new(matches, url.as_ref())?;
        let tls = tls::connector(matches, url.as_ref(), place.port)?;
        let service = place.service(tls.is_some(), websocket.is_some())?;
        let target = Target {
            endpoint: place.endpoint(text(matches, "bind"), tls.is_some())?,
            proxy: text(matches, "proxy").map(url::proxy).transpose()?,
            tls,
            websocket,
            socket: SocketOptions::default(),
        };
        let options = ConnectOptions {
            version,
            client_id,
            clean_start,
            keep_alive: keep_alive(matches)?,
            username,
            password,
            will: will(matches, &properties.will)?,
            properties: connect,
            ..ConnectOptions::default()
        };
        Ok(Self {
            target,
            service,
            options,
            properties,
            topics: place::topics(matches, url.as_ref()),
            qos: qos(matches)?,
            debug: matches.get_flag("debug"),
            quiet: matches.get_flag("quiet"),
        })
    }
}

/// The last value of an option.
pub(super) fn text<'a>(matches: &'a ArgMatches, id: &str) -> Option<&'a str> {
    matches.get_one::<String>(id).map(String::as_str)
}

/// The last value of an option that may be any bytes.
pub(super) fn bytes(matches: &ArgMatches, id: &str) -> Option<Vec<u8>> {
    matches
        .get_one::<OsString>(id)
        .map(|value| value.clone().into_vec())
}

/// User name and password.
fn credentials(
    matches: &ArgMatches,
    url: Option<&Url>,
) -> Result<(Option<String>, Option<Vec<u8>>), Failure> {
    let of_url = url.and_then(|url| url.username.clone());
    let given = text(matches, "username").map(str::to_owned);
    let username = if url_is_later(matches, "username") {
        of_url.or(given)
    } else {
        given.or(of_url)
    };
    let of_url = url.and_then(|url| Some(url.password.clone()?.into_bytes()));
    let password = match of_url {
        Some(of_url) if url_is_later(matches, "password") => Some(of_url),
        of_url => password(matches)?.or(of_url),
    };
    Ok((username, password))
}

fn version(
    matches: &ArgMatches,
    properties: &PropertySets,
    defaults: Defaults,
) -> Result<Version, Failure> {
    let version = match text(matches, "protocol-version") {
        None => defaults.version,
        Some("mqttv31" | "31") => Version::V31,
        Some("mqttv311" | "311") => Version::V311,
        Some("mqttv5" | "5") => Version::V5,
        Some(_) => return Err(Failure::usage("Invalid protocol version argument given.")),
    };
    if *properties == PropertySets::default() {
        Ok(version)
    } else {
        Ok(Version::V5)
    }
}

fn keep_alive(matches: &ArgMatches) -> Result<u16, Failure> {
    match text(matches, "keepalive").map(|text| text.trim().parse::<u16>()) {
        None => Ok(60),
        Some(Ok(seconds)) if seconds >= 5 => Ok(seconds),
        Some(_) => Err(Failure::usage(
            "Invalid keepalive given, it must be between 5 and 65535 inclusive.",
        )),
    }
}

fn qos(matches: &ArgMatches) -> Result<QoS, Failure> {
    match text(matches, "qos") {
        None => Ok(QoS::AtMostOnce),
        Some(text) => {
            parse_qos(text).ok_or_else(|| Failure::usage(format_args!("Invalid QoS given: {text}")))
        }
    }
}

fn parse_qos(text: &str) -> Option<QoS> {
    QoS::from_u8(text.trim().parse().ok()?)
}

/// Client identifier, clean start, and how long the session lasts (MQTT 5).
fn session(
    matches: &ArgMatches,
    version: Version,
    defaults: Defaults,
) -> Result<(String, bool, Option<u32>), Failure> {
    let prefix = text(matches, "id-prefix");
    let id = text(matches, "id");
    if prefix.is_some() && id.is_some() {
        return Err(Failure::usage(
            "-i and -I argument cannot be used together.",
        ));
    }
    if id == Some("") {
        return Err(Failure::plain(defaults.invalid_id));
    }
    let keep = matches.get_flag("disable-clean-session");
    let expiry = match text(matches, "session-expiry") {
        Some(text) => Some(parse_expiry(text)?),
        None => keep.then_some(u32::MAX),
    };
    if id.is_none() {
        let what = if version == Version::V5 && expiry == Some(u32::MAX) {
            Some("an infinite session expiry interval")
        } else {
            keep.then_some("the -c option")
        };
        if let Some(what) = what {
            return Err(Failure::usage(format_args!(
                "You must provide a client id if you are using {what}."
            )));
        }
    }
    let client_id = match (id, prefix) {
        (Some(id), _) => id.to_owned(),
        (None, Some(prefix)) => format!("{prefix}{}", std::process::id()),
        // MQTT 3.1 has no empty identifiers.
        (None, None) if version == Version::V31 => random_id()?,
        (None, None) => String::new(),
    };
    let expiry = expiry.filter(|_| version == Version::V5);
    Ok((client_id, !keep, expiry))
}

fn parse_expiry(text: &str) -> Result<u32, Failure> {
    if text == "∞" {
        return Ok(u32::MAX);
    }
    match text.trim().parse::<i64>() {
        Ok(-1) => Ok(u32::MAX),
        Ok(seconds) => u32::try_from(seconds)
            .map_err(|_| Failure::usage("session-expiry-interval out of range.")),
        Err(_) => Err(Failure::usage("session-expiry-interval not a number.")),
    }
}

/// `mosq-` and 18 characters at random, as Mosquitto's clients call
/// themselves.
fn random_id() -> Result<String, Failure> {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut random = [0u8; 18];
    getrandom::fill(&mut random)
        .map_err(|error| Failure::plain(format_args!("No random numbers: {error}")))?;
    let name = random.map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
    Ok(format!("mosq-{}", String::from_iter(name)))
}

fn will(matches: &ArgMatches, properties: &Properties<'static>) -> Result<Option<Will>, Failure> {
    let qos = match text(matches, "will-qos") {
        None => QoS::AtMostOnce,
        Some(text) => parse_qos(text)
            .ok_or_else(|| Failure::usage(format_args!("Invalid will QoS {text}.")))?,
    };
    let payload = bytes(matches, "will-payload");
    let retain = matches.get_flag("will-retain");
    let Some(name) = text(matches, "will-topic") else {
        let what = match (&payload, retain) {
            (Some(_), _) => "payload",
            (None, true) => "retain",
            (None, false) => return Ok(None),
        };
        return Err(Failure::usage(format_args!(
            "Will {what} given, but no will topic given."
        )));
    };
    if !topic::is_valid_name(name) {
        return Err(Failure::usage(format_args!(
            "Invalid will topic '{name}', does it contain '+' or '#'?"
        )));
    }
    let payload = payload.unwrap_or_default();
    if u16::try_from(payload.len()).is_err() {
        return Err(Failure::usage(
            "The will payload is longer than 65535 bytes.",
        ));
    }
    Ok(Some(Will {
        topic: name.to_owned(),
        payload,
        qos,
        retain,
        properties: properties.clone(),
    }))
}
