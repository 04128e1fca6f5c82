//! `mqtt-passwd`: the command line of `mosquitto_passwd`, and what it does.

use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use indicatif::ProgressBar;

use super::hash::{Algorithm, PasswordHash};
use super::passwd_edit::{Change, PasswordLines};
use super::passwd_file;
use super::permissions::{self, Reader};
use super::prompt;

const USAGE: &str = "mqtt-passwd [-H HASH] [-I ITERATIONS] [-c | -D] FILE USER
       mqtt-passwd [-H HASH] [-I ITERATIONS] [-c] -b FILE USER PASSWORD
       mqtt-passwd [-H HASH] [-I ITERATIONS] -U FILE";

const EXAMPLES: &str = "\
Mosquitto 2.0 cannot read argon2id: for a file that it shall read as well, use -H sha512-pbkdf2.

Examples:
  mqtt-passwd -c /etc/mosquitto/passwd ada        create a file with one user
  mqtt-passwd /etc/mosquitto/passwd ada           add a user or change the password
  mqtt-passwd -D /etc/mosquitto/passwd ada        remove a user
  mqtt-passwd -U passwords.txt                    hash a list of name:password lines

Exit status: 0 when it is done, 1 when it is not.";

const NOTE_ON_ARGON2: &str =
    "Note: Mosquitto 2.0 cannot read argon2id; for it, create the file with -H sha512-pbkdf2.";

/// The user that a broker runs as unless it was told otherwise.
const BROKER_USER: &str = "mosquitto";

/// With fewer lines to hash, the work is done before a bar could be read.
const LINES_WORTH_A_BAR: usize = 40;

/// The grammar of the command line.
pub fn command() -> Command {
    let flag = |name: &'static str, short, help: &'static str| {
        Arg::new(name)
            .short(short)
            .help(help)
            .action(ArgAction::SetTrue)
    };
    Command::new("mqtt-passwd")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Manage the password file of an MQTT broker")
        .override_usage(USAGE)
        .after_help(EXAMPLES)
        .arg_required_else_help(true)
        .args_override_self(true)
        .args([
            Arg::new("hash")
                .short('H')
                .value_name("HASH")
                .value_parser(["argon2id", "sha512-pbkdf2", "sha512"])
                .help("How to hash: argon2id unless told otherwise; sha512-pbkdf2 for Mosquitto 2.0, sha512 for 1.x"),
            Arg::new("iterations")
                .short('I')
                .value_name("ITERATIONS")
                .help("Iterations of sha512-pbkdf2 [default: 1000]; without -H it chooses this hash"),
            flag("batch", 'b', "Take the password from the command line, where others may see it"),
            flag("create", 'c', "Create the file, in the place of an old one; FILE '-' is standard output"),
            flag("delete", 'D', "Delete the user"),
            flag("upgrade", 'U', "Hash the passwords of FILE that are still plain text"),
            Arg::new("file")
                .value_name("FILE")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("The password file"),
            // Whatever follows FILE is taken as it is: a password may begin
            // with a hyphen.
            Arg::new("operands")
                .value_names(["USER", "PASSWORD"])
                .num_args(0..=2)
                .trailing_var_arg(true)
                .allow_hyphen_values(true)
                .value_parser(value_parser!(OsString))
                .help("The user, and with -b the password"),
        ])
}

/// Runs the program with its arguments, the first being its name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::FAILURE,
            };
        }
    };
    match Request::of(&matches).and_then(Request::perform) {
        Ok(()) => ExitCode::SUCCESS,
        Err(complaint) => {
            eprintln!("{complaint}");
            ExitCode::FAILURE
        }
    }
}

/// What the arguments ask for.
struct Request {
    file: PathBuf,
    algorithm: Algorithm,
    action: Action,
}

enum Action {
    Set {
        user: String,
        /// Otherwise it is asked for.
        password: Option<Vec<u8>>,
        create: bool,
    },
    Delete {
        user: String,
    },
    Upgrade,
}

impl Request {
    fn of(matches: &ArgMatches) -> Result<Self, String> {
        let [batch, create, delete, upgrade] =
            ["batch", "create", "delete", "upgrade"].map(|name| matches.get_flag(name));
        for (pair, names) in [
            (create && delete, "-c and -D"),
            (create && upgrade, "-c and -U"),
            (delete && upgrade, "-D and -U"),
            (batch && delete, "-b and -D"),
        ] {
            if pair {
                return Err(format!("Error: {names} cannot be used together."));
            }
        }
        let mut operands = matches
            .get_many::<OsString>("operands")
            .unwrap_or_default()
            .cloned();
        let action = if upgrade {
            Action::Upgrade
        } else {
            let user = user_name(operands.next().ok_or_else(|| usage("USER is missing."))?)?;
            if delete {
                Action::Delete { user }
            } else {
                let password = batch.then(|| batch_password(operands.next())).transpose()?;
                Action::Set {
                    user,
                    password,
                    create,
                }
            }
        };
        if let Some(surplus) = operands.next() {
            let surplus = surplus.display();
            return Err(usage(&format!("'{surplus}' is one argument too many.")));
        }
        Ok(Self {
            file: matches
                .get_one::<PathBuf>("file")
                .cloned()
                .unwrap_or_default(),
            algorithm: algorithm(matches)?,
            action,
        })
    }

