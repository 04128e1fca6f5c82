//! What a configuration asks for that rumqttd does not have.

use super::plan::{Kind, Service};
use crate::config::{
    Bind, Config, Diagnostic, Effective, Listener, Location, Protocol, Setting, Severity,
};

/// Options that hold with rumqttd too, or that are of no effect without another
/// one, which then speaks for them. Some of them hold in part:
/// [`losses_of_listener`] looks at these.
const HONOURED: &[&str] = &[
    "accept_protocol_versions",
    "allow_anonymous",
    "autosave_interval",
    "autosave_on_changes",
    "bind_interface",
    "cafile",
    "capath",
    "certfile",
    "check_retain_source",
    "crlfile",
    "disable_client_cert_date_checks",
    "global_max_connections",
    "keyfile",
    "listener",
    "listener_allow_anonymous",
    "log_facility",
    "log_format",
    "log_timestamp",
    "log_timestamp_format",
    "log_type",
    "max_packet_size",
    "password_file",
    "persistence_file",
    "persistence_location",
    "persistence_sync",
    "pid_file",
    "protocol",
    "socket_domain",
    "user",
];

/// Options, the values that ask for nothing which rumqttd lacks, and what is lost
/// with any other. One that stands in neither list is lost with all values.
#[rustfmt::skip]
const LOST: &[(&str, &[&str], &str)] = &[
    ("acl_check_subscribe", &["false"], "no subscription would be refused"),
    ("acl_file", &[], "there are no rules, every client could read and write every topic"),
    ("allow_duplicate_messages", &["true"], "overlapping subscriptions bring a message once each"),
    ("allow_zero_length_clientid", &["true"], "clients without an identifier would be let in"),
    ("auto_id_prefix", &[], "identifiers that it gives begin with `rumqtt-`"),
    ("ciphers", &[], "the ciphers would be those that rustls prefers"),
    ("ciphers_tls1.3", &[], "the ciphers would be those that rustls prefers"),
    ("clientid_prefixes", &[], "every client identifier would be let in"),
    ("connection", &[], "this bridge would not be there"),
    ("connection_messages", &["true"], "connects are logged all the same"),
    ("enable_proxy_protocol", &["false", "0"], "there is no PROXY protocol: the listener would not be opened"),
    ("global_max_clients", &["-1", "0"], "sessions have no limit"),
    ("listener_auto_id_prefix", &[], "identifiers that it gives begin with `rumqtt-`"),
    ("log_dest", &["stdout", "stderr", "syslog", "none", "file"], "no log would be published"),
    ("max_connections", &["-1", "0"], "a single listener has no limit"),
    ("max_inflight_bytes", &["0"], "only messages in flight are counted, not their bytes"),
    ("max_inflight_messages", &[], "its window for messages in flight is its own"),
    ("max_keepalive", &["0", "65535"], "every keep alive but 0 would be accepted"),
    ("max_qos", &["2"], "clients could publish with every QoS"),
    ("max_queued_bytes", &[], QUEUES),
    ("max_queued_messages", &[], QUEUES),
    ("max_topic_alias", &[], "clients could use 4096 topic aliases"),
    ("max_topic_alias_broker", &[], "it would use as many topic aliases as a client allows"),
    ("memory_limit", &["0"], "memory has no limit"),
    ("message_size_limit", &["0"], "larger payloads would be passed on, up to `max_packet_size`"),
    ("mount_point", &[], "the clients of this listener would share their topics with all others"),
    ("persistence", &["false"], "sessions, queues and retained messages would be gone after a restart"),
    ("persistent_client_expiration", &[], "sessions of MQTT 3.1.1 would be kept until the broker ends"),
    ("proxy_protocol_v2_require_tls", &["false"], "there is no PROXY protocol"),
    ("psk_file", &[], "there are no pre-shared keys"),
    ("psk_hint", &[], "there are no pre-shared keys: the listener would not be opened"),
    ("queue_qos0_messages", &["true"], "QoS 0 messages wait for clients that are away, too"),
    ("reload_on_change", &["false"], "a change of the files would need a restart"),
    ("require_certificate", &["false"], "clients would not be asked for certificates"),
    ("retain_available", &["true"], "messages would be retained"),
    ("retain_expiry_interval", &["0"], "nothing looks for expired messages"),
    ("set_tcp_nodelay", &["false"], "small packets may wait for up to 40 ms"),
    ("sys_interval", &["0"], "there is no $SYS: who subscribes to it would be disconnected"),
    ("tls_version", &["tlsv1.2"], "TLS 1.2 would be accepted too"),
    ("upgrade_outgoing_qos", &["true"], EVERY_QOS),
    ("use_identity_as_username", &["false"], "certificates would give nobody a name"),
    ("use_subject_as_username", &["false"], "certificates would give nobody a name"),
    ("use_username_as_clientid", &["false"], "clients could name themselves as others do, and take their sessions"),
    ("websockets_headers_size", &["4096"], "its WebSocket layer has a limit of its own"),
    ("websockets_origin", &[], "pages of every site could connect"),
];

const EVERY_QOS: &str = "each message is delivered with the QoS of the subscription";
const QUEUES: &str =
    "each topic filter has a log of 1 GB in memory; what it rolls over is lost without a word";

