//! Certificates and revocation lists in files and directories.

use std::fs;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Error;
use super::pem::sections;

pub(super) type Certificate = CertificateDer<'static>;

pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| {
        let help = match error.kind() {
            std::io::ErrorKind::NotFound => "is the path right?".to_owned(),
            std::io::ErrorKind::PermissionDenied => format!(
                "let this user read it, for instance with `chgrp` and `chmod 640 {}`",
                path.display()
            ),
            _ => String::new(),
        };
        Error::new(format!("cannot read {}: {error}", path.display()), help)
    })
}

/// The certificates of a file, at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<Certificate>, Error> {
    let bytes = read(path)?;
    let found = certificates_in(path, &bytes)?;
    if !found.is_empty() {
        return Ok(found);
    }
    let help = if X509Certificate::from_der(&bytes).is_ok() {
        format!(
            "it is in DER form; make it PEM with `openssl x509 -inform der -in {0} -out {0}.pem`",
            path.display()
        )
    } else {
        "is it the right file? A certificate begins with -----BEGIN CERTIFICATE-----".to_owned()
    };
    let what = format!("{} holds no certificate in PEM form", path.display());
    Err(Error::new(what, help))
}

fn certificates_in(path: &Path, bytes: &[u8]) -> Result<Vec<Certificate>, Error> {
    let sections = sections(bytes).map_err(|what| Error::in_file(path, what))?;
    sections
        .into_iter()
        .filter(|section| matches!(&*section.label, "CERTIFICATE" | "X509 CERTIFICATE"))
        .map(
            |section| match X509Certificate::from_der(&section.content) {
                Ok(_) => Ok(section.content.into()),
                Err(error) => Err(Error::in_file(
                    path,
                    format!("a certificate in it is damaged: {error}"),
                )),
            },
        )
        .collect()
}

/// The certificates in the files of a directory. Any name will do, hashed or
/// not; what is no certificate is passed over.
pub(super) fn directory(path: &Path) -> Result<Vec<Certificate>, Error> {
    let entries = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.map_err(|error| {
        let what = format!("cannot read the directory {}: {error}", path.display());
        Error::new(what, "is the path right?")
    })?;
    let mut found = Vec::new();
    for file in entries.iter().map(fs::DirEntry::path) {
        if let Ok(bytes) = fs::read(&file)
            && let Ok(certificates) = certificates_in(&file, &bytes)
        {
            found.extend(certificates);
        }
    }
    // `openssl rehash` adds a link beside each file.
    found.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
    found.dedup();
    if found.is_empty() {
        return Err(Error::new(
            format!("{} holds no certificate in PEM form", path.display()),
            "put the certificates of the CAs there, in PEM form",
        ));
    }
    Ok(found)
}

/// The revocation lists of a file, in DER form, at least one.
pub(super) fn revocation_lists(path: &Path) -> Result<Vec<Vec<u8>>, Error> {
    let found = sections(&read(path)?).map_err(|what| Error::in_file(path, what))?;
    let lists: Vec<_> = found
        .into_iter()
        .filter(|section| section.label == "X509 CRL")
        .map(|section| section.content)
        .collect();
    if lists.is_empty() {
        return Err(Error::new(
            format!("{} holds no revocation list in PEM form", path.display()),
            "make one with `openssl ca -gencrl -out CRL.pem`; it begins with -----BEGIN X509 CRL-----",
        ));
    }
    Ok(lists)
}
