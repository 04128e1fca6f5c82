//! The options of mosquitto.conf, each in one line or little more.
//!
//! The names are those of Mosquitto 2.0 and 2.1. What this version cannot do
//! stands here too, so that the message can say so.

use std::time::Duration;

use super::options::{Feature, OptionSpec as O, Scope, Structure};
use super::value::Kind::{
    Choice, Ciphers, Destination, Flag, Limit, Number, NumberOrNone, Path, Period, Text,
    TlsVersion, Versions,
};
use super::{LogType, LogTypes, SocketDomain};

const U16: u64 = u16::MAX as u64;
const U32: u64 = u32::MAX as u64;
/// The largest payload of MQTT.
const MAX_PAYLOAD: u64 = 268_435_455;

static PERSISTENCE: Feature = Feature {
    name: "persistence",
    instead: "write `persistence false`: sessions and retained messages then last until the broker ends",
};
static ENGINE: Feature = Feature {
    name: "OpenSSL engines",
    instead: "remove the line and name a key in a file with `keyfile`",
};
static PSK: Feature = Feature {
    name: "TLS with pre-shared keys",
    instead: "remove the line and use `password_file` on a trusted network",
};
static WEBSOCKETS: Feature = Feature {
    name: "WebSocket or HTTP listeners",
    instead: "write `protocol mqtt`, or remove this listener; a WebSocket proxy can stand in front",
};
static BRIDGE: Feature = Feature {
    name: "bridges",
    instead: "remove the lines from `connection` on; the other broker may bridge to this one",
};
static PLUGINS: Feature = Feature {
    name: "plugins",
    instead: "remove the lines of the plugin; `password_file` and `acl_file` are built in",
};
static MOUNT: Feature = Feature {
    name: "mount points",
    instead: "remove the line, and let the clients of this listener write the prefix themselves",
};
static MEMORY: Feature = Feature {
    name: "limits of memory",
    instead: "write `max_queued_messages`, `max_queued_bytes` or `max_inflight_messages`",
};
static PROXY: Feature = Feature {
    name: "PROXY protocol",
    instead: "remove the line and switch the PROXY protocol off in the proxy",
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
    O::security("allow_zero_length_clientid", "true", Flag(|l, v| l.allow_zero_length_clientid = v)).reloaded(),
    O::security("auto_id_prefix", "auto-", Text(|l, v| l.auto_id_prefix = v)).reloaded().once(),

    // Listeners.
    O::listener("listener_allow_anonymous", "", Flag(|l, v| l.security.allow_anonymous = v)),
    O::listener("listener_auto_id_prefix", "", Text(|l, v| l.auto_id_prefix = v)).once(),
    O::listener("accept_protocol_versions", "3,4,5", Versions(|l, v| l.accept_protocol_versions = v)),
    O::listener("bind_interface", "", Text(|l, v| l.bind_interface = Some(v))).once(),
    O::listener("max_connections", "-1", Limit(|l, v| l.max_connections = v)),
    O::listener("max_qos", "2", Number { min: 0, max: 2, set: |l, v| l.max_qos = v as u8 }).aka(&["maximum_qos"]),
    O::listener("max_topic_alias", "10", Number { min: 0, max: U16, set: |l, v| l.max_topic_alias = v as u16 }),
    O::refused("mount_point", Scope::Listener, &MOUNT),
    O::listener("socket_domain", "", Choice(&["ipv4", "ipv6"], |l, v| {
        l.socket_domain = Some(if v == "ipv4" { SocketDomain::Ipv4 } else { SocketDomain::Ipv6 });
    })),
    O::listener("cafile", "", Path(|l, v| l.tls.cafile = Some(v))).reloaded().once(),
    O::listener("capath", "", Path(|l, v| l.tls.capath = Some(v))).reloaded().once(),
    O::listener("certfile", "", Path(|l, v| l.tls.certfile = Some(v))).reloaded().once(),
    O::listener("ciphers", "", Ciphers(super::Ciphers::parse_tls12, |l, v| l.tls.ciphers.tls12 = Some(v))).once(),
    O::listener("ciphers_tls1.3", "", Ciphers(super::Ciphers::parse_tls13, |l, v| l.tls.ciphers.tls13 = Some(v))).once(),
    O::listener("crlfile", "", Path(|l, v| l.tls.crlfile = Some(v))).reloaded().once(),
    O::listener("disable_client_cert_date_checks", "false", Flag(|l, v| l.tls.disable_client_cert_date_checks = v)),
    O::listener("keyfile", "", Path(|l, v| l.tls.keyfile = Some(v))).reloaded().once(),
    O::listener("require_certificate", "false", Flag(|l, v| l.tls.require_certificate = v)),
    O::listener("tls_version", "tlsv1.2", TlsVersion(|l, v| l.tls.version = v)),
    O::listener("use_identity_as_username", "false", Flag(|l, v| l.tls.use_identity_as_username = v)),
    O::listener("use_subject_as_username", "false", Flag(|l, v| l.tls.use_subject_as_username = v)),
    O::listener("use_username_as_clientid", "false", Flag(|l, v| l.use_username_as_clientid = v)),

    // Limits and the rules of queueing and retaining.
    O::global("clientid_prefixes", "", Text(|c, v| {
        for listener in &mut c.listeners {
            listener.clientid_prefixes = Some(v.clone());
        }
    })).reloaded().once(),
    O::global("allow_duplicate_messages", "true", Flag(|c, v| c.limits.allow_duplicate_messages = v)).reloaded(),
    // Rights do not change while the broker runs, so there is nothing to check again.
    O::harmless("check_retain_source", Scope::Global, &MEMORY, &["true", "false", "1", "0"]),
    O::global("global_max_clients", "-1", Limit(|c, v| c.limits.global_max_clients = v)).reloaded(),
    O::global("global_max_connections", "-1", Limit(|c, v| c.limits.global_max_connections = v)).reloaded(),
    O::harmless("max_inflight_bytes", Scope::Global, &MEMORY, &["0"]),
    O::global("max_inflight_messages", "20", NumberOrNone { min: 1, max: U16, set: |c, v| {
        c.limits.max_inflight_messages = v.map_or(u16::MAX, |v| v as u16);
    } }).reloaded(),
    O::global("max_keepalive", "65535", NumberOrNone { min: 10, max: U16, set: |c, v| {
        c.limits.max_keepalive = v.map_or(u16::MAX, |v| v as u16);
    } }).reloaded(),
    O::global("max_packet_size", "2000000", Number { min: 20, max: U32, set: |c, v| c.limits.max_packet_size = v as u32 }).reloaded(),
    O::global("max_queued_bytes", "0", Number { min: 0, max: u64::MAX, set: |c, v| c.limits.max_queued_bytes = v }).reloaded(),
    O::global("max_queued_messages", "1000", Number { min: 0, max: U32, set: |c, v| c.limits.max_queued_messages = v as u32 }).reloaded(),
    O::global("max_topic_alias_broker", "10", Number { min: 0, max: U16, set: |c, v| c.limits.max_topic_alias_broker = v as u16 }),
    O::harmless("memory_limit", Scope::Global, &MEMORY, &["0"]),
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
    O::global("log_facility", "", Number { min: 0, max: 7, set: |c, v| c.log.facility = Some(v as u8) }),
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
    O::global("set_tcp_nodelay", "true", Flag(|c, v| c.set_tcp_nodelay = v)).reloaded(),
    O::global("sys_interval", "10", Number { min: 0, max: U16, set: |c, v| c.sys_interval = v as u32 }).reloaded(),
    O::global("user", "mosquitto", Text(|c, v| c.user = Some(v))).once(),

    // Without effect, in Mosquitto too.
    O::idle("retry_interval", "messages are sent again on reconnect only, in Mosquitto too"),
    O::idle("store_clean_interval", "the message store cleans itself, in Mosquitto too"),
    O::idle("autosave_interval", "it needs `persistence true`, in Mosquitto too"),
    O::idle("autosave_on_changes", "it needs `persistence true`, in Mosquitto too"),
    O::idle("persistence_file", "it needs `persistence true`, in Mosquitto too"),
    O::idle("persistence_location", "it needs `persistence true`, in Mosquitto too"),
    O::idle("websockets_headers_size", "it needs a listener with `protocol websockets`, in Mosquitto too"),
    O::idle("websockets_log_level", "it needs a listener with `protocol websockets`, in Mosquitto too"),
    O::idle("dhparamfile", "all key exchange is by elliptic curves, which need no parameters"),
    O::idle("packet_buffer_size", "buffers take the size that they need"),

    // Not yet: persistence.
    O::harmless("persistence", Scope::Global, &PERSISTENCE, &["false", "0"]).aka(&["retained_persistence"]),

    // Not yet: keys outside of files, and keys without certificates.
    O::refused("tls_engine", Scope::Listener, &ENGINE),
    O::refused("tls_engine_kpass_sha1", Scope::Listener, &ENGINE),
    O::harmless("tls_keyform", Scope::Listener, &ENGINE, &["pem"]),
    O::refused("psk_file", Scope::Security, &PSK),
    O::refused("psk_hint", Scope::Listener, &PSK),

    // Not yet: other protocols on a listener.
    O::harmless("protocol", Scope::Listener, &WEBSOCKETS, &["mqtt"]),
    O::refused("http_dir", Scope::Listener, &WEBSOCKETS),
    O::refused("websockets_origin", Scope::Listener, &WEBSOCKETS),
    O::harmless("enable_proxy_protocol", Scope::Listener, &PROXY, &["false", "0"]),
    O::refused("proxy_protocol_v2_require_tls", Scope::Listener, &PROXY),

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

    // Not yet: bridges.
    O::refused("connection", Scope::Global, &BRIDGE),
    O::refused("addresses", Scope::Bridge, &BRIDGE).aka(&["address"]),
    O::refused("bridge_alpn", Scope::Bridge, &BRIDGE),
    O::refused("bridge_attempt_unsubscribe", Scope::Bridge, &BRIDGE),
    O::refused("bridge_bind_address", Scope::Bridge, &BRIDGE),
    O::refused("bridge_cafile", Scope::Bridge, &BRIDGE),
    O::refused("bridge_capath", Scope::Bridge, &BRIDGE),
    O::refused("bridge_certfile", Scope::Bridge, &BRIDGE),
    O::refused("bridge_ciphers", Scope::Bridge, &BRIDGE),
    O::refused("bridge_ciphers_tls1.3", Scope::Bridge, &BRIDGE),
    O::refused("bridge_identity", Scope::Bridge, &BRIDGE),
    O::refused("bridge_insecure", Scope::Bridge, &BRIDGE),
    O::refused("bridge_keyfile", Scope::Bridge, &BRIDGE),
    O::refused("bridge_max_packet_size", Scope::Bridge, &BRIDGE),
    O::refused("bridge_max_topic_alias", Scope::Bridge, &BRIDGE),
    O::refused("bridge_outgoing_retain", Scope::Bridge, &BRIDGE),
    O::refused("bridge_protocol_version", Scope::Bridge, &BRIDGE),
    O::refused("bridge_psk", Scope::Bridge, &BRIDGE),
    O::refused("bridge_receive_maximum", Scope::Bridge, &BRIDGE),
    O::refused("bridge_reload_type", Scope::Bridge, &BRIDGE),
    O::refused("bridge_require_ocsp", Scope::Bridge, &BRIDGE),
    O::refused("bridge_session_expiry_interval", Scope::Bridge, &BRIDGE),
    O::refused("bridge_tcp_keepalive", Scope::Bridge, &BRIDGE),
    O::refused("bridge_tcp_user_timeout", Scope::Bridge, &BRIDGE),
    O::refused("bridge_tls_use_os_certs", Scope::Bridge, &BRIDGE),
    O::refused("bridge_tls_version", Scope::Bridge, &BRIDGE),
    O::refused("cleansession", Scope::Bridge, &BRIDGE),
    O::refused("idle_timeout", Scope::Bridge, &BRIDGE),
    O::refused("keepalive_interval", Scope::Bridge, &BRIDGE),
    O::refused("local_cleansession", Scope::Bridge, &BRIDGE),
    O::refused("local_clientid", Scope::Bridge, &BRIDGE),
    O::refused("local_password", Scope::Bridge, &BRIDGE),
    O::refused("local_username", Scope::Bridge, &BRIDGE),
    O::refused("notification_topic", Scope::Bridge, &BRIDGE),
    O::refused("notifications", Scope::Bridge, &BRIDGE),
    O::refused("notifications_local_only", Scope::Bridge, &BRIDGE),
    O::refused("remote_clientid", Scope::Bridge, &BRIDGE).aka(&["clientid"]),
    O::refused("remote_password", Scope::Bridge, &BRIDGE).aka(&["password"]),
    O::refused("remote_username", Scope::Bridge, &BRIDGE).aka(&["username"]),
    O::refused("restart_timeout", Scope::Bridge, &BRIDGE),
    O::refused("round_robin", Scope::Bridge, &BRIDGE),
    O::refused("start_type", Scope::Bridge, &BRIDGE),
    O::refused("threshold", Scope::Bridge, &BRIDGE),
    O::refused("topic", Scope::Bridge, &BRIDGE),
    O::refused("try_private", Scope::Bridge, &BRIDGE),
];
