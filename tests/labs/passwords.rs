//! The password tool and the broker that reads its files.

use crate::common::Program;
use crate::common::broker::{Broker, Setup};
use crate::common::clients::{at, same_as_mosquitto};
use crate::common::peers::Peer;
use crate::common::process::{Finished, run};
use crate::common::terminal::Terminal;
use std::path::Path;

const CONF: &str = "listener {port}\nallow_anonymous false\npassword_file {dir}/passwords\n";

fn passwd(args: &[&str]) -> Finished {
    run(Program::Passwd.command().args(args))
}

fn printable(path: &Path) -> &str {
    path.to_str().expect("a printable path")
}

/// The exit code of a publisher with this name and password.
fn login(broker: &Broker, user: &str, password: &str) -> i32 {
    let mut program = Program::Pub.command();
    let args = ["-u", user, "-P", password, "-t", "a", "-m", "x"];
    let done = run(at(&mut program, broker.port).args(args));
    done.code.expect("an exit code")
}

fn users(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).expect("the password file");
    text.lines()
        .map(|line| {
            let (user, hash) = line.split_once(':').expect("user:hash");
            assert!(hash.starts_with('$'), "not hashed: {line}");
            user.to_owned()
        })
        .collect()
}

#[test]
fn users_are_created_added_changed_and_deleted() {
    let setup = Setup::new();
    let path = setup.path("passwords");
    let file = printable(&path);
    passwd(&["-c", "-b", file, "sondes", "one"]).expect_code(0);
    passwd(&["-b", file, "salon", "deux: mots"]).expect_code(0);
    passwd(&["-b", file, "garage", "three"]).expect_code(0);
    passwd(&["-b", file, "sondes", "changed"]).expect_code(0);
    passwd(&["-D", file, "garage"]).expect_code(0);
    assert_eq!(users(&path), ["sondes", "salon"]);
    let broker = setup.start(CONF);
    assert_eq!(login(&broker, "sondes", "changed"), 0);
    assert_eq!(login(&broker, "salon", "deux: mots"), 0);
    assert_eq!(login(&broker, "sondes", "one"), 5, "the old password");
    assert_eq!(login(&broker, "sondes", "two"), 5);
    assert_eq!(login(&broker, "sondes", ""), 5);
    assert_eq!(login(&broker, "garage", "three"), 5, "deleted");
}

#[test]
fn creating_again_starts_an_empty_file() {
    let setup = Setup::new();
    let path = setup.path("passwords");
    let file = printable(&path);
    passwd(&["-c", "-b", file, "old", "x"]).expect_code(0);
    passwd(&["-c", "-b", file, "new", "x"]).expect_code(0);
    assert_eq!(users(&path), ["new"]);
}

#[test]
fn the_hash_of_the_same_password_differs_each_time() {
    let setup = Setup::new();
    let path = setup.path("passwords");
    let file = printable(&path);
    passwd(&["-c", "-b", file, "a", "same"]).expect_code(0);
    passwd(&["-b", file, "b", "same"]).expect_code(0);
    let text = std::fs::read_to_string(&path).expect("the password file");
    let hashes: Vec<_> = text.lines().map(|line| line.split_at(2).1).collect();
    assert_eq!(hashes.len(), 2);
    assert_ne!(hashes[0], hashes[1]);
    assert!(!text.contains("same"));
}

#[test]
fn a_plain_file_is_upgraded() {
    let setup = Setup::new();
    let path = setup.write("passwords", "sondes:one\nsalon:two\n");
    passwd(&["-U", printable(&path)]).expect_code(0);
    assert_eq!(users(&path), ["sondes", "salon"]);
    let broker = setup.start(CONF);
    assert_eq!(login(&broker, "sondes", "one"), 0);
    assert_eq!(login(&broker, "salon", "two"), 0);
    assert_eq!(login(&broker, "salon", "one"), 5);
}

#[test]
fn the_tool_asks_twice_and_does_not_echo() {
    let setup = Setup::new();
    let path = setup.path("passwords");
    let mut command = Program::Passwd.command();
    command.args(["-c", printable(&path), "sondes"]);
    let mut terminal = Terminal::spawn(&command);
    terminal.wait_for_secret_prompt("Password: ");
    terminal.press("mot de passe\n");
    terminal.wait_for_secret_prompt("Reenter password: ");
    terminal.press("mot de passe\n");
    let Terminal {
        process, screen, ..
    } = terminal;
    assert_eq!(process.finish().code, Some(0), "{}", screen.text());
    assert!(!screen.text().contains("mot de passe"), "{}", screen.text());
    let broker = setup.start(CONF);
    assert_eq!(login(&broker, "sondes", "mot de passe"), 0);
    assert_eq!(login(&broker, "sondes", "autre"), 5);
}

