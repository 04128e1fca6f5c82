//! What each option takes and does, in a line: for the manual, not for the parser.

use super::options::OptionSpec;

impl OptionSpec {
    /// What stands behind the name: words in capitals are to be replaced.
    pub fn value_form(&self) -> &'static str {
        self.doc().1
    }

    /// What the option does, in one or two sentences of Markdown without links.
    pub fn summary(&self) -> &'static str {
        self.doc().2
    }

    fn doc(&self) -> &'static (&'static str, &'static str, &'static str) {
        let known = DOCS.iter().find(|doc| doc.0 == self.name);
        known.unwrap_or(&("", "", ""))
    }
}

const FLAG: &str = "true | false";

/// Name, value and summary of each option, in the order of the table of options.
#[rustfmt::skip]
static DOCS: &[(&str, &str, &str)] = &[
    ("listener", "PORT [ADDRESS] | 0 PATH", "Opens a port, on all addresses or on the one that is named, or a Unix socket. The listener options below it are for this one."),
    ("port", "PORT", "The port of the default listener. Old; write `listener`."),
    ("bind_address", "ADDRESS", "The address of the default listener. Old; write `listener`."),
    ("include_dir", "DIRECTORY", "Reads all files of the directory whose names end in `.conf`, by the alphabet, capitals before small letters. In the main file only."),
    ("per_listener_settings", FLAG, "Whether the options about security are for the listener that they stand below. Above all of them."),
    ("allow_anonymous", FLAG, "Whether clients without a user name may connect. Without it they may where nothing says where to listen, and else not."),
    ("password_file", "FILE", "User names and password hashes, as mqtt-passwd(1) writes them."),
    ("acl_file", "FILE", "Who may read and write which topics. Without it everybody may do everything."),
    ("acl_check_subscribe", FLAG, "Whether a subscription is refused to which the rules of `acl_file` let no message through. Mosquitto grants it, and it stays silent."),
    ("allow_zero_length_clientid", FLAG, "Whether a client without identifier is given one."),
    ("auto_id_prefix", "TEXT", "What such an identifier begins with."),
    ("listener_allow_anonymous", FLAG, "`allow_anonymous` for this listener alone."),
    ("listener_auto_id_prefix", "TEXT", "`auto_id_prefix` for this listener alone."),
    ("accept_protocol_versions", "VERSION[,VERSION...]", "The versions that are accepted: `3` is MQTT 3.1, `4` is 3.1.1, `5` is 5."),
    ("bind_interface", "DEVICE", "Listens on the addresses of a network interface only."),
    ("max_connections", "COUNT", "Clients that may be connected to this listener; below 1 is no limit."),
    ("max_qos", "0 | 1 | 2", "The highest QoS that clients may publish with."),
    ("max_topic_alias", "COUNT", "Topic aliases that a client of MQTT 5 may use; 0 is none."),
    ("max_topic_alias_broker", "COUNT", "Topic aliases that the broker uses towards a client of MQTT 5; 0 is none."),
    ("mptcp", FLAG, "Whether Multipath TCP is accepted too."),
    ("mount_point", "PREFIX", "Puts the prefix before all topics of this listener's clients, which do not see it."),
    ("socket_domain", "ipv4 | ipv6", "Listens on IPv4 or IPv6 only."),
    ("protocol", "mqtt | websockets | any", "What this listener speaks; with `any` MQTT, WebSocket and (with `certfile`) TLS are told apart by the first byte. Above the first `listener` another protocol than `mqtt` is for the default listener, which it opens."),
    ("websockets_origin", "ORIGIN", "A web site whose pages may connect by WebSocket, such as `http://example.com:8080`; each line adds one. Without it: all."),
    ("enable_proxy_protocol", "1 | 2", "Whether a proxy tells who the client is, and in which version of the PROXY protocol."),
    ("proxy_protocol_v2_require_tls", FLAG, "Whether the proxy must have taken the client over TLS."),
    ("use_username_as_clientid", FLAG, "Whether the user name takes the place of the client identifier."),
    ("clientid_prefixes", "TEXT", "What client identifiers must begin with. Old; use `acl_file` and `use_username_as_clientid`."),
    ("allow_duplicate_messages", FLAG, "Whether overlapping subscriptions of a client bring a message once each."),
    ("check_retain_source", FLAG, "Whether a retained message is held back once its publisher may no longer write its topic."),
    ("global_max_clients", "COUNT", "Sessions, connected or not, on all listeners; below 1 is no limit."),
    ("global_max_connections", "COUNT", "Connections on all listeners; below 1 is no limit."),
    ("max_inflight_bytes", "BYTES", "Bytes of QoS 1 and 2 messages on their way to one client; 0 is no limit."),
    ("max_inflight_messages", "COUNT", "QoS 1 and 2 messages on their way to one client; 0 is 65535. With 1 the order of messages is kept in any case."),
    ("max_keepalive", "SECONDS", "The longest keep alive, 10 to 65535; 0 allows any."),
    ("max_packet_size", "BYTES", "The largest packet that a client may send, at least 20."),
    ("max_queued_bytes", "BYTES", "Bytes that wait for one client beyond what is in flight; 0 is no limit."),
    ("max_queued_messages", "COUNT", "Messages that wait for one client beyond those in flight; 0 is no limit."),
    ("memory_limit", "BYTES", "Bytes held for clients, about, above which nothing more is queued or retained; 0 is no limit."),
    ("message_size_limit", "BYTES", "The largest payload that is passed on; 0 is no limit."),
    ("persistent_client_expiration", "NUMBER s|h|d|w|m|y", "How long the session of a client that is away is kept, such as `14d`. Without it: for ever."),
    ("queue_qos0_messages", FLAG, "Whether QoS 0 messages wait for a client that is away, too."),
    ("retain_available", FLAG, "Whether messages may be retained."),
    ("retain_expiry_interval", "MINUTES", "How often expired retained messages are looked for; 0 is when they are touched."),
    ("upgrade_outgoing_qos", FLAG, "Whether a message is delivered with the QoS of the subscription though it came with a lower one."),
    ("connection_messages", FLAG, "Whether connects and disconnects are logged."),
    ("log_dest", "stdout | stderr | syslog | topic | file FILE | none", "Where the log goes. Each line adds a destination; `topic` publishes below `$SYS/broker/log`, except what is logged for each packet."),
    ("log_facility", "0 to 7", "The facility `local0` to `local7` of syslog. Without it: `daemon`."),
    ("log_format", "text | json", "Whether a log line is text as Mosquitto writes it, or an object of JSON with `time`, `type` and `message`."),
    ("log_timestamp", FLAG, "Whether log lines begin with the time."),
    ("log_timestamp_format", "FORMAT", "The format of that time as for strftime(3), such as `%Y-%m-%dT%H:%M:%S`. Without it: seconds since 1970."),
    ("log_type", "TYPE", "What is logged: `error`, `warning`, `notice`, `information`, `debug`, `subscribe`, `unsubscribe`, `websockets`, `internal`, `all` or `none`. Each line adds a type; without one, the first four."),
    ("pid_file", "FILE", "Where the number of the process is written."),
    ("reload_on_change", FLAG, "Whether the broker looks every two seconds at the files of its configuration, and reads them again once one has changed and is no longer being written."),
    ("set_tcp_nodelay", FLAG, "Whether small packets leave at once. Mosquitto's default is `false`."),
    ("sys_interval", "SECONDS", "How often the topics below `$SYS` change; 0 is never, and there are none."),
    ("websockets_headers_size", "BYTES", "The largest HTTP request of a WebSocket client, 256 to 65535; 0 is the default."),
    ("user", "NAME", "Whom the broker becomes when root starts it."),
    ("retry_interval", "SECONDS", "Was about messages without answer."),
    ("store_clean_interval", "SECONDS", "Was about unused messages."),
    ("autosave_interval", "SECONDS", "With `persistence_sync never`: after how long all that was written is brought to the disk; 0 leaves it to the system."),
    ("autosave_on_changes", FLAG, "Whether `autosave_interval` counts changes instead of seconds."),
    ("persistence_file", "NAME", "Mosquitto's file, which is read once if it is there, and stays as it is. The store is the folder NAME.store beside it."),
    ("persistence_location", "DIRECTORY", "Where the store is. Without it: the folder that the environment variable `MOSQUITTO_PERSISTENCE_LOCATION` names, or the working directory."),
    ("persistence_sync", "always | interval SECONDS | never", "When what was written is brought to the disk: before it is acknowledged, which survives a loss of power; some seconds later; or when the system does. Each survives the end of the broker, however sudden."),
    ("websockets_log_level", "NUMBER", "What the WebSocket library of Mosquitto logs."),
    ("packet_buffer_size", "BYTES", "How much is read at a time."),
    ("persistence", FLAG, "Whether sessions, what waits for them, and retained messages outlast the broker. An acknowledgement is then a promise: it leaves when what it promises is kept."),
    ("cafile", "FILE", "The authorities that sign clients' certificates."),
    ("capath", "DIRECTORY", "The same, in a directory."),
    ("certfile", "FILE", "The certificate of this listener; with `keyfile` it asks for TLS."),
    ("ciphers", "CIPHER[:CIPHER...]", "The ciphers of TLS 1.2; with `psk_hint` all that OpenSSL has."),
    ("ciphers_tls1.3", "CIPHER[:CIPHER...]", "The ciphers of TLS 1.3."),
    ("crlfile", "FILE", "Certificates that are revoked."),
    ("dhparamfile", "FILE", "The group of the key exchange of TLS 1.2."),
    ("disable_client_cert_date_checks", FLAG, "Whether clients' certificates may be too old or too young."),
    ("keyfile", "FILE", "The key of `certfile`."),
    ("require_certificate", FLAG, "Whether clients need a certificate."),
    ("tls_engine", "ENGINE", "The OpenSSL engine that holds the key."),
    ("tls_engine_kpass_sha1", "HEX", "The hash of the password of that engine."),
    ("tls_keyform", "pem | engine", "Whether `keyfile` is a file or a name for the engine."),
    ("tls_version", "VERSION", "The lowest version of TLS: `tlsv1.2` or `tlsv1.3`."),
    ("use_identity_as_username", FLAG, "Whether the common name of the certificate, or the identity of the key, is the user name."),
    ("use_subject_as_username", FLAG, "Whether the subject of the certificate is the user name."),
    ("psk_file", "FILE", "Identities and pre-shared keys of clients, one `IDENTITY:KEY` a line, the key in hexadecimal digits, for the listeners with `psk_hint`. Only a broker built with `--features psk` takes it."),
    ("psk_hint", "TEXT", "Makes the listener one with TLS by the pre-shared keys of `psk_file`, and without certificates. The text itself is not sent to clients. Only a broker built with `--features psk` takes it."),
    ("http_dir", "DIRECTORY", "Files that are served by HTTP."),
    ("auth_opt_*", "VALUE", "An option of the plugin above; an old name of `plugin_opt_*`."),
    ("auth_plugin", "FILE", "A plugin; an old name of `plugin`."),
    ("auth_plugin_deny_special_chars", FLAG, "Whether names with `+` and `#` are kept from the plugin."),
    ("enable_control_api", FLAG, "Whether clients may ask the broker about itself through `$CONTROL`."),
    ("global_plugin", "FILE", "A plugin for all listeners."),
    ("plugin", "FILE", "A plugin for authentication and access."),
    ("plugin_load", "NAME FILE", "A plugin that `plugin_use` can name."),
    ("plugin_opt_*", "VALUE", "An option of the plugin above."),
    ("plugin_use", "NAME", "Uses a plugin of `plugin_load` for this listener."),
    ("connection", "NAME", "Begins a bridge to another broker. The bridge options below it are for this one."),
    ("addresses", "HOST[:PORT] [HOST[:PORT] ...]", "Where the other broker is. IPv6 stands in brackets, and `ws://HOST:PORT/PATH` and `wss://...` go over WebSocket."),
    ("bridge_alpn", "NAME", "The protocol that is asked for in the TLS handshake."),
    ("bridge_attempt_unsubscribe", FLAG, "Whether topics that only go out are unsubscribed on the other broker."),
    ("bridge_bind_address", "ADDRESS", "The local address to connect from."),
    ("bridge_cafile", "FILE", "The authorities that sign the other broker's certificate; asks for TLS."),
    ("bridge_capath", "DIRECTORY", "The same, in a directory."),
    ("bridge_certfile", "FILE", "The certificate of the bridge."),
    ("bridge_ciphers", "CIPHER[:CIPHER...]", "The ciphers of TLS 1.2."),
    ("bridge_ciphers_tls1.3", "CIPHER[:CIPHER...]", "The ciphers of TLS 1.3."),
    ("bridge_identity", "TEXT", "The identity of TLS with a pre-shared key."),
    ("bridge_insecure", FLAG, "Whether the other broker's certificate may have any name."),
    ("bridge_keyfile", "FILE", "The key of `bridge_certfile`."),
    ("bridge_max_packet_size", "BYTES", "The largest packet that is sent; 0 is no limit."),
    ("bridge_max_topic_alias", "COUNT", "Topic aliases that the other broker may use, with MQTT 5; 0 is none."),
    ("bridge_mptcp", FLAG, "Whether the bridge connects with Multipath TCP."),
    ("bridge_outgoing_retain", FLAG, "Whether messages leave with their retain flag."),
    ("bridge_protocol_version", "mqttv31 | mqttv311 | mqttv50", "The version of MQTT towards the other broker."),
    ("bridge_psk", "HEX", "The key of `bridge_identity`."),
    ("bridge_receive_maximum", "COUNT", "How many messages of QoS 1 and 2 the other broker may have in flight to this one, with MQTT 5. Without it: `max_inflight_messages`."),
    ("bridge_reload_type", "lazy | immediate", "Whether a changed bridge waits for its next connection or connects anew at once."),
    ("bridge_require_ocsp", FLAG, "Whether the other broker must prove that its certificate is not revoked."),
    ("bridge_session_expiry_interval", "SECONDS", "How long the other broker keeps the session, with MQTT 5; `0xFFFFFFFF` is for ever. Without it for ever, or 0 with `cleansession true`."),
    ("bridge_tcp_keepalive", "IDLE INTERVAL COUNT", "Lets the system find out about a dead connection: seconds of silence, seconds between questions, questions."),
    ("bridge_tcp_user_timeout", "MILLISECONDS", "How long sent bytes may stay unacknowledged."),
    ("bridge_tls_use_os_certs", FLAG, "Whether to trust whom the system trusts; asks for TLS."),
    ("bridge_tls_version", "tlsv1.3 | tlsv1.2", "The lowest version of TLS."),
    ("cleansession", FLAG, "Whether the other broker forgets the bridge when the connection ends."),
    ("idle_timeout", "SECONDS", "How long a lazy bridge stays connected without traffic."),
    ("keepalive_interval", "SECONDS", "The keep alive towards the other broker, at least 5."),
    ("local_cleansession", FLAG, "`cleansession` for this broker alone."),
    ("local_clientid", "TEXT", "The client identifier on this broker. Without it: `local.` and the remote one."),
    ("local_password", "TEXT", "The password on this broker. It is not asked for: a broker trusts its own bridges, as Mosquitto does."),
    ("local_username", "NAME", "The user name on this broker, for the log. Access lists do not hold for bridges of the broker itself."),
    ("notification_topic", "TOPIC", "Where the state of the bridge is published. Without it: `$SYS/broker/connection/ID/state`."),
    ("notifications", FLAG, "Whether the state of the bridge is published on both brokers."),
    ("notifications_local_only", FLAG, "Whether it is published on this broker only."),
    ("remote_clientid", "TEXT", "The client identifier on the other broker. Without it: made from host name and connection name."),
    ("remote_password", "TEXT", "The password on the other broker."),
    ("remote_username", "NAME", "The user name on the other broker."),
    ("restart_timeout", "SECONDS | BASE CAP [STABLE]", "How long to wait before connecting again: always as long, or longer each time between two bounds, and short again after a connection of STABLE seconds."),
    ("round_robin", FLAG, "Whether all addresses are equals; else the first is preferred."),
    ("start_type", "automatic | lazy | once", "Whether the bridge connects for ever, when `threshold` messages wait, or once."),
    ("threshold", "COUNT", "How many waiting messages start a lazy bridge."),
    ("topic", "PATTERN [out | in | both [QOS [LOCAL-PREFIX [REMOTE-PREFIX]]]]", "Shares the topics that match, each prefix joined to the pattern on its side; `\"\"` is an empty prefix or pattern. Each line adds topics."),
    ("try_private", FLAG, "Whether the other broker is told that this is a bridge, so that it sends nothing back."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_described_once() {
        for option in OptionSpec::all() {
            let count = DOCS.iter().filter(|doc| doc.0 == option.name).count();
            assert_eq!(count, 1, "a line for {} in src/config/docs.rs", option.name);
            assert!(!option.value_form().is_empty(), "{}", option.name);
            assert!(option.summary().ends_with('.'), "{}", option.name);
        }
        for (name, ..) in DOCS {
            assert!(OptionSpec::find(name).is_some(), "{name} is no option");
        }
    }
}
