//! The command line of `mqtt-broker`.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::check_acl::{self, Question};
use super::process::{self, Account, PidFile};
use super::reload::Source;
#[cfg(feature = "peers")]
use super::rumqttd;
use super::signals::Signals;
use super::{Broker, runtime, systemd};
use crate::auth::{Access, Acl, Client, LoadError, PasswordFile};
#[cfg(feature = "peers")]
use crate::config::Diagnostics;
use crate::config::{Config, Effective, LogTypes};
use crate::transport::tls::{self, Keyring};

/// What Mosquitto exits with after a start that failed, and after a bad
/// configuration or command line.
const FAILED: u8 = 1;
const MISCONFIGURED: u8 = 3;

/// The values of `--engine`.
const MOUSTIQUE: &str = "moustique";
const RUMQTTD: &str = "rumqttd";

/// What `--check-acl` exits with where something is denied.
const DENIED: u8 = 1;

/// The grammar, from which completions and the man page are made too.
pub fn command() -> Command {
    Command::new("mqtt-broker")
        .about("An MQTT broker for versions 3.1, 3.1.1 and 5 that takes the place of mosquitto")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_flag(true)
        .disable_version_flag(true)
        .after_help(
            "Without a file that says where to listen, the broker accepts clients on this machine \
             only, at port 1883.\n\nExit status: 0 after SIGTERM or SIGINT, 1 when the start fails \
             (a port in use, for instance), 3 for mistakes in the configuration or on the command \
             line.\n\nSignals: SIGHUP reads the configuration and its files again and opens the log \
             files anew; what is wrong is logged, and the old configuration holds. SIGRTMIN opens \
             the log files anew. SIGUSR2 writes all subscriptions to the log. SIGTERM and SIGINT \
             publish all wills, tell the clients and end.\n\nWith --engine rumqttd, a listener \
             for MQTT 3.1.1 and 5 without TLS has a front that passes each client to the server \
             of rumqttd for its version. With `accept_protocol_versions 4`, or 5, rumqttd has \
             the port to itself, and with TLS one of the two is needed. Over WebSocket it speaks \
             3.1.1 only. Options that it cannot honour end the start with a list of what would be \
             lost (status 3). SIGHUP only opens the log files anew, and wills are not published \
             at the end.\n\nEnvironment: PUID and PGID are the \
             numbers of the user and group that the broker becomes when root starts it, before \
             `user` of the configuration. UMASK_SET is its umask, in octal digits. \
             MOSQUITTO_UNSAFE_ALLOW_SYMLINKS has no effect: links are always followed.",
        )
        .arg(
            Arg::new("config")
                .short('c')
                .long("config-file")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Read the configuration from FILE, in the format of mosquitto.conf"),
        )
        .arg(
            Arg::new("daemon")
                .short('d')
                .long("daemon")
                .action(ArgAction::SetTrue)
                .help("Go into the background after the start"),
        )
        .arg(
            Arg::new("engine")
                .long("engine")
                .value_name("ENGINE")
                .value_parser([MOUSTIQUE, RUMQTTD])
                .help(
                    "What serves the configuration: `moustique`, the default, or `rumqttd`, for \
                     comparison, in programs that are built with --features peers",
                ),
        )
        .arg(
            Arg::new("engine-lossy")
                .long("engine-lossy")
                .action(ArgAction::SetTrue)
                .requires("engine")
                .help(
                    "Start rumqttd though it cannot do all that the configuration asks for, and \
                     log what is lost",
                ),
        )
        .arg(
            Arg::new("port")
                .short('p')
                .long("port")
                .value_name("PORT")
                .action(ArgAction::Append)
                .value_parser(value_parser!(u16).range(1..))
                .help(
                    "Listen on PORT of the loopback addresses (up to ten times; left out where \
                     the configuration has listeners)",
                ),
        )
        .arg(
            Arg::new("test-config")
                .long("test-config")
                .requires("config")
                .action(ArgAction::SetTrue)
                .help(
                    "Check FILE and the files that it names, print what it says in effect, \
                     and end",
                ),
        )
        .arg(
            Arg::new("tls-keylog")
                .long("tls-keylog")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help(
                    "Append the secrets of TLS connections to FILE, with which Wireshark can read \
                     them",
                ),
        )
        .arg(
            Arg::new("verbose")
                .short('v')
                .long("verbose")
                .action(ArgAction::SetTrue)
                .help("Log everything, whatever log_type says"),
        )
        .args(check_acl_arguments())
        .arg(
            Arg::new("help")
                .short('h')
                .long("help")
                .action(ArgAction::Help)
                .help("Print this help"),
        )
        .arg(
            Arg::new("version")
                .long("version")
                .action(ArgAction::Version)
                .help("Print the version"),
        )
}

