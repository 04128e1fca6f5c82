//! The grammar of the tools: Mosquitto's options, in clap's terms.
//!
//! The value name of an option is at the same time the word for it in the
//! error that Mosquitto prints where it is missing.

use clap::{Arg, ArgAction, Command, ValueHint, value_parser};

use super::coding;
use super::paint;
use super::properties;
use super::refused;

const CONNECTION: &str = "Connection";
const TLS: &str = "TLS";
const SESSION: &str = "Session";
const WILL: &str = "Will";
const MESSAGE: &str = "Message";
const SUBSCRIPTIONS: &str = "Subscriptions";
const OUTPUT: &str = "Output";
const END: &str = "When to end";
const GENERAL: &str = "General";

const ENVIRONMENT: &str = "Each option is an environment variable, too, such as MQTT_HOST or MQTT_WILL_TOPIC; the manual has \
     them all. They rank below the options file, and that below the command line.";

/// The grammar of `mqtt-pub`.
pub fn pub_command() -> Command {
    common(base(
        "mqtt-pub",
        "Publish MQTT messages on a topic, and exit",
        "mqtt-pub [-h host] -t topic {-m text | -f file | -l | -n | -s} [options]\n       \
         mqtt-pub -L URL {-m text | -f file | -l | -n | -s} [options]",
    )
    .next_help_heading(MESSAGE)
    .args([
        value("topic", 't', "topic", "topic", "The topic to publish to"),
        value("message", 'm', "message", "message", "The message")
            .value_parser(value_parser!(std::ffi::OsString))
            .action(ArgAction::Append),
        file_value(),
        flag("stdin-file", 's', "stdin-file", "The message is all of standard input"),
        flag("null-message", 'n', "null-message", "An empty message"),
        flag("stdin-line", 'l', "stdin-line", "Each line of standard input is a message"),
        qos("The quality of service of the messages: 0, 1 or 2 [default: 0]"),
        flag("retain", 'r', "retain", "The broker keeps the message for later subscribers"),
        long_value("repeat", "count", "Send the message so many times (with -m, -f, -n or -s)"),
        long_value("repeat-delay", "time", "With --repeat: seconds to wait after each message"),
        short_value(
            "max-inflight",
            'M',
            "max_inflight",
            "The most messages of QoS 1 and 2 that may be unacknowledged, where the broker takes so many [default: 100 at QoS 1, 20 at QoS 2]",
        ),
        encode(),
        long_value(
            "retry",
            "seconds",
            "Go on for so many seconds where the broker can't be reached or the connection is lost; without a number, for ever",
        )
        .num_args(0..=1)
        .allow_hyphen_values(false)
        .default_missing_value("forever"),
    ]))
}

/// The grammar of `mqtt-sub`.
pub fn sub_command() -> Command {
    common(
        printing(
            base(
                "mqtt-sub",
                "Subscribe to MQTT topics, and print the messages that arrive",
                "mqtt-sub [-h host] [-p port] -t topic... [options]\n       \
             mqtt-sub -L URL [-t topic]... [options]",
            )
            .next_help_heading(SUBSCRIPTIONS)
            .args([
                value(
                    "topic",
                    't',
                    "topic",
                    "topic",
                    "A topic to subscribe to; + and # are wildcards. May be repeated",
                )
                .action(ArgAction::Append),
                value(
                    "unsubscribe",
                    'U',
                    "unsubscribe",
                    "unsubscribe topic",
                    "A topic to unsubscribe from, in a session that was kept. May be repeated",
                )
                .action(ArgAction::Append),
                qos("The highest quality of service of the deliveries: 0, 1 or 2 [default: 0]"),
                long_flag(
                    "retain-as-published",
                    "Keep the retain flag of messages as it was published (MQTT 5)",
                ),
                retain_handling(),
            ]),
        )
        .next_help_heading(OUTPUT)
        .args([
            value(
                "filter-out",
                'T',
                "filter-out",
                "topic filter",
                "Don't print messages of these topics. May be repeated",
            )
            .action(ArgAction::Append),
            long_flag(
                "retained-only",
                "Print retained messages only, and end with the first that is not",
            ),
            long_flag(
                "remove-retained",
                "Have the broker forget each retained message that arrives",
            ),
            long_flag(
                "dry-run",
                "With --remove-retained: remove nothing, only tell how many it would be",
            ),
            long_value(
                "random-filter",
                "chance",
                "Print only so many percent of the messages (0.1 to 100)",
            ),
            flag(
                "watch",
                'w',
                "watch",
                "Show the newest message of each topic in a line of its own (on a terminal)",
            ),
            long_flag(
                "message-rate",
                "Print no messages, but each second how many there were",
            ),
        ])
        .next_help_heading(END)
        .args([
            short_value("count", 'C', "count", "End after so many messages"),
            short_flag(
                "exit-after-subscribe",
                'E',
                "End when the broker has acknowledged the subscriptions",
            ),
            timeout(),
        ]),
    )
}

