//! The three kinds of password hash, as text and as a check.
//!
//! | text | hash |
//! |---|---|
//! | `$6$salt$hash` | one SHA-512 over password and salt (Mosquitto 1.x) |
//! | `$7$iterations$salt$hash` | PBKDF2 with HMAC-SHA-512 (Mosquitto 2.x) |
//! | `$argon2id$v=19$m=…,t=…,p=…$salt$hash` | Argon2id, a PHC string |
//!
//! Bytes are base64: padded in the first two, unpadded in the third.

use std::{fmt, io};

use argon2::{Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use pbkdf2::pbkdf2_hmac_array;
use sha2::{Digest as _, Sha512};
use subtle::ConstantTimeEq as _;

/// The bytes of a SHA-512 digest.
const DIGEST: usize = 64;
/// Mosquitto 2.0 accepts no other length in `$6$` and `$7$`.
const SALT: usize = 12;
/// Mosquitto 2.1 writes this one.
const LONG_SALT: usize = 64;

const ARGON2_MEMORY: u32 = 19 * 1024;
const ARGON2_PASSES: u32 = 2;
const ARGON2_LANES: u32 = 1;
const ARGON2_SALT: usize = 16;
const ARGON2_TAG: usize = 32;

// Bounds for what a file may ask of the machine that checks a password.
const MAX_MEMORY: u32 = 1024 * 1024;
const MAX_ARGON2_WORK: u64 = 16 * 1024 * 1024;
const MAX_ARGON2_BYTES: usize = 1024;

/// How a new password is to be hashed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// Argon2id with 19 MiB, two passes and one lane.
    #[default]
    Argon2id,
    /// PBKDF2 with HMAC-SHA-512 and this many iterations (at least one).
    Sha512Pbkdf2 {
        /// How often the function is applied.
        iterations: u32,
    },
    /// One SHA-512: for brokers of the 1.x line only.
    Sha512,
}

impl Algorithm {
    /// What Mosquitto 2.1 takes for its PBKDF2 hashes: few, since it checks
    /// passwords in the loop that also forwards its messages.
    pub const DEFAULT_ITERATIONS: u32 = 1000;

    /// More would keep the broker busy for seconds at each login.
    pub const MAX_ITERATIONS: u32 = 10_000_000;
}

/// Why a text is no password hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashError {
    /// It does not look like a hash at all, so it may be a plain password.
    PlainText,
    /// It looks like a hash of a kind that neither we nor Mosquitto know.
    UnknownKind,
    /// It begins like a known kind, but this part of it is wrong.
    Malformed(&'static str),
    /// To check it would take more than a machine should give for it.
    TooExpensive,
}

impl fmt::Display for HashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PlainText => f.write_str("it is plain text"),
            Self::UnknownKind => f.write_str("its kind of hash is unknown"),
            Self::Malformed(part) => write!(f, "its hash is damaged ({part})"),
            Self::TooExpensive => f.write_str(
                "its hash takes too much memory or time to check (above 1 GiB or some seconds)",
            ),
        }
    }
}

impl std::error::Error for HashError {}

/// A password hash: what [`Self::parse`] reads and `to_string` writes.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Scheme);

#[derive(Clone, PartialEq, Eq)]
enum Scheme {
    Sha512 {
        salt: Vec<u8>,
        hash: [u8; DIGEST],
    },
    Sha512Pbkdf2 {
        iterations: u32,
        salt: Vec<u8>,
        hash: [u8; DIGEST],
    },
    Argon2id {
        version: Version,
        params: Params,
        salt: Vec<u8>,
        hash: Vec<u8>,
    },
}

impl PasswordHash {
    /// Hashes `password` with a fresh random salt. Fails only when the system
    /// has no random bytes or not the memory that Argon2id asks for.
    ///
    /// # Panics
    /// When zero iterations are asked for.
    pub fn create(algorithm: Algorithm, password: &[u8]) -> io::Result<Self> {
        match algorithm {
            Algorithm::Argon2id => create_argon2id(password),
            Algorithm::Sha512Pbkdf2 { iterations } => create_pbkdf2(iterations, password),
            Algorithm::Sha512 => create_sha512(password),
        }
        .map(Self)
    }

