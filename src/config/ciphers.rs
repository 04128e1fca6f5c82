//! Lists of cipher suites, in the language of OpenSSL (ciphers(1)).

use std::fmt;

/// A cipher suite that TLS can use here: all that are worth it today, with
/// forward secrecy and authenticated encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cipher {
    /// TLS 1.3: `TLS_AES_256_GCM_SHA384`
    Aes256GcmSha384,
    /// TLS 1.3: `TLS_AES_128_GCM_SHA256`
    Aes128GcmSha256,
    /// TLS 1.3: `TLS_CHACHA20_POLY1305_SHA256`
    Chacha20Poly1305Sha256,
    /// TLS 1.2: `ECDHE-ECDSA-AES256-GCM-SHA384`
    EcdheEcdsaAes256,
    /// TLS 1.2: `ECDHE-RSA-AES256-GCM-SHA384`
    EcdheRsaAes256,
    /// TLS 1.2: `ECDHE-ECDSA-AES128-GCM-SHA256`
    EcdheEcdsaAes128,
    /// TLS 1.2: `ECDHE-RSA-AES128-GCM-SHA256`
    EcdheRsaAes128,
    /// TLS 1.2: `ECDHE-ECDSA-CHACHA20-POLY1305`
    EcdheEcdsaChacha20,
    /// TLS 1.2: `ECDHE-RSA-CHACHA20-POLY1305`
    EcdheRsaChacha20,
}

use Cipher as C;

const TLS13: &[(Cipher, &str)] = &[
    (C::Aes256GcmSha384, "TLS_AES_256_GCM_SHA384"),
    (C::Aes128GcmSha256, "TLS_AES_128_GCM_SHA256"),
    (C::Chacha20Poly1305Sha256, "TLS_CHACHA20_POLY1305_SHA256"),
];

/// With the name in the registry of TLS, which some lists use.
const TLS12: &[(Cipher, &str, &str)] = &[
    (
        C::EcdheEcdsaAes256,
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    ),
    (
        C::EcdheRsaAes256,
        "ECDHE-RSA-AES256-GCM-SHA384",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    ),
    (
        C::EcdheEcdsaAes128,
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    ),
    (
        C::EcdheRsaAes128,
        "ECDHE-RSA-AES128-GCM-SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    ),
    (
        C::EcdheEcdsaChacha20,
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    ),
    (
        C::EcdheRsaChacha20,
        "ECDHE-RSA-CHACHA20-POLY1305",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    ),
];

/// The cipher suites that are allowed, in the order of preference. The default
/// is all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ciphers {
    /// `ciphers`: those of TLS 1.2.
    pub tls12: Option<Vec<Cipher>>,
    /// `ciphers_tls1.3`
    pub tls13: Option<Vec<Cipher>>,
}

/// A list that leaves nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoCipher {
    names: Vec<&'static str>,
}

impl fmt::Display for NoCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "choose from {}", self.names.join(", "))
    }
}

impl std::error::Error for NoCipher {}

impl Ciphers {
    /// All of them, those of TLS 1.3 first.
    pub fn iter(&self) -> impl Iterator<Item = Cipher> {
        let all13 = TLS13.iter().map(|(cipher, _)| *cipher);
        let all12 = TLS12.iter().map(|(cipher, ..)| *cipher);
        let tls13 = self.tls13.clone().unwrap_or_else(|| all13.collect());
        let tls12 = self.tls12.clone().unwrap_or_else(|| all12.collect());
        tls13.into_iter().chain(tls12)
    }

    /// Whether a list was given for TLS 1.2.
    pub fn is_restricted(&self) -> bool {
        self.tls12.is_some()
    }

    /// Reads a list for both: suites of TLS 1.3 by their names, and for TLS 1.2
    /// as [`Ciphers::parse_tls12`]. Without names of TLS 1.3 all of these stay.
    ///
    /// # Errors
    /// Nothing is left.
    pub fn parse(list: &str) -> Result<Self, NoCipher> {
        match (Self::parse_tls13(list), Self::parse_tls12(list)) {
            (Ok(tls13), tls12) => Ok(Self {
                tls13: Some(tls13),
                tls12: Some(tls12.unwrap_or_default()),
            }),
            (Err(_), tls12) => Ok(Self {
                tls13: None,
                tls12: Some(tls12?),
            }),
        }
    }

