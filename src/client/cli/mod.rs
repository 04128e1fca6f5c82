//! The command-line tools `mqtt-pub`, `mqtt-sub` and `mqtt-rr`: the grammar,
//! the output and the exit codes of Mosquitto's clients.
//!
//! The programs call [`run`]; [`pub_command`], [`sub_command`] and
//! [`rr_command`] are the grammars alone, for completions and manuals.

mod coding;
mod connection;
mod debug;
mod environment;
mod failure;
mod format;
mod grammar;
mod json_text;
mod messages;
mod paint;
mod password;
mod place;
mod printer;
mod progress;
mod properties;
mod publish;
mod refused;
mod request;
mod session;
mod subscribe;
mod texts;
mod tls;
mod url;
mod watch;
mod words;

use std::ffi::OsString;
use std::future::Future;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, Command};

pub use grammar::{pub_command, rr_command, sub_command};

use failure::Failure;
use properties::PropertySets;
use words::Words;

/// Which program it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// `mqtt-pub`
    Pub,
    /// `mqtt-sub`
    Sub,
    /// `mqtt-rr`
    Rr,
}

impl Tool {
    /// The grammar of the tool.
    pub fn command(self) -> Command {
        match self {
            Self::Pub => pub_command(),
            Self::Sub => sub_command(),
            Self::Rr => rr_command(),
        }
    }
}

/// The environment variable of each option of a grammar, for manuals.
pub fn environment(command: &Command) -> Vec<(String, String)> {
    let name = |arg: &clap::Arg| match (arg.get_long(), arg.get_short()) {
        (Some(long), _) => format!("--{long}"),
        (None, short) => format!("-{}", short.unwrap_or_default()),
    };
    command
        .get_arguments()
        .filter_map(|arg| Some((environment::variable(arg)?, name(arg))))
        .collect()
}

/// Runs a tool with the words of a command line, the program's name first,
/// and returns its exit code.
pub fn run(tool: Tool, argv: impl IntoIterator<Item = OsString>) -> u8 {
    let mut command = tool.command();
    let name = command.get_name().to_owned();
    let mut quiet = false;
    match start(tool, &mut command, argv.into_iter().skip(1), &mut quiet) {
        Ok(code) => code,
        Err(failure) => failure.report(&name, quiet),
    }
}

fn start(
    tool: Tool,
    command: &mut Command,
    argv: impl Iterator<Item = OsString>,
    quiet: &mut bool,
) -> Result<u8, Failure> {
    let words = words::gather(command, argv)?;
    let (matches, properties) = parse(command, words)?;
    *quiet = matches.get_flag("quiet");
    match tool {
        Tool::Pub => {
            let job = publish::Job::new(&matches, properties)?;
            block_on(publish::run(job))
        }
        Tool::Sub => {
            let job = subscribe::Job::new(&matches, properties)?;
            block_on(subscribe::run(job))
        }
        Tool::Rr => {
            let job = request::Job::new(&matches, properties)?;
            block_on(request::run(job))
        }
    }
}

/// Runs a tool on one thread.
fn block_on(work: impl Future<Output = Result<u8, Failure>>) -> Result<u8, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(Failure::plain)?;
    let result = runtime.block_on(work);
    // A thread may still be reading standard input: don't wait for it.
    runtime.shutdown_background();
    result
}

/// Parses words, and what the environment adds to them.
fn parse(command: &mut Command, words: Words) -> Result<(ArgMatches, PropertySets), Failure> {
    let matches = matches(command, &words.plain)?;
    if !environment::is_used() {
        return Ok((matches, PropertySets::parse(&words.properties)?));
    }
    let mut all = environment::words(command, &matches, environment::value)?;
    all.plain.extend(words.plain);
    if !words.properties.is_empty() {
        all.properties = words.properties;
    }
    let matches = self::matches(command, &all.plain)?;
    Ok((matches, PropertySets::parse(&all.properties)?))
}

/// Parses words; errors are told in Mosquitto's way.
fn matches(command: &mut Command, words: &[OsString]) -> Result<ArgMatches, Failure> {
    let name = OsString::from(command.get_name());
    command
        .try_get_matches_from_mut(std::iter::once(&name).chain(words))
        .map_err(|error| explain(&error, command))
}

fn explain(error: &clap::Error, command: &Command) -> Failure {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    match error.kind() {
        // Mosquitto's tools end with 1 after both.
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            Failure::Silent(1)
        }
        ErrorKind::UnknownArgument => Failure::usage(format_args!(
            "Unknown option '{}'.",
            context(ContextKind::InvalidArg)
        )),
        ErrorKind::InvalidUtf8 => Failure::usage("An argument is not valid UTF-8."),
        ErrorKind::InvalidValue if !context(ContextKind::InvalidValue).is_empty() => {
            let shown = context(ContextKind::InvalidArg);
            let option = shown.split(' ').next().unwrap_or(shown);
            let choices = match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(choices)) => choices.join(", "),
                _ => String::new(),
            };
            Failure::usage(format_args!(
                "Invalid {option} '{}', it must be one of {choices}.",
                context(ContextKind::InvalidValue)
            ))
        }
        ErrorKind::InvalidValue => missing_value(context(ContextKind::InvalidArg), command),
        _ => Failure::usage(error.to_string().trim_start_matches("error: ").trim()),
    }
}

/// `shown` is what clap calls the argument: `--topic <topic>`.
fn missing_value(shown: &str, command: &Command) -> Failure {
    let option = shown.split(' ').next().unwrap_or(shown);
    let found = command.get_arguments().find(|arg| {
        option.strip_prefix("--") == arg.get_long() && arg.get_long().is_some()
            || arg
                .get_short()
                .is_some_and(|short| option == format!("-{short}"))
    });
    let Some(arg) = found else {
        return Failure::usage(format_args!("{shown}: a value is missing."));
    };
    let noun = arg
        .get_value_names()
        .and_then(<[_]>::first)
        .map_or("value", clap::builder::Str::as_str);
    let option = match (arg.get_id().as_str(), arg.get_short()) {
        ("protocol-version", _) => "--protocol-version".to_owned(),
        (_, Some(short)) => format!("-{short}"),
        _ => option.to_owned(),
    };
    Failure::usage(if arg.get_id() == "max-inflight" {
        "-M argument given but max_inflight not specified.".to_owned()
    } else {
        format!("{option} argument given but no {noun} specified.")
    })
}
