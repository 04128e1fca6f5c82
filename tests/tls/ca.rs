//! A certification authority for the length of a test.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};

/// A CA, with its certificate in a file.
pub(crate) struct Ca {
    directory: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    pub(crate) file: PathBuf,
}

/// A certificate and its key, in files.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Pair {
    pub(crate) fn arguments(&self) -> [&str; 4] {
        ["--cert", text(&self.certificate), "--key", text(&self.key)]
    }

    /// The lines of a listener.
    pub(crate) fn lines(&self) -> String {
        let (certificate, key) = (text(&self.certificate), text(&self.key));
        format!("certfile {certificate}\nkeyfile {key}\n")
    }
}

impl Ca {
    pub(crate) fn new(directory: &Path, name: &str) -> Self {
        Self::make(directory, name, CertificateParams::self_signed)
    }

    /// A CA that this one vouches for.
    pub(crate) fn subordinate(&self, name: &str) -> Self {
        Self::make(&self.directory, name, |params, key| {
            params.signed_by(key, &self.issuer)
        })
    }

    fn make(
        directory: &Path,
        name: &str,
        sign: impl FnOnce(&CertificateParams, &KeyPair) -> Result<rcgen::Certificate, rcgen::Error>,
    ) -> Self {
        let mut params = named(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let pem = sign(&params, &key).expect("a certificate").pem();
        let file = directory.join(format!("{name}.crt"));
        std::fs::write(&file, pem).expect("writing a certificate");
        Self {
            directory: directory.to_owned(),
            issuer: Issuer::new(params, key),
            file,
        }
    }

    pub(crate) fn path(&self) -> &str {
        text(&self.file)
    }

    /// A certificate for these DNS names and addresses; the first is the common
    /// name too.
    pub(crate) fn issue(&self, names: &[&str]) -> Pair {
        self.issue_with(names[0], names, |_| {})
    }

    /// A certificate with this common name and nothing else special.
    pub(crate) fn issue_to(&self, common_name: &str) -> Pair {
        self.issue_with(common_name, &[], |_| {})
    }

    pub(crate) fn issue_with(
        &self,
        common_name: &str,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Pair {
        let mut params = named(common_name, names);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        save(&self.directory, &certificate.pem(), &key)
    }

    pub(crate) fn expired(&self, names: &[&str]) -> Pair {
        self.issue_with(names[0], names, |params| {
            params.not_after = date_time_ymd(2020, 2, 1);
        })
    }

    pub(crate) fn not_yet_valid(&self, names: &[&str]) -> Pair {
        self.issue_with(names[0], names, |params| {
            params.not_before = date_time_ymd(3000, 2, 1);
        })
    }

    /// A certificate with this serial number.
    pub(crate) fn numbered(&self, common_name: &str, serial: u64) -> Pair {
        self.issue_with(common_name, &[], |params| {
            params.serial_number = Some(serial.into());
        })
    }

    /// A revocation list with these serial numbers.
    pub(crate) fn revoke(&self, serials: &[u64]) -> PathBuf {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(3000, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).expect("a revocation list");
        let file = fresh(&self.directory, "crl");
        std::fs::write(&file, list.pem().expect("PEM")).expect("writing a revocation list");
        file
    }
}

/// A certificate that is signed by itself and is no CA.
pub(crate) fn self_signed(directory: &Path, names: &[&str]) -> Pair {
    let key = KeyPair::generate().expect("a key");
    let certificate = named(names[0], names)
        .self_signed(&key)
        .expect("a certificate");
    save(directory, &certificate.pem(), &key)
}

fn named(common_name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name.remove(DnType::CommonName);
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Course");
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params
}

fn save(directory: &Path, certificate: &str, key: &KeyPair) -> Pair {
    let pair = Pair {
        certificate: fresh(directory, "crt"),
        key: fresh(directory, "key"),
    };
    std::fs::write(&pair.certificate, certificate).expect("writing a certificate");
    std::fs::write(&pair.key, key.serialize_pem()).expect("writing a key");
    pair
}

fn fresh(directory: &Path, extension: &str) -> PathBuf {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    directory.join(format!("{number}.{extension}"))
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a printable path")
}