fn check_acl_arguments() -> [Arg; 6] {
    let operand = |name: &'static str, value_name: &'static str, help: &'static str| {
        Arg::new(name)
            .value_name(value_name)
            .requires("check-acl")
            .required_if_eq("check-acl", "true")
            .help(help)
    };
    [
        Arg::new("check-acl")
            .long("check-acl")
            .action(ArgAction::SetTrue)
            .conflicts_with_all(["daemon", "engine", "port", "test-config"])
            .help(
                "Tell whether USER may read or write TOPIC, and by which rule, and end; exit \
                 status 0 if so, 1 if not (on one of several listeners)",
            ),
        Arg::new("client-id")
            .long("client-id")
            .value_name("ID")
            .requires("check-acl")
            .help("The client identifier that --check-acl asks about"),
        Arg::new("listener")
            .long("listener")
            .value_name("PORT")
            .requires("check-acl")
            .value_parser(value_parser!(u16))
            .help("The listener that --check-acl asks about, where there are several"),
        operand(
            "user",
            "USER",
            "For --check-acl: a user name; '-' for clients without one",
        ),
        operand(
            "access",
            "ACCESS",
            "For --check-acl: what the user wants to do",
        )
        .value_parser(["read", "write"]),
        operand(
            "topic",
            "TOPIC",
            "For --check-acl: a topic; to read, also a topic filter",
        ),
    ]
}

/// Runs the broker as a program.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => {
            if matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            ) {
                let _ = error.print();
                return ExitCode::SUCCESS;
            }
            let text = error.render().to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            return fail(&format!("Error: {}", text.trim_end()), MISCONFIGURED);
        }
    };
    if let Err(text) = choose_engine(&matches) {
        return fail(&text, MISCONFIGURED);
    }
    if matches.get_flag("test-config") {
        return match test_config(&matches) {
            Ok(()) => ExitCode::SUCCESS,
            Err(text) => fail(&text, MISCONFIGURED),
        };
    }
    #[cfg(feature = "peers")]
    if is_for_rumqttd(&matches) {
        return serve_by_rumqttd(&matches);
    }
    let matches = Arc::new(matches);
    let again = Arc::clone(&matches);
    let source = move || configure(&again);
    let config = match source() {
        Ok(config) => config,
        Err(text) => return fail(&text, MISCONFIGURED),
    };
    if matches.get_flag("check-acl") {
        return check_acl(&config, &matches);
    }
    match serve(config, Box::new(source), matches.get_flag("daemon")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => fail(&format!("Error: {text}."), FAILED),
    }
}

/// Prints what the access control lists say to a question.
fn check_acl(config: &Config, matches: &ArgMatches) -> ExitCode {
    let text = |name: &str| matches.get_one::<String>(name).map_or("", String::as_str);
    let question = Question {
        client: Client {
            client_id: text("client-id"),
            username: Some(text("user")).filter(|name| !matches!(*name, "" | "-")),
        },
        access: match text("access") {
            "write" => Access::Write,
            _ => Access::Read,
        },
        topic: text("topic"),
        port: matches.get_one::<u16>("listener").copied(),
    };
    match check_acl::answer(config, &question) {
        Err(text) => fail(&format!("Error: {text}."), MISCONFIGURED),
        Ok(answer) => {
            let _ = write!(std::io::stdout(), "{}", answer.text);
            ExitCode::from(if answer.allowed { 0 } else { DENIED })
        }
    }
}

