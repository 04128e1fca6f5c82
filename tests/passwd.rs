//! `mqtt-passwd` as a program: alone, on a terminal, and beside Mosquitto's.

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::Program;
use common::broker::Setup;
use common::peers::{Peer, program_for};
use moustique::auth::{PasswordFile, Verdict};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_mqtt-passwd");
/// Quick to compute, which most tests want.
const QUICK: [&str; 2] = ["-H", "sha512"];

/// A directory of its own, in which the programs run.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, program: impl AsRef<Path>, arguments: &[&str], input: &str) -> Output {
        let input_file = self.path(".input");
        fs::write(&input_file, input).unwrap();
        Command::new(program.as_ref())
            .args(arguments)
            .current_dir(self.0.path())
            .stdin(fs::File::open(&input_file).unwrap())
            .output()
            .unwrap()
    }

    /// Runs our program; it must exit with `code`. What it said on both ways.
    #[track_caller]
    fn passwd(&self, arguments: &[&str], code: i32) -> String {
        self.passwd_with_input(arguments, "", code)
    }

    #[track_caller]
    fn passwd_with_input(&self, arguments: &[&str], input: &str, code: i32) -> String {
        let output = self.run(PROGRAM, arguments, input);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        said
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    #[track_caller]
    fn verify(&self, file: &str, user: &str, password: &str) -> Verdict {
        let file = PasswordFile::load(&self.path(file)).unwrap();
        file.verify(user, password.as_bytes())
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&*output.stdout, &output.stderr].concat()).into_owned()
}

/// The user names of a file, in its order.
fn users(text: &str) -> Vec<&str> {
    text.lines()
        .filter_map(|line| Some(line.split_once(':')?.0))
        .collect()
}

#[test]
fn users_are_added_updated_and_deleted() {
    let place = Place::new();
    let said = place.passwd(&["-c", "-b", "f", "ada", "one"], 0);
    assert_eq!(said, "Adding password for user ada\n");
    assert!(place.read("f").starts_with("ada:$argon2id$v=19$m=19456,"));
    place.passwd(&["-H", "sha512-pbkdf2", "-b", "f", "bob", "two"], 0);
    assert!(place.read("f").contains("\nbob:$7$1000$"));
    let said = place.passwd(&["-I", "5", "-b", "f", "ada", "three"], 0);
    assert_eq!(said, "Updating password for user ada\n");
    assert!(place.read("f").starts_with("ada:$7$5$"));
    assert_eq!(place.verify("f", "ada", "one"), Verdict::WrongPassword);
    assert_eq!(place.verify("f", "ada", "three"), Verdict::Accepted);
    assert_eq!(place.passwd(&["-D", "f", "ada"], 0), "");
    assert_eq!(place.verify("f", "ada", "three"), Verdict::UnknownUser);
    assert_eq!(place.verify("f", "bob", "two"), Verdict::Accepted);
    let said = place.passwd(&["-D", "f", "ada"], 1);
    assert_eq!(said, "Warning: User ada not found in password file.\n");
}

#[test]
fn remarks_and_the_lines_of_others_stay() {
    let place = Place::new();
    place.write("f", "# users\n\nada:not hashed\nremark\nbob:x\n");
    place.passwd(&["-H", "sha512", "-b", "f", "bob", "pw"], 0);
    let text = place.read("f");
    assert!(text.starts_with("# users\n\nada:not hashed\nremark\nbob:$6$"));
}

#[test]
fn create_overwrites_as_documented() {
    let place = Place::new();
    place.write("f", "ada:x\n");
    place.passwd(&["-c", "-b", "f", "bob", "pw"], 0);
    assert_eq!(users(&place.read("f")), ["bob"]);
}

#[test]
fn a_hyphen_is_standard_output() {
    let place = Place::new();
    let output = place.run(PROGRAM, &["-c", "-H", "sha512", "-b", "-", "u", "pw"], "");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("u:$6$") && text.ends_with("==\n"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 1);
    assert!(!place.path("-").exists());
}

