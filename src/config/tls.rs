//! The TLS of a listener.

use std::path::{Path, PathBuf};

use super::ciphers::Ciphers;
use super::read::Entry;
use super::value::{Change, Fault};
use super::{Diagnostic, Listener, Severity};

/// What a listener does about TLS. The default is nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// `certfile`: the listener's certificate, and those of the CAs between it
    /// and the root. With `keyfile` it makes the listener one with TLS.
    pub certfile: Option<PathBuf>,
    /// `keyfile`: its private key.
    pub keyfile: Option<PathBuf>,
    /// `cafile`: the CAs whose clients are trusted.
    pub cafile: Option<PathBuf>,
    /// `capath`: a directory with more of them.
    pub capath: Option<PathBuf>,
    /// `crlfile`: which of the clients' certificates are revoked.
    pub crlfile: Option<PathBuf>,
    /// `require_certificate`: whether a client must have a certificate.
    /// Default: false.
    pub require_certificate: bool,
    /// `use_identity_as_username`: whether the common name of the certificate
    /// is the user name. Default: false.
    pub use_identity_as_username: bool,
    /// `use_subject_as_username`: whether its whole subject is. Default: false.
    pub use_subject_as_username: bool,
    /// `disable_client_cert_date_checks`: whether the dates of the clients'
    /// certificates and of the revocation list don't matter. Default: false.
    pub disable_client_cert_date_checks: bool,
    /// `tls_version`: the lowest version. Default: 1.2.
    pub version: TlsVersion,
    /// `ciphers`, `ciphers_tls1.3`: the cipher suites. Default: all.
    pub ciphers: Ciphers,
    /// `psk_file`: identities and pre-shared keys of clients.
    pub psk_file: Option<PathBuf>,
    /// `psk_hint`: makes the listener one with TLS by pre-shared keys, and
    /// without certificates. Only the cargo feature `psk` can do it.
    pub psk_hint: Option<String>,
    /// `ciphers` and `ciphers_tls1.3` as they are written: with pre-shared keys
    /// OpenSSL reads them.
    pub openssl_ciphers: OpensslCiphers,
}

/// Lists of cipher suites for OpenSSL (ciphers(1)). The default leaves the
/// choice open.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpensslCiphers {
    /// Those of TLS 1.2.
    pub tls12: Option<String>,
    /// Those of TLS 1.3.
    pub tls13: Option<String>,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsVersion {
    /// TLS 1.2
    #[default]
    V12,
    /// TLS 1.3
    V13,
}

/// Which part of a client's certificate is its user name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsIdentity {
    /// None: user name and password count.
    None,
    /// The common name of the subject.
    CommonName,
    /// The whole subject, as RFC 2253 writes it.
    Subject,
}

impl Tls {
    /// Whether the listener speaks TLS.
    pub fn is_on(&self) -> bool {
        self.has_certificate() || self.psk_hint.is_some()
    }

    fn has_certificate(&self) -> bool {
        self.certfile.is_some() && self.keyfile.is_some()
    }

    /// The files that are named; a directory is none.
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let files = [&self.certfile, &self.keyfile, &self.cafile, &self.crlfile];
        files.into_iter().flatten()
    }

    /// Which part of a certificate is the user name.
    pub fn identity(&self) -> TlsIdentity {
        if self.use_identity_as_username {
            TlsIdentity::CommonName
        } else if self.use_subject_as_username {
            TlsIdentity::Subject
        } else {
            TlsIdentity::None
        }
    }
}

impl TlsVersion {
    /// Reads `tlsv1.2` or `tlsv1.3`.
    ///
    /// # Errors
    /// Another version, and why it isn't here.
    pub fn parse(word: &str) -> Result<Self, &'static str> {
        match word {
            "tlsv1.2" => Ok(Self::V12),
            "tlsv1.3" => Ok(Self::V13),
            "tlsv1" | "tlsv1.0" | "tlsv1.1" => {
                Err("TLS 1.0 and 1.1 are broken (RFC 8996) and not supported")
            }
            _ => Err("this is no version of TLS"),
        }
    }
}

