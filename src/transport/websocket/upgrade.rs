//! The HTTP request that becomes a WebSocket connection (RFC 6455, section 4).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tungstenite::error::{Error, ProtocolError};
use tungstenite::handshake::client::{self, generate_key};
use tungstenite::handshake::derive_accept_key;
use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::server::{self, create_response};
use tungstenite::http::{HeaderMap, StatusCode};

use super::{Role, WebSocket};
use crate::transport::Stream;

/// The names of MQTT as a subprotocol: of MQTT 3.1.1 and 5, and of MQTT 3.1.
const SUBPROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];
const PROTOCOL_HEADER: &str = "Sec-WebSocket-Protocol";

/// The longest answer to our own request, in bytes.
const MAX_ANSWER: usize = 16 * 1024;

/// How long a client that is refused may take to read why.
const LINGER: Duration = Duration::from_secs(1);

/// What a server asks of those who connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The pages that may connect, as browsers name them in the header Origin;
    /// empty allows all.
    pub origins: Vec<String>,
    /// The most that the request may weigh, in bytes.
    pub max_head: usize,
}

/// A connection that was let in.
#[derive(Debug)]
pub struct Accepted {
    /// The stream of MQTT.
    pub stream: Stream,
    /// The client's address, as a proxy in front tells it (X-Forwarded-For).
    pub forwarded: Option<IpAddr>,
}

/// An answer that is no WebSocket connection.
struct Refusal {
    status: StatusCode,
    /// A further header.
    header: Option<&'static str>,
    /// For the client and the log.
    text: String,
}

impl Refusal {
    fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            header: None,
            text: text.into(),
        }
    }

    fn with_header(self, header: &'static str) -> Self {
        Self {
            header: Some(header),
            ..self
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let header = self.header.map(|line| format!("{line}\r\n"));
        format!(
            "HTTP/1.1 {}\r\n{}Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{}\n",
            self.status,
            header.unwrap_or_default(),
            self.text.len() + 1,
            self.text,
        )
        .into_bytes()
    }
}

/// Reads a client's request and answers it. Whatever path it names, MQTT is
/// what there is.
///
/// # Errors
/// The stream failed, or the client was told why it is refused: then the error
/// is of kind [`io::ErrorKind::InvalidData`] and says the same.
pub async fn accept(mut stream: Stream, rules: &Rules) -> io::Result<Accepted> {
    let mut received = Vec::with_capacity(1024.min(rules.max_head));
    let verdict = loop {
        match server::Request::try_parse(&received) {
            Ok(Some((length, request))) => {
                break judge(&request, rules).map(|answer| (length, request, answer));
            }
            Ok(None) if received.len() < rules.max_head => {}
            Ok(None) => break Err(too_long(rules.max_head)),
            Err(error) => break Err(explain(&error)),
        }
        let room = rules.max_head - received.len();
        let mut limited = (&mut stream).take(room as u64);
        if limited.read_buf(&mut received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    match verdict {
        Ok((length, request, answer)) => {
            stream.write_all(&answer).await?;
            stream.flush().await?;
            let early = received.split_off(length);
            let stream = WebSocket::new(stream.put_back(early), Role::Server);
            Ok(Accepted {
                stream: Stream::WebSocket(Box::new(stream)),
                forwarded: forwarded(request.headers()),
            })
        }
        Err(refusal) => {
            stream.write_all(&refusal.bytes()).await?;
            stream.shutdown().await?;
            // What is closed with something unread is reset, and the client
            // might not read why.
            let drained = async { tokio::io::copy(&mut stream, &mut tokio::io::sink()).await };
            let _ = timeout(LINGER, drained).await;
            let told = format!("answered {}: {}", refusal.status, refusal.text);
            Err(io::Error::new(io::ErrorKind::InvalidData, told))
        }
    }
}

fn too_long(limit: usize) -> Refusal {
    Refusal::new(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        format!(
            "The request is longer than {limit} bytes; `websockets_headers_size` in the broker's \
             configuration allows more."
        ),
    )
}

/// The answer to a request that is well-formed HTTP.
fn judge(request: &server::Request, rules: &Rules) -> Result<Vec<u8>, Refusal> {
    let response = create_response(request).map_err(|error| explain(&error))?;
    let headers = request.headers();
    let origin = headers.get("Origin").and_then(|value| value.to_str().ok());
    if !rules.origins.is_empty()
        && !origin.is_some_and(|origin| rules.origins.iter().any(|known| known == origin))
    {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            match origin {
                Some(origin) => format!(
                    "Pages of {} may not connect: no `websockets_origin` in the broker's \
                     configuration names them.",
                    origin.escape_debug()
                ),
                None => {
                    "Only pages that a `websockets_origin` in the broker's configuration names \
                         may connect."
                        .to_owned()
                }
            },
        ));
    }
    // There are clients that know these names by their usual spelling only,
    // so this is written here and not by tungstenite.
    let accept = &response.headers()["Sec-WebSocket-Accept"];
    let accept = accept.to_str().unwrap_or_default();
    let protocol = subprotocol(headers)?
        .map(|name| format!("{PROTOCOL_HEADER}: {name}\r\n"))
        .unwrap_or_default();
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{protocol}\r\n"
    )
    .into_bytes())
}