fn fail(text: &str, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{text}");
    ExitCode::from(code)
}

fn is_for_rumqttd(matches: &ArgMatches) -> bool {
    let engine = matches.get_one::<String>("engine");
    engine.is_some_and(|engine| engine == RUMQTTD)
}

/// Whether there is the engine that the command line asks for.
fn choose_engine(matches: &ArgMatches) -> Result<(), String> {
    let (is_lossy, is_for_rumqttd) = (matches.get_flag("engine-lossy"), is_for_rumqttd(matches));
    if is_lossy && !is_for_rumqttd {
        return Err("Error: --engine-lossy is for --engine rumqttd.".into());
    }
    if is_for_rumqttd && cfg!(not(feature = "peers")) {
        return Err(
            "Error: there is no rumqttd in this program; build one that has it by `cargo install \
             --locked --path . --features peers`, or leave --engine out."
                .into(),
        );
    }
    Ok(())
}

#[cfg(feature = "peers")]
fn serve_by_rumqttd(matches: &ArgMatches) -> ExitCode {
    let (config, effective) = match explain(matches) {
        Ok(both) => both,
        Err(text) => return fail(&text, MISCONFIGURED),
    };
    let (sockets, _) = systemd::sockets();
    let may_lose = matches.get_flag("engine-lossy");
    let lost = rumqttd::losses(&config, &effective, !sockets.is_empty(), may_lose);
    if !lost.is_empty() && !may_lose {
        let text = format!(
            "{}\nError: rumqttd cannot do this. Leave --engine out, or these lines; or start with \
             --engine-lossy and do without.",
            Diagnostics(lost)
        );
        return fail(&text, MISCONFIGURED);
    }
    match rumqttd::serve(&config, &lost, matches.get_flag("daemon")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => fail(&format!("Error: {text}."), FAILED),
    }
}

/// As [`configure`], with the lines that count.
fn explain(matches: &ArgMatches) -> Result<(Config, Effective), String> {
    let (config, effective) = match matches.get_one::<PathBuf>("config") {
        Some(path) => Config::explain(path).map_err(|mistakes| mistakes.to_string())?,
        None => Default::default(),
    };
    Ok((with_arguments(config, matches)?, effective))
}

fn configure(matches: &ArgMatches) -> Result<Config, String> {
    let config = match matches.get_one::<PathBuf>("config") {
        Some(path) => Config::load(path).map_err(|mistakes| mistakes.to_string())?,
        None => Config::default(),
    };
    with_arguments(config, matches)
}

/// What the command line changes in a configuration.
fn with_arguments(mut config: Config, matches: &ArgMatches) -> Result<Config, String> {
    for port in matches.get_many::<u16>("port").into_iter().flatten() {
        config
            .add_loopback_port(*port)
            .map_err(|mistake| mistake.to_string())?;
    }
    config.tls_keylog = matches.get_one("tls-keylog").cloned();
    if matches.get_flag("verbose") {
        config.log.types = LogTypes::ALL;
    }
    Ok(config)
}

