//! Whole files: what they mean, and what is said about their mistakes. Where
//! nothing else is said, Mosquitto 2.0.11 does the same with the same text.

use std::fs;

use super::*;

fn parse(text: &str) -> Config {
    Config::parse(text, "m.conf").unwrap_or_else(|errors| panic!("{errors}"))
}

fn errors(text: &str) -> Vec<Diagnostic> {
    Config::parse(text, "m.conf").unwrap_err().0
}

/// The only error of a text.
fn error(text: &str) -> Diagnostic {
    let mut errors = errors(text);
    assert_eq!(errors.len(), 1, "{text}");
    errors.remove(0)
}

fn ports(config: &Config) -> Vec<u16> {
    config
        .listeners
        .iter()
        .map(|listener| listener.port)
        .collect()
}

#[test]
fn an_empty_file_is_the_default() {
    assert_eq!(parse(""), Config::default());
    assert_eq!(parse("# nothing\n"), Config::default());
    let config = Config::default();
    assert!(config.local_only);
    assert_eq!(config.listeners, [Listener::local()]);
    assert!(config.listeners[0].security.allow_anonymous);
}

#[test]
fn a_listener_is_open_to_the_world_and_closed_to_anonymous_clients() {
    let config = parse("listener 1883\n");
    assert!(!config.local_only);
    assert_eq!(config.listeners[0].bind, Bind::Any);
    assert!(!config.listeners[0].security.allow_anonymous);
    assert_eq!(config.allow_anonymous, None);
    for text in ["port 1883", "bind_address 127.0.0.1", "bind_interface lo"] {
        let config = parse(text);
        assert!(!config.local_only, "{text}");
        assert!(!config.listeners[0].security.allow_anonymous, "{text}");
        assert_eq!(ports(&config), [1883], "{text}");
    }
}

#[test]
fn local_mode_lets_anonymous_clients_in_unless_told() {
    assert!(
        parse("password_file /p").listeners[0]
            .security
            .allow_anonymous
    );
    // As Mosquitto from 2.0.19 on.
    assert!(
        !parse("allow_anonymous false").listeners[0]
            .security
            .allow_anonymous
    );
    let config = parse("max_topic_alias 3\nacl_file /a");
    assert!(config.local_only);
    assert_eq!(config.listeners[0].max_topic_alias, 3);
    assert_eq!(config.listeners[0].security.acl_file, Some("/a".into()));
}

#[test]
fn security_is_global_wherever_it_stands() {
    let config = parse("listener 1\nallow_anonymous true\npassword_file /p q\nlistener 2\n");
    assert_eq!(config.allow_anonymous, Some(true));
    for listener in &config.listeners {
        assert!(listener.security.allow_anonymous);
        assert_eq!(listener.security.password_file, Some("/p q".into()));
    }
    let config = parse("listener 1\nlistener_allow_anonymous true\nlistener 2\n");
    assert!(config.listeners[0].security.allow_anonymous);
    assert!(!config.listeners[1].security.allow_anonymous);
}

#[test]
fn security_is_each_listeners_own_when_asked_for() {
    let config = parse(
        "per_listener_settings true\nacl_file /default\nport 3\n\
         listener 1\nallow_anonymous true\nauto_id_prefix a-\n\
         listener 2\npassword_file /p\nallow_zero_length_clientid false\n",
    );
    assert_eq!(config.allow_anonymous, None);
    let [default, first, second] = &config.listeners[..] else {
        panic!("three listeners");
    };
    assert_eq!(default.port, 3);
    assert_eq!(default.security.acl_file, Some("/default".into()));
    assert!(first.security.allow_anonymous && !second.security.allow_anonymous);
    assert_eq!(first.auto_id_prefix, "a-");
    assert_eq!(second.auto_id_prefix, "auto-");
    assert_eq!(second.security.password_file, Some("/p".into()));
    assert!(first.security.acl_file.is_none());
    assert!(!second.allow_zero_length_clientid && first.allow_zero_length_clientid);
}

