//! The options of mosquitto.conf, each in one line or little more.
//!
//! The names are those of Mosquitto 2.0 and 2.1. What this version cannot do
//! stands here too, so that the message can say so.

use std::time::Duration;

use super::options::{Feature, OptionSpec as O, Scope, Structure};
use super::value::Kind::{
    Choice, Destination, Flag, Limit, Number, NumberOrNone, Path, Period, Protocol, Text, Topic,
    Versions, Words,
};
use super::{
    LogType, LogTypes, ReloadType, Secret, SocketDomain, StartType, bridge_read, persistence, tls,
};

const U16: u64 = u16::MAX as u64;
const U32: u64 = u32::MAX as u64;
/// The largest payload of MQTT.
const MAX_PAYLOAD: u64 = 268_435_455;

static ENGINE: Feature = Feature {
    name: "OpenSSL engines",
    instead: "remove the line and name a key in a file with `keyfile`",
};
static HTTP: Feature = Feature {
    name: "HTTP server",
    instead: "remove the line and let a web server such as nginx serve the files; subscribe to \
              `$SYS/#` for the figures of the HTTP API",
};
static OCSP: Feature = Feature {
    name: "check by OCSP",
    instead: "remove the line; to trust few certificates only, name them in `bridge_cafile`",
};
static PLUGINS: Feature = Feature {
    name: "plugins",
    instead: "remove the lines of the plugin; `password_file` and `acl_file` are built in",
};
static MPTCP: Feature = Feature {
    name: "Multipath TCP",
    instead: "remove the line, or write `false`: connections then use plain TCP",
};
static CONTROL: Feature = Feature {
    name: "control API",
    instead: "remove the line, or write `enable_control_api false`",
};