#[test]
fn two_different_answers_change_nothing() {
    let setup = Setup::new();
    let path = setup.path("passwords");
    passwd(&["-c", "-b", printable(&path), "sondes", "one"]).expect_code(0);
    let before = std::fs::read_to_string(&path).expect("the password file");
    let mut command = Program::Passwd.command();
    command.args([printable(&path), "sondes"]);
    let mut terminal = Terminal::spawn(&command);
    terminal.wait_for_secret_prompt("Password: ");
    terminal.press("mot de passe\n");
    terminal.wait_for_secret_prompt("Reenter password: ");
    terminal.press("mot de posse\n");
    let Terminal {
        process, screen, ..
    } = terminal;
    assert_ne!(process.finish().code, Some(0));
    screen.wait_for("Passwords do not match");
    let after = std::fs::read_to_string(&path).expect("the password file");
    assert_eq!(before, after);
}

#[test]
fn the_mistakes_of_everyday_end_with_1() {
    let setup = Setup::new();
    let path = setup.path("passwords");
    let file = printable(&path);
    passwd(&[]).expect_code(1);
    passwd(&["-b", file, "nobody", "x"]).expect_code(1); // no such file
    assert!(!path.exists());
    passwd(&["-c", "-b", file, "sondes", "one"]).expect_code(0);
    let missing = passwd(&["-D", file, "nobody"]).expect_code(1);
    assert!(missing.stderr.contains("nobody not found"), "{missing}");
    let both = passwd(&["-c", "-D", file, "sondes"]).expect_code(1);
    assert!(both.stderr.contains("-c and -D"), "{both}");
    passwd(&["-b", file, "a:b", "x"]).expect_code(1);
    assert_eq!(users(&path), ["sondes"]);
}

#[test]
fn a_refused_client_prints_and_exits_as_mosquittos() {
    let setup = Setup::new();
    let path = setup.path("passwords");
    passwd(&["-c", "-b", printable(&path), "sondes", "one"]).expect_code(0);
    let broker = setup.start(CONF);
    let port = broker.port.to_string();
    let nobody: &[&str] = &[];
    for credentials in [nobody, &["-u", "sondes"], &["-u", "sondes", "-P", "wrong"]] {
        for (version, code) in [("mqttv31", 5), ("mqttv311", 5), ("mqttv5", 135)] {
            let place = ["-V", version, "-h", "localhost", "-p", &port, "-t", "a"];
            let args = [&place[..], credentials].concat();
            same_as_mosquitto(Program::Sub, &args).expect_code(code);
            let args = [&args[..], &["-m", "x"]].concat();
            same_as_mosquitto(Program::Pub, &args).expect_code(code);
        }
    }
}

#[test]
fn files_pass_between_both_tools_and_brokers() {
    if !Peer::MosquittoClients.present_for("password files of mosquitto_passwd") {
        return;
    }
    let setup = Setup::new();
    let path = setup.path("passwords");
    let file = printable(&path);
    // Ours in the format that Mosquitto reads, theirs in both of its formats.
    passwd(&["-H", "sha512-pbkdf2", "-c", "-b", file, "ours", "one"]).expect_code(0);
    passwd(&["-H", "sha512", "-b", file, "ours-old", "two"]).expect_code(0);
    for (hash, user) in [("sha512-pbkdf2", "theirs"), ("sha512", "theirs-old")] {
        let args = ["-H", hash, "-b", file, user, "three"];
        run(Program::Passwd.mosquitto().args(args)).expect_code(0);
    }
    let everybody = [
        ("ours", "one"),
        ("ours-old", "two"),
        ("theirs", "three"),
        ("theirs-old", "three"),
    ];
    let conf = format!("user root\n{CONF}");
    let conf = setup.write("mosquitto.conf", &conf);
    let mut mosquitto = Program::Broker.mosquitto();
    mosquitto.arg("-c").arg(conf);
    let broker = setup.start_command(mosquitto);
    for (user, password) in everybody {
        assert_eq!(login(&broker, user, password), 0, "{user} at mosquitto");
        assert_eq!(login(&broker, user, "wrong"), 5, "{user} at mosquitto");
    }
    let setup = Setup::new();
    std::fs::copy(broker.path("passwords"), setup.path("passwords")).expect("copying");
    let broker = setup.start(CONF);
    for (user, password) in everybody {
        assert_eq!(login(&broker, user, password), 0, "{user} at our broker");
        assert_eq!(login(&broker, user, "wrong"), 5, "{user} at our broker");
    }
}