/// The grammar of `mqtt-rr`.
pub fn rr_command() -> Command {
    common(
        printing(
            base(
                "mqtt-rr",
                "Publish an MQTT request, and wait for the response",
                "mqtt-rr -t topic -e topic {-m text | -f file | -n | -s} [options]",
            )
            .next_help_heading(MESSAGE)
            .args([
                value("topic", 't', "topic", "topic", "The topic of the request"),
                short_value(
                    "response-topic",
                    'e',
                    "response topic",
                    "The topic where the response is awaited",
                ),
                value("message", 'm', "message", "message", "The request")
                    .value_parser(value_parser!(std::ffi::OsString))
                    .action(ArgAction::Append),
                file_value(),
                flag(
                    "stdin-file",
                    's',
                    "stdin-file",
                    "The request is all of standard input",
                ),
                flag("null-message", 'n', "null-message", "An empty request"),
                qos("The quality of service, both ways: 0, 1 or 2 [default: 0]"),
                retain_handling(),
                encode(),
            ]),
        )
        .next_help_heading(OUTPUT)
        .arg(long_flag(
            "latency",
            "Print how long the response took, too",
        ))
        .next_help_heading(END)
        .arg(timeout()),
    )
}

/// A grammar without options.
fn base(name: &'static str, about: &'static str, usage: &'static str) -> Command {
    Command::new(name)
        .about(about)
        .override_usage(usage)
        .version(concat!("version ", env!("CARGO_PKG_VERSION")))
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(true)
        .max_term_width(80)
        .after_help(ENVIRONMENT)
}

/// The options that all tools have.
fn common(command: Command) -> Command {
    command
        .next_help_heading(CONNECTION)
        .args([
            value("host", 'h', "host", "host", "The broker's host name or address [default: localhost]")
                .value_hint(ValueHint::Hostname),
            value("port", 'p', "port", "port", "The broker's port [default: 1883, with TLS 8883]"),
            long_value("unix", "socket path", "Connect to a Unix domain socket instead")
                .value_hint(ValueHint::FilePath),
            value("url", 'L', "url", "URL", "User, password, host, port and topic at once: mqtt(s)://[user[:password]@]host[:port]/topic, or ws(s)://… for WebSocket; beside -t, what follows the host of the latter is the path")
                .value_hint(ValueHint::Url),
            short_value("bind", 'A', "address", "The local address to connect from"),
            short_flag("srv", 'S', "Find broker and port by the SRV records _mqtt._tcp.HOST, with TLS _secure-mqtt._tcp.HOST; without -h, in the local domain"),
            long_flag("ws", "Speak MQTT over WebSocket"),
            long_value("ws-path", "path", "The path that is asked for, with --ws or a URL ws(s)://… [default: /mqtt]"),
            long_value("proxy", "proxy url", "Connect through a SOCKS5 proxy: socks5h://[user[:password]@]host[:port], or socks5://… to look up the broker's name here")
                .value_hint(ValueHint::Url),
            value("username", 'u', "username", "username", "The user name")
                .value_hint(ValueHint::Username),
            value("password", 'P', "pw", "password", "The password; anyone on this machine can see it while the program runs")
                .value_parser(value_parser!(std::ffi::OsString)),
            long_value("password-file", "file", "The password is the first line of this file")
                .value_hint(ValueHint::FilePath),
            long_flag("ask-password", "Ask for the password on the terminal"),
            value("protocol-version", 'V', "protocol-version", "version", "The version of MQTT: 31, 311 or 5, also as mqttv31, mqttv311 or mqttv5 [default: 311; mqtt-rr: 5]"),
            value("keepalive", 'k', "keepalive", "keepalive", "Seconds of silence after which the client asks if the broker is there: 5 to 65535 [default: 60]"),
            long_flag("nodelay", "Send small messages at once; always on, kept for old scripts"),
        ])
        .next_help_heading(TLS)
        .args([
            long_value("cafile", "file", "Use TLS, and trust the CAs whose certificates are in this file")
                .value_hint(ValueHint::FilePath),
            long_value("capath", "directory", "Use TLS, and trust the CAs whose certificates are in this directory")
                .value_hint(ValueHint::DirPath),
            long_flag("tls-use-os-certs", "Use TLS, and trust the CAs of this machine; so do mqtts:// and port 8883 by itself"),
            long_value("cert", "file", "The client's own certificate, where the broker wants one")
                .value_hint(ValueHint::FilePath),
            long_value("key", "file", "Its private key").value_hint(ValueHint::FilePath),
            long_value("keyform", "keyform", "Where the key is: pem, in a file [default: pem]"),
            long_flag("insecure", "Don't check that the broker's certificate has its host name, for tests; all else is checked"),
            long_value("ciphers", "ciphers", "The cipher suites, in OpenSSL's language [default: all that are safe]"),
            long_value("tls-version", "version", "The lowest version of TLS: tlsv1.2 or tlsv1.3 [default: tlsv1.2]"),
            long_value("tls-alpn", "protocol", "Ask for this protocol (ALPN) where a port serves several"),
            long_value("tls-keylog", "file", "Append the secrets of the connection to this file, with which Wireshark can read it")
                .value_hint(ValueHint::FilePath),
            long_value("psk", "key", "Use TLS by this pre-shared key, in hexadecimal digits; with --psk-identity, and without certificates"),
            long_value("psk-identity", "identity", "The name by which the broker knows the pre-shared key"),
            long_flag("no-tls", "Don't use TLS, whatever the port"),
        ])
        .next_help_heading(SESSION)
        .args([
            value("id", 'i', "id", "id", "The client identifier [default: the broker chooses]"),
            value("id-prefix", 'I', "id-prefix", "id prefix", "A client identifier of this prefix and the process id"),
            flag("disable-clean-session", 'c', "disable-clean-session", "Keep the session: what arrives while away is delivered later. Needs -i"),
            short_value("session-expiry", 'x', "session expiry interval", "Seconds for which the broker keeps the session, or -1 for ever (MQTT 5)"),
        ])
        .next_help_heading(WILL)
        .args([
            long_value("will-topic", "will topic", "The topic of a message that the broker publishes when this client is lost"),
            long_value("will-payload", "will payload", "The payload of that message [default: empty]")
                .value_parser(value_parser!(std::ffi::OsString)),
            long_value("will-qos", "will QoS", "Its quality of service [default: 0]"),
            long_flag("will-retain", "It is retained"),
        ])
        .next_help_heading(GENERAL)
        .args([
            Arg::new("property")
                .short('D')
                .long("property")
                .value_names(["packet", "property", "value"])
                .num_args(3..=4)
                .action(ArgAction::Append)
                .help(properties::HELP),
            short_value("options-file", 'o', "file", "Read options from this file, one a line, instead of the usual ones")
                .value_hint(ValueHint::FilePath),
            flag("debug", 'd', "debug", "Tell of each packet"),
            long_flag("quiet", "Don't print errors, except those of usage"),
            Arg::new("help").long("help").action(ArgAction::HelpShort).help("Print this text"),
            Arg::new("version").long("version").action(ArgAction::Version).help("Print the version"),
        ])
        .args(refused::arguments())
}