/// All options: first those that work, then those that do nothing anywhere, then
/// those that are refused.
#[rustfmt::skip]
pub(super) static OPTIONS: &[O] = &[
    // What the other lines are about, or where they are.
    O::structure("listener", "", Structure::Listener),
    O::structure("port", "1883", Structure::Port).last(),
    O::structure("bind_address", "", Structure::BindAddress).last(),
    O::structure("include_dir", "", Structure::IncludeDir),
    O::structure("per_listener_settings", "false", Structure::PerListenerSettings).last(),

    // Security: for all listeners, or for each with `per_listener_settings true`.
    O::security("allow_anonymous", "", Flag(|l, v| l.security.allow_anonymous = v)).reloaded(),
    O::security("password_file", "", Path(|l, v| l.security.password_file = Some(v))).reloaded().once(),
    O::security("acl_file", "", Path(|l, v| l.security.acl_file = Some(v))).reloaded().once(),
    // Ours alone: Mosquitto grants a subscription that can never deliver.
    O::security("acl_check_subscribe", "false", Flag(|l, v| l.security.acl_check_subscribe = v)).reloaded(),
    O::security("allow_zero_length_clientid", "true", Flag(|l, v| l.allow_zero_length_clientid = v)).reloaded(),
    O::security("auto_id_prefix", "auto-", Text(|l, v| l.auto_id_prefix = v)).reloaded().once(),

    // Listeners.
    O::listener("listener_allow_anonymous", "", Flag(|l, v| l.security.allow_anonymous = v)).reloaded(),
    O::listener("listener_auto_id_prefix", "", Text(|l, v| l.auto_id_prefix = v)).reloaded().once(),
    O::listener("accept_protocol_versions", "3,4,5", Versions(|l, v| l.accept_protocol_versions = v)).reloaded(),
    O::listener("bind_interface", "", Text(|l, v| l.bind_interface = Some(v))).once(),
    O::listener("max_connections", "-1", Limit(|l, v| l.max_connections = v)).reloaded(),
    O::listener("max_qos", "2", Number { min: 0, max: 2, set: |l, v| l.max_qos = v as u8 }).reloaded().aka(&["maximum_qos"]),
    O::listener("max_topic_alias", "10", Number { min: 0, max: U16, set: |l, v| l.max_topic_alias = v as u16 }).reloaded(),
    O::listener("max_topic_alias_broker", "10", Number { min: 0, max: U16, set: |l, v| l.max_topic_alias_broker = v as u16 }).reloaded(),
    O::harmless("mptcp", Scope::Listener, &MPTCP, &["false", "0"]),
    O::listener("mount_point", "", Topic(|l, v| l.mount_point = v)).once(),
    O::listener("socket_domain", "", Choice(&["ipv4", "ipv6"], |l, v| {
        l.socket_domain = Some(if v == "ipv4" { SocketDomain::Ipv4 } else { SocketDomain::Ipv6 });
    })),
    O::listener("protocol", "mqtt", Protocol(|l, v| l.protocol = v)).reloaded(),
    O::listener("websockets_origin", "", Text(|l, v| l.websockets_origins.push(v))).reloaded().each(),
    O::listener("enable_proxy_protocol", "false", Choice(&["1", "2", "false", "0"], |l, v| {
        l.proxy_protocol = v.parse().ok().filter(|version| *version != 0);
    })).reloaded(),
    O::listener("proxy_protocol_v2_require_tls", "false", Flag(|l, v| l.proxy_requires_tls = v)).reloaded(),
    O::listener("cafile", "", Path(|l, v| l.tls.cafile = Some(v))).reloaded().once(),
    O::listener("capath", "", Path(|l, v| l.tls.capath = Some(v))).reloaded().once(),
    O::listener("certfile", "", Path(|l, v| l.tls.certfile = Some(v))).reloaded().once(),
    O::listener("ciphers", "", Words(tls::ciphers)).reloaded().once(),
    O::listener("ciphers_tls1.3", "", Words(tls::ciphers_tls13)).reloaded().once(),
    O::listener("crlfile", "", Path(|l, v| l.tls.crlfile = Some(v))).reloaded().once(),
    O::listener("disable_client_cert_date_checks", "false", Flag(|l, v| l.tls.disable_client_cert_date_checks = v)).reloaded(),
    O::listener("keyfile", "", Path(|l, v| l.tls.keyfile = Some(v))).reloaded().once(),
    O::security("psk_file", "", Path(|l, v| l.tls.psk_file = Some(v))).reloaded().once(),
    O::listener("psk_hint", "", Text(|l, v| l.tls.psk_hint = Some(v))).reloaded().once(),
    O::listener("require_certificate", "false", Flag(|l, v| l.tls.require_certificate = v)).reloaded(),
    O::listener("tls_version", "tlsv1.2", Words(tls::version)).reloaded(),
    O::listener("use_identity_as_username", "false", Flag(|l, v| l.tls.use_identity_as_username = v)).reloaded(),
    O::listener("use_subject_as_username", "false", Flag(|l, v| l.tls.use_subject_as_username = v)).reloaded(),
    O::listener("use_username_as_clientid", "false", Flag(|l, v| l.use_username_as_clientid = v)).reloaded(),

    // Limits and the rules of queueing and retaining.
    O::global("clientid_prefixes", "", Text(|c, v| {
        for listener in &mut c.listeners {
            listener.clientid_prefixes = Some(v.clone());
        }
    })).reloaded().once(),
    O::global("allow_duplicate_messages", "true", Flag(|c, v| c.limits.allow_duplicate_messages = v)).reloaded(),
    O::global("check_retain_source", "true", Flag(|c, v| c.limits.check_retain_source = v)).reloaded(),
    O::global("global_max_clients", "-1", Limit(|c, v| c.limits.global_max_clients = v)).reloaded(),
    O::global("global_max_connections", "-1", Limit(|c, v| c.limits.global_max_connections = v)).reloaded(),
    O::global("max_inflight_bytes", "0", Number { min: 0, max: u64::MAX, set: |c, v| c.limits.max_inflight_bytes = v }).reloaded(),
    O::global("max_inflight_messages", "20", NumberOrNone { min: 1, max: U16, set: |c, v| {
        c.limits.max_inflight_messages = v.map_or(u16::MAX, |v| v as u16);
    } }).reloaded(),
    O::global("max_keepalive", "65535", NumberOrNone { min: 10, max: U16, set: |c, v| {
        c.limits.max_keepalive = v.map_or(u16::MAX, |v| v as u16);
    } }).reloaded(),
    O::global("max_packet_size", "2000000", Number { min: 20, max: U32, set: |c, v| c.limits.max_packet_size = v as u32 }).reloaded(),
    O::global("max_queued_bytes", "0", Number { min: 0, max: u64::MAX, set: |c, v| c.limits.max_queued_bytes = v }).reloaded(),
    O::global("max_queued_messages", "1000", Number { min: 0, max: U32, set: |c, v| c.limits.max_queued_messages = v as u32 }).reloaded(),
    O::global("memory_limit", "0", Number { min: 0, max: u64::MAX, set: |c, v| c.limits.memory_limit = v }).reloaded(),
    O::global("message_size_limit", "0", Number { min: 0, max: MAX_PAYLOAD, set: |c, v| c.limits.message_size_limit = v as u32 }).reloaded(),
    O::global("persistent_client_expiration", "", Period(|c, v| c.limits.persistent_client_expiration = Some(v))).reloaded(),
    O::global("queue_qos0_messages", "false", Flag(|c, v| c.limits.queue_qos0_messages = v)).reloaded(),
    O::global("retain_available", "true", Flag(|c, v| c.limits.retain_available = v)).reloaded(),
    O::global("retain_expiry_interval", "0", NumberOrNone { min: 1, max: U32, set: |c, v| {
        c.limits.retain_expiry_interval = v.map(|minutes| Duration::from_secs(60 * minutes));
    } }).reloaded(),
    O::global("upgrade_outgoing_qos", "false", Flag(|c, v| c.limits.upgrade_outgoing_qos = v)).reloaded(),

    // The process and its log.
    O::global("connection_messages", "true", Flag(|c, v| c.log.connection_messages = v)).reloaded(),
    O::global("log_dest", "stderr", Destination(|c, v| v.join(&mut c.log.destinations))).reloaded().adds(|c| c.log.destinations.clear()),
    O::global("log_facility", "", Number { min: 0, max: 7, set: |c, v| c.log.facility = Some(v as u8) }).reloaded(),
    O::global("log_format", "text", Choice(&["text", "json"], |c, v| c.log.json = v == "json")).reloaded(),
    O::global("log_timestamp", "true", Flag(|c, v| c.log.timestamp = v)).reloaded(),
    O::global("log_timestamp_format", "", Text(|c, v| c.log.timestamp_format = Some(v))).reloaded().once(),
    O::global("log_type", "", Choice(
        &["error", "warning", "notice", "information", "debug", "subscribe", "unsubscribe", "websockets", "internal", "all", "none"],
        |c, v| match v {
            "all" => c.log.types = LogTypes::ALL,
            "none" => c.log.types = LogTypes::NONE,
            _ => LogType::ALL.iter().filter(|(name, _)| *name == v).for_each(|(_, t)| c.log.types.insert(*t)),
        },
    )).reloaded().adds(|c| c.log.types = LogTypes::NONE),
    O::global("pid_file", "", Path(|c, v| c.pid_file = Some(v))).once(),
    O::global("reload_on_change", "false", Flag(|c, v| c.reload_on_change = v)).reloaded(),
    O::global("set_tcp_nodelay", "true", Flag(|c, v| c.set_tcp_nodelay = v)).reloaded(),
    O::global("sys_interval", "10", Number { min: 0, max: U16, set: |c, v| c.sys_interval = v as u32 }).reloaded(),
    O::global("websockets_headers_size", "4096", NumberOrNone { min: 256, max: U16, set: |c, v| {
        c.websockets_headers_size = v.map_or(4096, |v| v as u16);
    } }).reloaded(),
    O::global("user", "mosquitto", Text(|c, v| c.user = Some(v))).once(),

    // What is kept on disk.
    O::global("persistence", "false", Flag(|c, v| c.persistence.enabled = v)).aka(&["retained_persistence"]),
    O::global("persistence_location", "", Path(|c, v| c.persistence.location = Some(v))).once(),
    O::global("persistence_file", "mosquitto.db", Text(|c, v| c.persistence.file = v)).once(),
    O::global("persistence_sync", "always", Words(persistence::sync)),
    O::global("autosave_interval", "1800", Number { min: 0, max: U32, set: |c, v| c.persistence.autosave_interval = v as u32 }),
    O::global("autosave_on_changes", "false", Flag(|c, v| c.persistence.autosave_on_changes = v)),

    // Without effect, in Mosquitto too.
    O::idle("retry_interval", "messages are sent again on reconnect only, in Mosquitto too"),
    O::idle("store_clean_interval", "the message store cleans itself, in Mosquitto too"),
    O::idle("websockets_log_level", "it is a matter of libwebsockets; `log_type websockets` shows the handshakes"),
    O::idle("dhparamfile", "all key exchange is by elliptic curves, which need no parameters"),
    O::idle("packet_buffer_size", "buffers take the size that they need"),


    // Not yet: keys outside of files.
    O::refused("tls_engine", Scope::Listener, &ENGINE),
    O::refused("tls_engine_kpass_sha1", Scope::Listener, &ENGINE),
    O::harmless("tls_keyform", Scope::Listener, &ENGINE, &["pem"]),

    // Not yet: a web server.
    O::refused("http_dir", Scope::Listener, &HTTP),

    // Not yet: plugins.
    O::refused("auth_opt_*", Scope::Security, &PLUGINS),
    O::refused("auth_plugin", Scope::Security, &PLUGINS),
    O::refused("auth_plugin_deny_special_chars", Scope::Security, &PLUGINS),
    O::harmless("enable_control_api", Scope::Global, &CONTROL, &["false", "0"]),
    O::refused("global_plugin", Scope::Global, &PLUGINS),
    O::refused("plugin", Scope::Security, &PLUGINS),
    O::refused("plugin_load", Scope::Global, &PLUGINS),
    O::refused("plugin_opt_*", Scope::Security, &PLUGINS),
    O::refused("plugin_use", Scope::Listener, &PLUGINS),

    // Bridges.
    O::structure("connection", "", Structure::Connection).reloaded(),
    O::bridge("addresses", "", Words(bridge_read::addresses)).once().aka(&["address"]),
    O::bridge("bridge_alpn", "", Text(|b, v| b.tls.alpn = Some(v))).once(),
    O::bridge("bridge_attempt_unsubscribe", "true", Flag(|b, v| b.attempt_unsubscribe = v)),
    O::bridge("bridge_bind_address", "", Text(|b, v| b.bind_address = Some(v))).once(),
    O::bridge("bridge_cafile", "", Path(|b, v| b.tls.cafile = Some(v))).once(),
    O::bridge("bridge_capath", "", Path(|b, v| b.tls.capath = Some(v))).once(),
    O::bridge("bridge_certfile", "", Path(|b, v| b.tls.certfile = Some(v))).once(),
    O::bridge("bridge_ciphers", "", Text(|b, v| b.tls.ciphers = Some(v))).once(),
    O::bridge("bridge_ciphers_tls1.3", "", Text(|b, v| b.tls.ciphers_tls13 = Some(v))).once(),
    O::bridge("bridge_identity", "", Text(|b, v| b.psk_identity = Some(v))).once(),
    O::bridge("bridge_insecure", "false", Flag(|b, v| b.tls.insecure = v)),
    O::bridge("bridge_keyfile", "", Path(|b, v| b.tls.keyfile = Some(v))).once(),
    O::bridge("bridge_max_packet_size", "0", Limit(|b, v| b.max_packet_size = v)),
    O::bridge("bridge_max_topic_alias", "10", Number { min: 0, max: U16, set: |b, v| b.max_topic_alias = v as u16 }),
    O::harmless("bridge_mptcp", Scope::Bridge, &MPTCP, &["false", "0"]),
    O::bridge("bridge_outgoing_retain", "true", Flag(|b, v| b.outgoing_retain = v)),
    O::bridge("bridge_protocol_version", "mqttv311", Choice(&["mqttv31", "mqttv311", "mqttv50"], |b, v| {
        b.protocol_version = match v { "mqttv31" => 3, "mqttv311" => 4, _ => 5 };
    })),
    O::bridge("bridge_psk", "", Words(bridge_read::psk)).once(),
    O::bridge("bridge_receive_maximum", "", Number { min: 1, max: U16, set: |b, v| b.receive_maximum = Some(v as u16) }),
    O::bridge("bridge_reload_type", "lazy", Choice(&["lazy", "immediate"], |b, v| {
        b.reload_type = if v == "lazy" { ReloadType::Lazy } else { ReloadType::Immediate };
    })),
    O::harmless("bridge_require_ocsp", Scope::Bridge, &OCSP, &["false", "0"]),
    O::bridge("bridge_session_expiry_interval", "", Words(bridge_read::session_expiry_interval)),
    O::bridge("bridge_tcp_keepalive", "", Words(bridge_read::tcp_keepalive)),
    O::bridge("bridge_tcp_user_timeout", "", Number { min: 0, max: U32, set: |b, v| b.tcp_user_timeout = Some(Duration::from_millis(v)) }),
    O::bridge("bridge_tls_use_os_certs", "false", Flag(|b, v| b.tls.use_os_certs = v)),
    O::bridge("bridge_tls_version", "", Choice(&["tlsv1.3", "tlsv1.2"], |b, v| b.tls.version = Some(v.into()))),
    O::bridge("cleansession", "false", Flag(|b, v| b.cleansession = v)),
    O::bridge("idle_timeout", "60", Number { min: 0, max: U32, set: |b, v| b.idle_timeout = Duration::from_secs(v.max(1)) }),
    O::bridge("keepalive_interval", "60", Number { min: 0, max: U16, set: |b, v| b.keepalive_interval = v.max(5) as u16 }),
    O::bridge("local_cleansession", "", Flag(|b, v| b.local_cleansession = Some(v))),
    O::bridge("local_clientid", "", Text(|b, v| b.local.client_id = Some(v))).once(),
    O::bridge("local_password", "", Text(|b, v| b.local.password = Some(Secret(v)))).once(),
    O::bridge("local_username", "", Text(|b, v| b.local.username = Some(v))).once(),
    O::bridge("notification_topic", "", Words(bridge_read::notification_topic)).once(),
    O::bridge("notifications", "true", Flag(|b, v| b.notifications = v)),
    O::bridge("notifications_local_only", "false", Flag(|b, v| b.notifications_local_only = v)),
    O::bridge("remote_clientid", "", Text(|b, v| b.remote.client_id = Some(v))).once().aka(&["clientid"]),
    O::bridge("remote_password", "", Text(|b, v| b.remote.password = Some(Secret(v)))).once().aka(&["password"]),
    O::bridge("remote_username", "", Text(|b, v| b.remote.username = Some(v))).once().aka(&["username"]),
    O::bridge("restart_timeout", "5 30", Words(bridge_read::restart_timeout)),
    O::bridge("round_robin", "false", Flag(|b, v| b.round_robin = v)),
    O::bridge("start_type", "automatic", Choice(&["automatic", "lazy", "once"], |b, v| {
        b.start_type = match v { "automatic" => StartType::Automatic, "lazy" => StartType::Lazy, _ => StartType::Once };
    })),
    O::bridge("threshold", "10", Number { min: 0, max: U32, set: |b, v| b.threshold = v.max(1) as u32 }),
    O::bridge("topic", "", Words(bridge_read::topic)).each(),
    O::bridge("try_private", "true", Flag(|b, v| b.try_private = v)),
];