#[test]
fn stray_security_opens_nothing() {
    let config = parse("per_listener_settings true\nallow_anonymous true\nlistener 1\n");
    assert!(!config.listeners[0].security.allow_anonymous);
    assert!(config.warnings[0].message.contains("no listener"));
    let late = error("allow_anonymous true\nper_listener_settings true\n");
    assert!(late.message.contains("too late"));
}

/// Mosquitto opens port 1883 besides, and fails if a `listener 1883` follows.
#[test]
fn settings_above_the_first_listener_open_no_second_port() {
    let config = parse("max_qos 1\nmax_connections 5\nlistener 1883\nmax_qos 0\nlistener 2\n");
    assert_eq!(ports(&config), [1883, 2]);
    assert_eq!(config.listeners[0].max_qos, 0);
    assert_eq!(config.listeners[1].max_qos, 1);
    assert_eq!(config.listeners[1].max_connections, Some(5));
    assert_eq!(config.warnings.len(), 2);
    assert_eq!(config.warnings[0].location.line, 1);

    let config = parse("max_qos 1\n");
    assert!(config.local_only);
    assert_eq!(config.listeners[0].max_qos, 1);

    let config = parse("max_qos 1\nport 5\nlistener 6\n");
    assert_eq!(ports(&config), [5, 6]);
    assert_eq!(config.listeners[0].max_qos, 1);
    assert_eq!(config.listeners[1].max_qos, 2);
    assert!(config.warnings.is_empty());
}

/// A file that is handed around makes 1883 a WebSocket port so.
#[test]
fn another_protocol_above_the_first_listener_is_for_the_default_one() {
    let text = "protocol websockets\nlistener 1884\nmax_qos 1\n";
    if !OptionSpec::find("protocol").unwrap().is_supported() {
        assert_eq!(error(text).location.line, 1);
        return;
    }
    let config = parse(text);
    assert_eq!(ports(&config), [1883, 1884]);
    assert_eq!(config.listeners[0].max_qos, 2);
    assert!(
        config.warnings[0]
            .message
            .contains("port 1883 speak `websockets`")
    );
    // With a port it is clear what is meant.
    let config = parse("protocol websockets\nport 1885\nlistener 1884\n");
    assert_eq!(ports(&config), [1885, 1884]);
    assert!(config.warnings.is_empty());
    assert_eq!(ports(&parse("protocol mqtt\nlistener 1884")), [1884]);
    assert!(!parse("protocol websockets").local_only);
}

#[test]
fn the_default_listener_may_be_asked_for_below_others() {
    let config = parse("listener 6\nmax_qos 0\nport 5\nbind_address ::1\nmax_qos 1\n");
    assert_eq!(ports(&config), [5, 6]);
    assert_eq!(config.listeners[0].bind, Bind::Host("::1".into()));
    assert_eq!(config.listeners[0].max_qos, 2);
    assert_eq!(config.listeners[1].max_qos, 1);
    assert_eq!(config.warnings.len(), 1, "max_qos twice");
}