/// The first of the client's subprotocols that is ours. A client that names
/// none is let in too, as Mosquitto does.
fn subprotocol(headers: &HeaderMap) -> Result<Option<&'static str>, Refusal> {
    let mut offered = headers
        .get_all(PROTOCOL_HEADER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .peekable();
    if offered.peek().is_none() {
        return Ok(None);
    }
    let known = |name: &str| SUBPROTOCOLS.into_iter().find(|known| *known == name);
    match offered.find_map(known) {
        Some(name) => Ok(Some(name)),
        None => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "None of the WebSocket subprotocols is known here; this is an MQTT broker, ask for \
             `mqtt`.",
        )),
    }
}

fn explain(error: &Error) -> Refusal {
    const HERE: &str = "This is an MQTT broker: connect with MQTT over WebSocket";
    let upgrade = |text: String| {
        Refusal::new(StatusCode::UPGRADE_REQUIRED, text).with_header("Upgrade: websocket")
    };
    match error {
        Error::Protocol(ProtocolError::MissingSecWebSocketVersionHeader) => {
            upgrade(format!("{HERE}, version 13."))
                .with_header("Upgrade: websocket\r\nSec-WebSocket-Version: 13")
        }
        Error::Protocol(
            ProtocolError::MissingConnectionUpgradeHeader
            | ProtocolError::MissingUpgradeWebSocketHeader
            | ProtocolError::WrongHttpMethod
            | ProtocolError::WrongHttpVersion,
        ) => upgrade(format!("{HERE}, subprotocol `mqtt`; it serves no pages.")),
        other => Refusal::new(
            StatusCode::BAD_REQUEST,
            format!("The request is no WebSocket handshake ({other})."),
        ),
    }
}

/// The first address of X-Forwarded-For, the client of the first proxy.
fn forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let list = headers.get("X-Forwarded-For")?.to_str().ok()?;
    let first = list.split(',').next()?.trim();
    let bare = first.trim_start_matches('[').trim_end_matches(']');
    let address = first.parse::<SocketAddr>().map(|address| address.ip());
    bare.parse().or(address).ok()
}

