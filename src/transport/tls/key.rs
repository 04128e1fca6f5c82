//! Private keys: PKCS#1, SEC1 and PKCS#8, encrypted ones too.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cbc::cipher::{BlockModeDecrypt, KeyIvInit, block_padding::Pkcs7};
use md5::{Digest, Md5};
use parking_lot::Mutex;
use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::Document;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;

use super::Error;
use super::files::read;
use super::pem::{Section, sections};

/// The pass phrases of encrypted keys. Each is asked for once, on the terminal,
/// and kept for when the key is read again and nobody is there to answer.
/// Clones share what they know.
#[derive(Clone, Default)]
pub struct Keyring(Arc<Mutex<Phrases>>);

#[derive(Default)]
struct Phrases {
    known: HashMap<PathBuf, String>,
    closed: bool,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring")
    }
}

impl Keyring {
    /// From now on nobody is asked: a phrase that is not known is an error.
    pub fn close(&self) {
        self.0.lock().closed = true;
    }

    fn phrase(&self, path: &Path) -> Result<String, Error> {
        let mut phrases = self.0.lock();
        if let Some(known) = phrases.known.get(path) {
            return Ok(known.clone());
        }
        let unasked = |why: &str| {
            let what = format!("the key {} is encrypted, and {why}", path.display());
            Error::new(what, decrypt(path))
        };
        if phrases.closed {
            return Err(unasked("its pass phrase is asked for at the start only"));
        }
        let question = format!("Enter the pass phrase of {}: ", path.display());
        let answer = rpassword::prompt_password(question).map_err(|error| {
            unasked(&format!(
                "there is no terminal to ask for its pass phrase: {error}"
            ))
        })?;
        phrases.known.insert(path.to_owned(), answer.clone());
        Ok(answer)
    }
}

/// Reads the private key of a file.
///
/// # Errors
/// There is none, or one that cannot be used; the words say what to do.
pub(super) fn load(path: &Path, keyring: &Keyring) -> Result<Arc<dyn SigningKey>, Error> {
    let bytes = read(path)?;
    let found = sections(&bytes).map_err(|what| Error::in_file(path, what))?;
    let Some(section) = found.iter().find(|s| s.label.ends_with("PRIVATE KEY")) else {
        return Err(Error::new(
            format!("{} holds no private key in PEM form", path.display()),
            "is it the right file? A key begins with -----BEGIN PRIVATE KEY-----; one in DER form \
             becomes PEM by `openssl pkey -inform der -in KEY -out KEY.pem`",
        ));
    };
    let key = private_key(path, section, keyring)?;
    any_supported_type(&key).map_err(|error| {
        Error::new(
            format!("the key {} cannot be used: {error}", path.display()),
            "RSA from 2048 bits, the curves P-256 and P-384, and Ed25519 work; make a new key with \
             `openssl genrsa -out KEY 2048` and a certificate for it",
        )
    })
}

fn private_key(
    path: &Path,
    section: &Section,
    keyring: &Keyring,
) -> Result<PrivateKeyDer<'static>, Error> {
    let unreadable = |what: &str| {
        Error::new(
            format!("the key {} cannot be decrypted: {what}", path.display()),
            decrypt(path),
        )
    };
    let der = match section.header("DEK-Info") {
        Some(info) => {
            let phrase = keyring.phrase(path)?;
            decrypt_traditional(info, &section.content, phrase.as_bytes())
                .map_err(|what| unreadable(&what))?
        }
        None => section.content.clone(),
    };
    Ok(match section.label.as_str() {
        "RSA PRIVATE KEY" => PrivateKeyDer::Pkcs1(der.into()),
        "EC PRIVATE KEY" => PrivateKeyDer::Sec1(der.into()),
        "PRIVATE KEY" => PrivateKeyDer::Pkcs8(der.into()),
        "ENCRYPTED PRIVATE KEY" => {
            let info = EncryptedPrivateKeyInfoRef::try_from(der.as_slice())
                .map_err(|error| unreadable(&format!("its encryption is not known: {error}")))?;
            let plain = info
                .decrypt(keyring.phrase(path)?)
                .map_err(|_| unreadable(WRONG))?;
            PrivateKeyDer::Pkcs8(plain.as_bytes().to_vec().into())
        }
        other => {
            return Err(Error::new(
                format!("{} holds a '{other}', which TLS cannot use", path.display()),
                "RSA, EC and Ed25519 keys work",
            ));
        }
    })
}

const WRONG: &str = "the pass phrase is wrong, or the key is damaged";