    fn perform(self) -> Result<(), String> {
        let Self {
            file, algorithm, ..
        } = self;
        match self.action {
            Action::Set {
                user,
                password,
                create: true,
            } => create(&file, &user, password, algorithm),
            Action::Set {
                user,
                password,
                create: false,
            } => set(&file, &user, password, algorithm),
            Action::Delete { user } => delete(&file, &user),
            Action::Upgrade => upgrade(&file, algorithm),
        }
    }
}

fn usage(complaint: &str) -> String {
    format!("Error: {complaint}\n\nUsage: {USAGE}")
}

fn user_name(operand: OsString) -> Result<String, String> {
    let name = operand.into_vec();
    let name = passwd_file::user_name(&name).map_err(|reason| format!("Error: {reason}."))?;
    if name.contains(':') {
        return Err("Error: Username must not contain the ':' character.".into());
    }
    if name.contains(char::is_control) {
        return Err("Error: Username must not contain control characters.".into());
    }
    if name.trim_ascii() != name || name.starts_with('#') {
        return Err(
            "Error: Username must not begin with '#', nor begin or end with a blank.".into(),
        );
    }
    Ok(name.into())
}

fn batch_password(operand: Option<OsString>) -> Result<Vec<u8>, String> {
    let password = operand
        .ok_or_else(|| usage("with -b, PASSWORD follows USER."))?
        .into_vec();
    if password.is_empty() {
        return Err("Error: Empty password.".into());
    }
    Ok(password)
}

fn algorithm(matches: &ArgMatches) -> Result<Algorithm, String> {
    let iterations = match matches.get_one::<String>("iterations") {
        Some(text) => Some(iterations(text)?),
        None => None,
    };
    let hash = matches.get_one::<String>("hash").map(String::as_str);
    Ok(match (hash, iterations) {
        (Some("sha512"), _) => Algorithm::Sha512,
        (Some("sha512-pbkdf2"), None) => Algorithm::Sha512Pbkdf2 {
            iterations: Algorithm::DEFAULT_ITERATIONS,
        },
        (Some("sha512-pbkdf2") | None, Some(iterations)) => Algorithm::Sha512Pbkdf2 { iterations },
        _ => Algorithm::Argon2id,
    })
}

fn iterations(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("Error: Number of iterations must be > 0.".into()),
        Ok(count) if count > Algorithm::MAX_ITERATIONS => Err(format!(
            "Error: Number of iterations must be at most {}.",
            Algorithm::MAX_ITERATIONS
        )),
        Ok(count) => Ok(count),
    }
}

fn create(
    file: &Path,
    user: &str,
    password: Option<Vec<u8>>,
    algorithm: Algorithm,
) -> Result<(), String> {
    let to_stdout = file == Path::new("-");
    // Who writes a password into the command line is a script, or in a hurry.
    let in_batch = password.is_some();
    if !to_stdout && !in_batch && holds_entries(file) {
        let question = format!("{} already has users; overwrite?", file.display());
        if !prompt::confirm(&question) {
            return Err("Error: The file was left as it is.".into());
        }
    }
    let mut lines = PasswordLines::default();
    let change = set_password(&mut lines, user, password, algorithm)?;
    if to_stdout {
        return io::stdout()
            .write_all(&lines.to_bytes())
            .map_err(|error| format!("Error: Unable to write. {}", reason(&error)));
    }
    save(&lines, file)?;
    announce(change, user);
    if algorithm == Algorithm::Argon2id && io::stderr().is_terminal() {
        eprintln!("{NOTE_ON_ARGON2}");
    }
    Ok(())
}

fn holds_entries(file: &Path) -> bool {
    fs::read(file).is_ok_and(|text| PasswordLines::parse(&text).has_entries())
}

fn set(
    file: &Path,
    user: &str,
    password: Option<Vec<u8>>,
    algorithm: Algorithm,
) -> Result<(), String> {
    let mut lines = open(file)?;
    let change = set_password(&mut lines, user, password, algorithm)?;
    save(&lines, file)?;
    announce(change, user);
    Ok(())
}

fn delete(file: &Path, user: &str) -> Result<(), String> {
    let mut lines = open(file)?;
    if !lines.remove(user) {
        return Err(format!("Warning: User {user} not found in password file."));
    }
    save(&lines, file)
}

