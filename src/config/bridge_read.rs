//! The values of a `connection` section that have a grammar of their own, and
//! what its lines ask of each other.

use std::net::Ipv6Addr;
use std::time::Duration;

use super::bridge::{
    Bridge, BridgeAddress, BridgeTopic, BridgeTransport, Direction, RestartTimeout, TcpKeepalive,
};
use super::value::{Change, Fault, number};
use super::{Cipher, Ciphers, NoCipher};
use crate::topic;

/// Reads `addresses`: one or more hosts, each with its port.
pub(super) fn addresses(value: &str) -> Result<Change<Bridge>, Fault> {
    let words = value.split_ascii_whitespace();
    let read = words.map(|word| address(word).map_err(|fault| fault.within(value, word)));
    let addresses = read.collect::<Result<Vec<_>, _>>()?;
    Ok(Box::new(move |bridge| {
        bridge.addresses.clone_from(&addresses);
    }))
}

fn address(word: &str) -> Result<BridgeAddress, Fault> {
    let (transport, port, rest) = match word.split_once("://") {
        None => (BridgeTransport::Tcp, 1883, word),
        Some(("ws", rest)) => (BridgeTransport::WebSocket, 80, rest),
        Some(("wss", rest)) => (BridgeTransport::WebSocketTls, 443, rest),
        Some((scheme, rest)) => {
            let help = match scheme {
                "mqtt" | "tcp" => format!("write `{rest}`"),
                "mqtts" | "ssl" | "tls" => {
                    format!("write `{rest}` and, on a line of its own, `bridge_cafile` with a path")
                }
                _ => "write HOST:PORT, or a URL with `ws://` or `wss://`".into(),
            };
            let message = format!("`{scheme}://` cannot stand here");
            return Err(Fault::new(word, message, help));
        }
    };
    let (authority, path) = match rest.find('/') {
        Some(slash) if transport != BridgeTransport::Tcp => rest.split_at(slash),
        _ => (rest, "/mqtt"),
    };
    if authority.contains('@') {
        let message = "an address holds no user name";
        let help = "write the name in `remote_username` and the password in `remote_password`";
        return Err(Fault::new(word, message, help));
    }
    let (host, port) =
        host_and_port(authority, port).map_err(|fault| fault.within(word, authority))?;
    Ok(BridgeAddress {
        host,
        port,
        transport,
        path: path.into(),
    })
}

/// As in Mosquitto the last colon comes before the port, in IPv6 too; in
/// brackets, IPv6 may do without one.
fn host_and_port(text: &str, default: u16) -> Result<(String, u16), Fault> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let number = number(port, 1, u64::from(u16::MAX));
            let port = number.map_err(|fault| fault.within(text, port))?;
            (host, port as u16)
        }
        _ => (text, default),
    };
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = inner.unwrap_or(host);
    let address = host.split('%').next().unwrap_or_default();
    if (inner.is_some() || host.contains(':')) && address.parse::<Ipv6Addr>().is_err() {
        let message = format!("`{text}` is neither HOST:PORT nor an IPv6 address with its port");
        return Err(Fault::new(
            text,
            message,
            "write IPv6 so: `[2001:db8::1]:1883`",
        ));
    }
    if host.is_empty() || host.contains('/') {
        let message = format!("`{text}` lacks the host");
        return Err(Fault::new(text, message, "write HOST:PORT"));
    }
    Ok((host.to_owned(), port))
}