#[test]
fn passwords_come_through_a_pipe() {
    let place = Place::new();
    let create = [&QUICK[..], &["-c", "f", "u"]].concat();
    let said = place.passwd_with_input(&create, "pässword \npässword \r\n", 0);
    assert_eq!(said, "Adding password for user u\n");
    assert_eq!(place.verify("f", "u", "pässword "), Verdict::Accepted);
    for (input, complaint) in [
        ("a\nb\n", "Error: Passwords do not match.\n"),
        ("\n\n", "Error: Empty password.\n"),
        ("a\n", "Error: Standard input ended;"),
        ("", "Error: Standard input ended;"),
    ] {
        let said = place.passwd_with_input(&["f", "u"], input, 1);
        assert!(said.starts_with(complaint), "{input:?}: {said}");
    }
    assert_eq!(place.verify("f", "u", "pässword "), Verdict::Accepted);
}

#[test]
fn upgrading_hashes_plain_lines_only() {
    let place = Place::new();
    place.passwd(&["-c", "-b", "f", "hashed", "one"], 0);
    let hashed = place.read("f");
    place.write("f", &format!("# list\n{hashed}plain:two\n"));
    let upgrade = [&QUICK[..], &["-U", "f"]].concat();
    assert_eq!(place.passwd(&upgrade, 0), "Passwords hashed: 1\n");
    let text = place.read("f");
    assert!(
        text.starts_with(&format!("# list\n{hashed}plain:$6$")),
        "{text}"
    );
    assert_eq!(place.verify("f", "hashed", "one"), Verdict::Accepted);
    assert_eq!(place.verify("f", "plain", "two"), Verdict::Accepted);
    assert_eq!(place.passwd(&upgrade, 0), "Passwords hashed: 0\n");
    assert_eq!(place.read("f"), text);
}

#[test]
fn upgrading_changes_nothing_when_a_line_is_in_doubt() {
    let place = Place::new();
    let text = "a:plain\nb:$2y$10$abc\nc:x:y\n";
    place.write("f", text);
    let said = place.passwd(&["-U", "f"], 1);
    assert!(said.contains("f:2: ") && said.contains("f:3: "), "{said}");
    assert!(said.contains("mqtt-passwd f b"), "{said}");
    assert_eq!(place.read("f"), text);
}

#[test]
fn owner_mode_and_link_are_kept() {
    let place = Place::new();
    place.write("real", "a:x\n");
    fs::set_permissions(place.path("real"), Permissions::from_mode(0o604)).unwrap();
    let may_give_away = chown(place.path("real"), Some(12345), Some(23456)).is_ok();
    std::os::unix::fs::symlink("real", place.path("link")).unwrap();
    for arguments in [
        &["-H", "sha512", "-b", "link", "u", "pw"][..],
        &["-H", "sha512", "-U", "link"],
        &["-D", "link", "a"],
        &["-H", "sha512", "-c", "-b", "link", "v", "pw"],
    ] {
        place.passwd(arguments, 0);
        assert!(place.path("link").is_symlink());
        let metadata = fs::metadata(place.path("real")).unwrap();
        assert_eq!(metadata.mode() & 0o7777, 0o604, "{arguments:?}");
        if may_give_away {
            assert_eq!((metadata.uid(), metadata.gid()), (12345, 23456));
        }
    }
    assert_eq!(users(&place.read("link")), ["v"]);
    let names = fs::read_dir(place.0.path()).unwrap().count();
    assert_eq!(names, 3, "nothing but real, link and .input");
}

#[test]
fn a_new_file_is_not_for_everybody() {
    let place = Place::new();
    place.passwd(&["-H", "sha512", "-c", "-b", "f", "u", "pw"], 0);
    let mode = fs::metadata(place.path("f")).unwrap().mode();
    assert_eq!(mode & 0o137, 0, "{mode:o}");
}