fn upgrade(file: &Path, algorithm: Algorithm) -> Result<(), String> {
    let mut lines = open(file)?;
    let plain = lines
        .plain_lines(&file.display().to_string())
        .map_err(|error| format!("{error}\nError: Nothing was changed."))?;
    let bar = if plain.len() < LINES_WORTH_A_BAR {
        ProgressBar::hidden()
    } else {
        ProgressBar::new(plain.len() as u64)
    };
    for &index in &plain {
        lines
            .hash_line(index, algorithm)
            .map_err(|error| cannot_hash(&error))?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    if !plain.is_empty() {
        save(&lines, file)?;
    }
    say(&format!("Passwords hashed: {}", plain.len()));
    Ok(())
}

fn open(file: &Path) -> Result<PasswordLines, String> {
    match fs::read(file) {
        Ok(text) => Ok(PasswordLines::parse(&text)),
        Err(error) => {
            let (name, reason) = (file.display(), reason(&error));
            let remedy = match error.kind() {
                io::ErrorKind::NotFound => " Use -c to create it.",
                _ => "",
            };
            Err(format!(
                "Error: Unable to open password file {name}. {reason}.{remedy}"
            ))
        }
    }
}

fn save(lines: &PasswordLines, file: &Path) -> Result<(), String> {
    lines.save(file).map_err(|error| {
        let (name, reason) = (file.display(), reason(&error));
        format!("Error: Unable to open file {name} for writing. {reason}.")
    })?;
    if io::stderr().is_terminal()
        && let Some(broker) = Reader::named(BROKER_USER)
        && let Some(obstacle) = permissions::obstacle(file, &broker)
    {
        eprintln!("Note: {obstacle}.");
    }
    Ok(())
}

fn set_password(
    lines: &mut PasswordLines,
    user: &str,
    password: Option<Vec<u8>>,
    algorithm: Algorithm,
) -> Result<Change, String> {
    let password = match password {
        Some(password) => password,
        None => prompt::new_password().map_err(|complaint| format!("Error: {complaint}"))?,
    };
    let hash = PasswordHash::create(algorithm, &password).map_err(|error| cannot_hash(&error))?;
    Ok(lines.set(user, &hash))
}

fn cannot_hash(error: &io::Error) -> String {
    format!("Error: Unable to hash the password. {}.", reason(error))
}

fn announce(change: Change, user: &str) {
    let verb = match change {
        Change::Added => "Adding",
        Change::Updated => "Updating",
    };
    say(&format!("{verb} password for user {user}"));
}

/// Prints a line that nobody needs: a reader who has gone is no failure.
fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// What the system says, without the number that Rust appends.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].into(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(arguments: &[&str]) -> Result<Request, String> {
        let arguments = ["mqtt-passwd"].iter().chain(arguments);
        let matches = command()
            .try_get_matches_from(arguments)
            .map_err(|error| error.to_string())?;
        Request::of(&matches)
    }

    #[test]
    fn the_grammar_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn what_follows_the_user_is_taken_as_it_is() {
        for password in ["-secret", "-h", "-D", "--", "-", "--help"] {
            let request = request(&["-b", "f", "u", password]).unwrap();
            let Action::Set {
                password: Some(given),
                ..
            } = request.action
            else {
                panic!("{password} was not taken for the password");
            };
            assert_eq!(given, password.as_bytes());
        }
    }

    #[test]
    fn the_hash_follows_from_both_options() {
        let pbkdf2 = |iterations| Algorithm::Sha512Pbkdf2 { iterations };
        for (options, expected) in [
            (&[][..], Algorithm::Argon2id),
            (&["-H", "argon2id", "-I", "7"], Algorithm::Argon2id),
            (&["-H", "sha512-pbkdf2"], pbkdf2(1000)),
            (&["-H", "sha512-pbkdf2", "-I", "7"], pbkdf2(7)),
            (&["-I", "7"], pbkdf2(7)),
            (&["-H", "sha512", "-I", "7"], Algorithm::Sha512),
        ] {
            let request = request(&[options, &["f", "u"]].concat()).unwrap();
            assert_eq!(request.algorithm, expected, "{options:?}");
        }
        for text in ["0", "-1", "x", "", "10000001"] {
            assert!(iterations(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_that_the_file_cannot_hold_are_refused() {
        for name in ["", "a:b", "a\tb", "a\n", " a", "a ", "#a", "\u{85}"] {
            assert!(user_name(name.into()).is_err(), "{name:?}");
        }
        assert!(user_name(OsString::from_vec(vec![0xff])).is_err());
        assert!(user_name("x".repeat(65536).into()).is_err());
        assert_eq!(user_name("Ada L#".into()).unwrap(), "Ada L#");
    }
}
