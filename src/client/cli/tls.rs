//! The options of TLS.

use clap::ArgMatches;

use super::connection::text;
use super::failure::Failure;
use super::url::Url;
use crate::config::{Ciphers, TlsVersion};
use crate::transport::tls::{ClientOptions, Connector, Error};

/// The port of MQTT over TLS.
const TLS_PORT: u16 = 8883;

/// Options that have no effect without TLS.
const NEED_TLS: [&str; 7] = [
    "cert",
    "key",
    "insecure",
    "ciphers",
    "tls-version",
    "tls-alpn",
    "tls-keylog",
];

/// What makes the connection TLS; none where it is not. `port` is the one that
/// was named.
pub(super) fn connector(
    matches: &ArgMatches,
    url: Option<&Url>,
    port: Option<u16>,
) -> Result<Option<Connector>, Failure> {
    check_usage(matches)?;
    if matches.get_flag("no-tls") {
        return Ok(None);
    }
    let file = |id| text(matches, id).map(Into::into);
    let named = matches.contains_id("cafile") || matches.contains_id("capath");
    let os_certificates = matches.get_flag("tls-use-os-certs")
        || url.is_some_and(|url| url.tls)
        || port == Some(TLS_PORT) && !named;
    if !named && !os_certificates {
        return match NEED_TLS.iter().find(|id| is_given(matches, id)) {
            None => Ok(None),
            Some(id) => Err(Failure::usage(format_args!(
                "--{id} is about TLS, add --cafile, --capath or --tls-use-os-certs."
            ))),
        };
    }
    let options = ClientOptions {
        cafile: file("cafile"),
        capath: file("capath"),
        os_certificates,
        certificate: file("cert").zip(file("key")),
        insecure: matches.get_flag("insecure"),
        version: version(matches)?,
        ciphers: ciphers(matches)?,
        alpn: text(matches, "tls-alpn").map(str::to_owned),
        key_log: file("tls-keylog"),
    };
    Connector::new(&options)
        .map(Some)
        .map_err(|error| explain(&error))
}

fn is_given(matches: &ArgMatches, id: &str) -> bool {
    matches.value_source(id) == Some(clap::parser::ValueSource::CommandLine)
}

fn check_usage(matches: &ArgMatches) -> Result<(), Failure> {
    if matches.contains_id("cert") != matches.contains_id("key") {
        return Err(Failure::usage(
            "Both certfile and keyfile must be provided if one of them is set.",
        ));
    }
    match text(matches, "keyform") {
        Some(_) if !matches.contains_id("key") => Err(Failure::usage(
            "If keyform is set, keyfile must be also specified.",
        )),
        None | Some("pem") => Ok(()),
        Some("engine") => Err(Failure::plain(
            "--keyform engine: OpenSSL engines are not supported; use a key in a file with --key.",
        )),
        Some(other) => Err(Failure::plain(format_args!(
            "--keyform {other}: keys are in files of the form pem."
        ))),
    }
}

fn version(matches: &ArgMatches) -> Result<TlsVersion, Failure> {
    text(matches, "tls-version").map_or(Ok(TlsVersion::default()), |word| {
        TlsVersion::parse(word).map_err(|why| {
            Failure::plain("Problem setting TLS options, check the options are valid.").with_hint(
                Some(format!(
                    "--tls-version {word}: {why}; tlsv1.2 and tlsv1.3 are"
                )),
            )
        })
    })
}

fn ciphers(matches: &ArgMatches) -> Result<Ciphers, Failure> {
    text(matches, "ciphers").map_or(Ok(Ciphers::default()), |list| {
        Ciphers::parse(list).map_err(|nothing| {
            Failure::plain("Problem setting TLS options, check the options are valid.")
                .with_hint(Some(format!("--ciphers {list} leaves nothing; {nothing}")))
        })
    })
}

fn explain(error: &Error) -> Failure {
    let help = Some(error.help().to_owned()).filter(|help| !help.is_empty());
    Failure::plain(format_args!(
        "Problem setting TLS options: {}.",
        error.what()
    ))
    .with_hint(help)
}