/// `--test-config`: checks the configuration and the files of its listeners, and
/// prints what it says in effect.
fn test_config(matches: &ArgMatches) -> Result<(), String> {
    let (config, effective) = explain(matches)?;
    let mut mistakes = Vec::new();
    let mut remarks: Vec<_> = config.warnings.iter().map(ToString::to_string).collect();
    for (option, file) in files(&config) {
        if let Err(error) = read_rights(option, file, &mut remarks) {
            let text = error.to_string();
            let place = effective.blame(option, file, &text);
            // What is wrong in the file has its place there.
            let place = place.filter(|_| error.problems().is_empty());
            mistakes.push(place.map_or(text, |diagnostic| {
                let help = "write the path of a file that this user can read; mqtt-passwd(1) \
                            makes password files";
                diagnostic.with_help(help).to_string()
            }));
        }
    }
    let keyring = Keyring::default();
    for listener in config.listeners.iter().filter(|one| one.tls.is_on()) {
        if let Err(error) = tls::Server::load(&listener.tls, None, &keyring) {
            let file = error.file().unwrap_or(Path::new(""));
            let mut options = TLS_FILES.iter();
            let place = options.find_map(|option| effective.blame(option, file, error.what()));
            mistakes.push(place.map_or(error.to_string(), |diagnostic| {
                diagnostic.with_help(error.help()).to_string()
            }));
        }
    }
    #[cfg(feature = "peers")]
    if is_for_rumqttd(matches) {
        let may_lose = matches.get_flag("engine-lossy");
        let lost = rumqttd::losses(&config, &effective, false, may_lose);
        let list = if may_lose {
            &mut remarks
        } else {
            &mut mistakes
        };
        list.extend(lost.iter().map(ToString::to_string));
    }
    for remark in remarks {
        let _ = writeln!(std::io::stderr(), "{remark}");
    }
    if !mistakes.is_empty() {
        return Err(mistakes.join("\n"));
    }
    write!(std::io::stdout(), "{effective}").map_err(|error| format!("Error: {error}."))
}

/// The options that name files about TLS.
const TLS_FILES: [&str; 6] = [
    "certfile", "keyfile", "cafile", "capath", "crlfile", "psk_file",
];

/// The files about users and rights, each once, with the option that names it.
fn files(config: &Config) -> Vec<(&'static str, &Path)> {
    let mut files = Vec::new();
    for security in config.listeners.iter().map(|listener| &listener.security) {
        let password_file = security.password_file.as_deref();
        let acl_file = security.acl_file.as_deref();
        files.extend(password_file.map(|file| ("password_file", file)));
        files.extend(acl_file.map(|file| ("acl_file", file)));
    }
    files.sort_unstable();
    files.dedup();
    files
}

/// Reads a password or ACL file as the broker would at its start.
fn read_rights(option: &str, file: &Path, remarks: &mut Vec<String>) -> Result<(), LoadError> {
    if option == "password_file" {
        return PasswordFile::load(file).map(drop);
    }
    let acl = Acl::load(file)?;
    remarks.extend(acl.warnings().iter().map(ToString::to_string));
    Ok(())
}

/// Starts in order: sockets and files, background, privileges, threads.
fn serve(config: Config, source: Source, daemon: bool) -> Result<(), String> {
    let (pid_file, user) = (config.pid_file.clone(), config.user.clone());
    process::take_umask()?;
    let (sockets, problems) = systemd::sockets();
    let broker = Broker::bind_all(config, Some(source), sockets);
    let broker = broker.map_err(|error| error.to_string())?;
    for problem in problems {
        broker.warn(&problem);
    }
    if daemon {
        process::daemonize()?;
    }
    process::raise_descriptor_limit();
    let _pid_file = pid_file.as_deref().map(PidFile::write).transpose()?;
    if let Some(account) = Account::choose(user.as_deref())? {
        if let Some(warning) = &account.warning {
            broker.warn(warning);
        }
        broker.hub.logger().give_to(account.uid, account.gid);
        account.enter()?;
    }
    let linger = Arc::clone(broker.hub.linger());
    let run = async {
        let signals = Signals::listen()?;
        let control = Arc::clone(&broker.control);
        tokio::spawn(systemd::report(Arc::clone(&broker.hub)));
        broker.run(signals.attend(control)).await
    };
    runtime(&linger)
        .and_then(|runtime| runtime.block_on(run))
        .map_err(|error| error.to_string())
}
