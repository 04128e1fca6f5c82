//! The options that all tools share: where to connect, and as whom.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use clap::ArgMatches;

use super::failure::Failure;
use super::password::password;
use super::properties::PropertySets;
use super::refused;
use super::tls;
use super::url::{self, Url};
use crate::client::{ConnectOptions, Will};
use crate::codec::{Properties, Property, QoS, Version};
use crate::topic;
use crate::transport::{Endpoint, SocketOptions, Target, local_domain};

/// Where brokers usually have MQTT over WebSocket; Mosquitto takes any path.
const WEBSOCKET_PATH: &str = "/mqtt";

/// The services of `-S`, plain and with TLS.
const SERVICE: &str = "_mqtt._tcp";
const SECURE_SERVICE: &str = "_secure-mqtt._tcp";

/// What the common options say.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) target: Target,
    /// The service whose SRV records name the broker, if they do; the host of
    /// `target` is the domain then.
    pub(super) service: Option<&'static str>,
    pub(super) options: ConnectOptions,
    pub(super) properties: PropertySets,
    /// The topic of `-L`, if there is one.
    pub(super) url_topic: Option<String>,
    pub(super) qos: QoS,
    pub(super) debug: bool,
    pub(super) quiet: bool,
}

/// A tool's own defaults.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defaults {
    pub(super) version: Version,
}

impl Connection {
    pub(super) fn new(
        matches: &ArgMatches,
        properties: PropertySets,
        defaults: Defaults,
    ) -> Result<Self, Failure> {
        refused::check(matches)?;
        let mut url = text(matches, "url").map(Url::parse).transpose()?;
        let websocket = websocket(matches, url.as_mut())?;
        let version = version(matches, &properties, defaults)?;
        let username = text(matches, "username")
            .map(str::to_owned)
            .or_else(|| url.as_ref()?.username.clone());
        let password =
            password(matches)?.or_else(|| Some(url.as_ref()?.password.clone()?.into_bytes()));
        if password.is_some() && username.is_none() && version != Version::V5 {
            return Err(Failure::plain("Problem setting username and/or password."));
        }
        let (client_id, clean_start, expiry) = session(matches, version)?;
        let mut connect = properties.connect.clone();
        if let Some(expiry) = expiry
            && crate::property!(connect, SessionExpiryInterval).is_none()
        {
            connect.push(Property::SessionExpiryInterval(expiry));
        }
        let tls = tls::connector(matches, url.as_ref(), port(matches, url.as_ref())?)?;
        let service = service(matches, tls.is_some(), websocket.is_some())?;
        let target = Target {
            endpoint: endpoint(matches, url.as_ref(), tls.is_some())?,
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
            url_topic: url.map(|url| url.topic).filter(|topic| !topic.is_empty()),
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

/// The path of the WebSocket connection, if it is one. Mosquitto's clients take
/// what follows the host of a URL for a topic, its manual for the path: beside
/// `-t` it is the path.
fn websocket(matches: &ArgMatches, url: Option<&mut Url>) -> Result<Option<String>, Failure> {
    let by_url = url.as_ref().is_some_and(|url| url.websocket);
    let given = text(matches, "ws-path");
    if !by_url && !matches.get_flag("ws") {
        return match given {
            None => Ok(None),
            Some(_) => Err(Failure::usage("--ws-path is about WebSocket, add --ws.")),
        };
    }
    let path = match (given, url) {
        (Some(path), _) if path.starts_with('/') => path.to_owned(),
        (Some(path), _) => format!("/{path}"),
        (None, Some(url)) if by_url && matches.contains_id("topic") && !url.topic.is_empty() => {
            format!("/{}", std::mem::take(&mut url.topic))
        }
        (None, _) => WEBSOCKET_PATH.to_owned(),
    };
    if path.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(Some(path))
    } else {
        Err(Failure::usage(format_args!(
            "Invalid WebSocket path '{path}'."
        )))
    }
}

/// The service of `-S`.
fn service(
    matches: &ArgMatches,
    tls: bool,
    websocket: bool,
) -> Result<Option<&'static str>, Failure> {
    if !matches.get_flag("srv") {
        return Ok(None);
    }
    if websocket || matches.contains_id("unix") {
        return Err(Failure::usage(
            "-S is about MQTT over TCP, it goes neither with WebSocket nor with --unix.",
        ));
    }
    Ok(Some(if tls { SECURE_SERVICE } else { SERVICE }))
}

/// Where the broker is. With TLS, that is another port by default.
fn endpoint(matches: &ArgMatches, url: Option<&Url>, tls: bool) -> Result<Endpoint, Failure> {
    if let Some(path) = text(matches, "unix") {
        return Ok(Endpoint::Unix(path.into()));
    }
    let host = text(matches, "host").or_else(|| Some(url?.host.as_str()));
    let host = match host {
        Some(host) => host.to_owned(),
        None if matches.get_flag("srv") => local_domain().ok_or_else(|| {
            Failure::usage("-S without -h needs a local domain, and this machine knows none.")
        })?,
        None => "localhost".to_owned(),
    };
    Ok(Endpoint::Tcp {
        host,
        port: port(matches, url)?.unwrap_or(if tls { 8883 } else { 1883 }),
        bind: text(matches, "bind").map(str::to_owned),
    })
}

/// The port, if one was named.
fn port(matches: &ArgMatches, url: Option<&Url>) -> Result<Option<u16>, Failure> {
    let port = text(matches, "port").or_else(|| url?.port.as_deref());
    match port.map(|text| (text, text.trim().parse::<u16>())) {
        None | Some((_, Ok(0))) => Ok(None),
        Some((_, Ok(port))) => Ok(Some(port)),
        Some((text, Err(_))) => Err(Failure::usage(format_args!("Invalid port given: {text}"))),
    }
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
fn session(matches: &ArgMatches, version: Version) -> Result<(String, bool, Option<u32>), Failure> {
    let prefix = text(matches, "id-prefix");
    let id = text(matches, "id");
    if prefix.is_some() && id.is_some() {
        return Err(Failure::usage(
            "-i and -I argument cannot be used together.",
        ));
    }
    if id == Some("") {
        return Err(Failure::plain("Invalid id."));
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
