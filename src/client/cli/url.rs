//! `-L mqtt(s)://[user[:password]@]host[:port]/topic`, with `ws` or `wss` for
//! WebSocket, and `--proxy socks5h://[user[:password]@]host[:port]`

use super::failure::Failure;
use crate::transport::Proxy;

/// The parts of a URL.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Url {
    /// The scheme asks for TLS.
    pub(super) tls: bool,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) host: String,
    pub(super) port: Option<String>,
    pub(super) topic: String,
    /// `ws://` and `wss://`.
    pub(super) websocket: bool,
}

impl Url {
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let (tls, websocket, rest) = match text.split_once("://") {
            Some(("mqtt", rest)) => (false, false, rest),
            Some(("mqtts", rest)) => (true, false, rest),
            Some(("ws", rest)) => (false, true, rest),
            Some(("wss", rest)) => (true, true, rest),
            _ => return Err(Failure::usage("unsupported URL scheme.")),
        };
        let (server, topic) = rest.split_once('/').ok_or_else(|| {
            Failure::usage("Invalid URL for -L argument specified - topic missing.")
        })?;
        let Authority {
            username,
            password,
            host,
            port,
        } = Authority::parse(server);
        Ok(Self {
            tls,
            username,
            password,
            host: host.to_owned(),
            port,
            topic: topic.to_owned(),
            websocket,
        })
    }
}

/// `[user[:password]@]host[:port]`
struct Authority<'a> {
    username: Option<String>,
    password: Option<String>,
    host: &'a str,
    port: Option<String>,
}

impl<'a> Authority<'a> {
    fn parse(text: &'a str) -> Self {
        let (user, address) = match text.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, text),
        };
        let (username, password) = match user.map(|user| user.split_once(':')) {
            Some(Some((name, password))) => (Some(decode(name)), Some(decode(password))),
            Some(None) => (user.map(decode), None),
            None => (None, None),
        };
        // The colons of an IPv6 address stand in brackets.
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port.to_owned())),
            _ => (address, None),
        };
        Self {
            username,
            password,
            host,
            port,
        }
    }
}

/// Reads the value of `--proxy`.
pub(super) fn proxy(text: &str) -> Result<Proxy, Failure> {
    let invalid = || Failure::usage("Invalid proxy.");
    let (resolves, rest) = match text.split_once("://") {
        Some(("socks5h", rest)) => (true, rest),
        Some(("socks5", rest)) => (false, rest),
        _ => {
            return Err(Failure::usage(format_args!(
                "Unsupported proxy protocol: {text}"
            )));
        }
    };
    let authority = Authority::parse(rest.strip_suffix('/').unwrap_or(rest));
    let port = match authority.port.map(|port| port.parse()) {
        None => 1080,
        Some(Ok(port @ 1..)) => port,
        Some(_) => return Err(invalid()),
    };
    let credentials = authority
        .username
        .map(|name| (name, authority.password.unwrap_or_default()));
    let fits = |text: &String| u8::try_from(text.len()).is_ok();
    if authority.host.is_empty()
        || credentials
            .iter()
            .any(|(name, password)| name.is_empty() || !fits(name) || !fits(password))
    {
        return Err(invalid());
    }
    Ok(Proxy {
        host: authority.host.to_owned(),
        port,
        credentials,
        resolves,
    })
}

/// Undoes percent encoding, by which `:`, `@` and `/` come into a password.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            bytes.push(high << 4 | low);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_found() {
        let url = Url::parse("mqtt://joe:p%40%3a@[::1]:1884/a/b").expect("valid");
        assert_eq!(
            url,
            Url {
                tls: false,
                username: Some("joe".to_owned()),
                password: Some("p@:".to_owned()),
                host: "[::1]".to_owned(),
                port: Some("1884".to_owned()),
                topic: "a/b".to_owned(),
                websocket: false,
            }
        );
        let url = Url::parse("mqtt://[::1]/a").expect("valid");
        assert_eq!((url.host.as_str(), url.port), ("[::1]", None));
        let url = Url::parse("mqtt://joe@h/").expect("valid");
        assert_eq!(url.username.as_deref(), Some("joe"));
        assert_eq!((url.host.as_str(), url.topic.as_str()), ("h", ""));
    }

    #[test]
    fn the_scheme_may_say_websocket() {
        let url = Url::parse("ws://h:9001/t").expect("valid");
        assert!(url.websocket);
        assert_eq!(
            (url.port.as_deref(), url.topic.as_str()),
            (Some("9001"), "t")
        );
    }

    #[test]
    fn a_proxy_has_a_scheme_of_its_own() {
        let expected = Proxy {
            host: "[::1]".to_owned(),
            port: 1081,
            credentials: Some(("joe:x".to_owned(), "p@%".to_owned())),
            resolves: true,
        };
        assert_eq!(proxy("socks5h://joe%3Ax:p%40%25@[::1]:1081"), Ok(expected));
        let plain = proxy("socks5://h").expect("valid");
        assert_eq!((plain.port, plain.resolves), (1080, false));
        assert_eq!(plain.credentials, None);
        assert_eq!(
            proxy("http://h"),
            Err(Failure::usage("Unsupported proxy protocol: http://h"))
        );
        for wrong in [
            "socks5h://",
            "socks5h://h:x",
            "socks5h://h:0",
            "socks5h://:p@h",
        ] {
            assert_eq!(
                proxy(wrong),
                Err(Failure::usage("Invalid proxy.")),
                "{wrong}"
            );
        }
    }

    #[test]
    fn errors_are_mosquittos() {
        assert_eq!(
            Url::parse("http://a"),
            Err(Failure::usage("unsupported URL scheme."))
        );
        assert_eq!(
            Url::parse("mqtt://host"),
            Err(Failure::usage(
                "Invalid URL for -L argument specified - topic missing."
            ))
        );
        assert!(Url::parse("mqtts://host/a").expect("valid").tls);
    }
}