/// Asks a server for a WebSocket connection. `host` is what the user called it,
/// with the port; `path` begins with a slash.
///
/// # Errors
/// The stream failed, or the server answered otherwise.
pub async fn request(mut stream: Stream, host: &str, path: &str) -> io::Result<Stream> {
    let key = generate_key();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{PROTOCOL_HEADER}: {}\r\n\r\n",
        SUBPROTOCOLS[0]
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut received = Vec::new();
    let (length, response) = loop {
        match client::Response::try_parse(&received) {
            Ok(Some(found)) => break found,
            Ok(None) if received.len() < MAX_ANSWER => {}
            _ => return Err(no_websocket("something that is not HTTP")),
        }
        if stream.read_buf(&mut received).await? == 0 {
            return Err(no_websocket("nothing, and closed the connection"));
        }
    };
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(no_websocket(&format!("`{}`", response.status())));
    }
    let headers = response.headers();
    let says = |name: &str, value: &str| {
        let text = headers.get(name).and_then(|value| value.to_str().ok());
        text.is_some_and(|text| text.eq_ignore_ascii_case(value))
    };
    let proof = derive_accept_key(key.as_bytes());
    if !says("Upgrade", "websocket")
        || !says("Connection", "upgrade")
        || headers
            .get("Sec-WebSocket-Accept")
            .is_none_or(|given| given != proof.as_str())
    {
        return Err(no_websocket("a handshake that is none"));
    }
    if !says(PROTOCOL_HEADER, SUBPROTOCOLS[0]) {
        return Err(no_websocket("without the subprotocol `mqtt`"));
    }
    let early = received.split_off(length);
    let stream = WebSocket::new(stream.put_back(early), Role::Client);
    Ok(Stream::WebSocket(Box::new(stream)))
}

fn no_websocket(answer: &str) -> io::Error {
    io::Error::other(format!(
        "The server answered the WebSocket request with {answer}."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request_with(headers: &str) -> server::Request {
        let text = format!(
            "GET /any HTTP/1.1\r\nHost: h\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
        );
        server::Request::try_parse(text.as_bytes())
            .expect("valid")
            .expect("whole")
            .1
    }

    fn answer(headers: &str, origins: &[&str]) -> String {
        let rules = Rules {
            origins: origins.iter().copied().map(str::to_owned).collect(),
            max_head: 4096,
        };
        let bytes = match judge(&request_with(headers), &rules) {
            Ok(bytes) => bytes,
            Err(refusal) => refusal.bytes(),
        };
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn the_subprotocol_is_the_first_that_is_known() {
        for (offer, taken) in [
            ("", None),
            ("Sec-WebSocket-Protocol: mqtt\r\n", Some("mqtt")),
            ("Sec-WebSocket-Protocol: mqttv3.1\r\n", Some("mqttv3.1")),
            (
                "Sec-WebSocket-Protocol: amqp, mqttv3.1, mqtt\r\n",
                Some("mqttv3.1"),
            ),
            (
                "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: mqtt\r\n",
                Some("mqtt"),
            ),
        ] {
            let text = answer(offer, &[]);
            assert!(text.starts_with("HTTP/1.1 101 "), "{text}");
            assert!(text.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{text}");
            let line = taken.map(|name| format!("Sec-WebSocket-Protocol: {name}\r\n"));
            match line {
                Some(line) => assert!(text.contains(&line), "{text}"),
                None => assert!(!text.contains("Protocol:"), "{text}"),
            }
        }
        assert!(answer("Sec-WebSocket-Protocol: amqp\r\n", &[]).starts_with("HTTP/1.1 400 "));
    }

    #[test]
    fn origins_are_compared_as_they_are_written() {
        let origins = ["http://a.example:8080", "https://b.example"];
        for allowed in origins {
            let text = answer(&format!("Origin: {allowed}\r\n"), &origins);
            assert!(text.starts_with("HTTP/1.1 101 "), "{text}");
        }
        for refused in ["", "Origin: http://a.example\r\n", "Origin: null\r\n"] {
            let text = answer(refused, &origins);
            assert!(text.starts_with("HTTP/1.1 403 "), "{text}");
        }
    }

    #[test]
    fn the_forwarded_address_is_the_clients_own() {
        for (value, address) in [
            ("192.0.2.7", Some("192.0.2.7")),
            ("192.0.2.7, 10.0.0.1", Some("192.0.2.7")),
            ("192.0.2.7:4711", Some("192.0.2.7")),
            ("2001:db8::7", Some("2001:db8::7")),
            ("[2001:db8::7]:4711", Some("2001:db8::7")),
            ("unknown", None),
            ("'; DROP", None),
        ] {
            let request = request_with(&format!("X-Forwarded-For: {value}\r\n"));
            let expected = address.map(|text| text.parse().expect("an address"));
            assert_eq!(forwarded(request.headers()), expected, "{value}");
        }
    }
}
