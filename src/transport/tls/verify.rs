//! Whether a peer's certificate is to be trusted.
//!
//! webpki decides, with two additions for the certificates that OpenSSL's
//! recipes made for years and that courses and cupboards are full of. They take
//! nothing away: signature, dates, purpose and name are checked all the same.
//!
//! - A certificate of X.509 version 1, or one that is marked as a CA, is good if
//!   a certificate of `cafile` or `capath` issued it, or if it stands there
//!   itself. webpki knows neither.
//! - Where a certificate has no alternative name of DNS or address kind, its
//!   common name is the name of the server.
//!
//! Revocation lists are looked at here too, for the certificate itself but not
//! for its CAs, as by Mosquitto; OpenSSL makes them in version 1, which webpki
//! doesn't read.

use std::cell::RefCell;
use std::fmt;

use rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{
    CertificateDer, ServerName, SubjectPublicKeyInfoDer, TrustAnchor, UnixTime,
};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use webpki::{EndEntityCert, KeyUsage, RawPublicKeyEntity};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::{ASN1Time, CertificateRevocationList, FromDer, X509Version};
use x509_parser::x509::AlgorithmIdentifier;

use super::Error;
use super::certificate::{alternative_names, common_name, day, describe, parse};
use super::files::Certificate;
use super::rejection::{Why, reject};

pub(super) type Verified<T> = Result<T, rustls::Error>;

/// The certificates that are trusted, and what is revoked of what they issued.
pub(super) struct Trust {
    anchors: Vec<TrustAnchor<'static>>,
    /// The anchors' own certificates, in the same order.
    roots: Vec<Certificate>,
    /// Those of them that somebody named: the CAs of the system have no part
    /// in what goes beyond webpki.
    named: usize,
    algorithms: WebPkiSupportedAlgorithms,
    revoked: Vec<Vec<u8>>,
    /// Dates of certificates don't matter.
    any_date: bool,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trust in {} certificates", self.roots.len())
    }
}

/// What a certificate is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Usage {
    Server,
    Client,
}

impl Trust {
    /// `named` are certificates of files, `system` those of the system.
    pub(super) fn new(
        named: Vec<Certificate>,
        system: Vec<Certificate>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        let with_anchor = |root: Certificate| {
            let anchor = webpki::anchor_from_trusted_cert(&root).ok()?.to_owned();
            Some((anchor, root))
        };
        let named: Vec<_> = named.into_iter().filter_map(with_anchor).collect();
        let count = named.len();
        let system = system.into_iter().filter_map(with_anchor);
        let (anchors, roots) = named.into_iter().chain(system).unzip();
        Self {
            anchors,
            roots,
            named: count,
            algorithms,
            revoked: Vec::new(),
            any_date: false,
        }
    }

    /// Takes revocation lists, and whether dates of certificates don't matter.
    ///
    /// # Errors
    /// A list that cannot be read.
    pub(super) fn with(mut self, revoked: Vec<Vec<u8>>, any_date: bool) -> Result<Self, Error> {
        if revoked.iter().any(|list| revocation_list(list).is_none()) {
            let what = "a revocation list in `crlfile` is damaged";
            return Err(Error::new(what, "make it anew with `openssl ca -gencrl`"));
        }
        self.revoked = revoked;
        self.any_date = any_date;
        Ok(self)
    }

    pub(super) fn roots(&self) -> &[Certificate] {
        &self.roots
    }