#[test]
fn a_new_file_is_for_the_group_of_its_directory() {
    let place = Place::new();
    let may_give_away = chown(place.0.path(), None, Some(23456)).is_ok();
    place.passwd(&["-H", "sha512", "-c", "-b", "f", "u", "pw"], 0);
    let metadata = fs::metadata(place.path("f")).unwrap();
    if may_give_away {
        assert_eq!(metadata.gid(), 23456);
    }
    assert_eq!(metadata.mode() & 0o7777, 0o640, "{:o}", metadata.mode());
}

#[test]
fn a_reader_never_sees_half_a_file() {
    let place = Place::new();
    place.passwd(&["-H", "sha512", "-c", "-b", "f", "stays", "pw"], 0);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !done.load(Ordering::Relaxed) {
                let file = PasswordFile::load(&place.path("f")).unwrap();
                assert!(file.contains("stays"));
                reads += 1;
            }
            reads
        });
        for number in 0..20 {
            let user = format!("user{number}");
            let output = place.run(PROGRAM, &["-H", "sha512", "-b", "f", &user, "pw"], "");
            assert!(output.status.success(), "{}", said(&output));
        }
        done.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 20);
    });
}

#[test]
fn help_tells_what_mosquitto_2_0_reads() {
    let place = Place::new();
    for option in ["-h", "--help"] {
        let said = place.passwd(&[option], 0);
        assert!(said.contains("Mosquitto 2.0 cannot read argon2id"));
    }
    assert!(place.passwd(&["--version"], 0).starts_with("mqtt-passwd "));
    assert!(place.passwd(&[], 1).contains("Usage: mqtt-passwd"));
}

// On a terminal -------------------------------------------------------------

/// Starts a program on a new terminal, gives an answer to each question, and
/// prints what the terminal showed. The pause lets the program turn the echo
/// off after it has asked.
const TERMINAL: &str = r#"
import os, pty, sys, time
split = sys.argv.index("--")
answers, command = sys.argv[1:split], sys.argv[split + 1:]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(command[0], command)
shown = b""
while True:
    try:
        chunk = os.read(terminal, 1000)
    except OSError:
        break
    if not chunk:
        break
    shown += chunk
    if answers and shown.endswith((b": ", b"[y/N] ")):
        time.sleep(0.3)
        os.write(terminal, answers.pop(0).encode())
sys.stdout.buffer.write(shown)
sys.stdout.flush()
status = os.waitpid(pid, 0)[1]
sys.exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
"#;

impl Place {
    /// What the terminal showed, and the exit code; `None` without Python.
    fn on_terminal(&self, answers: &[&str], arguments: &[&str]) -> Option<(String, i32)> {
        let python = program_for("python3", "prompts on a terminal")?;
        let arguments = [&["-c", TERMINAL], answers, &["--", PROGRAM], arguments].concat();
        let output = self.run(python, &arguments, "");
        let code = output.status.code().unwrap();
        Some((said(&output), code))
    }
}

#[test]
fn a_terminal_asks_twice_and_shows_nothing() {
    let place = Place::new();
    let create = ["-c", "f", "u"];
    let Some((shown, code)) = place.on_terminal(&["s3cret\r", "s3cret\r"], &create) else {
        return;
    };
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("Password: ") && shown.contains("Reenter password: "));
    assert!(!shown.contains("s3c"), "{shown}");
    assert!(
        shown.contains("Note: Mosquitto 2.0 cannot read argon2id"),
        "{shown}"
    );
    assert_eq!(place.verify("f", "u", "s3cret"), Verdict::Accepted);

    let answers = ["one\r", "two\r"];
    let (shown, code) = place.on_terminal(&answers, &["f", "u"]).unwrap();
    assert_eq!(code, 1);
    assert!(shown.contains("Error: Passwords do not match."), "{shown}");

    let (shown, code) = place.on_terminal(&["\r"], &["f", "u"]).unwrap();
    assert_eq!(code, 1);
    assert!(shown.contains("Error: Empty password."), "{shown}");

    let (_, code) = place.on_terminal(&["\x03"], &["f", "u"]).unwrap();
    assert_ne!(code, 0, "Ctrl-C ends the program");
    assert_eq!(place.verify("f", "u", "s3cret"), Verdict::Accepted);
}

