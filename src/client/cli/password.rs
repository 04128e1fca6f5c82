//! Passwords that don't stand on the command line, where `ps` shows them.

use std::fs;
use std::io::IsTerminal;

use clap::ArgMatches;

use super::connection::{bytes, text};
use super::failure::Failure;

/// The password of `-P`, `--password-file` or `--ask-password`.
pub(super) fn password(matches: &ArgMatches) -> Result<Option<Vec<u8>>, Failure> {
    let given = bytes(matches, "password");
    let file = text(matches, "password-file");
    let ask = matches.get_flag("ask-password");
    if usize::from(given.is_some()) + usize::from(file.is_some()) + usize::from(ask) > 1 {
        return Err(Failure::usage(
            "Only one of -P, --password-file and --ask-password can be used.",
        ));
    }
    match file {
        Some(file) => first_line(file).map(Some),
        None if ask => asked().map(Some),
        None => Ok(given),
    }
}

/// The first line of a file, without its end.
fn first_line(file: &str) -> Result<Vec<u8>, Failure> {
    let content = fs::read(file).map_err(|error| {
        Failure::plain(format_args!(
            "Unable to read the password file {file}: {error}"
        ))
    })?;
    let line = content.split(|&byte| byte == b'\n').next();
    let line = line.unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return Err(Failure::plain(format_args!(
            "The password file {file} has no password in its first line."
        )));
    }
    Ok(line.to_vec())
}

fn asked() -> Result<Vec<u8>, Failure> {
    if !std::io::stderr().is_terminal() && !std::io::stdin().is_terminal() {
        return Err(Failure::plain(
            "--ask-password needs a terminal; use --password-file in scripts.",
        ));
    }
    rpassword::prompt_password("Password: ")
        .map(String::into_bytes)
        .map_err(|error| Failure::plain(format_args!("Unable to read the password: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(content: &str) -> Result<Vec<u8>, Failure> {
        let directory = tempfile::TempDir::new().expect("a directory");
        let file = directory.path().join("password");
        fs::write(&file, content).expect("written");
        first_line(file.to_str().expect("a path"))
    }

    #[test]
    fn the_password_is_the_first_line() {
        assert_eq!(of(" se cret\r\nmore\n"), Ok(b" se cret".to_vec()));
        assert_eq!(of("secret"), Ok(b"secret".to_vec()));
        for empty in ["", "\nsecret\n"] {
            assert!(of(empty).is_err());
        }
        assert!(first_line("/nonexistent").is_err());
    }
}