/// All of it, each with its place, in the order of the files: warnings where it may
/// be lost, else errors. `sockets`: whether systemd opened some.
pub(in crate::server) fn losses(
    config: &Config,
    effective: &Effective,
    sockets: bool,
    may_be_lost: bool,
) -> Vec<Diagnostic> {
    let settings = effective.settings().iter();
    let mut all: Vec<_> = settings.filter_map(loss).collect();
    for (index, listener) in config.listeners.iter().enumerate() {
        losses_of_listener(listener, index, effective.settings(), &mut all);
    }
    all.sort_by_key(|one| {
        let mut files = config.sources.iter();
        let file = files.position(|file| *file.display().to_string() == *one.location.file);
        (file, one.location.line)
    });
    // A line may be for several listeners.
    all.dedup();
    let elsewhere = |place, message: &str| Diagnostic::error(Location::whole(place), message);
    if config.tls_keylog.is_some() {
        let message = "`--tls-keylog`: rumqttd tells nobody the secrets of TLS";
        all.push(elsewhere("command line", message));
    }
    if sockets {
        let message = "LISTEN_FDS: rumqttd takes no sockets that systemd opened";
        all.push(elsewhere("environment", message));
    }
    if may_be_lost {
        for one in &mut all {
            one.severity = Severity::Warning;
        }
    }
    all
}

fn loss(setting: &Setting) -> Option<Diagnostic> {
    let Setting { option, value, .. } = setting;
    if HONOURED.contains(option) {
        return None;
    }
    let known = LOST.iter().find(|(name, ..)| name == option);
    let (_, harmless, what) = known.unwrap_or(&("", &[], "there is nothing like it"));
    let word = value.split(' ').next().unwrap_or_default();
    let asks_for_nothing = harmless.contains(&word);
    (!asks_for_nothing).then(|| setting.blame(format!("`{option}` with rumqttd: {what}")))
}

/// What depends on several lines of one listener.
fn losses_of_listener(
    listener: &Listener,
    index: usize,
    settings: &[Setting],
    all: &mut Vec<Diagnostic>,
) {
    let line = |names: &[&str]| {
        settings.iter().rfind(|setting| {
            let is_ours = setting.listener.is_none_or(|other| other == index);
            is_ours && names.contains(&setting.option)
        })
    };
    let mut lose = |names: &[&str], message: String| {
        let place = line(names).or_else(|| line(&["listener"]));
        all.push(match (place, &listener.source) {
            (Some(setting), _) => setting.blame(message),
            (None, Some(location)) => Diagnostic::error(location.clone(), message),
            (None, None) => Diagnostic::error(Location::whole("port 1883"), message),
        });
    };
    let accepts = |version| listener.accept_protocol_versions.contains(version);
    let versions = &["accept_protocol_versions"];
    if line(versions).is_some() && accepts(3) {
        lose(
            versions,
            "rumqttd has no MQTT 3.1: its clients are closed without an answer".into(),
        );
    }
    if let Bind::Unix(path) = &listener.bind {
        let path = path.display();
        lose(
            &[],
            format!("rumqttd has no Unix sockets: {path} would not be there"),
        );
    }
    let service = Service::of(listener);
    match (listener.protocol, service) {
        (Protocol::Websockets, _) if accepts(5) => lose(
            versions,
            "rumqttd has no MQTT 5 over WebSocket; write `accept_protocol_versions 4`".into(),
        ),
        (Protocol::Any, _) => lose(
            &["protocol"],
            format!(
                "rumqttd does not find out what comes: this port would speak {} only",
                if listener.tls.is_on() {
                    "TLS"
                } else {
                    "MQTT without TLS and WebSocket"
                }
            ),
        ),
        _ => {}
    }
    if service == Service::Own(Kind::V4) && accepts(5) {
        lose(
            versions,
            "rumqttd has one version of MQTT on a port, and TLS hides the client's: this one \
             would be for 3.1.1; write `accept_protocol_versions 4`, or 5"
                .into(),
        );
    }
    if listener.security.allow_anonymous && listener.security.password_file.is_some() {
        lose(
            &["allow_anonymous", "listener_allow_anonymous"],
            "rumqttd asks all clients for a password, or none: here, all".into(),
        );
    }
    if let (Service::Own(_), Some(device)) = (service, &listener.bind_interface) {
        lose(
            &["bind_interface"],
            format!("rumqttd would listen beyond {device}"),
        );
    }
    if service.is_on_all_addresses_of_ipv6(listener) {
        lose(
            &["socket_domain"],
            "a socket of rumqttd for IPv6 takes IPv4 too".into(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{OptionSpec, Scope};

    #[test]
    fn each_name_is_an_option_and_stands_once() {
        let lost = LOST.iter().map(|(name, ..)| *name);
        let mut names: Vec<_> = HONOURED.iter().copied().chain(lost).collect();
        for name in &names {
            assert!(
                OptionSpec::find(name).is_some_and(|option| option.name == *name),
                "{name}"
            );
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    /// Who writes down what holds anyway loses nothing, unless rumqttd differs.
    #[test]
    fn defaults_are_lost_only_where_rumqttd_has_others() {
        let is_lost = |option: &&OptionSpec| {
            let entry = LOST.iter().find(|(name, ..)| *name == option.name);
            let is_harmless = entry.is_some_and(|(_, values, _)| values.contains(&option.default));
            !is_harmless && !HONOURED.contains(&option.name)
        };
        // Options about where the broker listens make no settings.
        let is_setting = |option: &&OptionSpec| {
            let is_structure = ["port", "per_listener_settings"].contains(&option.name);
            option.scope != Scope::Bridge && option.is_supported() && !is_structure
        };
        let options = OptionSpec::all().iter().filter(is_setting).filter(is_lost);
        let lost: Vec<_> = options
            .filter(|option| !option.default.is_empty())
            .map(|option| option.name)
            .collect();
        assert_eq!(
            lost,
            [
                "auto_id_prefix",
                "max_topic_alias",
                "max_topic_alias_broker",
                "max_inflight_messages",
                "max_queued_bytes",
                "max_queued_messages",
                "queue_qos0_messages",
                "upgrade_outgoing_qos",
                "set_tcp_nodelay",
                "sys_interval",
            ]
        );
    }
}
