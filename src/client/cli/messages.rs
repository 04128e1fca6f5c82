//! Where the payloads of `mqtt-pub` and `mqtt-rr` come from.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;

use clap::ArgMatches;

use super::failure::Failure;
use super::texts;
use crate::codec::MAX_REMAINING_LENGTH;

/// The source of what is sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// `-m`, and `-n`.
    Given(Vec<u8>),
    /// `-f`
    File(OsString),
    /// `-s`
    Stdin,
    /// `-l`
    Lines,
}

impl Source {
    /// The source that was chosen. Only one can be.
    pub(super) fn new(matches: &ArgMatches) -> Result<Option<Self>, Failure> {
        let mut sources = Vec::new();
        sources.extend(values(matches, "message").map(|value| Self::Given(value.into_vec())));
        sources.extend(values(matches, "file").map(Self::File));
        for (id, source) in [
            ("stdin-file", Self::Stdin),
            ("null-message", Self::Given(Vec::new())),
            ("stdin-line", Self::Lines),
        ] {
            // mqtt-rr has no -l.
            if matches.try_get_one::<bool>(id).ok().flatten() == Some(&true) {
                sources.push(source);
            }
        }
        if sources.len() > 1 {
            return Err(Failure::usage(
                "Only one type of message can be sent at once.",
            ));
        }
        Ok(sources.pop())
    }

    /// The whole payload; [`Source::Lines`] has none.
    pub(super) fn load(self) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Given(payload) => Ok(payload),
            Self::File(path) => {
                let name = path.to_string_lossy().into_owned();
                let failed = |what: String| {
                    Failure::Other(
                        format!("Error: {what}\nError loading input file \"{name}\"."),
                        1,
                    )
                };
                let file = File::open(&path)
                    .map_err(|_| failed(format!("Unable to open file \"{name}\".")))?;
                read_all(file).map_err(failed)
            }
            Self::Stdin => {
                let failed = |what: String| {
                    Failure::Other(format!("Error: {what}\nError loading input from stdin."), 1)
                };
                let payload = read_all(io::stdin().lock()).map_err(failed)?;
                if payload.is_empty() {
                    return Err(failed("Zero length input.".to_owned()));
                }
                Ok(payload)
            }
            Self::Lines => Ok(Vec::new()),
        }
    }
}

fn values(matches: &ArgMatches, id: &str) -> impl Iterator<Item = OsString> {
    matches
        .get_many::<OsString>(id)
        .into_iter()
        .flatten()
        .cloned()
}

fn read_all(source: impl Read) -> Result<Vec<u8>, String> {
    let mut payload = Vec::new();
    source
        .take(MAX_REMAINING_LENGTH as u64 + 1)
        .read_to_end(&mut payload)
        .map_err(|error| format!("{}.", texts::system_text(&error)))?;
    if payload.len() > MAX_REMAINING_LENGTH {
        return Err(format!(
            "File must be less than {MAX_REMAINING_LENGTH} bytes.\n"
        ));
    }
    Ok(payload)
}
