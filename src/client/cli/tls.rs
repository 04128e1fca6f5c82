//! The options of TLS.

use clap::ArgMatches;

use super::connection::text;
use super::failure::Failure;
use super::url::Url;
use crate::auth::psk_key;
use crate::config::{Ciphers, OpensslCiphers, TlsVersion};
use crate::transport::tls::{ClientOptions, Connector, Error, PskOptions};

/// The port of MQTT over TLS.
const TLS_PORT: u16 = 8883;

/// The longest identity of a pre-shared key, in bytes.
const MAX_IDENTITY: usize = 128;

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
    if let Some(key) = text(matches, "psk") {
        return by_psk(matches, key).map(Some);
    }
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

/// TLS by a pre-shared key.
fn by_psk(matches: &ArgMatches, key: &str) -> Result<Connector, Failure> {
    let refuse = |hint: &str| {
        Err(Failure::plain("Problem setting TLS-PSK options.").with_hint(Some(hint.to_owned())))
    };
    let identity = text(matches, "psk-identity").unwrap_or_default();
    if !(1..=MAX_IDENTITY).contains(&identity.len()) || identity.contains('\0') {
        return refuse("the identity has 1 to 128 bytes");
    }
    let Some(key) = psk_key(key) else {
        return refuse("the key is an even number of hexadecimal digits without 0x, 512 at most");
    };
    let options = PskOptions {
        identity: identity.to_owned(),
        key,
        version: version(matches)?,
        ciphers: text(matches, "ciphers").map_or_else(OpensslCiphers::default, openssl_ciphers),
        alpn: text(matches, "tls-alpn").map(str::to_owned),
        key_log: text(matches, "tls-keylog").map(Into::into),
    };
    Connector::with_psk(&options).map_err(|error| explain(&error))
}

/// Splits a list by version, for OpenSSL has a list for each.
fn openssl_ciphers(list: &str) -> OpensslCiphers {
    let words = list.split([':', ',', ' ']).filter(|word| !word.is_empty());
    let (tls13, tls12): (Vec<_>, Vec<_>) = words.partition(|word| word.starts_with("TLS_"));
    let joined = |words: Vec<_>| (!words.is_empty()).then(|| words.join(":"));
    OpensslCiphers {
        tls12: joined(tls12),
        tls13: joined(tls13),
    }
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
    check_psk_usage(matches)?;
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

fn check_psk_usage(matches: &ArgMatches) -> Result<(), Failure> {
    let (key, identity) = (
        matches.contains_id("psk"),
        matches.contains_id("psk-identity"),
    );
    if !key && identity {
        return Err(Failure::usage("--psk required if --psk-identity used."));
    }
    if !key {
        return Ok(());
    }
    if matches.contains_id("cafile") || matches.contains_id("capath") {
        return Err(Failure::usage(
            "Only one of --psk or --cafile/--capath may be used at once.",
        ));
    }
    if !identity {
        return Err(Failure::usage("--psk-identity required if --psk used."));
    }
    let certificates = ["cert", "key", "tls-use-os-certs"].iter();
    match certificates.copied().find(|id| is_given(matches, id)) {
        None => Ok(()),
        Some(id) => Err(Failure::usage(format_args!(
            "Only one of --psk or --{id} may be used at once."
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