/// What the tools that print messages have in common.
fn printing(command: Command) -> Command {
    command.next_help_heading(OUTPUT).args([
        flag(
            "verbose",
            'v',
            "verbose",
            "Print the topic in front of the payload",
        ),
        short_value(
            "format",
            'F',
            "format",
            "Print messages in this format, such as '%I %t %p' or %j",
        ),
        long_flag("pretty", "With %j, %J and --decode: print JSON on several lines; on a terminal, JSON has colours"),
        long_flag("timestamp", "Print the time in front of each message"),
        long_value("decode", "form", "The form of the payloads: print what they say, cbor and msgpack as JSON")
            .value_parser(coding::FORMS),
        long_value("color", "when", "Colours; auto: on a terminal, unless NO_COLOR is set [default: auto]")
            .value_parser(paint::CHOICES),
        short_flag("no-newline", 'N', "Print no end of line after a message"),
        short_flag("no-retained", 'R', "Don't print retained messages"),
    ])
}

fn qos(help: &'static str) -> Arg {
    value("qos", 'q', "qos", "QoS", help)
}

fn retain_handling() -> Arg {
    long_value(
        "retain-handling",
        "always, new or never",
        "When the broker sends retained messages: at each subscription, at a new one, or never (MQTT 5)",
    )
}

fn encode() -> Arg {
    long_value(
        "encode",
        "form",
        "Send the message in this form; what becomes json, cbor or msgpack is written as JSON",
    )
    .value_parser(coding::FORMS)
}

fn timeout() -> Arg {
    short_value(
        "timeout",
        'W',
        "timeout",
        "End after so many seconds, with exit code 27",
    )
}

fn file_value() -> Arg {
    value(
        "file",
        'f',
        "file",
        "file",
        "The message is the content of this file",
    )
    .value_parser(value_parser!(std::ffi::OsString))
    .action(ArgAction::Append)
    .value_hint(ValueHint::FilePath)
}

fn flag(id: &'static str, short: char, long: &'static str, help: &'static str) -> Arg {
    short_flag(id, short, help).long(long)
}

fn short_flag(id: &'static str, short: char, help: &'static str) -> Arg {
    Arg::new(id)
        .short(short)
        .action(ArgAction::SetTrue)
        .help(help)
}

fn long_flag(long: &'static str, help: &'static str) -> Arg {
    Arg::new(long)
        .long(long)
        .action(ArgAction::SetTrue)
        .help(help)
}

fn value(
    id: &'static str,
    short: char,
    long: &'static str,
    noun: &'static str,
    help: &'static str,
) -> Arg {
    short_value(id, short, noun, help).long(long)
}

fn short_value(id: &'static str, short: char, noun: &'static str, help: &'static str) -> Arg {
    any_value(id, noun, help).short(short)
}

fn long_value(long: &'static str, noun: &'static str, help: &'static str) -> Arg {
    any_value(long, noun, help).long(long)
}

fn any_value(id: &'static str, noun: &'static str, help: &'static str) -> Arg {
    Arg::new(id)
        .value_name(noun)
        .allow_hyphen_values(true)
        .help(help)
}
