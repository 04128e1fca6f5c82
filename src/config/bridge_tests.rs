//! `connection` sections: what they mean, and what is said about their mistakes.
//! Where nothing else is said, Mosquitto 2.0.11 takes or refuses the same text.

use std::time::Duration;

use super::*;

/// A section that is complete, and more lines of it.
fn with(lines: &str) -> String {
    format!("connection b\naddress h:1\ntopic #\n{lines}\n")
}

fn parse(text: &str) -> Config {
    Config::parse(text, "m.conf").unwrap_or_else(|errors| panic!("{errors}"))
}

fn bridge(lines: &str) -> Bridge {
    parse(&with(lines)).bridges.remove(0)
}

/// The only error of a text.
fn error(text: &str) -> Diagnostic {
    let mut errors = Config::parse(text, "m.conf").unwrap_err().0;
    assert_eq!(errors.len(), 1, "{text}: {errors:?}");
    errors.remove(0)
}

/// The topics of one line.
fn topic(value: &str) -> BridgeTopic {
    let text = format!("connection b\naddress h\ntopic {value}\n");
    parse(&text).bridges.remove(0).topics.remove(0)
}

fn address(word: &str) -> BridgeAddress {
    let text = format!("connection b\naddress {word}\ntopic #\n");
    parse(&text).bridges.remove(0).addresses.remove(0)
}

#[test]
fn a_bridge_has_the_defaults_of_mosquitto() {
    let config = parse(&with(""));
    let expected = Bridge {
        addresses: vec![BridgeAddress {
            host: "h".into(),
            port: 1,
            transport: BridgeTransport::Tcp,
            path: "/mqtt".into(),
        }],
        topics: vec![BridgeTopic {
            pattern: "#".into(),
            direction: Direction::Out,
            qos: 0,
            local_prefix: String::new(),
            remote_prefix: String::new(),
        }],
        ..Bridge::new("b", config.bridges[0].source.clone())
    };
    assert_eq!(config.bridges, [expected]);
    assert_eq!(config.bridges[0].source.to_string(), "m.conf:1:1");
    // A bridge is no listener: the default one stays.
    assert!(config.local_only);
}

#[test]
fn every_option_reaches_its_place() {
    let made = bridge(
        "round_robin true\nbridge_protocol_version mqttv50\ntry_private false\n\
         remote_clientid rc\nremote_username ru\nremote_password r p\n\
         local_clientid lc\nlocal_username lu\nlocal_password lp\n\
         cleansession true\nlocal_cleansession false\nnotifications false\n\
         notifications_local_only true\nnotification_topic a/b\nstart_type lazy\n\
         restart_timeout 10 60 30\nidle_timeout 7\nthreshold 8\nkeepalive_interval 9\n\
         bridge_attempt_unsubscribe false\nbridge_outgoing_retain false\n\
         bridge_bind_address 10.0.0.1\nbridge_max_packet_size 100\n\
         bridge_max_topic_alias 0\nbridge_receive_maximum 5\n\
         bridge_session_expiry_interval 0xFFFFFFFF\nbridge_tcp_keepalive 60 10 3\n\
         bridge_tcp_user_timeout 1500\nbridge_reload_type immediate\n\
         bridge_cafile /ca\nbridge_capath /cas\nbridge_tls_use_os_certs true\n\
         bridge_certfile /c\nbridge_keyfile /k\nbridge_tls_version tlsv1.3\n\
         bridge_ciphers ECDHE-RSA-AES128-GCM-SHA256\nbridge_ciphers_tls1.3 TLS_AES_128_GCM_SHA256\nbridge_alpn mqtt\n\
         bridge_insecure true",
    );
    let seconds = Duration::from_secs;
    let expected = Bridge {
        addresses: made.addresses.clone(),
        topics: made.topics.clone(),
        round_robin: true,
        protocol_version: 5,
        try_private: false,
        remote: BridgeIdentity {
            client_id: Some("rc".into()),
            username: Some("ru".into()),
            password: Some(Secret("r p".into())),
        },
        local: BridgeIdentity {
            client_id: Some("lc".into()),
            username: Some("lu".into()),
            password: Some(Secret("lp".into())),
        },
        cleansession: true,
        local_cleansession: Some(false),
        notifications: false,
        notifications_local_only: true,
        notification_topic: Some("a/b".into()),
        start_type: StartType::Lazy,
        restart_timeout: RestartTimeout::Backoff {
            base: seconds(10),
            cap: seconds(60),
            stable: seconds(30),
        },
        idle_timeout: seconds(7),
        threshold: 8,
        keepalive_interval: 9,
        attempt_unsubscribe: false,
        outgoing_retain: false,
        bind_address: Some("10.0.0.1".into()),
        max_packet_size: Some(100),
        max_topic_alias: 0,
        receive_maximum: Some(5),
        session_expiry_interval: Some(u32::MAX),
        tcp_keepalive: Some(TcpKeepalive {
            idle: seconds(60),
            interval: seconds(10),
            count: 3,
        }),
        tcp_user_timeout: Some(Duration::from_millis(1500)),
        reload_type: ReloadType::Immediate,
        tls: BridgeTls {
            cafile: Some("/ca".into()),
            capath: Some("/cas".into()),
            use_os_certs: true,
            certfile: Some("/c".into()),
            keyfile: Some("/k".into()),
            version: Some("tlsv1.3".into()),
            ciphers: Some("ECDHE-RSA-AES128-GCM-SHA256".into()),
            ciphers_tls13: Some("TLS_AES_128_GCM_SHA256".into()),
            alpn: Some("mqtt".into()),
            insecure: true,
        },
        ..Bridge::new("b", made.source.clone())
    };
    assert_eq!(made, expected);
    let psk = bridge("bridge_identity me\nbridge_psk 00fF");
    assert_eq!(psk.psk_identity.as_deref(), Some("me"));
    assert_eq!(psk.psk, Some(Secret("00fF".into())));
    assert!(psk.uses_tls(&psk.addresses[0]));
}