#[test]
fn a_listener_has_all_its_settings() {
    let config = parse(
        "clientid_prefixes dev-\nlistener 1884 10.0.0.1 # the plant\naccept_protocol_versions 4,5\n\
         bind_interface eth0\nmax_connections -1\nmaximum_qos 1\nmax_topic_alias 0\n\
         mount_point plant 1/\nsocket_domain ipv4\nuse_username_as_clientid true # yes\n\
         protocol mqtt\nlistener_auto_id_prefix x\n",
    );
    let mut versions = ProtocolVersions::NONE;
    versions.insert(4);
    versions.insert(5);
    let expected = Listener {
        port: 1884,
        bind: Bind::Host("10.0.0.1".into()),
        bind_interface: Some("eth0".into()),
        socket_domain: Some(SocketDomain::Ipv4),
        max_qos: 1,
        max_topic_alias: 0,
        accept_protocol_versions: versions,
        mount_point: "plant 1/".into(),
        use_username_as_clientid: true,
        clientid_prefixes: Some("dev-".into()),
        auto_id_prefix: "x".into(),
        source: config.listeners[0].source.clone(),
        ..Listener::default()
    };
    assert_eq!(config.listeners, [expected]);
    let source = config.listeners[0].source.as_ref().unwrap();
    assert_eq!(source.to_string(), "m.conf:2:1");
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn a_listener_speaks_what_it_is_told() {
    let config = parse(
        "websockets_headers_size 8000\nlistener 9001\nprotocol websockets # browsers\n\
         websockets_origin http://a.example:8080\nwebsockets_origin https://b.example\n\
         listener 9002\nprotocol any\nenable_proxy_protocol 2\n\
         proxy_protocol_v2_require_tls true\nlistener 9003\nprotocol mqtt\n\
         enable_proxy_protocol 1\n",
    );
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert_eq!(config.websockets_headers_size, 8000);
    let [browsers, proxied, plain] = &config.listeners[..] else {
        panic!("three listeners");
    };
    assert_eq!(browsers.protocol, Protocol::Websockets);
    assert_eq!(
        browsers.websockets_origins,
        ["http://a.example:8080", "https://b.example"]
    );
    assert_eq!(proxied.protocol, Protocol::Any);
    assert_eq!(proxied.proxy_protocol, Some(2));
    assert!(proxied.proxy_requires_tls && !plain.proxy_requires_tls);
    assert_eq!(plain.protocol, Protocol::Mqtt);
    assert_eq!(plain.proxy_protocol, Some(1));
    assert!(plain.websockets_origins.is_empty());

    assert_eq!(
        parse("websockets_headers_size 0").websockets_headers_size,
        4096
    );
    let near = error("listener 1\nprotocol websocket");
    assert_eq!(near.help.as_deref(), Some("did you mean `websockets`?"));
    error("listener 1\nenable_proxy_protocol 3");
}

#[test]
fn a_listener_without_port_is_a_unix_socket() {
    let config = parse("listener 0 /run/m.sock # for this machine\nmax_qos 1\nlistener 0 /b\n");
    assert_eq!(ports(&config), [0, 0]);
    assert_eq!(config.listeners[0].bind, Bind::Unix("/run/m.sock".into()));
    assert_eq!(config.listeners[1].bind, Bind::Unix("/b".into()));
    let ported = error("listener 1883 /run/m.sock");
    assert_eq!(
        ported.help.as_deref(),
        Some("write `listener 0 /run/m.sock`")
    );
    let twice = error("listener 0 /a\nlistener 0 /a\n");
    assert!(
        twice.message.contains("the path /a is already taken"),
        "{twice}"
    );
}

#[test]
fn a_mount_point_is_the_beginning_of_topic_names() {
    let wrong = error("listener 1884\nmount_point site/+/\n");
    assert_eq!(wrong.location.to_string(), "m.conf:2:18");
    assert!(wrong.message.contains("no wildcards"), "{wrong}");
    let comment = error("listener 1884\nmount_point site/ # the plant\n");
    assert!(comment.message.contains("no wildcards"), "{comment}");
    let config = parse("listener 1884\nmount_point site\n");
    assert_eq!(config.listeners[0].mount_point, "site");
    let help = config.warnings[0].help.as_deref();
    assert_eq!(
        help,
        Some("write `mount_point site/` for a level of its own")
    );
}

#[test]
fn globals_reach_their_places() {
    let config = parse(
        "listener 1\nmax_inflight_messages 0\nmax_keepalive 0\nmax_queued_messages 5\n\
         retain_expiry_interval 2\npersistent_client_expiration 2w\nglobal_max_clients 7\n\
         sys_interval 0\nset_tcp_nodelay false\npid_file /run/m.pid\nuser root\n\
         memory_limit 0\nmax_packet_size 20\nretain_available false\n",
    );
    assert_eq!(config.limits.max_inflight_messages, u16::MAX);
    assert_eq!(config.limits.max_keepalive, u16::MAX);
    assert_eq!(config.limits.max_queued_messages, 5);
    assert_eq!(config.limits.retain_expiry_interval.unwrap().as_secs(), 120);
    let expiration = config.limits.persistent_client_expiration.unwrap();
    assert_eq!(expiration.as_secs(), 14 * 86_400);
    assert_eq!(config.limits.global_max_clients, Some(7));
    assert_eq!(config.limits.max_packet_size, 20);
    assert!(!config.limits.retain_available && !config.set_tcp_nodelay);
    assert_eq!(config.sys_interval, 0);
    assert_eq!(config.pid_file, Some("/run/m.pid".into()));
    assert_eq!(config.user.as_deref(), Some("root"));
    assert_eq!(parse("listener 1").limits, Limits::default());
}

#[test]
fn log_options_add_up_and_replace_the_default() {
    let config = parse("log_dest file /l\nlog_dest stdout\nlog_type error\nlog_type debug # x\n");
    assert_eq!(
        config.log.destinations,
        [LogDestination::File("/l".into()), LogDestination::Stdout]
    );
    assert!(config.log.types.contains(LogType::Error));
    assert!(config.log.types.contains(LogType::Debug));
    assert!(!config.log.types.contains(LogType::Notice));
    assert_eq!(
        parse("log_dest none").log.destinations,
        [LogDestination::None]
    );
    assert_eq!(parse("log_type all").log.types, LogTypes::ALL);
    assert_eq!(
        parse("log_type all\nlog_type none").log.types,
        LogTypes::NONE
    );
    assert_eq!(
        parse("log_timestamp_format %H:%M # x")
            .log
            .timestamp_format
            .unwrap(),
        "%H:%M # x"
    );
    let twice = error("log_dest file /a\nlog_dest file /b");
    assert!(twice.message.contains("m.conf:1:1"));
}

#[test]
fn all_mistakes_are_reported_at_once_in_order() {
    let found = errors("listner 1\nmax_qos 3\n\nallow_anonymous yes\nport\nfoo bar\n");
    let places: Vec<_> = found.iter().map(|e| e.location.to_string()).collect();
    assert_eq!(
        places,
        [
            "m.conf:1:1",
            "m.conf:2:9",
            "m.conf:4:17",
            "m.conf:5:1",
            "m.conf:6:1"
        ]
    );
    assert_eq!(
        found[2].to_string(),
        "m.conf:4:17: error: `yes` is neither `true` nor `false`\n  \
         allow_anonymous yes\n                  ^^^\n  help: write `true`"
    );
    assert_eq!(found[0].help.as_deref(), Some("did you mean `listener`?"));
}

#[test]
fn what_is_not_there_yet_is_refused_with_a_way_out() {
    for text in [
        "listener 8883\ntls_engine pkcs11",
        "listener 9001\nprotocol http_api",
        "listener 9001\nhttp_dir /srv",
        "auth_plugin /x.so",
        "plugin_opt_config_file /x",
        "log_dest dlt",
    ] {
        let refused = error(text);
        assert!(refused.message.contains("this version"), "{refused}");
        assert!(refused.help.is_some(), "{refused}");
    }
    parse("persistence false\nlistener 1\nprotocol mqtt\nrequire_certificate false");
}

#[test]
fn a_bridge_hides_no_other_mistake() {
    let text = "connection b\naddress h:1\ntopic # both\nremote_username u\n\
                foo 1\nthreshold x\nlistener 1\nmax_qos 3\n";
    let lines: Vec<_> = errors(text).iter().map(|e| e.location.line).collect();
    assert_eq!(lines, [5, 6, 8]);
}

#[test]
fn what_mosquitto_ignores_is_accepted_with_a_warning() {
    let config = parse("retry_interval 20\nstore_clean_interval 5\npacket_buffer_size 4096\n");
    assert_eq!(config.warnings.len(), 3);
    assert!(config.local_only);
    assert!(
        config.warnings[0]
            .to_string()
            .starts_with("m.conf:1:1: warning: `retry_interval`")
    );
}

#[test]
fn comments_behind_values_count_where_mosquitto_counts_them() {
    let config = parse("listener 1883   # A ajouter\nmax_qos 1 # one\nlistener 2 ::1 # six\n");
    assert_eq!(config.listeners[0].bind, Bind::Any);
    assert_eq!(config.listeners[1].bind, Bind::Host("::1".into()));
    assert!(config.warnings.is_empty());
    let config = parse("password_file /p # mine\nmax_qos 1 one\n");
    assert_eq!(
        config.listeners[0].security.password_file,
        Some("/p # mine".into())
    );
    assert!(config.warnings[0].message.contains("`#` too"));
    assert!(config.warnings[1].message.contains("`one` is passed over"));
}

#[test]
fn the_last_line_of_all_files_holds_for_common_security() {
    let folder = tempfile::tempdir().unwrap();
    let further = folder.path().join("conf.d");
    fs::create_dir(&further).unwrap();
    fs::write(
        further.join("a.conf"),
        "listener 1\nallow_anonymous false\n",
    )
    .unwrap();
    fs::write(further.join("b.conf"), "allow_anonymous true\n").unwrap();
    let main = folder.path().join("main.conf");
    fs::write(&main, format!("include_dir {}\n", further.display())).unwrap();
    let config = Config::load(&main).unwrap();
    assert!(config.listeners[0].security.allow_anonymous);
}

#[test]
fn a_listener_without_port_is_understood() {
    for (text, host) in [
        ("localhost", "localhost"),
        ("192.168.1.9", "192.168.1.9"),
        ("::1", "::1"),
    ] {
        let config = parse(&format!("listener {text}\n"));
        assert_eq!(ports(&config), [1883]);
        assert_eq!(config.listeners[0].bind, Bind::Host(host.into()));
        assert_eq!(
            config.warnings[0].help.as_deref(),
            Some(format!("write `listener 1883 {host}`").as_str())
        );
    }
    let swapped = error("listener localhost 1884");
    assert_eq!(
        swapped.help.as_deref(),
        Some("write `listener 1884 localhost`")
    );
    for wrong in ["0", "65536", "-1", "1883x", "localhost:1883"] {
        // The lines below a wrong listener are not blamed for it.
        error(&format!("listener {wrong}\nmax_qos 1\n"));
    }
}

#[test]
fn a_port_is_taken_once() {
    let twice = error("listener 1883\nlistener 1884\nlistener 1883 10.0.0.1\n");
    assert_eq!(twice.location.line, 3);
    assert!(twice.message.contains("m.conf:1:1"), "{twice}");
    assert!(error("port 5\nlistener 5").message.contains("m.conf:1:1"));
    parse("listener 5 127.0.0.1\nlistener 5 ::1\n");
}

#[test]
fn repetition_is_named() {
    let twice = error("password_file /a\nlistener 1\npassword_file /b\n");
    assert!(twice.help.unwrap().contains("per_listener_settings true"));
    parse("per_listener_settings true\nlistener 1\npassword_file /a\nlistener 2\npassword_file /b");
    let config = parse("listener 1\nallow_anonymous true\nlistener 2\nallow_anonymous false\n");
    assert!(!config.listeners[0].security.allow_anonymous);
    assert_eq!(config.warnings.len(), 1);
}

#[test]
fn ports_of_the_command_line_are_local() {
    let mut config = Config::default();
    for port in 1..=10 {
        config.add_loopback_port(port).unwrap();
    }
    assert_eq!(ports(&config), (1..=10).collect::<Vec<_>>());
    assert!(config.listeners.iter().all(|l| l.bind == Bind::Loopback));
    assert!(config.add_loopback_port(11).is_err());

    let mut config = parse("listener 5");
    config.add_loopback_port(6).unwrap();
    assert_eq!(ports(&config), [5]);
    assert!(
        config.warnings[0]
            .to_string()
            .contains("port 6 is left out")
    );

    let mut config = parse("max_qos 1");
    config.add_loopback_port(7).unwrap();
    assert!(config.add_loopback_port(7).is_err());
    assert_eq!(
        (config.listeners[0].port, config.listeners[0].max_qos),
        (7, 1)
    );
}

#[test]
fn a_missing_file_is_one_mistake_with_its_path() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("none.conf");
    let found = Config::load(&path).unwrap_err().0;
    assert_eq!(found.len(), 1);
    let text = found[0].to_string();
    assert!(text.starts_with(&path.display().to_string()), "{text}");
    assert!(text.contains("No such file"), "{text}");
    assert!(Config::load(directory.path()).is_err());

    fs::write(&path, b"listener 1\nuser J\xfcrgen\n").unwrap();
    let text = Config::load(&path).unwrap_err().to_string();
    assert!(text.contains(":2:7: error: this is not UTF-8"), "{text}");
    assert!(
        text.contains("user J\u{fffd}rgen\n        ^\n  help: "),
        "{text}"
    );
}