    pub(super) fn schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }

    /// Checks chain, dates, purpose and revocation, and the name of a server
    /// where it matters.
    pub(super) fn verify(
        &self,
        usage: Usage,
        end: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server: Option<&ServerName<'_>>,
        now: UnixTime,
    ) -> Verified<()> {
        let checked = parse(end)
            .ok_or_else(|| Why::Other("it cannot be read".to_owned()))
            .and_then(|certificate| {
                self.verify_chain(usage, end, &certificate, intermediates, now)?;
                self.verify_unrevoked(&certificate, intermediates, now)?;
                server.map_or(Ok(()), |server| verify_name(end, &certificate, server))
            });
        checked.map_err(|why| {
            let error = why.for_peer();
            reject(describe(end), why);
            error.into()
        })
    }

    fn verify_chain(
        &self,
        usage: Usage,
        end: &CertificateDer<'_>,
        certificate: &X509Certificate<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Why> {
        let now = if self.any_date {
            valid_moment(certificate, intermediates)
        } else {
            now
        };
        let purpose = match usage {
            Usage::Server => KeyUsage::server_auth(),
            Usage::Client => KeyUsage::client_auth(),
        };
        // webpki doesn't look at the dates of the CA that is trusted itself.
        let expired = RefCell::new(None);
        let is_anchor_valid = |path: &webpki::VerifiedPath<'_>| {
            let anchor = path.anchor();
            let place = self
                .anchors
                .iter()
                .position(|known| std::ptr::eq(known, anchor));
            let Some(root) = place.map(|place| &self.roots[place]) else {
                return Ok(());
            };
            if self.any_date || parse(root).is_some_and(|root| is_valid(&root, now).is_ok()) {
                return Ok(());
            }
            expired.replace(Some(describe(root)));
            Err(webpki::Error::UnknownIssuer)
        };
        let checked = EndEntityCert::try_from(end).and_then(|end| {
            end.verify_for_usage(
                self.algorithms.all,
                &self.anchors,
                intermediates,
                now,
                purpose,
                None,
                Some(&is_anchor_valid),
            )
            .map(drop)
        });
        match (checked, expired.take()) {
            (Ok(()), _) => Ok(()),
            (Err(webpki::Error::UnsupportedCertVersion | webpki::Error::CaUsedAsEndEntity), _) => {
                self.verify_old(usage, end, certificate, now)
            }
            (Err(webpki::Error::UnknownIssuer), Some(issuer)) => Err(Why::IssuerExpired(issuer)),
            (Err(error), _) => Err(Why::from_webpki(&error, certificate)),
        }
    }

    /// What webpki cannot take: version 1, or a CA's certificate in the place
    /// of a server's or a client's. Its issuer must be trusted itself.
    fn verify_old(
        &self,
        usage: Usage,
        end: &CertificateDer<'_>,
        certificate: &X509Certificate<'_>,
        now: UnixTime,
    ) -> Result<(), Why> {
        is_valid(certificate, now)?;
        verify_extensions(usage, certificate)?;
        let named = &self.roots[..self.named];
        if named.iter().any(|root| root.as_ref() == end.as_ref()) {
            return Ok(());
        }
        let issuers = named.iter().filter_map(|der| Some((der, parse(der)?)));
        let issuers = issuers.filter(|(_, root)| {
            root.subject().as_raw() == certificate.issuer().as_raw() && may_issue(root)
        });
        let mut why = if certificate.issuer() == certificate.subject() {
            Why::SelfSigned
        } else if certificate.version() == X509Version::V3 {
            Why::UnknownIssuer
        } else {
            Why::OldForm
        };
        for (der, issuer) in issuers {
            let issued = self.verify_issued(certificate, &issuer);
            let valid =
                is_valid(&issuer, now).or_else(|why| if self.any_date { Ok(()) } else { Err(why) });
            match (issued, valid) {
                (Ok(()), Ok(())) => return Ok(()),
                (Ok(()), Err(_)) => why = Why::IssuerExpired(describe(der)),
                (Err(error), _) => why = error,
            }
        }
        Err(why)
    }

    fn verify_issued(
        &self,
        certificate: &X509Certificate<'_>,
        issuer: &X509Certificate<'_>,
    ) -> Result<(), Why> {
        if certificate.signature_algorithm != certificate.tbs_certificate.signature {
            return Err(Why::BadSignature);
        }
        self.verify_signature(
            issuer,
            &certificate.signature_algorithm,
            certificate.tbs_certificate.as_ref(),
            &certificate.signature_value.data,
        )
    }

    /// Checks a signature by the key of `signer`.
    fn verify_signature(
        &self,
        signer: &X509Certificate<'_>,
        algorithm: &AlgorithmIdentifier<'_>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Why> {
        let oid = algorithm.algorithm.as_bytes();
        let key = SubjectPublicKeyInfoDer::from(signer.public_key().raw);
        let key = RawPublicKeyEntity::try_from(&key).map_err(|_| Why::BadSignature)?;
        let mut known = false;
        for candidate in self.algorithms.all {
            // An object identifier with its tag and length, then parameters.
            let id = candidate.signature_alg_id();
            if id.get(2..).is_some_and(|id| id.starts_with(oid)) && id[1] as usize == oid.len() {
                known = true;
                if key.verify_signature(*candidate, message, signature).is_ok() {
                    return Ok(());
                }
            }
        }
        Err(if known {
            Why::BadSignature
        } else {
            Why::weak()
        })
    }

    fn verify_unrevoked(
        &self,
        certificate: &X509Certificate<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Why> {
        if self.revoked.is_empty() {
            return Ok(());
        }
        let issuer = certificate.issuer().as_raw();
        let mut why = Why::NoRevocationList;
        for list in self.revoked.iter().filter_map(|list| revocation_list(list)) {
            if list.issuer().as_raw() != issuer {
                continue;
            }
            let signers = self.roots.iter().map(AsRef::as_ref);
            let signers = signers.chain(intermediates.iter().map(AsRef::as_ref));
            let signed = signers.filter_map(parse).any(|signer| {
                signer.subject().as_raw() == issuer
                    && may_sign_lists(&signer)
                    && self
                        .verify_signature(
                            &signer,
                            &list.signature_algorithm,
                            list.tbs_cert_list.as_ref(),
                            &list.signature_value.data,
                        )
                        .is_ok()
            });
            if !signed || list.extensions().iter().any(|extension| extension.critical) {
                continue;
            }
            let serial = certificate.raw_serial();
            if list
                .iter_revoked_certificates()
                .any(|entry| entry.raw_serial() == serial)
            {
                return Err(Why::Revoked);
            }
            match list.next_update() {
                Some(until) if is_past(until, now) && !self.any_date => {
                    why = Why::OldRevocationList(day(until));
                }
                _ => return Ok(()),
            }
        }
        Err(why)
    }

    /// The signature by which a peer shows that it has the key of its
    /// certificate, in TLS 1.2.
    pub(super) fn verify_tls12(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Verified<rustls::client::danger::HandshakeSignatureValid> {
        if !is_old(certificate) {
            return verify_tls12_signature(message, certificate, signed, &self.algorithms);
        }
        let bad = || rustls::Error::from(CertificateError::BadSignature);
        let key = public_key(certificate).ok_or_else(bad)?;
        let key = RawPublicKeyEntity::try_from(&key).map_err(|_| bad())?;
        let mapping = self.algorithms.mapping.iter();
        let candidates = mapping
            .filter(|(scheme, _)| *scheme == signed.scheme)
            .flat_map(|(_, candidates)| *candidates);
        for candidate in candidates {
            if key
                .verify_signature(*candidate, message, signed.signature())
                .is_ok()
            {
                return Ok(rustls::client::danger::HandshakeSignatureValid::assertion());
            }
        }
        Err(bad())
    }

    /// The same in TLS 1.3.
    pub(super) fn verify_tls13(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Verified<rustls::client::danger::HandshakeSignatureValid> {
        if !is_old(certificate) {
            return verify_tls13_signature(message, certificate, signed, &self.algorithms);
        }
        let key = public_key(certificate).ok_or(CertificateError::BadEncoding)?;
        verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms)
    }
}

/// Whether webpki cannot read it.
fn is_old(certificate: &CertificateDer<'_>) -> bool {
    EndEntityCert::try_from(certificate).is_err()
}

fn public_key(certificate: &[u8]) -> Option<SubjectPublicKeyInfoDer<'static>> {
    Some(parse(certificate)?.public_key().raw.to_vec().into())
}