#[test]
fn old_names_and_small_numbers_are_taken() {
    let made = bridge("clientid c\nusername u\npassword p\nthreshold 0\nidle_timeout 0");
    assert_eq!(made.remote.client_id.as_deref(), Some("c"));
    assert_eq!(made.remote.username.as_deref(), Some("u"));
    assert_eq!(made.remote.password, Some(Secret("p".into())));
    assert_eq!((made.threshold, made.idle_timeout.as_secs()), (1, 1));
    assert_eq!(bridge("keepalive_interval 3").keepalive_interval, 5);
    assert_eq!(bridge("bridge_max_packet_size -1").max_packet_size, None);
}

#[test]
fn addresses_have_hosts_ports_and_urls() {
    let text = "connection b\naddresses a b:2 [::1] # the last\ntopic #\n";
    let bridge = parse(text).bridges.remove(0);
    let places: Vec<_> = bridge
        .addresses
        .iter()
        .map(|a| (&a.host[..], a.port))
        .collect();
    assert_eq!(places, [("a", 1883), ("b", 2), ("::1", 1883)]);
    for (word, host, port) in [
        ("192.168.1.9:1884", "192.168.1.9", 1884),
        ("[2001:db8::1]:5", "2001:db8::1", 5),
        // As in Mosquitto the last colon comes before the port.
        ("::1:1883", "::1", 1883),
        ("[fe80::1%eth0]:5", "fe80::1%eth0", 5),
    ] {
        let address = address(word);
        assert_eq!((&address.host[..], address.port), (host, port), "{word}");
    }
    for (word, port, transport, path) in [
        ("ws://h", 80, BridgeTransport::WebSocket, "/mqtt"),
        ("wss://h", 443, BridgeTransport::WebSocketTls, "/mqtt"),
        (
            "wss://h:9/a/b?c",
            9,
            BridgeTransport::WebSocketTls,
            "/a/b?c",
        ),
    ] {
        let read = address(word);
        assert_eq!((&read.host[..], read.port), ("h", port), "{word}");
        assert_eq!(
            (read.transport, &read.path[..]),
            (transport, path),
            "{word}"
        );
    }
    let secure = parse("connection b\naddress wss://h ws://h\ntopic #")
        .bridges
        .remove(0);
    let tls: Vec<_> = secure
        .addresses
        .iter()
        .map(|a| secure.uses_tls(a))
        .collect();
    assert_eq!(tls, [true, false]);
}