/// Reads `tls_version`.
pub(super) fn version(value: &str) -> Result<Change<Listener>, Fault> {
    let version = TlsVersion::parse(value).map_err(|why| {
        let help = "write `tlsv1.2` or `tlsv1.3`; both are on without the line";
        Fault::new(value, why, help)
    })?;
    Ok(Box::new(move |listener| listener.tls.version = version))
}

/// Reads `ciphers`.
#[expect(clippy::unnecessary_wraps, reason = "the form that the table wants")]
pub(super) fn ciphers(value: &str) -> Result<Change<Listener>, Fault> {
    let (text, list) = (value.to_owned(), Ciphers::parse_tls12(value).ok());
    Ok(Box::new(move |listener| {
        listener.tls.openssl_ciphers.tls12 = Some(text.clone());
        listener.tls.ciphers.tls12.clone_from(&list);
    }))
}

/// Reads `ciphers_tls1.3`.
#[expect(clippy::unnecessary_wraps, reason = "the form that the table wants")]
pub(super) fn ciphers_tls13(value: &str) -> Result<Change<Listener>, Fault> {
    let (text, list) = (value.to_owned(), Ciphers::parse_tls13(value).ok());
    Ok(Box::new(move |listener| {
        listener.tls.openssl_ciphers.tls13 = Some(text.clone());
        listener.tls.ciphers.tls13.clone_from(&list);
    }))
}

/// A list of cipher suites that leaves none. Which there are, depends on other
/// lines.
fn no_cipher(entry: &Entry<Listener>) -> Option<Diagnostic> {
    let list = match entry.option.name {
        "ciphers" => Ciphers::parse_tls12(&entry.value),
        "ciphers_tls1.3" => Ciphers::parse_tls13(&entry.value),
        _ => return None,
    };
    let nothing = list.err()?;
    Some(Diagnostic {
        severity: Severity::Error,
        message: format!("`{}` leaves no cipher suite", entry.value),
        ..entry.warning.clone().with_help(nothing.to_string())
    })
}

/// Mistakes that show when all lines of a listener are known.
pub(super) fn mistakes<'a>(
    entries: impl Iterator<Item = &'a Entry<Listener>>,
    listener: &Listener,
) -> Vec<Diagnostic> {
    let tls = &listener.tls;
    // A proxy in front may speak TLS, and tell of it.
    let told = listener.proxy_protocol == Some(2) && !tls.is_on();
    let by_psk = tls.psk_hint.is_some();
    let mut found = Vec::new();
    for entry in entries {
        if !by_psk {
            found.extend(no_cipher(entry));
        }
        let mistake = match entry.option.name {
            "certfile" | "keyfile" | "cafile" | "capath" | "crlfile" if by_psk => Some((
                "a listener with `psk_hint` has no certificates",
                "remove the line, or give the certificate a `listener` of its own",
            )),
            "require_certificate" if by_psk && tls.require_certificate => Some((
                "a listener with `psk_hint` has no certificates",
                "remove the line; a client needs a key of `psk_file` in any case",
            )),
            "use_subject_as_username" if by_psk && tls.use_subject_as_username => Some((
                "a listener with `psk_hint` has no certificates",
                "write `use_identity_as_username true`, for the identity of the key",
            )),
            "psk_hint" if tls.psk_file.is_none() => Some((
                "there are no keys, so all clients would be refused",
                "write `psk_file FILE` too",
            )),
            "certfile" if tls.keyfile.is_none() => Some((
                "`certfile` lacks the key that belongs to it",
                "write `keyfile FILE` too",
            )),
            "keyfile" if tls.certfile.is_none() => Some((
                "`keyfile` lacks the certificate that belongs to it",
                "write `certfile FILE` too",
            )),
            "cafile" | "capath" if tls.certfile.is_none() && tls.keyfile.is_none() => Some((
                "this alone doesn't make the listener use TLS",
                "write `certfile FILE` and `keyfile FILE` too, or remove the line",
            )),
            "use_subject_as_username" if told && tls.use_subject_as_username => Some((
                "the PROXY header doesn't tell the subject of a certificate",
                "write `use_identity_as_username true`, for its common name",
            )),
            "require_certificate" if tls.require_certificate && !told => {
                if tls.certfile.is_none() && tls.keyfile.is_none() {
                    Some((
                        "there are no certificates without TLS",
                        "write `certfile FILE` and `keyfile FILE` too, or remove the line",
                    ))
                } else if tls.cafile.is_none() && tls.capath.is_none() {
                    Some((
                        "no certificate could be trusted",
                        "write `cafile FILE` with the CA that issues the clients' certificates",
                    ))
                } else {
                    None
                }
            }
            "use_identity_as_username" | "use_subject_as_username"
                if tls.has_certificate()
                    && tls.identity() != TlsIdentity::None
                    && !tls.require_certificate =>
            {
                Some((
                    "clients are not asked for a certificate, so all would be refused",
                    "write `require_certificate true` too",
                ))
            }
            "crlfile" if !tls.require_certificate => Some((
                "clients are not asked for a certificate that could be revoked",
                "write `require_certificate true` too, or remove the line",
            )),
            _ => None,
        };
        if let Some((message, help)) = mistake {
            found.push(Diagnostic {
                severity: Severity::Error,
                message: message.to_owned(),
                ..entry.warning.clone().with_help(help)
            });
        }
    }
    found
}