fn seconds(now: UnixTime) -> i64 {
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

fn is_past(time: ASN1Time, now: UnixTime) -> bool {
    time.timestamp() < seconds(now)
}

fn is_valid(certificate: &X509Certificate<'_>, now: UnixTime) -> Result<(), Why> {
    let validity = certificate.validity();
    if is_past(validity.not_after, now) {
        Err(Why::Expired)
    } else if validity.not_before.timestamp() > seconds(now) {
        Err(Why::NotYetValid)
    } else {
        Ok(())
    }
}

/// A moment at which a certificate and those that came with it were all valid,
/// if there is one.
fn valid_moment(certificate: &X509Certificate<'_>, others: &[CertificateDer<'_>]) -> UnixTime {
    let starts = others.iter().filter_map(|other| parse(other));
    let latest = starts
        .map(|other| other.validity().not_before.timestamp())
        .chain([certificate.validity().not_before.timestamp()])
        .max();
    let seconds = latest.and_then(|latest| u64::try_from(latest).ok());
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds.unwrap_or(0)))
}

/// Whether a certificate of `cafile` may have issued others. Those that say
/// nothing about it may: they are trusted by name.
fn may_issue(root: &X509Certificate<'_>) -> bool {
    let is_ca = root
        .basic_constraints()
        .ok()
        .flatten()
        .is_none_or(|found| found.value.ca);
    let signs = root
        .key_usage()
        .ok()
        .flatten()
        .is_none_or(|found| found.value.key_cert_sign());
    is_ca && signs && matches!(root.name_constraints(), Ok(None))
}

