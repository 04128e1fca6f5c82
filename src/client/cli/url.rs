//! `-L mqtt(s)://[user[:password]@]host[:port]/topic`

use super::failure::Failure;
use super::refused;

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
}

impl Url {
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let (tls, rest) = match text.split_once("://") {
            Some(("mqtt", rest)) => (false, rest),
            Some(("mqtts", rest)) => (true, rest),
            Some((scheme @ ("ws" | "wss"), _)) => {
                return Err(refused::websocket(&format!("{scheme}://")));
            }
            _ => return Err(Failure::usage("unsupported URL scheme.")),
        };
        let (server, topic) = rest.split_once('/').ok_or_else(|| {
            Failure::usage("Invalid URL for -L argument specified - topic missing.")
        })?;
        let (user, address) = match server.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, server),
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
        Ok(Self {
            tls,
            username,
            password,
            host: host.to_owned(),
            port,
            topic: topic.to_owned(),
        })
    }
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
            }
        );
        let url = Url::parse("mqtt://[::1]/a").expect("valid");
        assert_eq!((url.host.as_str(), url.port), ("[::1]", None));
        let url = Url::parse("mqtt://joe@h/").expect("valid");
        assert_eq!(url.username.as_deref(), Some("joe"));
        assert_eq!((url.host.as_str(), url.topic.as_str()), ("h", ""));
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
