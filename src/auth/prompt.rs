//! Questions to the person, or the pipe, at standard input.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

/// Asks for a new password twice. On a terminal nothing of it is shown; in a
/// pipe the two are lines of the input and no question is printed.
pub(super) fn new_password() -> Result<Vec<u8>, String> {
    let password = secret("Password: ")?;
    if password.is_empty() {
        return Err("Empty password.".into());
    }
    if secret("Reenter password: ")? != password {
        return Err("Passwords do not match.".into());
    }
    Ok(password)
}

fn secret(question: &str) -> Result<Vec<u8>, String> {
    if io::stdin().is_terminal() {
        return rpassword::prompt_password(question)
            .map(String::into_bytes)
            .map_err(|error| format!("Unable to read the password. {error}"));
    }
    line()
        .map_err(|error| format!("Unable to read the password. {error}"))?
        .ok_or_else(|| {
            "Standard input ended; the password is expected twice, in a line each.".to_string()
        })
}

/// Asks a person to confirm; without a terminal nobody is asked and the answer
/// is yes.
pub(super) fn confirm(question: &str) -> bool {
    if !io::stdin().is_terminal() {
        return true;
    }
    eprint!("{question} [y/N] ");
    let _ = io::stderr().flush();
    matches!(line(), Ok(Some(answer)) if matches!(answer.first(), Some(b'y' | b'Y')))
}

/// One line of standard input without its end; `None` where it ended.
fn line() -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    if io::stdin().lock().read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    for end in [b'\n', b'\r'] {
        if line.last() == Some(&end) {
            line.pop();
        }
    }
    Ok(Some(line))
}