#[test]
fn included_files_are_read_in_the_order_of_mosquitto() {
    let directory = tempfile::tempdir().unwrap();
    let includes = directory.path().join("conf.d");
    fs::create_dir(&includes).unwrap();
    for (name, text) in [
        ("b.conf", "listener 4\n"),
        ("B.conf", "listener 3\nmax_qos 0\n"),
        ("00.conf", "listener 2\ninclude_dir /nowhere\n"),
        ("a.conf", "listener 5\n"),
        ("c.conf", "max_connections 9\n"),
        ("d.conf~", "nonsense\n"),
    ] {
        fs::write(includes.join(name), text).unwrap();
    }
    let main = directory.path().join("m.conf");
    let text = format!(
        "listener 1\ninclude_dir {}\nmax_qos 1\n",
        includes.display()
    );
    fs::write(&main, &text).unwrap();
    let config = Config::load(&main).unwrap();
    // The order of Mosquitto: not that of bytes, which has `B` before `a`.
    assert_eq!(ports(&config), [1, 2, 5, 3, 4]);
    // The main file goes on where it was; each included file begins anew.
    let qos: Vec<_> = config.listeners.iter().map(|l| l.max_qos).collect();
    assert_eq!(qos, [1, 2, 2, 0, 2]);
    assert!(
        config
            .listeners
            .iter()
            .all(|l| l.max_connections == Some(9))
    );

    fs::write(includes.join("e.conf"), "foo 1\n").unwrap();
    let found = Config::load(&main).unwrap_err().to_string();
    assert!(
        found.contains("e.conf:1:1: error: unknown option `foo`"),
        "{found}"
    );
    fs::write(&main, "include_dir /nowhere/at/all\n").unwrap();
    assert!(
        Config::load(&main)
            .unwrap_err()
            .to_string()
            .contains("cannot read it")
    );
    assert!(error(&text).message.contains("needs a file"));
}

#[test]
fn secrets_stay_out_of_messages() {
    for text in [
        "remote_password hunter2",
        "connection b\nbridge_psk hunter2",
    ] {
        let found = Config::parse(text, "m.conf").unwrap_err().to_string();
        assert!(!found.contains("hunter2"), "{found}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(
        lines in proptest::collection::vec(
            ("[a-z_ #\t]{0,3}", 0..OptionSpec::all().len(), "[ \t]{1,2}", "\\PC{0,12}|[-0-9a-z:./# ]{0,9}"),
            0..8,
        )
    ) {
        let lines = lines.into_iter().map(|(before, option, blank, value)| {
            let name = OptionSpec::all()[option].name;
            format!("{before}{name}{blank}{value}\n")
        });
        let text: String = lines.collect();
        match Config::parse(&text, "m.conf") {
            Ok(config) => assert!(!config.listeners.is_empty()),
            Err(errors) => assert!(errors.0.iter().all(|e| e.location.line > 0)),
        }
    }
}