    /// Reads a list for TLS 1.2: names of suites, and words such as `HIGH`,
    /// `ECDHE+AESGCM`, `!aNULL` or `DEFAULT`. Names that OpenSSL knows and this
    /// program has not are passed over, as by OpenSSL.
    ///
    /// # Errors
    /// Nothing is left.
    pub fn parse_tls12(list: &str) -> Result<Vec<Cipher>, NoCipher> {
        let mut chosen: Vec<Cipher> = Vec::new();
        let mut never: Vec<Cipher> = Vec::new();
        for word in words(list) {
            let (sign, name) = match word.chars().next() {
                Some(sign @ ('!' | '-' | '+')) => (Some(sign), &word[1..]),
                _ => (None, word),
            };
            let meant: Vec<_> = TLS12
                .iter()
                .filter(|(_, suite, registered)| {
                    name.split('+')
                        .all(|part| is_meant(suite, registered, part))
                })
                .map(|(cipher, ..)| *cipher)
                .collect();
            let before = chosen.clone();
            if sign.is_some() {
                chosen.retain(|cipher| !meant.contains(cipher));
            }
            match sign {
                Some('!') => never.extend(meant),
                Some('-') => {}
                // Those that are there go to the end.
                Some(_) => chosen.extend(meant.iter().filter(|cipher| before.contains(cipher))),
                None => {
                    let new = meant.iter().filter(|cipher| !before.contains(cipher));
                    chosen.extend(new.filter(|cipher| !never.contains(cipher)));
                }
            }
        }
        let names = || TLS12.iter().map(|(_, name, _)| *name).collect();
        some(chosen, names)
    }

    /// Reads a list for TLS 1.3: names of suites.
    ///
    /// # Errors
    /// Nothing is left.
    pub fn parse_tls13(list: &str) -> Result<Vec<Cipher>, NoCipher> {
        let mut chosen = Vec::new();
        for word in words(list) {
            let meant = TLS13.iter().find(|(_, name)| *name == word);
            chosen.extend(
                meant
                    .map(|(cipher, _)| *cipher)
                    .filter(|cipher| !chosen.contains(cipher)),
            );
        }
        some(chosen, || TLS13.iter().map(|(_, name)| *name).collect())
    }
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split([':', ',', ' ', '\t'])
        .filter(|word| !word.is_empty() && !word.starts_with('@'))
}

fn some(
    chosen: Vec<Cipher>,
    names: impl Fn() -> Vec<&'static str>,
) -> Result<Vec<Cipher>, NoCipher> {
    if chosen.is_empty() {
        return Err(NoCipher { names: names() });
    }
    Ok(chosen)
}

/// Whether a word of OpenSSL's language means a suite.
fn is_meant(suite: &str, registered: &str, word: &str) -> bool {
    if word == suite || word == registered {
        return true;
    }
    let has = |part: &str| suite.split('-').any(|known| known == part);
    match word {
        "ALL" | "DEFAULT" | "HIGH" | "TLSv1.2" => true,
        "ECDHE" | "EECDH" | "kECDHE" | "kEECDH" | "ECDH" | "kECDH" => true,
        "ECDSA" | "aECDSA" => has("ECDSA"),
        "aRSA" => has("RSA"),
        "AES" | "AESGCM" => has("GCM"),
        "AES128" | "AES256" => has(word),
        "CHACHA20" => has("CHACHA20"),
        "SHA256" => has("SHA256"),
        "SHA384" => has("SHA384"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(list: &str) -> Vec<&'static str> {
        let chosen = Ciphers::parse_tls12(list).unwrap_or_default();
        let name = |cipher| {
            TLS12
                .iter()
                .find(|(known, ..)| *known == cipher)
                .map(|found| found.1)
        };
        chosen.into_iter().filter_map(name).collect()
    }

    #[test]
    fn lists_of_openssl_mean_what_they_mean_there() {
        assert_eq!(parse("HIGH:!aNULL:!MD5").len(), 6);
        assert_eq!(parse("DEFAULT:@SECLEVEL=1").len(), 6);
        assert_eq!(
            parse("ECDHE-RSA-AES128-GCM-SHA256:AES256-SHA:ECDHE-RSA-AES128-GCM-SHA256"),
            ["ECDHE-RSA-AES128-GCM-SHA256"]
        );
        assert_eq!(
            parse("ECDHE+AESGCM:!ECDSA:+AES256"),
            ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"]
        );
        assert_eq!(
            parse("!CHACHA20:ALL:-aRSA,-AES256"),
            ["ECDHE-ECDSA-AES128-GCM-SHA256"]
        );
        // OpenSSL's `RSA` is the key exchange, which has no forward secrecy.
        assert_eq!(parse("RSA:DHE:kRSA+AES"), [""; 0]);
    }

    #[test]
    fn a_list_that_leaves_nothing_tells_what_exists() {
        let error = Ciphers::parse_tls12("AES256-SHA").unwrap_err().to_string();
        assert!(error.contains("ECDHE-RSA-AES256-GCM-SHA384"), "{error}");
        let error = Ciphers::parse_tls13("HIGH").unwrap_err().to_string();
        assert!(error.contains("TLS_AES_128_GCM_SHA256"), "{error}");
        assert_eq!(
            Ciphers::parse_tls13("TLS_AES_128_CCM_SHA256:TLS_AES_128_GCM_SHA256"),
            Ok(vec![Cipher::Aes128GcmSha256])
        );
    }
}