#[test]
fn a_terminal_is_told_when_the_broker_could_not_read_the_file() {
    let exists = nix::unistd::User::from_name("mosquitto").is_ok_and(|user| user.is_some());
    if !exists {
        common::peers::tell("left out: the note for user mosquitto: there is no such user");
        return;
    }
    let place = Place::new();
    let create = ["-H", "sha512", "-c", "-b", "f", "u", "pw"];
    // The directory of the test is closed to others at first.
    for (mode, note) in [
        (0o700, "a broker that runs as user mosquitto cannot enter "),
        (0o755, "a broker that runs as user mosquitto cannot read "),
    ] {
        fs::set_permissions(place.0.path(), Permissions::from_mode(mode)).unwrap();
        let Some((shown, code)) = place.on_terminal(&[], &create) else {
            return;
        };
        assert_eq!(code, 0, "{shown}");
        assert!(shown.contains("Note: "), "{shown}");
        if std::env::temp_dir() == Path::new("/tmp") {
            assert!(shown.contains(note), "{shown}");
        }
    }
    fs::set_permissions(place.path("f"), Permissions::from_mode(0o644)).unwrap();
    if std::env::temp_dir() == Path::new("/tmp") {
        let add = ["-H", "sha512", "-b", "f", "v", "pw"];
        let (shown, _) = place.on_terminal(&[], &add).unwrap();
        assert!(!shown.contains("Note: "), "{shown}");
    }
    // In a pipe it is left out.
    fs::set_permissions(place.path("f"), Permissions::from_mode(0o600)).unwrap();
    let said = place.passwd(&["-H", "sha512", "-b", "f", "v", "pw"], 0);
    assert_eq!(said, "Updating password for user v\n");
}

#[test]
fn a_terminal_asks_before_it_overwrites() {
    let place = Place::new();
    place.write("f", "ada:x\n");
    let create = ["-H", "sha512", "-c", "f", "u"];
    let Some((shown, code)) = place.on_terminal(&["n\r"], &create) else {
        return;
    };
    assert_eq!(code, 1);
    assert!(
        shown.contains("f already has users; overwrite? [y/N]"),
        "{shown}"
    );
    assert_eq!(place.read("f"), "ada:x\n");
    let (shown, code) = place
        .on_terminal(&["y\r", "pw\r", "pw\r"], &create)
        .unwrap();
    assert_eq!(code, 0, "{shown}");
    assert_eq!(users(&place.read("f")), ["u"]);
}

// Beside Mosquitto ----------------------------------------------------------