#[test]
fn wrong_addresses_are_underlined() {
    for (word, part, help) in [
        ("h:0", "0", "from 1 to 65535"),
        ("h:99999", "99999", "from 1 to 65535"),
        ("h:x", "x", "from 1 to 65535"),
        ("::1", "::1", "[2001:db8::1]:1883"),
        ("[::1", "[::1", "[2001:db8::1]:1883"),
        (":1883", ":1883", "HOST:PORT"),
        ("mqtt://h:1", "mqtt://h:1", "write `h:1`"),
        ("mqtts://h:1", "mqtts://h:1", "bridge_cafile"),
        ("http://h", "http://h", "ws://"),
        ("ws://u:p@h", "ws://u:p@h", "remote_username"),
        ("h/x", "h/x", "HOST:PORT"),
    ] {
        let found = error(&format!("connection b\naddress ok {word}\ntopic #\n"));
        let (line, marked) = found.excerpt.clone().unwrap();
        // A line with a password is not shown.
        if !word.contains('@') {
            let shown: String = line
                .chars()
                .skip(found.location.column - 1)
                .take(marked)
                .collect();
            assert_eq!(shown, part, "{found}");
        }
        assert!(found.help.as_deref().unwrap().contains(help), "{found}");
    }
}

#[test]
fn topics_have_direction_qos_and_prefixes() {
    for (value, pattern, direction, qos, local, remote) in [
        ("#", "#", Direction::Out, 0, "", ""),
        ("a/+ in", "a/+", Direction::In, 0, "", ""),
        ("# both 2 # all of it", "#", Direction::Both, 2, "", ""),
        ("a out 1 l/", "a", Direction::Out, 1, "l/", ""),
        ("a out 1 l/ r/", "a", Direction::Out, 1, "l/", "r/"),
        ("a out 1 \"\" r/", "a", Direction::Out, 1, "", "r/"),
        ("\"\" in 0 l r", "", Direction::In, 0, "l", "r"),
        // Quotes are of Mosquitto 2.1.
        (
            "\"two words/#\" out",
            "two words/#",
            Direction::Out,
            0,
            "",
            "",
        ),
    ] {
        let expected = BridgeTopic {
            pattern: pattern.into(),
            direction,
            qos,
            local_prefix: local.into(),
            remote_prefix: remote.into(),
        };
        assert_eq!(topic(value), expected, "{value}");
    }
    let both = topic("a/# both 0 l/ r/");
    assert_eq!(
        (both.local(), both.remote()),
        ("l/a/#".into(), "r/a/#".into())
    );
}

#[test]
fn wrong_topics_are_told() {
    for (value, part) in [
        ("a up", "`up` is no direction"),
        ("a out 3", "3 is out of range"),
        ("a out x", "`x` is not a number"),
        ("a out 1 l+/ r/", "the local prefix holds a wildcard"),
        ("a out 1 l/ r#/", "the remote prefix holds a wildcard"),
        ("\"\"", "needs both prefixes"),
        ("\"\" out 1 l \"\"", "needs both prefixes"),
        ("\"\" out 1 \"\" r", "needs both prefixes"),
        // Mosquitto takes these three, and subscribes to what no message matches,
        // or passes the last word over.
        ("a#b", "is no topic filter"),
        ("# out 0 l r/", "`l#` is no topic filter"),
        ("a out 1 l/ r/ s/", "`s/` is one word too many"),
        ("\"a b", "lacks its second quote"),
    ] {
        let found = error(&format!("connection b\naddress h\ntopic {value}\n"));
        assert!(found.message.contains(part), "{value}: {found}");
        assert!(found.help.is_some(), "{found}");
    }
}

#[test]
fn restarts_are_constant_or_grow() {
    let seconds = Duration::from_secs;
    let backoff = |base, cap, stable| RestartTimeout::Backoff {
        base: seconds(base),
        cap: seconds(cap),
        stable: seconds(stable),
    };
    for (value, expected) in [
        ("20", RestartTimeout::Constant(seconds(20))),
        ("0", RestartTimeout::Constant(seconds(1))),
        ("5 30", backoff(5, 30, 0)),
        ("5 5 # c", backoff(5, 5, 0)),
        ("1 7200 60", backoff(1, 7200, 60)),
    ] {
        let made = bridge(&format!("restart_timeout {value}"));
        assert_eq!(made.restart_timeout, expected, "{value}");
    }
    for (value, part) in [
        ("10 5", "below the shortest"),
        ("0 5", "out of range"),
        ("1 7201", "out of range"),
        ("abc", "not a number"),
        ("1 2 3 4", "one to three numbers"),
    ] {
        let found = error(&with(&format!("restart_timeout {value}")));
        assert!(found.message.contains(part), "{value}: {found}");
    }
}