/// Reads `topic`: a pattern, then direction, QoS, local and remote prefix, as far
/// as they are there.
pub(super) fn topic(value: &str) -> Result<Change<Bridge>, Fault> {
    let (pattern, rest) = pattern(value)?;
    let mut words = rest.split_ascii_whitespace();
    let direction = match words.next() {
        None | Some("out") => Direction::Out,
        Some("in") => Direction::In,
        Some("both") => Direction::Both,
        Some(word) => {
            let message = format!("`{word}` is no direction");
            let help = "write `out`, `in` or `both`; a pattern with blanks stands in double quotes";
            return Err(Fault::new(word, message, help).within(value, word));
        }
    };
    let qos = words.next().map_or(Ok(0), |word| {
        number(word, 0, 2).map_err(|fault| fault.within(value, word))
    })? as u8;
    let mut prefix = |side: &str| match words.next() {
        None | Some("\"\"") => Ok(String::new()),
        Some(word) if word.contains(['+', '#']) => {
            let message = format!("the {side} prefix holds a wildcard");
            let help = "write wildcards in the pattern, which is joined to the prefixes";
            Err(Fault::new(word, message, help).within(value, word))
        }
        Some(word) => Ok(word.to_owned()),
    };
    let topic = BridgeTopic {
        pattern: pattern.to_owned(),
        direction,
        qos,
        local_prefix: prefix("local")?,
        remote_prefix: prefix("remote")?,
    };
    if let Some(word) = words.next() {
        let message = format!("`{word}` is one word too many");
        let help = "a topic has PATTERN DIRECTION QOS LOCAL-PREFIX REMOTE-PREFIX, no more";
        return Err(Fault::new(word, message, help).within(value, word));
    }
    if pattern.is_empty() && (topic.local_prefix.is_empty() || topic.remote_prefix.is_empty()) {
        let message = "an empty pattern needs both prefixes";
        let help = "write the two topics: `topic \"\" out 0 LOCAL-TOPIC REMOTE-TOPIC`";
        return Err(Fault::new(value, message, help));
    }
    for filter in [topic.local(), topic.remote()] {
        if !topic::is_valid_filter(&filter) {
            let message = format!("`{filter}` is no topic filter");
            let help = "`#` stands alone at the end, `+` alone between slashes; prefix and \
                        pattern are joined as they are, so end the prefix with `/`";
            return Err(Fault::new(value, message, help));
        }
    }
    Ok(Box::new(move |bridge| bridge.topics.push(topic.clone())))
}

/// The pattern, which double quotes may surround, and what follows it.
fn pattern(value: &str) -> Result<(&str, &str), Fault> {
    match value.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').ok_or_else(|| {
            Fault::new(
                value,
                "the pattern lacks its second quote",
                "write `\"` behind it",
            )
        }),
        None => Ok(value.split_once([' ', '\t']).unwrap_or((value, ""))),
    }
}

/// Reads `restart_timeout`: a constant, or base, cap and stable period.
pub(super) fn restart_timeout(value: &str) -> Result<Change<Bridge>, Fault> {
    let words: Vec<_> = value.split_ascii_whitespace().collect();
    let read = |word: &str, min, max| {
        let seconds = number(word, min, max).map_err(|fault| fault.within(value, word))?;
        Ok(Duration::from_secs(seconds))
    };
    let timeout = match words[..] {
        // 0 is 1, as in Mosquitto.
        [constant] => RestartTimeout::Constant(
            read(constant, 0, u64::from(u32::MAX))?.max(Duration::from_secs(1)),
        ),
        [base, cap] | [base, cap, _] => {
            let (base, upper) = (read(base, 1, 3600)?, read(cap, 1, 7200)?);
            if upper < base {
                let message = "the longest wait is below the shortest";
                let help = "write the shorter of the two first";
                return Err(Fault::new(cap, message, help).within(value, cap));
            }
            let stable = words.get(2).copied().unwrap_or("0");
            RestartTimeout::Backoff {
                base,
                cap: upper,
                stable: read(stable, 0, u64::from(u32::MAX))?,
            }
        }
        _ => {
            let message = "`restart_timeout` has one to three numbers";
            let help = "write SECONDS, or SHORTEST LONGEST, or SHORTEST LONGEST STABLE";
            return Err(Fault::new(value, message, help));
        }
    };
    Ok(Box::new(move |bridge| bridge.restart_timeout = timeout))
}

/// Reads `bridge_tcp_keepalive`: idle time, interval and count.
pub(super) fn tcp_keepalive(value: &str) -> Result<Change<Bridge>, Fault> {
    let words: Vec<_> = value.split_ascii_whitespace().collect();
    let [idle, interval, count] = words[..] else {
        let message = "`bridge_tcp_keepalive` has three numbers";
        let help = "write IDLE INTERVAL COUNT, such as `60 10 3`, the first two in seconds";
        return Err(Fault::new(value, message, help));
    };
    let read = |word| number(word, 1, 32_767).map_err(|fault| fault.within(value, word));
    let keepalive = TcpKeepalive {
        idle: Duration::from_secs(read(idle)?),
        interval: Duration::from_secs(read(interval)?),
        count: read(count)? as u32,
    };
    Ok(Box::new(move |bridge| {
        bridge.tcp_keepalive = Some(keepalive);
    }))
}

/// Reads `bridge_session_expiry_interval`, where hexadecimal is usual for "never".
pub(super) fn session_expiry_interval(value: &str) -> Result<Change<Bridge>, Fault> {
    let max = u64::from(u32::MAX);
    let seconds = match value.strip_prefix("0x") {
        Some(digits) if u32::from_str_radix(digits, 16) == Ok(u32::MAX) => max,
        _ => number(value, 0, max).map_err(|fault| Fault {
            help: fault.help + "; `0xFFFFFFFF` is for ever",
            ..fault
        })?,
    } as u32;
    Ok(Box::new(move |bridge| {
        bridge.session_expiry_interval = Some(seconds);
    }))
}