fn may_sign_lists(signer: &X509Certificate<'_>) -> bool {
    signer
        .key_usage()
        .ok()
        .flatten()
        .is_none_or(|found| found.value.crl_sign())
}

/// Extensions of a certificate of version 3 that webpki didn't look at.
fn verify_extensions(usage: Usage, certificate: &X509Certificate<'_>) -> Result<(), Why> {
    // Key usage, alternative name, basic constraints, policies, extended usage.
    const KNOWN: [&str; 5] = [
        "2.5.29.15",
        "2.5.29.17",
        "2.5.29.19",
        "2.5.29.32",
        "2.5.29.37",
    ];
    let unknown = certificate.extensions().iter().any(|extension| {
        extension.critical && !KNOWN.contains(&extension.oid.to_id_string().as_str())
    });
    if unknown {
        return Err(Why::Other(
            "it has a critical extension that is not known".to_owned(),
        ));
    }
    match certificate.extended_key_usage() {
        Ok(None) => Ok(()),
        Ok(Some(found)) if found.value.any => Ok(()),
        Ok(Some(found)) if usage == Usage::Server && found.value.server_auth => Ok(()),
        Ok(Some(found)) if usage == Usage::Client && found.value.client_auth => Ok(()),
        _ => Err(Why::WrongPurpose),
    }
}

fn revocation_list(der: &[u8]) -> Option<CertificateRevocationList<'_>> {
    Some(CertificateRevocationList::from_der(der).ok()?.1)
}

fn verify_name(
    end: &CertificateDer<'_>,
    certificate: &X509Certificate<'_>,
    server: &ServerName<'_>,
) -> Result<(), Why> {
    if let Ok(end) = EndEntityCert::try_from(end)
        && end.verify_is_valid_for_subject_name(server).is_ok()
    {
        return Ok(());
    }
    let mut names = alternative_names(certificate);
    let common = common_name(certificate);
    let expected = server.to_str().into_owned();
    if names.is_empty() {
        if common
            .as_deref()
            .is_some_and(|common| is_name_of(common, &expected))
        {
            return Ok(());
        }
        names.extend(common);
    }
    Err(Why::WrongName { expected, names })
}