    /// Reads the text of a hash.
    pub fn parse(text: &str) -> Result<Self, HashError> {
        let Some((kind, fields)) = text.strip_prefix('$').and_then(|t| t.split_once('$')) else {
            return Err(HashError::PlainText);
        };
        match kind {
            "6" => parse_sha512(fields),
            "7" => parse_pbkdf2(fields),
            "argon2id" => parse_argon2id(fields),
            _ if is_identifier(kind) => Err(HashError::UnknownKind),
            _ => Err(HashError::PlainText),
        }
        .map(Self)
    }

    /// Whether this is the hash of `password`; the comparison takes the same
    /// time wherever the two differ.
    pub fn verify(&self, password: &[u8]) -> bool {
        match &self.0 {
            Scheme::Sha512 { salt, hash } => sha512(password, salt).ct_eq(hash).into(),
            Scheme::Sha512Pbkdf2 {
                iterations,
                salt,
                hash,
            } => pbkdf2_hmac_array::<Sha512, DIGEST>(password, salt, *iterations)
                .ct_eq(hash)
                .into(),
            Scheme::Argon2id {
                version,
                params,
                salt,
                hash,
            } => argon2id(*version, params, salt, password)
                .is_ok_and(|computed| computed.ct_eq(hash).into()),
        }
    }
}

impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Scheme::Sha512 { salt, hash } => {
                write!(f, "$6${}${}", STANDARD.encode(salt), STANDARD.encode(hash))
            }
            Scheme::Sha512Pbkdf2 {
                iterations,
                salt,
                hash,
            } => {
                let (salt, hash) = (STANDARD.encode(salt), STANDARD.encode(hash));
                write!(f, "$7${iterations}${salt}${hash}")
            }
            Scheme::Argon2id {
                version,
                params,
                salt,
                hash,
            } => {
                let (m, t, p) = (params.m_cost(), params.t_cost(), params.p_cost());
                let version = u32::from(*version);
                let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
                write!(f, "$argon2id$v={version}$m={m},t={t},p={p}${salt}${hash}")
            }
        }
    }
}

/// Without the secret part, so that no log shows it by accident.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.0 {
            Scheme::Sha512 { .. } => "Sha512",
            Scheme::Sha512Pbkdf2 { .. } => "Sha512Pbkdf2",
            Scheme::Argon2id { .. } => "Argon2id",
        };
        f.debug_struct(kind).finish_non_exhaustive()
    }
}

fn create_sha512(password: &[u8]) -> io::Result<Scheme> {
    let salt = random(SALT)?;
    let hash = sha512(password, &salt);
    Ok(Scheme::Sha512 { salt, hash })
}

fn create_pbkdf2(iterations: u32, password: &[u8]) -> io::Result<Scheme> {
    assert!(iterations > 0, "PBKDF2 takes at least one iteration");
    let salt = random(SALT)?;
    let hash = pbkdf2_hmac_array::<Sha512, DIGEST>(password, &salt, iterations);
    Ok(Scheme::Sha512Pbkdf2 {
        iterations,
        salt,
        hash,
    })
}

fn create_argon2id(password: &[u8]) -> io::Result<Scheme> {
    let version = Version::V0x13;
    let params = Params::new(ARGON2_MEMORY, ARGON2_PASSES, ARGON2_LANES, Some(ARGON2_TAG))
        .map_err(io::Error::other)?;
    let salt = random(ARGON2_SALT)?;
    let hash = argon2id(version, &params, &salt, password).map_err(io::Error::other)?;
    Ok(Scheme::Argon2id {
        version,
        params,
        salt,
        hash,
    })
}

fn parse_sha512(fields: &str) -> Result<Scheme, HashError> {
    let (salt, hash) = salt_and_digest(fields)?;
    Ok(Scheme::Sha512 { salt, hash })
}

fn parse_pbkdf2(fields: &str) -> Result<Scheme, HashError> {
    let (iterations, fields) = fields
        .split_once('$')
        .ok_or(HashError::Malformed("a field is missing"))?;
    let iterations = number(iterations).ok_or(HashError::Malformed("iterations"))?;
    if iterations == 0 {
        return Err(HashError::Malformed("iterations"));
    }
    if iterations > Algorithm::MAX_ITERATIONS {
        return Err(HashError::TooExpensive);
    }
    let (salt, hash) = salt_and_digest(fields)?;
    Ok(Scheme::Sha512Pbkdf2 {
        iterations,
        salt,
        hash,
    })
}