/// Reads `bridge_psk`: hexadecimal digits.
pub(super) fn psk(value: &str) -> Result<Change<Bridge>, Fault> {
    let is_key = value.len().is_multiple_of(2) && value.chars().all(|c| c.is_ascii_hexdigit());
    if !is_key {
        let message = "the key is not a row of hexadecimal bytes";
        let help = "write two digits of 0-9 and a-f for each byte, without `0x` or blanks";
        return Err(Fault::new(value, message, help));
    }
    let key = super::Secret(value.to_owned());
    Ok(Box::new(move |bridge| bridge.psk = Some(key.clone())))
}

/// Reads `notification_topic`: a topic without wildcards.
pub(super) fn notification_topic(value: &str) -> Result<Change<Bridge>, Fault> {
    if !topic::is_valid_name(value) {
        let message = format!("`{value}` is no topic to publish to");
        return Err(Fault::new(
            value,
            message,
            "write a topic without `+` and `#`",
        ));
    }
    let topic = value.to_owned();
    Ok(Box::new(move |bridge| {
        bridge.notification_topic = Some(topic.clone());
    }))
}

/// What is wrong with the section as a whole: what, and what to write.
pub(super) fn contradictions(bridge: &Bridge) -> Vec<(String, &'static str)> {
    let name = &bridge.name;
    let mut found = Vec::new();
    let mut unless = |fine: bool, message: String, help| {
        if !fine {
            found.push((message, help));
        }
    };
    unless(
        !bridge.addresses.is_empty(),
        format!("connection `{name}` has no address"),
        "write `address HOST:PORT` below it",
    );
    unless(
        !bridge.topics.is_empty(),
        format!("connection `{name}` has no topic"),
        "write what it shall share below it, such as `topic # both 1`",
    );
    // Before MQTT 5 a password needs a name (3.1.1, MQTT-3.1.2-22).
    unless(
        bridge.remote.password.is_none()
            || bridge.remote.username.is_some()
            || bridge.protocol_version == 5,
        format!("connection `{name}` has `remote_password` without `remote_username`"),
        "write `remote_username` too",
    );
    unless(
        bridge.local.password.is_none() || bridge.local.username.is_some(),
        format!("connection `{name}` has `local_password` without `local_username`"),
        "write `local_username` too",
    );
    let tls = &bridge.tls;
    let has_psk = bridge.psk.is_some() || bridge.psk_identity.is_some();
    unless(
        bridge.psk.is_some() == bridge.psk_identity.is_some(),
        format!("connection `{name}` has only one of `bridge_identity` and `bridge_psk`"),
        "write both, or neither",
    );
    unless(
        !(has_psk && (tls.trusts_anybody() || tls.certfile.is_some() || tls.keyfile.is_some())),
        format!("connection `{name}` asks for certificates and for a pre-shared key"),
        "remove the lines of one of the two",
    );
    unless(
        tls.certfile.is_some() == tls.keyfile.is_some(),
        format!("connection `{name}` has only one of `bridge_certfile` and `bridge_keyfile`"),
        "write both, or neither",
    );
    let leaves_none = |list: &Option<String>, parse: fn(&str) -> Result<Vec<Cipher>, NoCipher>| {
        !has_psk && list.as_deref().is_some_and(|list| parse(list).is_err())
    };
    unless(
        !leaves_none(&tls.ciphers, Ciphers::parse_tls12)
            && !leaves_none(&tls.ciphers_tls13, Ciphers::parse_tls13),
        format!("connection `{name}` has a list of ciphers that leaves none"),
        "name some of those that `ciphers` and `ciphers_tls1.3` have in the manual, or none",
    );
    let all_tls = |address: &BridgeAddress| bridge.uses_tls(address);
    unless(
        tls.certfile.is_none() || has_psk || bridge.addresses.iter().all(all_tls),
        format!("connection `{name}` has a certificate and would not use TLS"),
        "say whom to trust with `bridge_cafile`, `bridge_capath` or \
         `bridge_tls_use_os_certs true`",
    );
    found
}

/// The identifier that two bridges would have on this broker, if any.
pub(super) fn same_local_client_id<'a>(bridges: &[&'a Bridge], new: &Bridge) -> Option<&'a Bridge> {
    new.local.client_id.as_ref()?;
    let mut same = bridges.iter().copied();
    same.find(|known| known.local.client_id == new.local.client_id)
}