/// Whether a common name means this host: the same, or with `*` for its first
/// label.
fn is_name_of(common: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    if common.eq_ignore_ascii_case(host) {
        return true;
    }
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    match (common.strip_prefix("*."), host.split_once('.')) {
        (Some(domain), Some((_, rest))) if !is_address => {
            domain.contains('.') && domain.eq_ignore_ascii_case(rest)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::rejection::take_rejection;
    use super::*;

    #[test]
    fn common_names_are_compared_as_host_names() {
        for (common, host) in [
            ("broker", "BROKER"),
            ("broker.example.org", "broker.example.org."),
            ("*.example.org", "broker.example.org"),
            ("192.0.2.1", "192.0.2.1"),
        ] {
            assert!(is_name_of(common, host), "{common} {host}");
        }
        for (common, host) in [
            ("broker", "broker2"),
            ("*", "broker"),
            ("*.org", "example.org"),
            ("*.example.org", "a.b.example.org"),
            ("*.example.org", "example.org"),
            ("*.0.2.1", "192.0.2.1"),
            ("b*.example.org", "broker.example.org"),
        ] {
            assert!(!is_name_of(common, host), "{common} {host}");
        }
    }

    /// Checks a certificate that `cafile` doesn't know better than webpki, at
    /// a time.
    fn check(
        made: &rcgen::CertificateParams,
        ca: &rcgen::CertificateParams,
        year: i64,
    ) -> Result<(), Why> {
        let ca_key = rcgen::KeyPair::generate().expect("a key");
        let root = ca
            .self_signed(&ca_key)
            .expect("a certificate")
            .der()
            .clone();
        let key = rcgen::KeyPair::generate().expect("a key");
        let issuer = rcgen::Issuer::from_params(ca, &ca_key);
        let end = made
            .signed_by(&key, &issuer)
            .expect("a certificate")
            .der()
            .clone();
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        let trust = Trust::new(vec![root], Vec::new(), algorithms);
        let seconds = (year - 1970) * 365 * 86_400;
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds as u64));
        match trust.verify(Usage::Client, &end, &[], None, now) {
            Ok(()) => Ok(()),
            Err(_) => Err(take_rejection().expect("a reason").why),
        }
    }

    fn ca() -> rcgen::CertificateParams {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "CA");
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        params
    }

    #[test]
    fn a_ca_that_has_expired_vouches_for_nobody() {
        let end = rcgen::CertificateParams::default();
        assert_eq!(check(&end, &ca(), 2027), Ok(()));
        assert!(matches!(
            check(&end, &ca(), 2032),
            Err(Why::IssuerExpired(_))
        ));
    }

    /// Certificates that are marked as CAs, as some recipes make all of theirs.
    #[test]
    fn what_webpki_leaves_to_us_is_checked_as_strictly() {
        let mut end = rcgen::CertificateParams::default();
        end.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        end.distinguished_name
            .push(rcgen::DnType::CommonName, "joe");
        end.not_before = rcgen::date_time_ymd(2025, 1, 1);
        end.not_after = rcgen::date_time_ymd(2028, 1, 1);
        assert_eq!(check(&end, &ca(), 2027), Ok(()));
        assert_eq!(check(&end, &ca(), 2029), Err(Why::Expired));
        assert_eq!(check(&end, &ca(), 2024), Err(Why::NotYetValid));

        let mut other = end.clone();
        other.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        assert_eq!(check(&other, &ca(), 2027), Err(Why::WrongPurpose));
        other
            .extended_key_usages
            .push(rcgen::ExtendedKeyUsagePurpose::ClientAuth);
        assert_eq!(check(&other, &ca(), 2027), Ok(()));

        let mut odd = rcgen::CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
        odd.set_criticality(true);
        let mut strange = end.clone();
        strange.custom_extensions.push(odd);
        assert!(matches!(check(&strange, &ca(), 2027), Err(Why::Other(_))));

        let mut no_ca = ca();
        no_ca.is_ca = rcgen::IsCa::ExplicitNoCa;
        assert_eq!(check(&end, &no_ca, 2027), Err(Why::UnknownIssuer));
        let mut short = ca();
        short.not_after = rcgen::date_time_ymd(2026, 1, 1);
        assert!(matches!(
            check(&end, &short, 2027),
            Err(Why::IssuerExpired(_))
        ));
        let mut narrow = ca();
        narrow.name_constraints = Some(rcgen::NameConstraints {
            permitted_subtrees: vec![rcgen::GeneralSubtree::DnsName("example.org".into())],
            excluded_subtrees: Vec::new(),
        });
        assert_eq!(check(&end, &narrow, 2027), Err(Why::UnknownIssuer));
    }
}