/// The last two fields of `$6$` and `$7$`.
fn salt_and_digest(fields: &str) -> Result<(Vec<u8>, [u8; DIGEST]), HashError> {
    let (salt, hash) = fields
        .split_once('$')
        .ok_or(HashError::Malformed("a field is missing"))?;
    let salt = STANDARD
        .decode(salt)
        .ok()
        .filter(|salt| matches!(salt.len(), SALT | LONG_SALT))
        .ok_or(HashError::Malformed("salt"))?;
    let hash = STANDARD
        .decode(hash)
        .ok()
        .and_then(|hash| hash.try_into().ok())
        .ok_or(HashError::Malformed("hash"))?;
    Ok((salt, hash))
}

fn parse_argon2id(fields: &str) -> Result<Scheme, HashError> {
    // The version came with Argon2 1.3; strings of before have no such field.
    let (version, fields) = match fields.strip_prefix("v=") {
        Some(rest) => rest
            .split_once('$')
            .ok_or(HashError::Malformed("a field is missing"))?,
        None => ("16", fields),
    };
    let version = match version {
        "16" => Version::V0x10,
        "19" => Version::V0x13,
        _ => return Err(HashError::Malformed("version")),
    };
    let [costs, salt, hash] = *fields.split('$').collect::<Vec<_>>() else {
        return Err(HashError::Malformed("a field is missing"));
    };
    let bytes = |text: &str| {
        let bytes = STANDARD_NO_PAD.decode(text).ok()?;
        (bytes.len() <= MAX_ARGON2_BYTES).then_some(bytes)
    };
    let salt = bytes(salt)
        .filter(|salt| salt.len() >= argon2::MIN_SALT_LEN)
        .ok_or(HashError::Malformed("salt"))?;
    let hash = bytes(hash).ok_or(HashError::Malformed("hash"))?;
    let (memory, passes, lanes) = argon2_costs(costs).ok_or(HashError::Malformed("costs"))?;
    if memory > MAX_MEMORY || u64::from(memory) * u64::from(passes) > MAX_ARGON2_WORK {
        return Err(HashError::TooExpensive);
    }
    let params = Params::new(memory, passes, lanes, Some(hash.len()))
        .map_err(|_| HashError::Malformed("costs or length of the hash"))?;
    Ok(Scheme::Argon2id {
        version,
        params,
        salt,
        hash,
    })
}

/// `m=19456,t=2,p=1`
fn argon2_costs(text: &str) -> Option<(u32, u32, u32)> {
    let (memory, rest) = text.strip_prefix("m=")?.split_once(",t=")?;
    let (passes, lanes) = rest.split_once(",p=")?;
    Some((number(memory)?, number(passes)?, number(lanes)?))
}

/// A number of digits only: `u32::from_str` would also take a plus sign.
fn number(text: &str) -> Option<u32> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