#[test]
fn other_wrong_values_are_told() {
    for line in [
        "keepalive_interval 70000",
        "start_type manual",
        "bridge_protocol_version mqttv5",
        "bridge_protocol_version 3.1.1",
        "notification_topic a/+",
        "bridge_tcp_keepalive 60",
        "bridge_tcp_keepalive 60 10 x",
        "bridge_session_expiry_interval never",
        "bridge_receive_maximum 0",
        "bridge_tls_version tlsv1",
        "bridge_mptcp true",
        "remote_clientid a\nclientid b",
        "address h:2",
        "topic",
    ] {
        let found = error(&with(line));
        assert!(found.location.line >= 4, "{found}");
        assert!(found.help.is_some(), "{found}");
    }
}

#[test]
fn the_lines_of_a_section_fit_together() {
    for (text, part) in [
        ("connection b\ntopic #", "has no address"),
        ("connection b\naddress h", "has no topic"),
        (&with("bridge_identity x"), "only one of `bridge_identity`"),
        (&with("bridge_psk 00"), "only one of `bridge_identity`"),
        (
            &with("bridge_psk 00\nbridge_identity a\nbridge_cafile /x"),
            "certificates and for a pre-shared key",
        ),
        (
            &with("bridge_cafile /x\nbridge_certfile /c"),
            "only one of `bridge_certfile`",
        ),
        // Mosquitto connects without TLS then.
        (
            &with("bridge_certfile /c\nbridge_keyfile /k"),
            "would not use TLS",
        ),
        // Mosquitto never gets through with these.
        (&with("remote_password p"), "without `remote_username`"),
        (&with("local_password p"), "without `local_username`"),
    ] {
        let found = error(text);
        assert!(found.message.contains(part), "{text}: {found}");
        assert_eq!(found.location.to_string(), "m.conf:1:1");
        assert_eq!(found.excerpt, Some(("connection b".into(), 10)));
        assert!(found.help.is_some(), "{found}");
    }
    bridge("remote_password p\nbridge_protocol_version mqttv50");
    let wss = "connection b\naddress wss://h\ntopic #\nbridge_certfile /c\nbridge_keyfile /k";
    parse(wss);
}

#[test]
fn a_section_with_a_mistake_is_not_blamed_for_what_that_mistake_lacks() {
    assert_eq!(error("connection b\naddress h:x\ntopic #").location.line, 2);
    assert_eq!(error("connection b\naddress h\ntopic").location.line, 3);
}

#[test]
fn names_and_local_identifiers_are_used_once() {
    let twice = error(&format!("{}{}", with(""), with("")));
    assert_eq!(twice.message, "connection `b` is already at m.conf:1:1");
    assert_eq!(twice.location.to_string(), "m.conf:5:12");
    let other = with("local_clientid x").replace("connection b", "connection c");
    let same = error(&format!("{}{other}", with("local_clientid x")));
    assert!(same.message.contains("same `local_clientid`"), "{same}");
    assert!(
        error("connection\naddress h\ntopic #\n")
            .message
            .contains("lacks")
    );
}

#[test]
fn lines_belong_to_the_connection_above_them() {
    for line in ["address h:1", "topic a", "try_private true", "topic"] {
        let found = error(line);
        assert!(
            found.message.contains("above every `connection`"),
            "{found}"
        );
    }
    let text = format!("{}listener 5\nmax_qos 1\nthreshold 3\n", with(""));
    let config = parse(&text);
    assert_eq!(config.bridges[0].threshold, 3);
    assert_eq!(config.listeners[0].max_qos, 1);
    assert!(
        config.warnings[0]
            .message
            .contains("taken for connection `b`")
    );
    let two = format!(
        "{}connection c # x\naddress i\ntopic b\ntopic c\n",
        with("")
    );
    let config = parse(&two);
    let names: Vec<_> = config
        .bridges
        .iter()
        .map(|b| (&b.name[..], b.topics.len()))
        .collect();
    assert_eq!(names, [("b", 1), ("c", 2)]);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}