#[test]
fn exit_codes_and_users_are_those_of_mosquitto_passwd() {
    let Some(theirs) = program_for("mosquitto_passwd", "password files of both tools") else {
        return;
    };
    for arguments in [
        &[][..],
        &["-c", "-b", "f", "new", "pw"],
        &["-c", "-b", "other", "new", "pw"],
        &["-b", "f", "new", "pw"],
        &["-b", "f", "old", "pw"],
        &["-b", "f", "old", "-secret"],
        &["-H", "sha512", "-b", "f", "new", "pw"],
        &["-H", "sha512-pbkdf2", "-b", "f", "new", "pw"],
        &["-I", "5", "-b", "f", "new", "pw"],
        &["-D", "f", "old"],
        &["-D", "f", "nobody"],
        &["-U", "plain"],
        &["-b", "-U", "plain"],
        &["-c", "-D", "f", "old"],
        &["-c", "-U", "f"],
        &["-D", "-U", "f"],
        &["-b", "-D", "f", "old"],
        &["-H", "md5", "-b", "f", "new", "pw"],
        &["-H"],
        &["-I", "0", "-b", "f", "new", "pw"],
        &["-I"],
        &["-x", "f", "new"],
        &["f"],
        &["-b", "f"],
        &["-b", "f", "new"],
        &["-b", "f", "new", "pw", "more"],
        &["-D", "f"],
        &["-U"],
        &["-U", "f", "more"],
        &["-b", "f", "a:b", "pw"],
        &["-b", "f", "a\tb", "pw"],
        &["-U", "missing"],
        &["-D", "missing", "old"],
        &["-b", "missing", "new", "pw"],
        &["-b", "no/f", "new", "pw"],
        &["-c", "-b", "no/f", "new", "pw"],
        &["f", "new"],
    ] {
        let outcome = |program: &Path| {
            let place = Place::new();
            place.run(&theirs, &["-c", "-b", "f", "old", "pw"], "");
            place.write("plain", "a:one\nb:two\n");
            let output = place.run(program, arguments, "");
            let users = ["f", "other", "plain"].map(|name| {
                let text = fs::read_to_string(place.path(name)).unwrap_or_default();
                users(&text).join(" ")
            });
            (output.status.code(), users)
        };
        assert_eq!(
            outcome(Path::new(PROGRAM)),
            outcome(&theirs),
            "{arguments:?}"
        );
    }
}

#[test]
fn files_of_mosquitto_passwd_verify_here() {
    let Some(theirs) = program_for("mosquitto_passwd", "password files of both tools") else {
        return;
    };
    let place = Place::new();
    place.write("f", "plain:four\n");
    for arguments in [
        &["-U", "f"][..],
        &["-b", "f", "default", "one"],
        &["-I", "7", "-b", "f", "seven", "two"],
        &["-H", "sha512", "-b", "f", "old", "three"],
    ] {
        let output = place.run(&theirs, arguments, "");
        assert!(output.status.success(), "{}", said(&output));
    }
    for (user, password) in [
        ("default", "one"),
        ("seven", "two"),
        ("old", "three"),
        ("plain", "four"),
    ] {
        assert_eq!(
            place.verify("f", user, password),
            Verdict::Accepted,
            "{user}"
        );
        assert_eq!(place.verify("f", user, "no"), Verdict::WrongPassword);
    }
    // Their tool goes on with a file that ours has changed.
    place.passwd(&["-H", "sha512-pbkdf2", "-b", "f", "ours", "five"], 0);
    let output = place.run(&theirs, &["-D", "f", "seven"], "");
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(users(&place.read("f")), ["plain", "default", "old", "ours"]);
}

#[test]
fn mosquitto_accepts_our_hashes() {
    let check = "our hashes in Mosquitto's broker";
    let Some(publisher) = program_for("mosquitto_pub", check) else {
        return;
    };
    if !Peer::MosquittoBroker.present_for(check) {
        return;
    }
    let place = Place::new();
    place.passwd(&["-H", "sha512-pbkdf2", "-c", "-b", "f", "new", "one"], 0);
    place.passwd(&["-H", "sha512", "-b", "f", "old", "two"], 0);
    let setup = Setup::new();
    let port = setup.port().to_string();
    // Otherwise it would change to a user who may not look into our directory.
    place.write(
        "conf",
        &format!("listener {port} 127.0.0.1\npassword_file f\nuser root\n"),
    );
    let mut command = Program::Broker.mosquitto();
    command.args(["-c", "conf"]).current_dir(place.0.path());
    let _broker = setup.start_command(command);
    let connects = |user, password| {
        let arguments = [
            "-p", &port, "-u", user, "-P", password, "-t", "t", "-m", "m",
        ];
        place.run(&publisher, &arguments, "").status.success()
    };
    let answers = [
        connects("new", "one"),
        connects("old", "two"),
        connects("new", "two"),
        connects("nobody", "one"),
    ];
    assert_eq!(answers, [true, true, false, false]);
}