/// Whether a text between two `$` can be the name of an algorithm (`2y`,
/// `argon2i`, `pbkdf2-sha256`).
fn is_identifier(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn sha512(password: &[u8], salt: &[u8]) -> [u8; DIGEST] {
    Sha512::new()
        .chain_update(password)
        .chain_update(salt)
        .finalize()
        .into()
}

fn argon2id(
    version: Version,
    params: &Params,
    salt: &[u8],
    password: &[u8],
) -> argon2::Result<Vec<u8>> {
    let mut hash = vec![0; params.output_len().unwrap_or(ARGON2_TAG)];
    Argon2::new(argon2::Algorithm::Argon2id, version, params.clone())
        .hash_password_into(password, salt, &mut hash)?;
    Ok(hash)
}

fn random(length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Written by mosquitto_passwd 2.0.11 for the password `pw`.
    const SHA512: &str = "$6$ZlZbjRSkYRCkYxem$CYotqvrBR/uGnVznqyrZ9JbMEN1Yqgmp9zUwG1sQprKooSq9frI7QjREo6SreWAH1C8lFqrxSNZq7THItzFzxw==";
    const PBKDF2: &str = "$7$101$nrfSso1rEJwTmGmK$GD4W+Q8q260gqFEKC5HuyyLcVuj7lLVp2wMqQPm94LH1zpakUTJ6TOfNNqqCx3+kxqIbV3HXXxwYOrFy6VzqtQ==";
    // From the test vectors of the reference implementation.
    const ARGON2: &str =
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

    #[test]
    fn hashes_of_other_programs_verify() {
        for (text, password) in [(SHA512, "pw"), (PBKDF2, "pw"), (ARGON2, "password")] {
            let hash = PasswordHash::parse(text).unwrap();
            assert!(hash.verify(password.as_bytes()), "{text}");
            assert!(!hash.verify(b"pW"), "{text}");
            assert!(!hash.verify(b""), "{text}");
            assert_eq!(hash.to_string(), text);
        }
    }

    #[test]
    fn created_hashes_verify_differ_and_survive_their_text() {
        let pbkdf2 = Algorithm::Sha512Pbkdf2 { iterations: 3 };
        for algorithm in [Algorithm::Argon2id, pbkdf2, Algorithm::Sha512] {
            let hash = PasswordHash::create(algorithm, b"s\xffecret").unwrap();
            assert!(hash.verify(b"s\xffecret"));
            assert!(!hash.verify(b"s\xfeecret"));
            assert_eq!(PasswordHash::parse(&hash.to_string()), Ok(hash.clone()));
            let again = PasswordHash::create(algorithm, b"s\xffecret").unwrap();
            assert_ne!(again, hash, "the salt must be fresh");
        }
    }

    #[test]
    fn the_default_is_argon2id_with_the_documented_costs() {
        let hash = PasswordHash::create(Algorithm::default(), b"x").unwrap();
        let text = hash.to_string();
        assert!(
            text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{text}"
        );
    }

    #[test]
    fn plain_text_is_told_from_foreign_hashes() {
        for plain in ["", "secret", "$", "$ecret", "$Secret$", "a$6$b", "$$"] {
            let result = PasswordHash::parse(plain);
            assert_eq!(result, Err(HashError::PlainText), "{plain}");
        }
        for foreign in ["$2y$05$abc", "$argon2i$v=19$m=1", "$5$salt$hash"] {
            let result = PasswordHash::parse(foreign);
            assert_eq!(result, Err(HashError::UnknownKind), "{foreign}");
        }
    }

    #[test]
    fn damaged_hashes_are_refused() {
        let short = STANDARD.encode([0; 11]);
        let salt = STANDARD.encode([0; 12]);
        let hash = STANDARD.encode([0; 64]);
        for text in [
            "$6$".to_string(),
            format!("$6${short}${hash}"),
            format!("$6${salt}$"),
            format!("$6${salt}${hash}$"),
            format!("$6${salt}${}", &hash[..84]),
            format!("$7${salt}${hash}"),
            format!("$7$0${salt}${hash}"),
            format!("$7$+1${salt}${hash}"),
            format!("$7$-1${salt}${hash}"),
            format!("$7$4294967296${salt}${hash}"),
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ".to_string(),
            ARGON2.replace("v=19", "v=18"),
            ARGON2.replace("m=256", "m=1"),
            ARGON2.replace("t=2", "t=0"),
            ARGON2.replace("p=1", "p=64"),
            ARGON2.replace("c29tZXNhbHQ", "c29t"),
            format!("{ARGON2}="),
            format!("{ARGON2}$"),
        ] {
            let result = PasswordHash::parse(&text);
            assert!(
                matches!(result, Err(HashError::Malformed(_))),
                "{text}: {result:?}"
            );
        }
    }

    #[test]
    fn a_long_salt_as_mosquitto_2_1_writes_is_accepted() {
        let salt = STANDARD.encode([7; 64]);
        let hash = STANDARD.encode(pbkdf2_hmac_array::<Sha512, 64>(b"pw", &[7; 64], 2));
        let parsed = PasswordHash::parse(&format!("$7$2${salt}${hash}")).unwrap();
        assert!(parsed.verify(b"pw"));
    }

    #[test]
    fn a_file_cannot_exhaust_the_machine() {
        for costs in [
            "m=1048577,t=1,p=1",
            "m=1048576,t=17,p=1",
            "m=256,t=4294967295,p=1",
        ] {
            let text = ARGON2.replace("m=256,t=2,p=1", costs);
            assert_eq!(PasswordHash::parse(&text), Err(HashError::TooExpensive));
        }
        let text = PBKDF2.replace("$101$", "$10000001$");
        assert_eq!(PasswordHash::parse(&text), Err(HashError::TooExpensive));
    }

    #[test]
    fn debug_output_keeps_the_hash_secret() {
        let hash = PasswordHash::parse(SHA512).unwrap();
        assert_eq!(format!("{hash:?}"), "Sha512 { .. }");
    }
}
