//! Where the broker is: `-h`, `-p`, `--unix`, `-L`, `-S` and `--ws`. Of two
//! options that say the same the later one counts, as with Mosquitto's clients.

use std::path::PathBuf;

use clap::ArgMatches;

use super::connection::text;
use super::failure::Failure;
use super::url::Url;
use crate::transport::{Endpoint, local_domain};

/// Where brokers usually have MQTT over WebSocket; Mosquitto takes any path.
const WEBSOCKET_PATH: &str = "/mqtt";

/// The services of `-S`, plain and with TLS.
const SERVICE: &str = "_mqtt._tcp";
const SECURE_SERVICE: &str = "_secure-mqtt._tcp";

/// What the options say together.
#[derive(Debug, Default)]
pub(super) struct Place {
    host: Option<String>,
    pub(super) port: Option<u16>,
    unix: Option<PathBuf>,
    by_srv: bool,
}

impl Place {
    pub(super) fn new(matches: &ArgMatches, url: Option<&Url>) -> Result<Self, Failure> {
        let mut place = Self::default();
        for id in in_order(matches, &["host", "port", "unix", "url"]) {
            match (id, text(matches, id), url) {
                ("host", Some(host), _) => {
                    place.host = Some(host.to_owned());
                    place.unix = None;
                }
                ("port", Some(port), _) => {
                    place.port = Some(parse_port(port)?);
                    place.unix = None;
                }
                ("unix", Some(path), _) => place.unix = Some(path.into()),
                (_, _, Some(url)) => {
                    place.host = Some(url.host.clone());
                    place.port = url.port.as_deref().map(parse_port).transpose()?;
                    place.unix = None;
                }
                _ => {}
            }
        }
        place.by_srv = matches.get_flag("srv");
        Ok(place)
    }

    /// The service of `-S`, if it is given.
    pub(super) fn service(
        &self,
        tls: bool,
        websocket: bool,
    ) -> Result<Option<&'static str>, Failure> {
        if !self.by_srv {
            return Ok(None);
        }
        if websocket || self.unix.is_some() {
            return Err(Failure::usage(
                "-S is about MQTT over TCP, it goes neither with WebSocket nor with --unix.",
            ));
        }
        Ok(Some(if tls { SECURE_SERVICE } else { SERVICE }))
    }

    /// The same for the transport. With TLS, the port is another one by default.
    pub(super) fn endpoint(self, bind: Option<&str>, tls: bool) -> Result<Endpoint, Failure> {
        if let Some(path) = self.unix {
            return Ok(Endpoint::Unix(path));
        }
        let host = match self.host {
            Some(host) => host,
            None if self.by_srv => local_domain().ok_or_else(|| {
                Failure::usage("-S without -h needs a local domain, and this machine knows none.")
            })?,
            None => "localhost".to_owned(),
        };
        Ok(Endpoint::Tcp {
            host,
            port: self.port.unwrap_or(if tls { 8883 } else { 1883 }),
            bind: bind.map(str::to_owned),
        })
    }
}

fn parse_port(text: &str) -> Result<u16, Failure> {
    match text.trim().parse() {
        Ok(port @ 1..) => Ok(port),
        _ => Err(Failure::usage(format_args!("Invalid port given: {text}"))),
    }
}

/// Those of these options that were given, the last one last.
fn in_order<'a>(matches: &ArgMatches, ids: &[&'a str]) -> Vec<&'a str> {
    let mut given: Vec<_> = ids
        .iter()
        .filter_map(|id| Some((matches.indices_of(id)?.next_back()?, *id)))
        .collect();
    given.sort_unstable();
    given.into_iter().map(|(_, id)| id).collect()
}

/// Whether `-L` counts for what the option `id` says, too.
pub(super) fn url_is_later(matches: &ArgMatches, id: &str) -> bool {
    in_order(matches, &[id, "url"]).last() == Some(&"url")
}

/// The topics of `-t` and of the URL, in the order in which they were given.
pub(super) fn topics(matches: &ArgMatches, url: Option<&Url>) -> Vec<String> {
    let of_url = url
        .map(|url| url.topic.clone())
        .filter(|topic| !topic.is_empty());
    let of_url = matches.index_of("url").zip(of_url);
    let values = matches
        .get_many::<String>("topic")
        .into_iter()
        .flatten()
        .cloned();
    let indices = matches.indices_of("topic").into_iter().flatten();
    let mut topics: Vec<_> = indices.zip(values).chain(of_url).collect();
    topics.sort_by_key(|(index, _)| *index);
    topics.into_iter().map(|(_, topic)| topic).collect()
}

/// The path of the WebSocket connection, if it is one. Mosquitto's clients take
/// what follows the host of a URL for a topic, its manual for the path: beside
/// `-t` it is the path, and then no topic any more.
pub(super) fn websocket(
    matches: &ArgMatches,
    url: Option<&mut Url>,
) -> Result<Option<String>, Failure> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::cli::grammar::sub_command;

    fn place(line: &str) -> Result<Endpoint, Failure> {
        let matches = sub_command().get_matches_from(format!("mqtt-sub {line}").split(' '));
        let url = text(&matches, "url").map(Url::parse).transpose()?;
        Place::new(&matches, url.as_ref())?.endpoint(None, false)
    }

    fn tcp(host: &str, port: u16) -> Endpoint {
        Endpoint::Tcp {
            host: host.to_owned(),
            port,
            bind: None,
        }
    }

    #[test]
    fn the_later_option_counts() {
        assert_eq!(place("-t a"), Ok(tcp("localhost", 1883)));
        assert_eq!(place("-h x -p 5 -h y"), Ok(tcp("y", 5)));
        assert_eq!(place("-h x -p 5 -L mqtt://y/t"), Ok(tcp("y", 1883)));
        assert_eq!(place("-L mqtt://y:6/t -h x"), Ok(tcp("x", 6)));
        assert_eq!(place("-L mqtt://y:6/t -p 5"), Ok(tcp("y", 5)));
        assert_eq!(place("--unix /s -h x"), Ok(tcp("x", 1883)));
        assert_eq!(place("--unix /s -L mqtt://y/t"), Ok(tcp("y", 1883)));
        assert_eq!(
            place("-h x -p 5 --unix /s"),
            Ok(Endpoint::Unix("/s".into()))
        );
        for port in ["0", "-1", "65536", "x"] {
            let told = Failure::usage(format_args!("Invalid port given: {port}"));
            assert_eq!(place(&format!("-p {port}")), Err(told));
        }
    }

    #[test]
    fn topics_keep_their_order() {
        let line = "mqtt-sub -t a -L mqtt://h/b -t c";
        let matches = sub_command().get_matches_from(line.split(' '));
        let url = Url::parse("mqtt://h/b").expect("a URL");
        assert_eq!(topics(&matches, Some(&url)), ["a", "b", "c"]);
    }
}
