//! The files that users write: configuration, access control, passwords.

use moustique::auth::passwd_edit::PasswordLines;
use moustique::auth::{Access, Acl, Client, LoadError, PasswordFile, PasswordHash, Problem};
use moustique::config::{Config, Diagnostic, Severity};

/// The text of a configuration file.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let parsed = Config::parse(text, "fuzz");
    // A comment at the end changes nothing.
    let commented = Config::parse(&format!("{text}\n# end"), "fuzz");
    assert_eq!(parsed, commented);
    match parsed {
        Ok(mut config) => {
            assert!(!config.listeners.is_empty());
            for warning in &config.warnings {
                assert_eq!(warning.severity, Severity::Warning);
                has_its_place(warning, text);
            }
            let _ = config.add_loopback_port(1883);
        }
        Err(diagnostics) => {
            let mut severities = diagnostics.0.iter().map(|found| found.severity);
            assert!(severities.any(|severity| severity == Severity::Error));
            for diagnostic in &diagnostics.0 {
                has_its_place(diagnostic, text);
            }
            assert!(!diagnostics.to_string().is_empty());
        }
    }
}

fn has_its_place(diagnostic: &Diagnostic, text: &str) {
    let place = &diagnostic.location;
    assert_eq!(place.line == 0, place.column == 0);
    if place.line > 0 {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let line = text.lines().nth(place.line - 1).expect("the line is there");
        let columns = line.chars().count() + 1;
        assert!(place.column <= columns, "{diagnostic}");
        if let Some((excerpt, length)) = &diagnostic.excerpt {
            assert!(line.starts_with(excerpt.as_str()), "{diagnostic}");
            assert!(
                *length > 0 && place.column + length <= columns + 1,
                "{diagnostic}"
            );
        }
    }
    assert!(!diagnostic.to_string().is_empty());
}

/// The text of an access control list.
pub fn acl(data: &[u8]) {
    let acl = match Acl::parse(data, "fuzz") {
        Ok(acl) => acl,
        Err(error) => return lines_are_there(&error, data),
    };
    all_there(acl.warnings(), data);
    let commented = Acl::parse(&[data, b"\n# end\n"].concat(), "fuzz").expect("no new mistake");
    let text = String::from_utf8_lossy(data);
    let words = text.split_ascii_whitespace().take(12);
    let users = ["ada", "b", "%c", "a/b", "+", "#"]
        .into_iter()
        .chain(words.clone());
    let topics = ["a", "a/b", "$SYS/x", "ada/b"].into_iter().chain(words);
    for topic in topics {
        for name in users.clone() {
            for (client_id, username) in [("a", None), ("a", Some(name)), (name, None)] {
                let client = Client {
                    client_id,
                    username,
                };
                for access in [Access::Read, Access::Write] {
                    let decision = acl.check(&client, access, topic);
                    assert_eq!(decision, commented.check(&client, access, topic));
                    assert!(!decision.to_string().is_empty());
                    match decision.rule() {
                        Some(rule) => {
                            let line = data.split(|byte| *byte == b'\n').nth(rule.line - 1);
                            let line = line.expect("the line is there").trim_ascii();
                            assert_eq!(line, rule.text.as_bytes());
                        }
                        None => assert!(!decision.allowed, "nothing allows it"),
                    }
                }
            }
        }
    }
}

/// The text of a password file, for the broker and for its editor.
pub fn passwords(data: &[u8]) {
    let mut lines = PasswordLines::parse(data);
    let _ = lines
        .plain_lines("fuzz")
        .map_err(|error| lines_are_there(&error, data));
    let kept = PasswordLines::parse(&lines.to_bytes());
    assert_eq!(kept.to_bytes(), lines.to_bytes());
    for field in data.split(|byte| b":\n".contains(byte)) {
        let Ok(field) = std::str::from_utf8(field.trim_ascii()) else {
            continue;
        };
        match PasswordHash::parse(field) {
            Ok(hash) => {
                let written = hash.to_string();
                let again = PasswordHash::parse(&written).map(|hash| hash.to_string());
                assert_eq!(again, Ok(written));
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    let file = match PasswordFile::parse(data, "fuzz") {
        Ok(file) => file,
        Err(error) => return lines_are_there(&error, data),
    };
    let names = data.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        std::str::from_utf8(line[..colon].trim_ascii()).ok()
    });
    let known: Vec<_> = names.filter(|name| file.contains(name)).collect();
    assert!(known.len() >= file.len(), "every user has a line");
    for name in known {
        lines.remove(name);
    }
    let left = PasswordFile::parse(&lines.to_bytes(), "fuzz").expect("no new mistake");
    assert!(left.is_empty(), "all users were removed");
}

fn lines_are_there(error: &LoadError, data: &[u8]) {
    assert!(!error.problems().is_empty());
    assert!(!error.to_string().is_empty());
    all_there(error.problems(), data);
}

fn all_there(problems: &[Problem], data: &[u8]) {
    let lines = data.split(|byte| *byte == b'\n').count();
    for problem in problems {
        assert!((1..=lines).contains(&problem.line), "{problem}");
        assert!(!problem.remedy.is_empty(), "{problem}");
    }
}