/// Mistakes about pre-shared keys that show when all listeners are known.
pub(super) fn psk_mistakes<'a>(
    entries: impl Iterator<Item = &'a Entry<Listener>>,
    listeners: &[Listener],
) -> Vec<Diagnostic> {
    let is_used = |file: &str| {
        let mut all = listeners.iter().map(|listener| &listener.tls);
        all.any(|tls| tls.psk_hint.is_some() && tls.psk_file.as_deref() == Some(Path::new(file)))
    };
    let mut found = Vec::new();
    for entry in entries {
        let mistake = match entry.option.name {
            "psk_file" | "psk_hint" if !cfg!(feature = "psk") => Some((
                "this broker was built without TLS by pre-shared keys",
                "build one with `cargo install --path . --features psk`, which needs OpenSSL; or \
                 remove the line and use `certfile` and `keyfile`",
            )),
            "psk_file" if !is_used(&entry.value) => Some((
                "this alone doesn't make a listener use TLS",
                "write `psk_hint TEXT` below the `listener` that it is for, or remove the line",
            )),
            _ => None,
        };
        found.extend(mistake.map(|(message, help)| Diagnostic {
            severity: Severity::Error,
            message: message.to_owned(),
            ..entry.warning.clone().with_help(help)
        }));
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{Cipher, Config, TlsIdentity, TlsVersion};

    fn parse(lines: &str) -> Result<Config, String> {
        let text = format!("listener 8883\n{lines}");
        Config::parse(&text, "m.conf").map_err(|mistakes| mistakes.to_string())
    }

    const ON: &str = "certfile /c\nkeyfile /k\n";

    #[test]
    fn options_reach_the_listener() {
        let lines = "cafile /ca\ncapath /cas\ncrlfile /crl\nrequire_certificate true\n\
                     use_subject_as_username true\ntls_version tlsv1.3\n\
                     ciphers_tls1.3 TLS_AES_128_GCM_SHA256\ndisable_client_cert_date_checks true\n";
        let config = parse(&format!("{ON}{lines}")).unwrap();
        let tls = &config.listeners[0].tls;
        assert!(tls.is_on() && tls.require_certificate && tls.disable_client_cert_date_checks);
        assert_eq!(tls.identity(), TlsIdentity::Subject);
        assert_eq!(tls.version, TlsVersion::V13);
        assert_eq!(tls.ciphers.tls13, Some(vec![Cipher::Aes128GcmSha256]));
        assert_eq!(tls.crlfile.as_deref(), Some(Path::new("/crl")));
    }

    /// With both, the common name counts, as with Mosquitto.
    #[test]
    fn the_common_name_goes_before_the_subject() {
        let lines = "cafile /ca\nrequire_certificate true\nuse_subject_as_username true\n\
                     use_identity_as_username true\n";
        let config = parse(&format!("{ON}{lines}")).unwrap();
        assert_eq!(config.listeners[0].tls.identity(), TlsIdentity::CommonName);
    }

    #[test]
    fn what_belongs_together_must_stand_together() {
        for (lines, line, help) in [
            ("certfile /c\n", 2, "keyfile FILE"),
            ("keyfile /k\n", 2, "certfile FILE"),
            ("cafile /ca\n", 2, "certfile FILE"),
            ("require_certificate true\n", 2, "certfile FILE"),
            (
                "certfile /c\nkeyfile /k\nrequire_certificate true\n",
                4,
                "cafile FILE",
            ),
            (
                "certfile /c\nkeyfile /k\nuse_identity_as_username true\n",
                4,
                "require_certificate true",
            ),
            (
                "certfile /c\nkeyfile /k\ncrlfile /crl\n",
                4,
                "require_certificate true",
            ),
        ] {
            let mistakes = parse(lines).unwrap_err();
            assert!(
                mistakes.contains(&format!("m.conf:{line}:1: error")),
                "{mistakes}"
            );
            assert!(mistakes.contains(help), "{mistakes}");
        }
    }

    #[test]
    fn versions_and_ciphers_that_are_gone_are_refused_with_the_reason() {
        for (line, word) in [
            ("tls_version tlsv1.1", "RFC 8996"),
            ("tls_version 1.2", "write `tlsv1.2`"),
            ("ciphers AES256-SHA", "ECDHE-RSA-AES256-GCM-SHA384"),
            ("ciphers_tls1.3 HIGH", "TLS_AES_256_GCM_SHA384"),
            ("tls_engine pkcs11", "OpenSSL engines"),
            ("tls_keyform engine", "OpenSSL engines"),
        ] {
            let mistakes = parse(&format!("{ON}{line}\n")).unwrap_err();
            assert!(mistakes.contains(word), "{mistakes}");
        }
        let config = parse(&format!("{ON}dhparamfile /d\ntls_keyform pem\n")).unwrap();
        assert!(config.warnings[0].to_string().contains("elliptic curves"));
    }

    #[test]
    #[cfg(not(feature = "psk"))]
    fn pre_shared_keys_need_another_build() {
        for lines in ["psk_file /p\n", "psk_hint h\npsk_file /p\n"] {
            let mistakes = parse(lines).unwrap_err();
            assert!(mistakes.contains("--features psk"), "{mistakes}");
        }
    }

    #[test]
    #[cfg(feature = "psk")]
    fn a_hint_makes_tls_by_the_keys_of_the_file() {
        let text = "psk_file /p\nlistener 1883\nlistener 8883\npsk_hint a hint\n\
                    ciphers PSK-AES128-CCM8\nuse_identity_as_username true\n";
        let config = Config::parse(text, "m.conf").unwrap();
        let [plain, psk] = &config.listeners[..] else {
            panic!("two listeners");
        };
        assert!(!plain.tls.is_on() && psk.tls.is_on());
        assert_eq!(psk.tls.psk_hint.as_deref(), Some("a hint"));
        assert_eq!(psk.tls.psk_file.as_deref(), Some(Path::new("/p")));
        let ciphers = psk.tls.openssl_ciphers.tls12.as_deref();
        assert_eq!(ciphers, Some("PSK-AES128-CCM8"));
        assert!(config.files().contains(&"/p".into()));
    }

    #[test]
    #[cfg(feature = "psk")]
    fn keys_and_certificates_have_their_own_listeners() {
        for (lines, line, help) in [
            ("psk_file /p\n", 2, "psk_hint TEXT"),
            ("psk_hint h\n", 2, "psk_file FILE"),
            (
                "psk_hint h\npsk_file /p\ncertfile /c\nkeyfile /k\n",
                5,
                "of its own",
            ),
            (
                "psk_hint h\npsk_file /p\nrequire_certificate true\n",
                4,
                "in any case",
            ),
            (
                "psk_hint h\npsk_file /p\nuse_subject_as_username true\n",
                4,
                "use_identity_as_username",
            ),
        ] {
            let mistakes = parse(lines).unwrap_err();
            assert!(
                mistakes.contains(&format!("m.conf:{line}:1: error")),
                "{mistakes}"
            );
            assert!(mistakes.contains(help), "{mistakes}");
        }
    }

    #[test]
    fn options_above_the_first_listener_are_checked_too() {
        let mistakes = Config::parse("certfile /c\nlistener 8883\n", "m.conf").unwrap_err();
        assert!(
            mistakes.to_string().contains("m.conf:1:1: error"),
            "{mistakes}"
        );
    }
}