/// Undoes the encryption that OpenSSL applies to keys in the forms of PKCS#1
/// and SEC1: the key comes from the pass phrase by MD5 (EVP_BytesToKey with
/// one round), the cipher and its initial vector stand in a header.
///
/// One wrong pass phrase in 256 leaves a padding that is right by chance. What
/// comes out is therefore looked at: a key is one sequence, without a rest.
fn decrypt_traditional(info: &str, content: &[u8], phrase: &[u8]) -> Result<Vec<u8>, String> {
    let (cipher, iv) = info.split_once(',').ok_or("a bad DEK-Info header")?;
    let iv = hex(iv.trim()).ok_or("a bad DEK-Info header")?;
    let salt = iv.get(..8).ok_or("a bad DEK-Info header")?;
    macro_rules! decrypt {
        ($cipher:ty, $length:literal) => {
            cbc::Decryptor::<$cipher>::new_from_slices(&stretch(phrase, salt, $length), &iv)
                .map_err(|_| "a bad DEK-Info header")?
                .decrypt_padded_vec::<Pkcs7>(content)
        };
    }
    let plain = match cipher {
        "DES-EDE3-CBC" => decrypt!(des::TdesEde3, 24),
        "AES-128-CBC" => decrypt!(aes::Aes128, 16),
        "AES-192-CBC" => decrypt!(aes::Aes192, 24),
        "AES-256-CBC" => decrypt!(aes::Aes256, 32),
        other => return Err(format!("its cipher {other} is not known here")),
    };
    let plain = plain.map_err(|_| WRONG)?;
    let key = Document::try_from(plain).map_err(|_| WRONG)?;
    Ok(key.into_vec())
}

fn stretch(phrase: &[u8], salt: &[u8], length: usize) -> Vec<u8> {
    let mut key: Vec<u8> = Vec::new();
    while key.len() < length {
        let last = key.len().saturating_sub(16);
        let block = Md5::new()
            .chain_update(&key[last..])
            .chain_update(phrase)
            .chain_update(salt)
            .finalize();
        key.extend_from_slice(&block);
    }
    key.truncate(length);
    key
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// The command that takes the encryption off a key.
fn decrypt(path: &Path) -> String {
    let path = path.display();
    format!("take the encryption off with `openssl pkey -in {path} -out {path}.plain`")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use cbc::cipher::BlockModeEncrypt;

    use super::*;

    fn knowing(path: &Path, phrase: &str) -> Keyring {
        let keyring = Keyring::default();
        let mut phrases = keyring.0.lock();
        phrases.known.insert(path.to_owned(), phrase.to_owned());
        drop(phrases);
        keyring
    }

    /// Every way in which OpenSSL encrypts keys, by itself or when asked.
    #[test]
    fn encrypted_keys_are_decrypted() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("key");
        for args in [
            "genrsa -des3 -passout pass:hello 2048",
            "genrsa -aes256 -passout pass:hello 2048",
            "genrsa -traditional -des3 -passout pass:hello 2048",
            "genrsa -traditional -aes128 -passout pass:hello 2048",
            "genrsa -traditional -aes192 -passout pass:hello 2048",
            "genrsa -traditional -aes256 -passout pass:hello 2048",
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes-256-cbc -pass pass:hello",
            "genpkey -algorithm ed25519 -aes-128-cbc -pass pass:hello",
        ] {
            let mut openssl = Command::new("openssl");
            openssl.args(args.split(' ').take(1)).arg("-out").arg(&path);
            let made = openssl.args(args.split(' ').skip(1)).output();
            assert!(made.expect("openssl runs").status.success(), "{args}");
            assert!(load(&path, &knowing(&path, "hello")).is_ok(), "{args}");
            let error = load(&path, &knowing(&path, "hullo")).err();
            let error = error.expect("the wrong pass phrase").to_string();
            assert!(error.contains("openssl pkey -in"), "{args}: {error}");
        }
    }

    /// The padding of such a text is right, as it is by chance for one wrong
    /// pass phrase in 256.
    #[test]
    fn a_wrong_pass_phrase_is_told_whatever_it_makes_of_the_padding() {
        let iv = [7; 16];
        for (plain, is_key) in [
            (&[0x30, 3, 2, 1, 5][..], true),
            (&[0x30, 3, 2, 1, 5, 0], false),
            (&[0x30, 3, 2, 1], false),
            (b"not a sequence", false),
            (b"", false),
        ] {
            let key = stretch(b"hello", &iv[..8], 16);
            let content = cbc::Encryptor::<aes::Aes128>::new_from_slices(&key, &iv)
                .expect("a key and an initial vector of 16 bytes")
                .encrypt_padded_vec::<Pkcs7>(plain);
            let info = format!("AES-128-CBC,{}", "07".repeat(16));
            let decrypted = decrypt_traditional(&info, &content, b"hello");
            let expected = is_key.then(|| plain.to_vec()).ok_or(WRONG.to_owned());
            assert_eq!(decrypted, expected);
        }
    }

    #[test]
    fn a_key_that_is_too_short_is_refused_with_the_command_for_another() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("key");
        let made = Command::new("openssl")
            .arg("genrsa")
            .arg("-out")
            .arg(&path)
            .arg("1024")
            .output();
        assert!(made.expect("openssl runs").status.success());
        let error = load(&path, &knowing(&path, ""))
            .expect_err("too short")
            .to_string();
        assert!(error.contains("openssl genrsa -out"), "{error}");
    }
}
